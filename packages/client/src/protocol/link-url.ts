/**
 * The link that a device prints, and that opens it (`identity.md` section 2):
 * `http(s)://<device>.<domain>[:port]/#1.<secret>[/path?query#fragment]`. What follows `#` never reaches a server.
 */
import { PeerageError } from '../error.js';
import { isDeviceId, isSecret } from './id.js';

/** Longest link, in characters. */
export const MAX_LINK = 8192;

export interface Link {
  /** `https`, against plain `http`, which is for `localhost` alone. */
  readonly secure: boolean;
  /** The device id: 52 base32 characters. */
  readonly device: string;
  /** Host after the device's label, in lower case: where the server is found. */
  readonly domain: string;
  /** `null` for the scheme's own port. */
  readonly port: number | null;
  /** What grants access, 26 base32 characters; a link without one works for who is already known to the device. Never log it. */
  readonly secret: string | null;
  /** Path, query and fragment inside the app, verbatim; begins with exactly one `/`. */
  readonly path: string;
}

/** Throws `PeerageError` `bad-link`. The message does not repeat the text: it may hold a secret. */
export function parseLink(text: string): Link {
  if (text.length > MAX_LINK) throw bad(`a link has at most ${MAX_LINK} characters`);
  if (!/^[!-~]*$/.test(text)) throw bad('a link has no spaces, control characters or characters outside ASCII: was it copied whole?');
  const match = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(text);
  if (match === null) throw bad('a link begins with https:// or http://');
  const [, scheme = '', authority = '', rest = ''] = match;
  const secure = scheme.toLowerCase() === 'https';
  const colon = authority.indexOf(':');
  const host = (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase();
  const port = colon < 0 ? null : parsePort(authority.slice(colon + 1));
  const dot = host.indexOf('.');
  if (dot < 0) throw bad('the host of a link is a device id, a dot and a domain name');
  const device = host.slice(0, dot);
  const domain = host.slice(dot + 1);
  if (!isDeviceId(device)) throw bad('the host of a link begins with a device id of 52 characters: was it copied whole?');
  if (!isDomain(domain)) throw bad('the host of a link is a device id, a dot and a domain name');
  if (!secure && !isLocal(domain)) throw bad('plain http is for localhost alone: the link must begin with https://');
  return { secure, device, domain, port: port === (secure ? 443 : 80) ? null : port, ...parseRest(rest) };
}

/** The link's text, secret included. */
export function formatLink(link: Link): string {
  const port = link.port === null ? '' : `:${link.port}`;
  const origin = `${link.secure ? 'https' : 'http'}://${link.device}.${link.domain}${port}`;
  if (link.secret === null) return origin + link.path;
  return `${origin}/#1.${link.secret}${link.path === '/' ? '' : link.path}`;
}

/**
 * Takes `#1.<secret>[/path]` apart; `null` when it is anything else, as a fragment of the app's own. A path that would lead to another host becomes `/`: a page
 * that was opened with such a link must still find the secret, to take it out of the address bar.
 */
export function splitFragment(hash: string): { readonly secret: string; readonly path: string } | null {
  const access = splitAccess(hash);
  return access === null || staysOnHost(access.path) ? access : { secret: access.secret, path: '/' };
}

function splitAccess(hash: string): { readonly secret: string; readonly path: string } | null {
  const match = /^#?1\.([a-z2-7]*)(\/.*)?$/.exec(hash);
  if (match === null || hash.length > MAX_LINK) return null;
  const [, secret = '', path = '/'] = match;
  return isSecret(secret) ? { secret, path } : null;
}

function parseRest(rest: string): Pick<Link, 'secret' | 'path'> {
  const hash = rest.indexOf('#');
  const fragment = hash < 0 ? '' : rest.slice(hash);
  const version = /^#([0-9]+)\./.exec(fragment)?.[1];
  if (version === undefined) {
    const path = rest.startsWith('/') ? rest : `/${rest}`;
    if (!staysOnHost(path)) throw bad('the path of a link begins with one slash');
    return { secret: null, path };
  }
  if (version !== '1') throw bad('this link is of a newer kind: update peerage');
  if (hash > 1 || (hash === 1 && rest[0] !== '/')) throw bad('the path of a link follows its secret');
  const access = splitAccess(fragment);
  if (access === null) throw bad('the secret of a link is 26 characters of a-z and 2-7: was it copied whole?');
  if (!staysOnHost(access.path)) throw bad('the path of a link begins with one slash');
  return access;
}

/** Whether a browser resolves `path` to the host it stands at: `//` and `/\` name another. */
function staysOnHost(path: string): boolean {
  return !path.startsWith('//') && !path.startsWith('/\\');
}

function parsePort(text: string): number {
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw bad('the port of a link is a number from 1 to 65535');
  return port;
}

/** A host name of RFC 1123 labels that is no IP address: a device's origin is a name in front of it, which an address cannot have. */
function isDomain(domain: string): boolean {
  const labels = domain.split('.');
  const last = labels[labels.length - 1] ?? '';
  return domain.length <= 200 && labels.every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/.test(label)) && !/^[0-9]/.test(last);
}

/** Whether browsers take plain `http` on this host for a secure context, which service worker and WebCrypto need. */
function isLocal(domain: string): boolean {
  return domain === 'localhost' || domain.endsWith('.localhost');
}

function bad(message: string): PeerageError {
  return new PeerageError('bad-link', message);
}
