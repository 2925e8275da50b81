/** Drives an HTTP session over a channel: moves its messages, keeps its time, and turns its events into promises and pullers. */
import { PeerageError, type Code } from '../error.js';
import { PLAIN, type CloseReason, type Event } from '../protocol/http/event.js';
import { travels, type Field } from '../protocol/http/field.js';
import { STREAM } from '../protocol/http/outbound.js';
import { Session } from '../protocol/http/session.js';
import type { ExchangeRequest, ExchangeResponse, HttpLink, LinkSocket, Puller, SocketRequest } from './exchange.js';

type Octets = Uint8Array<ArrayBuffer>;

/** What is needed of an open, ordered and reliable data channel. Binary messages come as `ArrayBuffer`. */
export interface Channel {
  /** Octets that were sent and have not left yet. */
  readonly bufferedAmount: number;
  bufferedAmountLowThreshold: number;
  /** Copies the octets before it returns. */
  send(octets: Octets): void;
  close(): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void;
  addEventListener(type: 'bufferedamountlow' | 'close', listener: () => void): void;
}

/** Octets that the channel is given ahead: enough to keep it busy, little enough that credit and small requests do not wait long behind them. */
const BUFFERED_MAX = 256 * 1024;
const BUFFERED_LOW = 128 * 1024;
/** Octets of one pulled piece at most: what has arrived is joined up to this, so that whoever passes pieces on does so seldom. */
const PIECE_MAX = 256 * 1024;
/** Requests that wait for a free place among the exchanges at most. */
const WAITING_MAX = 4096;

export class ChannelHttpLink implements HttpLink {
  readonly closed: Promise<Code>;
  readonly #channel: Channel;
  readonly #session: Session;
  readonly #running = new Map<number, Running>();
  readonly #waiting = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reason: Code | null = null;
  #resolveClosed!: (code: Code) => void;

  /** `channel` is open, and was made by this side; `unread` are the messages that came on it before now. */
  constructor(channel: Channel, unread: readonly unknown[] = []) {
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    this.#channel = channel;
    this.#session = new Session('caller', {}, performance.now());
    channel.bufferedAmountLowThreshold = BUFFERED_LOW;
    channel.addEventListener('message', ({ data }) => this.#receive(data));
    channel.addEventListener('bufferedamountlow', () => this.#drive());
    channel.addEventListener('close', () => this.close('closed'));
    for (const data of unread) this.#receive(data);
    this.#drive();
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeResponse> {
    const { body, signal } = request;
    let running: Running;
    try {
      while (!this.#hasPlace(signal)) await this.#turn(signal);
      running = this.#begin(request);
    } catch (error) {
      body?.cancel();
      throw error;
    }
    const abort = () => running.abort();
    signal?.addEventListener('abort', abort, { once: true });
    void running.over.then(() => {
      signal?.removeEventListener('abort', abort);
      this.#running.delete(running.id);
      this.#wakeWaiting();
    });
    this.#drive();
    if (body !== null) void running.upload(body);
    return running.response;
  }

  openWebSocket(_: SocketRequest): Promise<LinkSocket> {
    return Promise.reject(new PeerageError('unsupported', 'not yet'));
  }

  close(code: Code = 'closed'): void {
    this.#reason ??= code;
    this.#session.close('lost');
    this.#drive();
  }

  /** Whether an exchange may be tried now. On a link that drains it may, to be told so. */
  #hasPlace(signal: AbortSignal | undefined): boolean {
    if (signal?.aborted === true) throw cancelled();
    if (this.#session.closed !== null) throw new PeerageError('gone', 'the link is closed');
    return this.#session.openings > 0 || this.#session.isDraining;
  }

  /** Waits until another exchange may be begun, or there is no more reason to wait. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= WAITING_MAX) throw new PeerageError('busy', 'too many requests wait for their turn');
    return new Promise((resolve) => {
      const go = () => {
        signal?.removeEventListener('abort', go);
        this.#waiting.delete(go);
        resolve();
      };
      signal?.addEventListener('abort', go, { once: true });
      this.#waiting.add(go);
    });
  }

  #begin({ method, path, fields, body }: ExchangeRequest): Running {
    const sent = fields.map(([name, value]): Field => [name.toLowerCase(), value]).filter(([name]) => travels(name));
    const id = this.#session.open({ kind: 'http', method, path, fields: sent }, body === null, performance.now());
    const running = new Running(id, this.#session, body, () => this.#drive());
    this.#running.set(id, running);
    return running;
  }

  #receive(data: unknown): void {
    if (data instanceof ArrayBuffer) this.#session.handleMessage(new Uint8Array(data), performance.now());
    else this.#session.close('protocol');
    this.#drive();
  }

  /** Sends what there is room for, tells what happened, keeps the clock: after every input and command. */
  #drive(): void {
    this.#transmit();
    for (let event = this.#session.pollEvent(); event !== null; event = this.#session.pollEvent()) {
      this.#handle(event);
      this.#transmit();
    }
    this.#arm();
  }

  #transmit(): void {
    try {
      while (this.#channel.bufferedAmount < BUFFERED_MAX) {
        const message = this.#session.pollTransmit();
        if (message === null) return;
        this.#channel.send(message);
      }
    } catch {
      // The channel closed beneath us, and its event has not come yet.
      this.#session.close('lost');
    }
  }

  #handle(event: Event): void {
    switch (event.type) {
      case 'response':
        return this.#running.get(event.id)?.responded(event.status, event.fields, event.end);
      case 'readable':
        return this.#running.get(event.id)?.readable();
      case 'writable':
        return this.#running.get(event.id)?.writable();
      case 'stopped':
        return this.#running.get(event.id)?.stopped();
      case 'ended':
        return this.#running.get(event.id)?.ended();
      case 'reset':
        return this.#running.get(event.id)?.broke(resetError(event.code, event.byPeer));
      case 'opened':
        // The callee may begin exchanges; nothing here answers them yet.
        return this.#session.reset(event.id, 'unsupported');
      case 'hello':
      case 'draining':
        return this.#wakeWaiting();
      case 'interim':
        return;
      case 'closed':
        return this.#end(event.reason);
    }
  }

  #wakeWaiting(): void {
    let places = this.#session.isDraining || this.#session.closed !== null ? this.#waiting.size : this.#session.openings;
    for (const go of this.#waiting) {
      if (places-- <= 0) return;
      go();
    }
  }

