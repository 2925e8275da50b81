/** What any exchange under way has in common: its error, its end, and who waits for room or for what arrives. */
import { PeerageError } from '../error.js';
import type { Field } from '../protocol/http/field.js';
import type { Framing } from '../protocol/http/outbound.js';
import type { Session } from '../protocol/http/session.js';

type Octets = Uint8Array<ArrayBuffer>;

export abstract class Running {
  readonly id: number;
  /** Resolves when the exchange is over. */
  readonly over: Promise<void>;
  protected readonly session: Session;
  /** To be called after everything that was said to the session. */
  protected readonly drive: () => void;
  /** Why the exchange broke off, once it has. */
  protected error: PeerageError | null = null;
  /** The peer takes what is written. */
  protected isWriting = false;
  #resolveOver!: () => void;
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;

  constructor(id: number, session: Session, drive: () => void) {
    this.id = id;
    this.session = session;
    this.drive = drive;
    this.over = new Promise((resolve) => (this.#resolveOver = resolve));
  }

  abstract responded(status: number, fields: readonly Field[], end: boolean): void;

  /** Breaks off at once, and tells the peer so. */
  abort(error = cancelled()): void {
    if (this.error !== null) return;
    this.session.discard(this.id);
    // Where the response had come whole, that was not the end of an upload.
    this.session.reset(this.id, 'cancelled');
    this.broke(error);
    this.drive();
  }

  readable(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = null;
    wake?.();
  }

  writable(): void {
    const wake = this.#wakeWriter;
    this.#wakeWriter = null;
    wake?.();
  }

  /** The peer does not need the rest of what is written. */
  stopped(): void {
    this.isWriting = false;
    this.writable();
  }

  /** All went well, and everything was read. */
  ended(): void {
    this.#resolveOver();
  }

  broke(error: PeerageError): void {
    this.error ??= error;
    this.stopped();
    this.readable();
    this.#resolveOver();
  }

  /** Resolves at the next event `readable`, and when the exchange breaks. */
  protected arrival(): Promise<void> {
    return new Promise((resolve) => (this.#wakeReader = resolve));
  }

  /** Writes all of it, as fast as credit and channel allow; gives up when the peer needs no more. */
  protected async write(octets: Octets, framing: Framing): Promise<void> {
    for (let left: Octets | null = octets; this.isWriting && left !== null; ) {
      left = this.session.write(this.id, left, framing);
      // Before the channel is given anything, which may make room at once.
      const room = left === null ? null : new Promise<void>((resolve) => (this.#wakeWriter = resolve));
      this.drive();
      await room;
    }
  }
}

export function cancelled(): PeerageError {
  return new PeerageError('cancelled', 'the request was cancelled');
}

/** One piece of them all; a piece that came alone is not copied. */
export function joined(pieces: readonly Octets[]): Octets {
  const [first] = pieces;
  if (first !== undefined && pieces.length === 1) return first;
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
