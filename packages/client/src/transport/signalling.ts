/** A PeerJS server's WebSocket: gets a random id, keeps it alive, comes back when the socket breaks. */
import { PeerageError } from '../error.js';
import { encodeBase32 } from '../protocol/base32.js';
import { emitFrame, messageOf, parseFrame, type Frame, type Kind } from '../protocol/signal.js';
import { Deferred } from './wait.js';

/** As the stock client; servers drop a client after 60 to 90 s without. */
const HEARTBEAT_EVERY = 5_000;
/** A socket that is not OPEN by then is given up and another one tried. */
const OPEN_WITHIN = 10_000;
/** Before the first reconnection; doubled up to the other for each one that fails. */
const BACKOFF_FIRST = 250;
const BACKOFF_MAX = 5_000;
/** Frames that wait for OPEN at most; an offer and its candidates are a dozen. */
const QUEUE_MAX = 128;

export interface SignallingEvents {
  /** A frame from another peer (or, with EXPIRE and LEAVE, about one). */
  onFrame(frame: Frame): void;
  /** The server turned us away for good; nothing follows. A broken socket is no such failure: that is mended. */
  onRefused(error: PeerageError): void;
}

export class Signalling {
  /** The id that other peers see. */
  readonly id = randomText();
  readonly #token = randomText();
  readonly #url: URL;
  readonly #events: SignallingEvents;
  readonly #opened = new Deferred<void>();
  readonly #queue: string[] = [];
  #socket: WebSocket | null = null;
  #isOpen = false;
  #isClosed = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;

  /** Connects at once. `server` is the base below which the socket is, with `ws:` or `wss:`, `http:` or `https:`. */
  constructor(server: URL, events: SignallingEvents) {
    this.#events = events;
    this.#url = new URL('peerjs', server);
    this.#url.protocol = this.#url.protocol.replace(/^http/, 'ws');
    // `hold`: servers of Peerage keep the id for so many seconds when the socket breaks off; others do not know the word.
    this.#url.search = new URLSearchParams({ key: 'peerjs', id: this.id, token: this.#token, version: '1.5.5', hold: '30' }).toString();
    this.#connect();
  }

  /** Resolves at the first OPEN. Never rejects by itself: bound the wait. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Whether the server has said OPEN on the socket that there is now. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Where the server gives ICE servers to this id while its socket is open, and the token that proves it: never log it. They are beside the socket on a device's
   * origin, and below the key elsewhere.
   */
  get ice(): { readonly url: URL; readonly token: string } {
    const url = new URL(this.#url.pathname.endsWith('/__peerage/peerjs') ? 'ice' : 'peerjs/ice', this.#url);
    url.protocol = url.protocol.replace(/^ws/, 'http');
    url.search = new URLSearchParams({ id: this.id }).toString();
    return { url, token: this.#token };
  }

  /** Sends a frame, or keeps it until the server has said OPEN; beyond 128 kept ones it is dropped, as a lost one would be. */
  send(kind: Kind, dst: string, payload: unknown): void {
    if (this.#isClosed) return;
    const text = emitFrame(kind, dst, payload);
    if (this.#isOpen) this.#socket?.send(text);
    else if (this.#queue.length < QUEUE_MAX) this.#queue.push(text);
  }

  /** Idempotent; no event follows. */
  close(): void {
    this.#isClosed = true;
    this.#dropSocket();
  }

  #connect(): void {
    const socket = this.#newSocket();
    if (socket === null) return;
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#reconnect(), OPEN_WITHIN);
    const current = (handle: () => void) => () => {
      if (this.#socket === socket) handle();
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (this.#socket === socket && typeof event.data === 'string') this.#handle(event.data);
    };
    socket.onclose = current(() => this.#reconnect());
    socket.onerror = current(() => this.#reconnect());
  }

  #newSocket(): WebSocket | null {
    try {
      return new WebSocket(this.#url);
    } catch (error) {
      this.#events.onRefused(new PeerageError('unreachable-server', 'this page may not connect to the server', { cause: error }));
      return null;
    }
  }

  #reconnect(): void {
    this.#dropSocket();
    const backoff = Math.min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** this.#failures++);
    // Spread, so that the clients of a server that restarts do not come back all at once.
    this.#timer = setTimeout(() => this.#connect(), backoff * (0.5 + Math.random()));
  }

  #dropSocket(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#heartbeat);
    const socket = this.#socket;
    this.#socket = null;
    this.#isOpen = false;
    socket?.close();
  }

  #handle(text: string): void {
    const frame = parseFrame(text);
    switch (frame?.kind) {
      case 'OPEN':
        return this.#open();
      case 'ERROR':
      case 'ID-TAKEN':
      case 'INVALID-KEY':
        this.close();
        return this.#events.onRefused(new PeerageError('unreachable-server', `the server refuses: ${messageOf(frame) ?? frame.kind}`));
      case 'ANSWER':
      case 'CANDIDATE':
      case 'LEAVE':
      case 'EXPIRE':
        return this.#events.onFrame(frame);
      default:
        // Offers are for callees, the rest is no business of a client.
        return;
    }
  }

  #open(): void {
    // A server may repeat OPEN.
    if (this.#isOpen) return;
    clearTimeout(this.#timer);
    this.#isOpen = true;
    this.#failures = 0;
    this.#heartbeat = setInterval(() => this.#socket?.send(emitFrame('HEARTBEAT')), HEARTBEAT_EVERY);
    for (const text of this.#queue.splice(0)) this.#socket?.send(text);
    this.#opened.resolve();
  }
}

/** 128 random bits, for ids and tokens: a PeerJS id is letters and digits. */
export function randomText(): string {
  return encodeBase32(crypto.getRandomValues(new Uint8Array(16)));
}
