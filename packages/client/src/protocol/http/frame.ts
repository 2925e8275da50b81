/**
 * Frames, one or more of them in each channel message (`http.md` section 1).
 *
 * ```text
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +---------------+---------------+-------------------------------+
 * |     type      |     flags     |        length (u16 BE)        |
 * +---------------+---------------+-------------------------------+
 * |                     exchange id (u32 BE)                      |
 * +---------------------------------------------------------------+
 * |                     payload (length octets)                 ...
 * ```
 */
import type { ResetCode } from '../../error.js';
import { Writer } from './bytes.js';
import { resetCode, resetNumber } from './code.js';
import { emitHello, parseHello, type Hello } from './hello.js';
import { Violation } from './violation.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Octets of a channel message at most. Without SCTP interleaving a larger one would block every other stream. */
export const MESSAGE_MAX = 16_384;
/** Octets before the payload of a frame. */
export const HEADER = 8;
/** Octets of payload in one frame at most: a frame does not leave its message. */
export const DATA_MAX = MESSAGE_MAX - HEADER;
const RESET_TEXT_MAX = 256;

const END = 0x01;
const MORE = 0x02;
const FIN = 0x02;
const TEXT = 0x04;

export type Frame =
  | { readonly type: 'hello'; readonly hello: Hello }
  /** `more`: the block goes on in the next HEAD of this exchange. `end` counts on the last frame of a block. */
  | { readonly type: 'head'; readonly id: number; readonly end: boolean; readonly more: boolean; readonly block: Octets }
  /** `fin`: last part of a WebSocket message; `text`: that message is text. */
  | { readonly type: 'data'; readonly id: number; readonly end: boolean; readonly fin: boolean; readonly text: boolean; readonly bytes: Octets }
  | { readonly type: 'credit'; readonly id: number; readonly octets: number }
  | { readonly type: 'reset'; readonly id: number; readonly code: ResetCode }
  | { readonly type: 'drain'; readonly highest: number }
  | { readonly type: 'ping' | 'pong'; readonly octets: Octets };

const NUMBERS = { hello: 0, head: 1, data: 2, credit: 3, reset: 4, drain: 5, ping: 6, pong: 7 } as const;

/** Appends a frame. The caller keeps within `MESSAGE_MAX`. */
export function emitFrame(frame: Frame, into: Writer): void {
  const header = (length: number, id = 0, flags = 0) => {
    into.u8(NUMBERS[frame.type]);
    into.u8(flags);
    into.u16(length);
    into.u32(id);
  };
  switch (frame.type) {
    case 'hello': {
      const payload = new Writer();
      emitHello(frame.hello, payload);
      header(payload.length);
      return into.put(payload.bytes);
    }
    case 'head':
      header(frame.block.length, frame.id, (frame.end ? END : 0) | (frame.more ? MORE : 0));
      return into.put(frame.block);
    case 'data':
      header(frame.bytes.length, frame.id, (frame.end ? END : 0) | (frame.fin ? FIN : 0) | (frame.text ? TEXT : 0));
      return into.put(frame.bytes);
    case 'credit':
      header(4, frame.id);
      return into.u32(frame.octets);
    case 'reset':
      header(2, frame.id);
      return into.u16(resetNumber(frame.code));
    case 'drain':
      header(4);
      return into.u32(frame.highest);
    case 'ping':
    case 'pong':
      header(8);
      return into.put(frame.octets);
  }
}

/** The frames of one channel message, those of unknown types left out. */
export class Frames {
  readonly #message: Octets;
  readonly #view: DataView;
  #at = 0;

  /** Throws `Violation` when the message is empty or too large. */
  constructor(message: Octets) {
    if (message.length === 0) throw new Violation('protocol', 'an empty message');
    if (message.length > MESSAGE_MAX) throw new Violation('protocol', 'a message of more than 16,384 octets');
    this.#message = message;
    this.#view = new DataView(message.buffer, message.byteOffset, message.length);
  }

  /** The next frame, `null` at the end. Throws `Violation`; nothing more can be read then. */
  next(): Frame | null {
    while (this.#at < this.#message.length) {
      const at = this.#at;
      if (this.#message.length - at < HEADER) throw new Violation('protocol', 'half a frame header');
      const length = this.#view.getUint16(at + 2);
      this.#at = at + HEADER + length;
      if (this.#at > this.#message.length) throw new Violation('protocol', 'a frame longer than its message');
      const frame = this.#parse(this.#view.getUint8(at), this.#view.getUint8(at + 1), this.#view.getUint32(at + 4), at + HEADER, length);
      if (frame !== null) return frame;
    }
    return null;
  }

  #parse(type: number, flags: number, id: number, at: number, length: number): Frame | null {
    if (type >= 1 && type <= 4 && id === 0) throw new Violation('protocol', 'exchange 0 in a frame of an exchange');
    if ((type === 0 || (type >= 5 && type <= 7)) && id !== 0) throw new Violation('protocol', 'an exchange in a frame of the link');
    const exactly = (octets: number) => {
      if (length !== octets) throw new Violation('protocol', 'a frame of a wrong length');
    };
    switch (type) {
      case NUMBERS.hello:
        return { type: 'hello', hello: parseHello(this.#message.subarray(at, at + length)) };
      case NUMBERS.head:
        return { type: 'head', id, end: (flags & END) !== 0, more: (flags & MORE) !== 0, block: this.#retain(at, length) };
      case NUMBERS.data:
        return { type: 'data', id, end: (flags & END) !== 0, fin: (flags & FIN) !== 0, text: (flags & TEXT) !== 0, bytes: this.#retain(at, length) };
      case NUMBERS.credit:
        exactly(4);
        return { type: 'credit', id, octets: this.#view.getUint32(at) };
      case NUMBERS.reset:
        if (length < 2 || length > 2 + RESET_TEXT_MAX) exactly(2);
        return { type: 'reset', id, code: resetCode(this.#view.getUint16(at)) };
      case NUMBERS.drain:
        exactly(4);
        return { type: 'drain', highest: this.#view.getUint32(at) };
      case NUMBERS.ping:
      case NUMBERS.pong:
        exactly(8);
        return { type: type === NUMBERS.ping ? 'ping' : 'pong', octets: this.#message.slice(at, at + length) };
      default:
        return null;
    }
  }

  /**
   * Keeps a large payload as a view of its message, and copies a small one out of it: a view keeps the whole message in memory, and a peer could make
   * one octet of credit hold 16 KiB. So at most one payload is a view of the message, and it may be transferred.
   */
  #retain(at: number, length: number): Octets {
    return length * 2 >= this.#message.length ? this.#message.subarray(at, at + length) : this.#message.slice(at, at + length);
  }
}
