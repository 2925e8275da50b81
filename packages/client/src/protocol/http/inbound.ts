/** The receiving direction of an exchange: order, lengths, credit, and what waits for its reader. Twin of `http/inbound.rs`. */
import type { ResetCode } from '../../error.js';
import { Queue } from '../queue.js';
import { Writer } from './bytes.js';
import { PLAIN, type End, type Incoming } from './event.js';
import { HEAD_FRAMES_MAX, HEAD_MAX } from './head.js';

type Octets = Uint8Array<ArrayBuffer>;

/** First credit of each direction of each exchange. */
export const WINDOW = 65_536;
/** The window of an exchange grows up to this. */
export const GROWTH_MAX = 1 << 20;
/** What the FIN of a WebSocket message costs beside its octets. */
export const FIN_COST = 16;
/** Octets of a WebSocket close at most (RFC 6455 section 5.5). */
export const CLOSE_MAX = 125;
/** Small pieces are joined up to this size, so that a body of single octets does not cost an object for each. */
const JOIN_MAX = 4096;

/** `head`: the request, or the response, has not come. */
export type Phase = 'head' | 'body' | 'ended';

/** What is wrong with something that arrived: `flow` closes the link, the rest resets the exchange. */
export class Fault {
  readonly code: ResetCode | 'flow';

  constructor(code: ResetCode | 'flow') {
    this.code = code;
  }
}

export const MALFORMED = new Fault('malformed');
const FLOW = new Fault('flow');
const TOO_LARGE = new Fault('too-large');

interface Piece {
  bytes: Octets;
  /** Where `bytes` begins and may grow; `null` while it is the buffer that arrived. */
  space: Octets | null;
  fin: boolean;
  text: boolean;
}

/** What windows may still grow by, over all exchanges of a link. */
export interface Pool {
  left: number;
}

export class Inbound {
  phase: Phase = 'head';
  /** The direction carries WebSocket messages. */
  messages = false;
  /** What `content-length` promised and has not come yet. */
  body: number | null = null;
  interims = 0;
  /** Nobody reads any more. */
  discarded = false;
  #inMessage = false;
  #block: { readonly octets: Writer; frames: number } | null = null;

  /** What the peer may still send. */
  #credit = WINDOW;
  #window = WINDOW;
  /** Read, and not granted again yet. */
  #due = 0;
  /** Read since the window last grew. */
  #run = 0;
  /** Granted, with the CREDIT not sent yet. */
  #grant = 0;

  readonly #pieces = new Queue<Piece>();
  #end: End | null = null;
  /** The reader has seen the end, or does not want to. */
  #endRead = false;

  /** What this direction took from the link's growth pool. */
  get grown(): number {
    return this.#window - WINDOW;
  }

  get isDone(): boolean {
    return this.phase === 'ended' && this.#endRead;
  }

  /** Octets of an unfinished head block. */
  get blockHeld(): number {
    return this.#block?.octets.length ?? 0;
  }

