/** The sending direction of an exchange: what waits for its turn and for credit. Twin of `http/outbound.rs`. */
import { PeerageError } from '../../error.js';
import { Queue } from '../queue.js';
import type { Writer } from './bytes.js';
import type { End } from './event.js';
import { emitFrame, HEADER, MESSAGE_MAX } from './frame.js';
import { emitHead, type Head } from './head.js';
import { CLOSE_MAX, FIN_COST, type Phase } from './inbound.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Octets that one exchange may have waiting to be sent, beside its heads. */
export const SEND_QUEUE = 65_536;
/** What a queued write counts beside its octets, so that tiny ones are bounded as well. */
const WRITE_COST = 32;
/** A DATA frame is cut to fit a message only if this much of it fits. */
const DATA_CUT_MIN = 1024;
/** Likewise for HEAD: a whole block then never needs more than eight frames. */
const HEAD_CUT_MIN = 8192;
const CREDIT_MAX = 2 ** 31 - 1;

/** What is written: octets of a body or stream, or a WebSocket message or part of one, complete with these octets if `fin`. */
export type Framing = { readonly type: 'stream' } | { readonly type: 'message'; readonly text: boolean; readonly fin: boolean };

export const STREAM: Framing = { type: 'stream' };

type Queued =
  | { readonly type: 'head'; block: Octets; readonly end: boolean }
  | { readonly type: 'data'; bytes: Octets; readonly fin: boolean; readonly text: boolean; readonly end: boolean }
  | { readonly type: 'close'; readonly payload: Octets };

const NO_OCTETS = new Uint8Array(0);

export class Outbound {
  /** `ended`: END is queued. See `isDone` for sent. */
  phase: Phase = 'head';
  /** The direction carries WebSocket messages. */
  messages = false;
  /** What `content-length` promised and was not written yet. */
  body: number | null = null;
  /** A HEAD frame was sent: the peer knows of the exchange. */
  begun = false;
  /** The exchange stands in the line of those that are ready. */
  inLine = false;
  #credit: number;
  readonly #queue = new Queue<Queued>();
  #queued = 0;
  #inMessage = false;
  /** A write was cut short: its writer waits for `writable`. */
  #refused = false;

  constructor(credit: number) {
    this.#credit = credit;
  }

  /** Everything up to END was sent. */
  get isDone(): boolean {
    return this.phase === 'ended' && this.#queue.length === 0;
  }

