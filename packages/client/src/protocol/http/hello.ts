/** The first frame of each side: version, limits, features (`http.md` section 2). */
import { Reader, type Writer } from './bytes.js';
import { Violation } from './violation.js';

/** What the sender of a HELLO accepts. */
export interface Hello {
  /** Highest version that the sender speaks; 1 today. */
  readonly version: number;
  /** Live exchanges begun by the other side. Default 256, at most 512. */
  readonly exchanges: number;
  /** First credit of each exchange, octets. Default 65,536, at most 1 MiB. */
  readonly window: number;
  /** Octets of one head block. Default 65,536, at most what eight frames hold. */
  readonly head: number;
  /** Answers exchanges of kind WebSocket. */
  readonly websocket: boolean;
  /** Answers exchanges of kind TCP. */
  readonly tcp: boolean;
}

const EXCHANGES = { key: 1, absent: 256, max: 512 } as const;
const WINDOW = { key: 2, absent: 65_536, max: 1 << 20 } as const;
const HEAD = { key: 3, absent: 65_536, max: 131_008 } as const;
const WEBSOCKET = 16;
const TCP = 17;

export const DEFAULT_HELLO: Hello = {
  version: 1,
  exchanges: EXCHANGES.absent,
  window: WINDOW.absent,
  head: HEAD.absent,
  websocket: false,
  tcp: false,
};

/** Throws `Violation` `hello`: version 0, half an item, a repeated key, a limit below its default. */
export function parseHello(payload: Uint8Array): Hello {
  const reader = new Reader(payload);
  const version = reader.u8();
  if (version === null || version === 0) throw new Violation('hello', 'no version');
  const items = new Map<number, number>();
  while (reader.left > 0) {
    const key = reader.u16();
    const value = reader.u32();
    if (key === null || value === null) throw new Violation('hello', 'half an item');
    if (items.has(key)) throw new Violation('hello', 'a key twice');
    items.set(key, value);
  }
  const limit = ({ key, absent, max }: { key: number; absent: number; max: number }) => {
    const value = items.get(key) ?? absent;
    if (value < absent) throw new Violation('hello', 'a limit below its default');
    return Math.min(value, max);
  };
  const feature = (key: number) => (items.get(key) ?? 0) !== 0;
  return { version, exchanges: limit(EXCHANGES), window: limit(WINDOW), head: limit(HEAD), websocket: feature(WEBSOCKET), tcp: feature(TCP) };
}

/** Writes the payload: the version, then what differs from the default in ascending order of keys. */
export function emitHello(hello: Hello, into: Writer): void {
  into.u8(hello.version);
  const item = (key: number, value: number, absent: number) => {
    if (value === absent) return;
    into.u16(key);
    into.u32(value);
  };
  item(EXCHANGES.key, hello.exchanges, EXCHANGES.absent);
  item(WINDOW.key, hello.window, WINDOW.absent);
  item(HEAD.key, hello.head, HEAD.absent);
  item(WEBSOCKET, Number(hello.websocket), 0);
  item(TCP, Number(hello.tcp), 0);
}