  /** Takes a part of a head block; gives the whole block when it is complete. `room` is what unfinished blocks of the link may still take. */
  head(part: Octets, more: boolean, room: number): Octets | null | Fault {
    if (this.phase === 'ended') return MALFORMED;
    if (this.#block === null && !more) return part;
    const block = (this.#block ??= { octets: new Writer(), frames: 0 });
    block.frames++;
    if (block.frames > HEAD_FRAMES_MAX || block.octets.length + part.length > HEAD_MAX || part.length > room) return TOO_LARGE;
    block.octets.put(part);
    if (more) return null;
    this.#block = null;
    return block.octets.bytes;
  }

  /** Takes a DATA frame. `true`: there is something to read after there was nothing. */
  data(bytes: Octets, end: boolean, finFlag: boolean, text: boolean): boolean | Fault {
    const fin = finFlag && this.messages && !end;
    if (bytes.length === 0 && !end && !fin) return false;
    this.#credit -= cost(bytes.length, fin);
    if (this.#credit < 0) return FLOW;
    if (this.phase !== 'body' || this.#block !== null) return MALFORMED;
    if (this.body !== null) {
      this.body -= bytes.length;
      if (this.body < 0) return MALFORMED;
    }
    if (end && this.messages) {
      if (this.#inMessage || bytes.length === 1 || bytes.length > CLOSE_MAX) return MALFORMED;
      return this.end({ type: 'close', payload: bytes });
    }
    let readable = false;
    if (bytes.length > 0 || fin) {
      this.#inMessage = this.messages && !fin;
      readable = this.#put(bytes, fin, text && this.messages);
    }
    if (!end) return readable;
    const ended = this.end(PLAIN);
    return ended instanceof Fault ? ended : ended || readable;
  }

  /** The direction ends. `true`: there is something to read after there was nothing. */
  end(end: End): boolean | Fault {
    if (this.body !== null && this.body > 0) return MALFORMED;
    this.phase = 'ended';
    this.#endRead = this.discarded;
    this.#grant = 0;
    this.#end = end;
    return this.#pieces.length === 0 && !this.discarded;
  }

  /** The head was all: there is nothing to read. */
  endWithHead(): Fault | null {
    const ended = this.end(PLAIN);
    if (ended instanceof Fault) return ended;
    this.#end = null;
    this.#endRead = true;
    return null;
  }

  /** Takes at most `max` octets, and says what they cost. */
  read(max: number): { readonly incoming: Incoming; readonly cost: number } | null {
    const front = this.#pieces.first();
    if (front === undefined) {
      const end = this.#end;
      if (end === null) return null;
      this.#end = null;
      this.#endRead = true;
      return { incoming: { type: 'end', end }, cost: 0 };
    }
    const { bytes, fin, text } = front;
    if (bytes.length > max) {
      front.bytes = bytes.subarray(max);
      // What is left no longer begins where it may grow.
      front.space = null;
      return { incoming: { type: 'data', bytes: bytes.subarray(0, max), fin: false, text }, cost: max };
    }
    this.#pieces.shift();
    return { incoming: { type: 'data', bytes, fin, text }, cost: cost(bytes.length, fin) };
  }

  /** The reader took what cost `cost`: grants more by the rule of section 5. `true`: a CREDIT is to be sent, and was not before. */
  taken(cost: number, pool: Pool): boolean {
    if (this.phase === 'ended' || this.discarded) return false;
    this.#due += cost;
    this.#run += cost;
    if (this.#run >= this.#window && this.#window < GROWTH_MAX && pool.left >= this.#window) {
      pool.left -= this.#window;
      this.#due += this.#window;
      this.#window *= 2;
      this.#run = 0;
    }
    if (this.#due < this.#window / 4) return false;
    const first = this.#grant === 0;
    this.#grant += this.#due;
    this.#due = 0;
    return first;
  }

  /** The CREDIT to be sent now; 0 if it no longer is. */
  takeGrant(): number {
    const grant = this.#grant;
    this.#grant = 0;
    this.#credit += grant;
    return grant;
  }

  /** Nobody reads any more: what is here and what comes is thrown away, and nothing is granted. */
  discard(): void {
    this.discarded = true;
    this.#endRead = true;
    this.#pieces.clear();
    this.#end = null;
    this.#grant = 0;
  }

  #put(bytes: Octets, fin: boolean, text: boolean): boolean {
    if (this.discarded) return false;
    const last = this.#pieces.last();
    if (last === undefined || last.fin || last.bytes.length + bytes.length > JOIN_MAX) {
      this.#pieces.push({ bytes, space: null, fin, text });
      return this.#pieces.length === 1;
    }
    join(last, bytes);
    last.fin = fin;
    last.text = text;
    return false;
  }
}

/** Appends in place where there is space, so that many small pieces cost their octets once. */
function join(last: Piece, bytes: Octets): void {
  const length = last.bytes.length + bytes.length;
  if (last.space === null || last.space.length < length) {
    last.space = new Uint8Array(Math.min(JOIN_MAX, length * 2));
    last.space.set(last.bytes);
  }
  last.space.set(bytes, last.bytes.length);
  last.bytes = last.space.subarray(0, length);
}

function cost(octets: number, fin: boolean): number {
  return octets + (fin ? FIN_COST : 0);
}
