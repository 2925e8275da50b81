/** Cookies as they cross a link (`http.md` section 9). */

/** A cookie that scripts may read, or what became of it. */
export interface CookieState {
  readonly name: string;
  /** Null: it is gone. */
  readonly value: string | null;
  readonly path: string;
  /** Null: it was set for the host alone. */
  readonly domain: string | null;
  /** Milliseconds of Unix time by the device's clock; null: with the session. */
  readonly expires: number | null;
  /** Orders cookies whose paths are of one length. */
  readonly created: number;
  /** Rises with every change in the jar. */
  readonly stamp: number;
}

/** What the device says of its jar. */
export interface JarReport {
  readonly stamp: number;
  /** The device's clock. */
  readonly now: number;
  readonly cookies: readonly CookieState[];
}

export const JAR_PATH = '/__peerage/cookies';
/** The request field by which a caller opts in, and its value. */
export const OPT_IN = ['peerage-cookies', 'jar'] as const;
/** The response field with one `CookieState`. */
export const STATE_FIELD = 'peerage-cookie';
/** Octets of the body of one POST. */
export const CHANGES_LIMIT = 64 * 1024;

/** More than any jar holds: a report beyond this is none. */
const MOST_STATES = 1_024;

/** What a field of a response says; `anew`: there was more than fits, list the jar; null: nothing that could be understood. */
export function readStateField(value: string): CookieState | 'anew' | null {
  if (value === '*') return 'anew';
  try {
    return stateOf(JSON.parse(decodeURIComponent(value)));
  } catch {
    return null;
  }
}

/** Null if it is no report. */
export function readReport(text: string): JarReport | null {
  let report: Partial<JarReport> | null;
  try {
    report = JSON.parse(text) as Partial<JarReport> | null;
  } catch {
    return null;
  }
  if (typeof report?.stamp !== 'number' || typeof report.now !== 'number' || !Array.isArray(report.cookies) || report.cookies.length > MOST_STATES) return null;
  const cookies = report.cookies.map(stateOf);
  return cookies.includes(null) ? null : { stamp: report.stamp, now: report.now, cookies: cookies as CookieState[] };
}

function stateOf(given: unknown): CookieState | null {
  const { name, value, path, domain, expires, created, stamp } = (given ?? {}) as Partial<Record<keyof CookieState, unknown>>;
  const right =
    typeof name === 'string' && (value === null || typeof value === 'string') && typeof path === 'string' && (domain === null || typeof domain === 'string') &&
    (expires === null || typeof expires === 'number') && typeof created === 'number' && typeof stamp === 'number';
  return right ? { name, value, path, domain, expires, created, stamp } : null;
}