  #end(reason: CloseReason): void {
    clearTimeout(this.#timer);
    this.#wakeWaiting();
    this.#resolveClosed(this.#reason ?? closeCode(reason));
    this.#channel.close();
  }

  /** One timer, never re-armed for later: when it comes early, the session says so. Re-arming for each message would cost more than that. */
  #arm(): void {
    const due = this.#session.pollTimeout();
    if (due === null || this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#session.handleTimeout(performance.now());
        this.#drive();
      },
      Math.max(0, due - performance.now()),
    );
  }
}

/** One exchange under way: its response, the response's body, and the request's upload. */
class Running implements Puller {
  readonly id: number;
  readonly response: Promise<ExchangeResponse>;
  /** Resolves when the exchange is over. */
  readonly over: Promise<void>;
  readonly #session: Session;
  readonly #body: Puller | null;
  readonly #drive: () => void;
  #resolve!: (response: ExchangeResponse) => void;
  #reject!: (error: PeerageError) => void;
  #resolveOver!: () => void;
  #error: PeerageError | null = null;
  #isUploading = false;
  /** The reader has had everything. */
  #isRead = false;
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;

  constructor(id: number, session: Session, body: Puller | null, drive: () => void) {
    this.id = id;
    this.#session = session;
    this.#body = body;
    this.#drive = drive;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.over = new Promise((resolve) => (this.#resolveOver = resolve));
  }

  async pull(): Promise<Octets | null> {
    for (;;) {
      if (this.#error !== null) throw this.#error;
      if (this.#isRead) return null;
      const piece = this.#take();
      if (piece !== null) return piece;
      if (!this.#isRead) await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  cancel(): void {
    if (!this.#isRead) this.abort();
  }

  abort(): void {
    if (this.#error !== null) return;
    this.#session.discard(this.id);
    // Where the response had come whole, that was not the end of an upload.
    this.#session.reset(this.id, 'cancelled');
    this.broke(cancelled());
    this.#drive();
  }

  /** Sends the request's body, as fast as credit and channel allow. */
  async upload(body: Puller): Promise<void> {
    this.#isUploading = true;
    try {
      for (let piece = await body.pull(); this.#isUploading && piece !== null; piece = await body.pull()) await this.#write(piece);
      if (!this.#isUploading) return;
      this.#session.finish(this.id, PLAIN);
    } catch (error) {
      if (!this.#isUploading) return;
      this.#session.reset(this.id, 'cancelled');
      this.broke(error instanceof PeerageError ? error : new PeerageError('cancelled', "the request's body broke off", { cause: error }));
    }
    this.#drive();
  }

  responded(status: number, fields: readonly Field[], end: boolean): void {
    this.#isRead = end;
    this.#resolve({ status, fields, body: this });
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

  /** The peer does not need the rest of the upload. */
  stopped(): void {
    this.#isUploading = false;
    this.#body?.cancel();
    this.writable();
  }

  /** All went well, and everything was read. */
  ended(): void {
    this.#resolveOver();
  }

  broke(error: PeerageError): void {
    this.#error ??= error;
    this.#reject(error);
    this.stopped();
    this.readable();
    this.#resolveOver();
  }

  async #write(piece: Octets): Promise<void> {
    for (let left: Octets | null = piece; this.#isUploading && left !== null; ) {
      left = this.#session.write(this.id, left, STREAM);
      // Before the channel is given anything, which may make room at once.
      const room = left === null ? null : new Promise<void>((resolve) => (this.#wakeWriter = resolve));
      this.#drive();
      await room;
    }
  }

  /** What has arrived, as one piece; `null` when that is nothing. A piece that came alone is not copied. */
  #take(): Octets | null {
    const pieces: Octets[] = [];
    let length = 0;
    while (length < PIECE_MAX) {
      const incoming = this.#session.read(this.id, PIECE_MAX);
      if (incoming?.type === 'end') this.#isRead = true;
      if (incoming?.type !== 'data') break;
      pieces.push(incoming.bytes);
      length += incoming.bytes.length;
    }
    this.#drive();
    const [first] = pieces;
    if (first === undefined || pieces.length === 1) return first ?? null;
    const joined = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      joined.set(piece, at);
      at += piece.length;
    }
    return joined;
  }
}

function cancelled(): PeerageError {
  return new PeerageError('cancelled', 'the request was cancelled');
}

function resetError(code: Code, byPeer: boolean): PeerageError {
  if (code === 'gone') return new PeerageError('gone', 'the link closed while the exchange was under way');
  // "The rest is not needed", where the rest was all there is.
  if (code === 'none') return new PeerageError('broken', 'the device ended the exchange without a whole response');
  return new PeerageError(code, byPeer ? `the device ended the exchange: ${code}` : `the device's response breaks a rule: ${code}`);
}

function closeCode(reason: CloseReason): Code {
  switch (reason) {
    case 'drained':
      return 'closed';
    case 'silent':
    case 'lost':
      return 'lost';
    default:
      return reason;
  }
}
