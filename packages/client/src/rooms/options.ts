/** What `joinRoom` was given, looked at before anything is tried. */
import { METADATA_MAX } from '../protocol/room/frame.js';
import { isMemberName, isRoomName } from '../protocol/room/name.js';
import { utf8 } from '../protocol/room/octets.js';
import { jsonOf } from './body.js';
import { RoomError } from './error.js';
import type { JoinRoomOptions } from './types.js';

type Octets = Uint8Array<ArrayBuffer>;

export interface Settings {
  readonly server: URL;
  readonly id: string;
  readonly token: string;
  readonly tokenOctets: Octets;
  readonly metadata: string;
  readonly unreliable: boolean;
  readonly attempts: number;
  readonly delay: number;
  readonly maxDelay: number;
  readonly timeout: number;
  readonly iceServers: readonly RTCIceServer[];
  readonly signal: AbortSignal | undefined;
}

const TIMER_MAX = 2 ** 31 - 1;

/** Throws `bad-option`. */
export function settingsOf(name: string, options: JoinRoomOptions): Settings {
  if (typeof name !== 'string' || !isRoomName(name)) throw new RoomError('bad-option', 'a room’s name has 1 to 256 octets and no control characters');
  const { topology = 'hub', reconnect = true, timeout = 15_000, iceServers = [], signal } = options;
  if (topology !== 'hub') throw new RoomError('bad-option', 'the one topology that there is is the hub');
  const id = options.id ?? `member-${hex(random(6))}`;
  if (typeof id !== 'string' || !isMemberName(id)) throw new RoomError('bad-option', 'an id has 1 to 512 octets and no control characters, and is neither server nor unknown');
  const token = options.token ?? hex(random(16));
  if (!/^[0-9a-f]{32}$/i.test(token)) throw new RoomError('bad-option', 'a token is 32 hexadecimal digits');
  const { attempts = Infinity, delay = 500, maxDelay = 15_000 } = reconnect === true ? {} : reconnect === false ? { attempts: 0 } : reconnect;
  for (const value of [timeout, delay, maxDelay, Math.min(attempts, TIMER_MAX)]) needTime(value);
  return {
    server: serverOf(options.server),
    id,
    token,
    tokenOctets: Uint8Array.from(token.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
    metadata: metadataOf(options.metadata === undefined ? {} : options.metadata),
    unreliable: options.unreliable ?? false,
    attempts,
    delay,
    maxDelay,
    timeout,
    iceServers,
    signal,
  };
}

/** Throws `bad-option` for what is no number of milliseconds that can be waited. */
export function needTime(value: number): void {
  if (!(value >= 0 && value <= TIMER_MAX)) throw new RoomError('bad-option', 'a time or a number of attempts that is none');
}

/** As JSON. Throws `not-json` or `too-large`. */
export function metadataOf(value: unknown): string {
  const json = jsonOf(value);
  if (utf8(json).length > METADATA_MAX) throw new RoomError('too-large', 'metadata has 16 KiB at most');
  return json;
}

/** With a slash at the end of its path. Throws `bad-option`. */
export function serverOf(given: string | URL | undefined): URL {
  // What is no page’s origin is the text `null`.
  const text = given ?? (globalThis as { location?: { origin?: string } }).location?.origin;
  let url: URL | null = null;
  try {
    url = new URL(String(text));
  } catch {
    // Said below.
  }
  if (url === null || !/^https?:$/.test(url.protocol)) throw new RoomError('bad-option', 'option server: the http or https URL of the hub is needed');
  url.search = '';
  url.hash = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

function random(octets: number): Octets {
  return crypto.getRandomValues(new Uint8Array(octets));
}

function hex(octets: Octets): string {
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, '0')).join('');
}