  /** Octets that `write` takes now. */
  get room(): number {
    return this.phase === 'body' ? Math.max(0, SEND_QUEUE - this.#queued) : 0;
  }

  /** `false`: more than may be outstanding. */
  grant(octets: number): boolean {
    this.#credit += octets;
    return this.#credit <= CREDIT_MAX;
  }

  /** The peer wants nothing more. */
  stop(): void {
    this.phase = 'ended';
    this.#queue.clear();
  }

  head(head: Head, end: boolean): void {
    this.#queue.push({ type: 'head', block: emitHead(head), end });
  }

  /** Takes from `bytes` what there is room for, without copying. `null`: all of it, with the end of the message; else what is left. */
  write(bytes: Octets, framing: Framing): Octets | null {
    this.#checkWritable();
    const message = framing.type === 'message';
    if (this.messages !== message) throw outOfOrder('messages on WebSockets only, and nothing else there');
    const fin = message && framing.fin;
    if (bytes.length === 0 && !fin) return null;
    if (this.body !== null && bytes.length > this.body) throw wrongLength();
    const room = this.room;
    const all = bytes.length <= room && room > 0;
    this.#refused = !all;
    if (room === 0) return bytes;
    const taken = all ? bytes : bytes.subarray(0, room);
    if (this.body !== null) this.body -= taken.length;
    this.#inMessage = this.messages && !(fin && all);
    this.#queued += taken.length + WRITE_COST;
    this.#queue.push({ type: 'data', bytes: taken, fin: fin && all, text: message && framing.text, end: false });
    return all ? null : bytes.subarray(room);
  }

  finish(end: End): void {
    this.#checkWritable();
    if (this.body !== null && this.body > 0) throw wrongLength();
    if (this.#inMessage) throw outOfOrder('the message is not complete');
    switch (end.type) {
      case 'plain':
        this.#queued += WRITE_COST;
        this.#queue.push({ type: 'data', bytes: NO_OCTETS, fin: false, text: false, end: true });
        break;
      case 'trailers':
        if (this.messages) throw outOfOrder('a WebSocket has no trailers');
        this.head({ kind: 'trailers', fields: end.fields }, true);
        break;
      case 'close':
        if (!this.messages || end.payload.length === 1 || end.payload.length > CLOSE_MAX) {
          throw outOfOrder('a close of 0 or 2 to 125 octets, on WebSockets only');
        }
        this.#queue.push({ type: 'close', payload: end.payload });
        break;
    }
    this.phase = 'ended';
  }

  get isReady(): boolean {
    const front = this.#queue.first();
    switch (front?.type) {
      case undefined:
        return false;
      case 'head':
        return true;
      case 'data':
        if (front.bytes.length > 0) return this.#credit > 0;
        return !front.fin || this.#credit >= FIN_COST;
      case 'close':
        return this.#credit >= front.payload.length;
    }
  }

  /** Appends the next frame to a message. `false`: what there is does not fit into this one. */
  turn(id: number, into: Writer): boolean {
    const front = this.#queue.first();
    if (front === undefined || !this.isReady) return true;
    const payload = MESSAGE_MAX - into.length - HEADER;
    if (payload < 0) return false;
    switch (front.type) {
      case 'head':
        return this.#turnHead(front, id, payload, into);
      case 'data':
        return this.#turnData(front, id, payload, into);
      case 'close':
        if (front.payload.length > payload) return false;
        this.#credit -= front.payload.length;
        emitFrame({ type: 'data', id, end: true, fin: false, text: false, bytes: front.payload }, into);
        this.#queue.shift();
        return true;
    }
  }

  /** Whether a writer that was refused has room again: told once, when half of the queue is free. */
  takeWritable(): boolean {
    if (!this.#refused || this.room < SEND_QUEUE / 2) return false;
    this.#refused = false;
    return true;
  }

  #turnHead(front: Queued & { type: 'head' }, id: number, payload: number, into: Writer): boolean {
    if (front.block.length > payload && payload < HEAD_CUT_MIN) return false;
    const part = front.block.subarray(0, payload);
    front.block = front.block.subarray(part.length);
    const more = front.block.length > 0;
    this.begun = true;
    emitFrame({ type: 'head', id, end: front.end && !more, more, block: part }, into);
    if (!more) this.#queue.shift();
    return true;
  }

  #turnData(front: Queued & { type: 'data' }, id: number, payload: number, into: Writer): boolean {
    const credited = Math.min(front.bytes.length, this.#credit);
    if (credited > payload && payload < DATA_CUT_MIN) return false;
    const part = front.bytes.subarray(0, Math.min(credited, payload));
    front.bytes = front.bytes.subarray(part.length);
    this.#credit -= part.length;
    this.#queued -= part.length;
    const fin = front.fin && front.bytes.length === 0 && this.#credit >= FIN_COST;
    if (fin) this.#credit -= FIN_COST;
    const done = front.bytes.length === 0 && (!front.fin || fin);
    emitFrame({ type: 'data', id, end: front.end && done, fin, text: front.text, bytes: part }, into);
    if (!done) return true;
    this.#queued -= WRITE_COST;
    this.#queue.shift();
    return true;
  }

  #checkWritable(): void {
    if (this.phase === 'head') throw outOfOrder('the response head comes first');
    if (this.phase === 'ended') throw new PeerageError('gone', 'the exchange is over');
  }
}

export function outOfOrder(what: string): PeerageError {
  return new PeerageError('internal', `out of order: ${what}`);
}

export function wrongLength(): PeerageError {
  return new PeerageError('malformed', 'content-length does not match the body');
}
