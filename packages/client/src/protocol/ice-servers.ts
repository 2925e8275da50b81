/**
 * ICE servers as a server lists them in JSON. What a list says is hints from outside: a browser throws away the whole connection for one entry that it cannot
 * use, so what reaches it was read by a strict grammar (RFC 7064, RFC 7065) and is bounded.
 */

/** Most servers of a list, and most URLs of a server; further ones are dropped. */
const MAX_SERVERS = 16;
const MAX_URLS = 8;
/** Longest URL, in characters: a host name has 253. */
const MAX_URL = 320;
/** Longest user name and credential, in octets of UTF-8 (RFC 8489 section 14.3: fewer than 509). */
const MAX_TEXT = 508;
/** Seconds for which credentials are good at most, as far as a client believes it: 30 days. */
const MAX_TTL = 2_592_000;

/** Scheme, host, port, and for TURN the transport. */
const ICE_URL = /^(stuns?|turns?):(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?(\?transport=(?:udp|tcp))?$/;

export interface IceServers {
  readonly iceServers: readonly RTCIceServer[];
  /** Seconds, from now, for which the credentials are good. */
  readonly ttl: number;
}

/** The answer to `GET …/ice`; `null` when it is none. */
export function parseIceAnswer(value: unknown): IceServers | null {
  const answer = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  const [iceServers, ttl] = [parseIceServers(answer['iceServers']), answer['ttl']];
  if (iceServers === null || typeof ttl !== 'number' || !(ttl >= 1)) return null;
  return { iceServers, ttl: Math.min(ttl, MAX_TTL) };
}

/** The entries that a browser takes, without anything else that stood in them; `null` for what is no list. */
export function parseIceServers(value: unknown): readonly RTCIceServer[] | null {
  if (!Array.isArray(value)) return null;
  return value.slice(0, MAX_SERVERS).flatMap((entry: unknown) => parseServer(entry) ?? []);
}

function parseServer(entry: unknown): RTCIceServer | null {
  if (typeof entry !== 'object' || entry === null) return null;
  const { urls, username, credential } = entry as Readonly<Record<string, unknown>>;
  const given: readonly unknown[] = Array.isArray(urls) ? urls.slice(0, MAX_URLS) : [urls];
  // Browsers refuse a TURN server without both, and STUN needs neither.
  const mayRelay = isText(username) && isText(credential);
  const usable = given.filter((url): url is string => isIceUrl(url, mayRelay));
  if (usable.length === 0) return null;
  return usable.some((url) => url.startsWith('turn')) ? { urls: usable, username: username as string, credential: credential as string } : { urls: usable };
}

function isIceUrl(url: unknown, mayRelay: boolean): boolean {
  const match = typeof url === 'string' && url.length <= MAX_URL ? ICE_URL.exec(url) : null;
  if (match === null) return false;
  const [, scheme = '', port = '3478', transport] = match;
  if (Number(port) < 1 || Number(port) > 65_535) return false;
  return scheme.startsWith('turn') ? mayRelay : transport === undefined;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length >= 1 && !/\p{Cc}/u.test(value) && new TextEncoder().encode(value).length <= MAX_TEXT;
}
