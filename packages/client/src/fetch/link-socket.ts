/** A WebSocket under way: messages from frames, one close in each direction, and an end to every wait. */
import { PeerageError } from '../error.js';
import type { Field } from '../protocol/http/field.js';
import { PLAIN } from '../protocol/http/event.js';
import { CLOSE_MAX } from '../protocol/http/inbound.js';
import type { Session } from '../protocol/http/session.js';
import { SocketClose, type LinkSocket, type SocketMessage } from './exchange.js';
import { joined, Running } from './running.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Octets of one received message at most, as its text or bytes are put together in memory. Beyond it the socket closes with 1009. */
export const MESSAGE_MAX = 16 << 20;
/** How long the other side's close is waited for after ours went, in milliseconds. */
const CLOSE_WAIT = 10_000;

/** RFC 6455 section 7.4.1. */
const NO_CODE = 1005;
const NOT_UTF8 = 1007;
const TOO_BIG = 1009;

const NO_OCTETS = new Uint8Array(0);

export class ChannelSocket extends Running implements LinkSocket {
  /** Resolves with the socket itself when the target has accepted it. */
  readonly opened: Promise<LinkSocket>;
  fields: readonly Field[] = [];
  #resolve!: (socket: LinkSocket) => void;
  #reject!: (error: PeerageError) => void;
  /** What of a message has come. */
  #pieces: Octets[] = [];
  #length = 0;
  /** How the other side closed. */
  #theirs: SocketClose | null = null;
  /** Why nothing is received any more, although the exchange goes on to its close. */
  #failure: PeerageError | null = null;
  /** What was sent, and waits until those before it are taken. */
  #sending: Promise<void> = Promise.resolve();
  #isClosing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: number, session: Session, drive: () => void) {
    super(id, session, drive);
    this.opened = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    void this.over.then(() => clearTimeout(this.#timer));
  }

  async receive(): Promise<SocketMessage | SocketClose> {
    for (;;) {
      const got = this.#next();
      if (got !== null) return got;
      await this.arrival();
    }
  }

  send(message: SocketMessage): Promise<void> {
    if (this.#isClosing) return Promise.reject(new PeerageError('gone', 'the socket is closed'));
    const text = typeof message === 'string';
    const octets = text ? new TextEncoder().encode(message) : message;
    const sent = this.#sending.then(async () => {
      await this.write(octets, { type: 'message', text, fin: true });
      if (this.error !== null) throw this.error;
    });
    this.#sending = sent.catch(() => undefined);
    return sent;
  }

  close(code?: number, reason = ''): void {
    if (this.#isClosing) return;
    const payload = closePayload(code, reason);
    this.#isClosing = true;
    void this.#sending.then(() => this.#finish(payload));
    this.#timer = setTimeout(() => this.abort(new PeerageError('timeout', 'the other side did not close the socket in time')), CLOSE_WAIT);
  }

  cancel(): void {
    this.#isClosing = true;
    this.abort();
  }

  override responded(status: number, fields: readonly Field[], end: boolean): void {
    if (status === 101) {
      this.fields = fields;
      this.isWriting = true;
      if (end) this.#closed(NO_OCTETS);
      return this.#resolve(this);
    }
    const refusal = new PeerageError('refused', `the target does not open a WebSocket: it answered with status ${status}`);
    if (!end) return this.abort(refusal);
    this.session.finish(this.id, PLAIN);
    this.#reject(refusal);
    this.drive();
  }

  override broke(error: PeerageError): void {
    this.#reject(error);
    super.broke(error);
  }

  /** The next message or the close; `null`: it has not come whole. */
  #next(): SocketMessage | SocketClose | null {
    if (this.#failure !== null) throw this.#failure;
    if (this.#theirs !== null) return this.#theirs;
    if (this.error !== null) throw this.error;
    let got: SocketMessage | SocketClose | null = null;
    for (let incoming = this.session.read(this.id, Infinity); incoming !== null; incoming = this.session.read(this.id, Infinity)) {
      if (incoming.type === 'end') {
        got = this.#closed(incoming.end.type === 'close' ? incoming.end.payload : NO_OCTETS);
        break;
      }
      if (this.#length + incoming.bytes.length > MESSAGE_MAX) throw this.#fail(TOO_BIG, new PeerageError('too-large', `a message of more than ${MESSAGE_MAX} octets`));
      this.#pieces.push(incoming.bytes);
      this.#length += incoming.bytes.length;
      if (!incoming.fin) continue;
      got = this.#message(incoming.text);
      break;
    }
    this.drive();
    return got;
  }

  #message(text: boolean): SocketMessage {
    const octets = joined(this.#pieces);
    this.#pieces = [];
    this.#length = 0;
    if (!text) return octets;
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
    } catch {
      throw this.#fail(NOT_UTF8, new PeerageError('malformed', 'a text message that is not UTF-8'));
    }
  }

  #closed(payload: Octets): SocketClose {
    const code = payload.length < 2 ? NO_CODE : new DataView(payload.buffer, payload.byteOffset).getUint16(0);
    const reason = new TextDecoder().decode(payload.subarray(2));
    this.#theirs = new SocketClose(code, reason);
    // Both sides close; who is told of it first says the same (RFC 6455 section 5.5.1).
    this.close(code === NO_CODE ? undefined : code);
    return this.#theirs;
  }

  /** The other side broke a rule: it is told, and what it still sends is thrown away until its close. */
  #fail(code: number, error: PeerageError): PeerageError {
    this.#failure = error;
    this.#pieces = [];
    this.close(code);
    void this.#drain();
    return error;
  }

  async #drain(): Promise<void> {
    while (this.error === null) {
      const incoming = this.session.read(this.id, Infinity);
      this.drive();
      if (incoming?.type === 'end') return;
      if (incoming === null) await this.arrival();
    }
  }

  #finish(payload: Octets): void {
    if (!this.isWriting) return;
    this.isWriting = false;
    this.session.finish(this.id, { type: 'close', payload });
    this.drive();
  }
}

/** A code of 0 to 65535 and a reason of at most 123 octets, or nothing. */
function closePayload(code: number | undefined, reason: string): Octets {
  if (code === undefined) return NO_OCTETS;
  const text = new TextEncoder().encode(reason);
  if (text.length + 2 > CLOSE_MAX) throw new PeerageError('malformed', `a close reason of more than ${CLOSE_MAX - 2} octets`);
  const payload = new Uint8Array(2 + text.length);
  new DataView(payload.buffer).setUint16(0, code);
  payload.set(text, 2);
  return payload;
}
