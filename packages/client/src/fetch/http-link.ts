/** Drives an HTTP session over a channel: moves its messages, keeps its time, and turns its events into promises and pullers. */
import { PeerageError, type Code } from '../error.js';
import type { CloseReason, Event } from '../protocol/http/event.js';
import { travels, type Field } from '../protocol/http/field.js';
import type { Request } from '../protocol/http/head.js';
import { Session } from '../protocol/http/session.js';
import type { ExchangeRequest, ExchangeResponse, HttpLink, LinkSocket, SocketRequest } from './exchange.js';
import { LinkRequest } from './link-request.js';
import { ChannelSocket } from './link-socket.js';
import { cancelled, type Running } from './running.js';

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
/** Requests that wait for a free place among the exchanges at most. */
const WAITING_MAX = 4096;
/** How long the peer's hello is waited for, in milliseconds. It is the first thing that a peer sends. */
const HELLO_WAIT = 30_000;

export class ChannelHttpLink implements HttpLink {
  readonly closed: Promise<Code>;
  readonly #channel: Channel;
  readonly #session: Session;
  readonly #running = new Map<number, Running>();
  readonly #waiting = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #helloTimer: ReturnType<typeof setTimeout> | undefined;
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

  async exchange({ method, path, fields, body, signal }: ExchangeRequest): Promise<ExchangeResponse> {
    let running: LinkRequest;
    try {
      while (!this.#hasPlace(signal)) await this.#turn(signal);
      const id = this.#open({ kind: 'http', method, path, fields: fit(fields) }, body === null);
      running = new LinkRequest(id, this.#session, body, () => this.#drive());
    } catch (error) {
      body?.cancel();
      throw error;
    }
    const unwatch = this.#begin(running, signal);
    void running.over.then(unwatch);
    if (body !== null) void running.upload(body);
    return running.response;
  }

  async openWebSocket({ path, fields, signal }: SocketRequest): Promise<LinkSocket> {
    // Whether the peer answers WebSockets is known from its hello only.
    while (!this.#hasPlace(signal) || !this.#isGreeted()) await this.#turn(signal);
    const id = this.#open({ kind: 'websocket', path, fields: fit(fields) }, false);
    const running = new ChannelSocket(id, this.#session, () => this.#drive());
    const unwatch = this.#begin(running, signal);
    return running.opened.finally(unwatch);
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

  #isGreeted(): boolean {
    if (this.#session.peer !== null) return true;
    this.#helloTimer ??= setTimeout(() => {
      if (this.#session.peer === null) this.close('lost');
    }, HELLO_WAIT);
    return false;
  }

  #open(request: Request, end: boolean): number {
    return this.#session.open(request, end, performance.now());
  }

  /** Gives what is under way its events until it is over. The signal breaks it off until the returned function is called. */
  #begin(running: Running, signal: AbortSignal | undefined): () => void {
    const abort = () => running.abort();
    signal?.addEventListener('abort', abort, { once: true });
    this.#running.set(running.id, running);
    void running.over.then(() => {
      this.#running.delete(running.id);
      this.#wakeWaiting();
    });
    this.#drive();
    return () => signal?.removeEventListener('abort', abort);
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
        clearTimeout(this.#helloTimer);
        return this.#wakeWaiting();
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
    clearTimeout(this.#helloTimer);
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

function fit(fields: readonly Field[]): readonly Field[] {
  return fields.map(([name, value]): Field => [name.toLowerCase(), value]).filter(([name]) => travels(name));
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
