/** The grammar of links (`identity.md` section 2): `http(s)://<device>.<domain>[:port]/#1.<secret>[/path]`. */
import { PeerageError } from '../error.js';
import { isBase32 } from './base32.js';
import { isDeviceId } from './id.js';

export interface Link {
  readonly secure: boolean;
  /** The device id: 52 base32 characters. */
  readonly device: string;
  /** The host after the device's label, lower case. */
  readonly domain: string;
  /** `null` for the scheme's own port. */
  readonly port: number | null;
  /** 26 base32 characters that grant access; `null` in a link that only names the device. Never log it. */
  readonly secret: string | null;
  /** Where to begin inside the app: begins with `/`, may have a query and a fragment. */
  readonly path: string;
}

const SECRET_CHARACTERS = 26;
const VERSION = '1.';

/** Throws `PeerageError` `bad-link`; the message never contains the secret. */
export function parseLink(text: string): Link {
  const match = /^(https?):\/\/([^/?#@\\\s]+)\/?(#.*)?$/is.exec(text.trim());
  if (match === null) throw bad('it is not http(s)://<device>.<domain>/#1.<secret>');
  const [, scheme = '', authority = '', fragment] = match;
  const secure = scheme.toLowerCase() === 'https';
  const hostAndPort = /^([^.:]+)\.([^:]+)(?::([0-9]{1,5}))?$/.exec(authority.toLowerCase());
  if (hostAndPort === null) throw bad('its host is not <device>.<domain>[:port]');
  const [, device = '', domain = '', portText] = hostAndPort;
  if (!isDeviceId(device)) throw bad('its host does not begin with a device id of 52 characters');
  if (!isDomain(domain)) throw bad('what follows the device id is no domain name');
  if (!secure && !isLoopback(domain)) throw bad('http is accepted for this machine alone: use https');
  const port = portText === undefined ? null : Number(portText);
  if (port !== null && (port < 1 || port > 65535)) throw bad('its port is not between 1 and 65535');
  const access = fragment === undefined ? null : splitFragment(fragment);
  if (fragment !== undefined && fragment !== '#' && access === null) throw bad('what follows # is not 1.<secret of 26 characters>[/path]');
  return { secure, device, domain, port, secret: access?.secret ?? null, path: access?.path ?? '/' };
}

/** The link's text, secret included. */
export function formatLink(link: Link): string {
  const port = link.port === null ? '' : `:${link.port}`;
  const origin = `${link.secure ? 'https' : 'http'}://${link.device}.${link.domain}${port}/`;
  if (link.secret === null) return origin;
  return `${origin}#${VERSION}${link.secret}${link.path === '/' ? '' : link.path}`;
}

/** Takes `#1.<secret>[/path]` apart; `null` when it is anything else, as a fragment of the app's own. */
export function splitFragment(hash: string): { readonly secret: string; readonly path: string } | null {
  const start = (hash.startsWith('#') ? 1 : 0) + VERSION.length;
  if (hash.slice(start - VERSION.length, start) !== VERSION) return null;
  const secret = hash.slice(start, start + SECRET_CHARACTERS);
  const path = hash.slice(start + SECRET_CHARACTERS);
  if (secret.length !== SECRET_CHARACTERS || !isBase32(secret)) return null;
  if (path !== '' && !path.startsWith('/')) return null;
  return { secret, path: path === '' ? '/' : path };
}

function isDomain(text: string): boolean {
  return text.length <= 253 && /^(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/.test(text);
}

function isLoopback(domain: string): boolean {
  return domain === 'localhost' || domain.endsWith('.localhost') || /^127(?:\.(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])){3}$/.test(domain);
}

function bad(why: string): PeerageError {
  return new PeerageError('bad-link', `this is not a link: ${why}`);
}
