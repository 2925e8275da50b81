/**
 * `<a download>` asks the network past the service worker, so it would reach the server. The shim takes the attribute away and moves the
 * wanted name into the fragment, which no server ever sees; the worker turns it into the field that has the same effect.
 */
const MARK = '#peerage-download=';

export function downloadAddress(href: string, name: string): string {
  const url = new URL(href);
  url.hash = MARK + encodeURIComponent(name);
  return url.href;
}

/** The name asked for, empty when the address is to decide; null if this is no such address. */
export function wantedName(url: URL): string | null {
  if (!url.hash.startsWith(MARK)) return null;
  try {
    return decodeURIComponent(url.hash.slice(MARK.length));
  } catch {
    return '';
  }
}

/** As HTML has it: the target's own name goes first, the wanted one second; saved it is in any case. */
export function withWantedName(headers: Headers, name: string): void {
  const given = headers.get('content-disposition');
  const parameters = given?.slice(given.indexOf(';') + 1 || given.length).trim() ?? '';
  if (/(^|[;\s])filename\*?\s*=/i.test(parameters)) headers.set('content-disposition', `attachment; ${parameters}`);
  else headers.set('content-disposition', name === '' ? 'attachment' : `attachment; filename*=UTF-8''${encodeExtended(name)}`);
}

/** RFC 8187 `ext-value`: what `encodeURIComponent` leaves and `attr-char` lacks is escaped as well. */
function encodeExtended(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}
