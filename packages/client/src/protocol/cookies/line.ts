/** What `document.cookie = line` asks for: RFC 6265 sections 5.1.1, 5.1.4 and 5.2, with the prefixes and limits of its revision (6265bis). */

export interface CookieLine {
  readonly name: string;
  readonly value: string;
  /** Lower case, without the leading dot; null: the host alone. */
  readonly domain: string | null;
  /** Null: the document's own. */
  readonly path: string | null;
  readonly secure: boolean;
  readonly httpOnly: boolean;
  /** Milliseconds of Unix time; null: with the session. */
  readonly expires: number | null;
}

const LONGEST = 4_096;
const LONGEST_ATTRIBUTE = 1_024;

/** Null where a browser takes no notice of the line. `now` is what `Max-Age` counts from. */
export function parseCookieLine(line: string, now: number): CookieLine | null {
  if (/[\0-\x08\x0a-\x1f\x7f]/.test(line)) return null;
  const [pair = '', ...attributes] = line.split(';');
  const [name, value] = pair.includes('=') ? halves(pair) : ['', pair.trim()];
  if ((name === '' && value === '') || octets(name) + octets(value) > LONGEST) return null;

  let domain: string | null = null;
  let path: string | null = null;
  let secure = false;
  let httpOnly = false;
  let anySite = false;
  let date: number | null = null;
  let age: number | null = null;
  for (const attribute of attributes) {
    const [key, given] = halves(attribute);
    if (octets(given) > LONGEST_ATTRIBUTE) continue;
    switch (key.toLowerCase()) {
      case 'domain':
        domain = given.replace(/^\./, '').toLowerCase() || null;
        break;
      case 'path':
        path = given.startsWith('/') ? given : null;
        break;
      case 'secure':
        secure = true;
        break;
      case 'httponly':
        httpOnly = true;
        break;
      case 'samesite':
        anySite = given.toLowerCase() === 'none';
        break;
      case 'expires':
        date = parseCookieDate(given) ?? date;
        break;
      case 'max-age':
        if (/^-?\d+$/.test(given)) age = now + Number(given) * 1_000;
    }
  }
  const parsed: CookieLine = { name, value, domain, path, secure, httpOnly, expires: age ?? date };
  return keepsPromise(parsed) && (secure || !anySite) ? parsed : null;
}

/** What the name promises must be so. A cookie without a name could put a prefixed one in its place, as both are sent alike. */
function keepsPromise({ name, value, secure, path, domain }: CookieLine): boolean {
  const promise = (name === '' ? value : name).toLowerCase();
  if (!promise.startsWith('__secure-') && !promise.startsWith('__host-')) return true;
  if (name === '' || !secure) return false;
  return promise.startsWith('__secure-') || (path === '/' && domain === null);
}

/** RFC 6265 5.1.1. Null if it is no date. */
export function parseCookieDate(text: string): number | null {
  let time: [number, number, number] | null = null;
  let day: number | null = null;
  let month: number | null = null;
  let year: number | null = null;
  for (const token of text.split(/[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+/)) {
    const clock: RegExpExecArray | null = time === null ? /^(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|$)/.exec(token) : null;
    if (clock !== null) time = [Number(clock[1]), Number(clock[2]), Number(clock[3])];
    else if (day === null && /^\d{1,2}(?:\D|$)/.test(token)) day = parseInt(token, 10);
    else if (month === null && MONTHS.includes(token.slice(0, 3).toLowerCase())) month = MONTHS.indexOf(token.slice(0, 3).toLowerCase());
    else if (year === null && /^\d{2,4}(?:\D|$)/.test(token)) year = parseInt(token, 10);
  }
  if (time === null || day === null || month === null || year === null) return null;
  if (year <= 69) year += 2_000;
  else if (year <= 99) year += 1_900;
  const [hour, minute, second] = time;
  if (day < 1 || day > 31 || year < 1_601 || hour > 23 || minute > 59 || second > 59) return null;
  const date = new Date(Date.UTC(year, month, day, hour, minute, second));
  return date.getUTCDate() === day ? date.getTime() : null;
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** The path of a cookie that names none: the folder of the document. */
export function defaultPath(documentPath: string): string {
  return documentPath.slice(0, documentPath.lastIndexOf('/')) || '/';
}

export function pathMatches(path: string, cookiePath: string): boolean {
  return path === cookiePath || (path.startsWith(cookiePath) && (cookiePath.endsWith('/') || path[cookiePath.length] === '/'));
}

function halves(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text.trim(), ''] : [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}

function octets(text: string): number {
  return new TextEncoder().encode(text).length;
}
