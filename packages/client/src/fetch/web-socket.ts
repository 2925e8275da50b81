/**
 * The standard's `WebSocket` (WHATWG WebSockets, section 3) over any `LinkSocket`: the same states, events, exceptions and order. What makes the connection is
 * given, so that it serves beside a link as well as at the other end of a message port.
 */
import { PeerageError } from '../error.js';
import { costOf, SocketClose, type LinkSocket, type SocketMessage } from './exchange.js';
import { Tasks } from './tasks.js';

type Octets = Uint8Array<ArrayBuffer>;
type Handler = ((this: WebSocket, event: never) => unknown) | null;

/** Octets that may wait to be sent. Beyond it the socket counts as full, and fails as the standard says. */
const WAITING_MAX = 128 << 20;
/** What received messages that wait for their tasks may cost; the one that crosses this still waits with them. */
const AHEAD_MAX = 256 * 1024;
/** RFC 6455 section 5.5.1: what a close frame has room for beside the code. */
const REASON_MAX = 123;
const ABNORMAL = 1006;

/** A token of RFC 9110, as subprotocols are (RFC 6455 section 4.1). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Makes the connection, with these subprotocols on offer. Its rejection fails the socket; a socket that comes after the signal is cancelled. */
export type SocketOpener = (protocols: readonly string[], signal: AbortSignal) => Promise<LinkSocket>;

export class PeerWebSocket extends EventTarget implements WebSocket {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSING: 2;
  declare static readonly CLOSED: 3;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSING: 2;
  declare readonly CLOSED: 3;

  static {
    for (const [value, name] of ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'].entries()) {
      for (const owner of [this, this.prototype]) Object.defineProperty(owner, name, { value, enumerable: true });
    }
  }

  readonly #url: URL;
  readonly #tasks = new Tasks();
  readonly #opening = new AbortController();
  readonly #handlers = new Map<string, Handler>();
  #socket: LinkSocket | null = null;
  #state: 0 | 1 | 2 | 3 = 0;
  #protocol = '';
  #binaryType: BinaryType = 'blob';
  #bufferedAmount = 0;
  #failure: PeerageError | null = null;
  /** What was sent, and waits until those before it are taken. */
  #sending: Promise<void> = Promise.resolve();

  /** Throws a `SyntaxError` (`DOMException`) for a URL or subprotocols that cannot be. */
  constructor(url: string | URL, protocols: string | readonly string[] | undefined, open: SocketOpener, base?: string | URL) {
    super();
    this.#url = webSocketUrl(url, base);
    const offered = subprotocols(protocols);
    void this.#run(offered, open);
  }

  get url(): string {
    return this.#url.href;
  }

  get readyState(): 0 | 1 | 2 | 3 {
    return this.#state;
  }

  get bufferedAmount(): number {
    return this.#bufferedAmount;
  }

  get extensions(): string {
    return '';
  }

  get protocol(): string {
    return this.#protocol;
  }

  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(type: BinaryType) {
    // As an enumeration of Web IDL: another value changes nothing.
    if (type === 'blob' || type === 'arraybuffer') this.#binaryType = type;
  }

  /** Why it failed, where it did: the standard's `error` event says nothing. */
  get failure(): PeerageError | null {
    return this.#failure;
  }

  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
    if (arguments.length === 0) throw new TypeError('send needs something to send');
    if (this.#state === 0) throw new DOMException('the WebSocket is still connecting', 'InvalidStateError');
    const message = typeof Blob === 'function' && data instanceof Blob ? data : snapshot(data);
    const size = message instanceof Uint8Array ? message.byteLength : typeof message === 'string' ? utf8Length(message) : message.size;
    this.#bufferedAmount += size;
    if (this.#state !== 1) return;
    if (this.#bufferedAmount > WAITING_MAX) {
      this.#fail(new PeerageError('too-large', `more than ${WAITING_MAX} octets wait to be sent`));
      return;
    }
    this.#after(async (socket) => {
      const octets: SocketMessage = typeof message === 'string' || message instanceof Uint8Array ? message : new Uint8Array(await message.arrayBuffer());
      await socket.send(octets);
      this.#bufferedAmount -= size;
    });
  }

  close(code?: number, reason?: string): void {
    const stated = code === undefined ? undefined : clampShort(code);
    if (stated !== undefined && stated !== 1000 && (stated < 3000 || stated > 4999)) {
      throw new DOMException('a close code is 1000, or 3000 to 4999', 'InvalidAccessError');
    }
    const text = reason === undefined ? '' : String(reason);
    if (utf8Length(text) > REASON_MAX) throw new DOMException(`a close reason has at most ${REASON_MAX} octets`, 'SyntaxError');
    if (this.#state >= 2) return;
    const connecting = this.#state === 0;
    this.#state = 2;
    // A reason is never without a code.
    if (connecting) this.#opening.abort();
    else this.#after((socket) => socket.close(stated ?? (text === '' ? undefined : 1000), text));
  }

  get onopen(): ((this: WebSocket, event: Event) => unknown) | null {
    return this.#handler('open');
  }

  set onopen(handler: ((this: WebSocket, event: Event) => unknown) | null) {
    this.#setHandler('open', handler);
  }

  get onmessage(): ((this: WebSocket, event: MessageEvent) => unknown) | null {
    return this.#handler('message');
  }

  set onmessage(handler: ((this: WebSocket, event: MessageEvent) => unknown) | null) {
    this.#setHandler('message', handler);
  }

  get onerror(): ((this: WebSocket, event: Event) => unknown) | null {
    return this.#handler('error');
  }

  set onerror(handler: ((this: WebSocket, event: Event) => unknown) | null) {
    this.#setHandler('error', handler);
  }

  get onclose(): ((this: WebSocket, event: CloseEvent) => unknown) | null {
    return this.#handler('close');
  }

  set onclose(handler: ((this: WebSocket, event: CloseEvent) => unknown) | null) {
    this.#setHandler('close', handler);
  }

  override addEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: WebSocketEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  override addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener, options);
  }

  override removeEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: WebSocketEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
  override removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void {
    super.removeEventListener(type, listener, options);
  }

  /** From the opening to the `close` event, which is the last of it in any case. */
  async #run(protocols: readonly string[], open: SocketOpener): Promise<void> {
    let close: SocketClose | null = null;
    try {
      const socket = await this.#connect(protocols, open);
      await this.#tasks.turn();
      this.#opened(socket);
      close = await this.#receiveAll(socket);
    } catch (error) {
      this.#failure ??= asOurs(error);
      this.#socket?.cancel();
      this.#socket = null;
    }
    await this.#tasks.turn();
    this.#tasks.close();
    this.#state = 3;
    if (close === null) this.dispatchEvent(new Event('error'));
    this.dispatchEvent(closeEvent(close));
  }

  async #connect(protocols: readonly string[], open: SocketOpener): Promise<LinkSocket> {
    const { signal } = this.#opening;
    // Not before the constructor has returned: whoever made this is to hear everything.
    await Promise.resolve();
    signal.throwIfAborted();
    const opening = open(protocols, signal);
    const socket = await Promise.race([opening, aborted(signal)]).catch((error: unknown) => {
      opening.then((late) => late.cancel(), () => undefined);
      throw error;
    });
    const chosen = socket.fields.filter(([name]) => name === 'sec-websocket-protocol').map(([, value]) => value);
    // Stricter than RFC 6455: whoever offers subprotocols gets one of them, or no connection (WHATWG WebSockets section 2).
    if (protocols.length === 0 ? chosen.length > 0 : chosen.length !== 1 || !protocols.includes(chosen[0] ?? '')) {
      socket.cancel();
      throw new PeerageError('broken', 'the target chose none of the subprotocols on offer');
    }
    this.#protocol = chosen[0] ?? '';
    return socket;
  }

  #opened(socket: LinkSocket): void {
    this.#socket = socket;
    // `close` came first.
    this.#opening.signal.throwIfAborted();
    this.#state = 1;
    this.dispatchEvent(new Event('open'));
  }

  /**
   * Each message in a task of its own, so that whatever the one before set going has happened. Their tasks are asked for ahead: tasks run in the order in
   * which they were asked for, and a page that draws all the time would get one message between two of its pictures.
   */
  async #receiveAll(socket: LinkSocket): Promise<SocketClose> {
    let ahead = 0;
    for (;;) {
      const got = await socket.receive();
      if (got instanceof SocketClose) {
        // What still waits to be sent has nowhere to go.
        this.#socket = null;
        return got;
      }
      const cost = costOf(got);
      ahead += cost;
      const told = this.#tasks.turn().then(() => {
        ahead -= cost;
        this.#tell(got);
      });
      if (ahead >= AHEAD_MAX) await told;
    }
  }

  #tell(message: SocketMessage): void {
    if (this.#state === 1) this.dispatchEvent(new MessageEvent('message', { data: this.#data(message), origin: this.#url.origin }));
  }

  #data(message: SocketMessage): string | Blob | ArrayBuffer {
    if (typeof message === 'string') return message;
    if (this.#binaryType === 'blob') return new Blob([message]);
    return message.byteLength === message.buffer.byteLength ? message.buffer : message.slice().buffer;
  }

  /** Does something once all that was sent before has been taken. What goes wrong is told by `receive` as well. */
  #after(step: (socket: LinkSocket) => void | Promise<void>): void {
    this.#sending = this.#sending
      .then(async () => {
        if (this.#socket !== null) await step(this.#socket);
      })
      .catch((error: unknown) => this.#fail(asOurs(error)));
  }

  #fail(error: PeerageError): void {
    if (this.#socket === null) return;
    this.#failure ??= error;
    this.#state = 2;
    this.#socket.cancel();
  }

  #handler<T extends Handler>(type: string): T {
    return (this.#handlers.get(type) ?? null) as T;
  }

  /** As event handlers are in HTML: they stand among the listeners where they were first set, and are replaced in place. */
  #setHandler(type: string, handler: Handler): void {
    const isNew = !this.#handlers.has(type);
    if (typeof handler !== 'function') {
      this.#handlers.delete(type);
      super.removeEventListener(type, this.#callHandler);
      return;
    }
    this.#handlers.set(type, handler);
    if (isNew) super.addEventListener(type, this.#callHandler);
  }

  readonly #callHandler = (event: Event): void => {
    this.#handlers.get(event.type)?.call(this, event as never);
  };
}

/** As a WebSocket's constructor reads it: `http` and `https` mean `ws` and `wss`. Throws a `SyntaxError` (`DOMException`). */
export function webSocketUrl(url: string | URL, base?: string | URL): URL {
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch {
    throw new DOMException('the URL of a WebSocket cannot be read', 'SyntaxError');
  }
  if (parsed.protocol === 'http:') parsed.protocol = 'ws:';
  if (parsed.protocol === 'https:') parsed.protocol = 'wss:';
  if (parsed.protocol !== 'ws:' && parsed.protocol !== 'wss:') throw new DOMException(`a WebSocket has no ${parsed.protocol} URL`, 'SyntaxError');
  if (parsed.href.includes('#')) throw new DOMException('the URL of a WebSocket has no fragment', 'SyntaxError');
  return parsed;
}

function subprotocols(given: string | readonly string[] | undefined): readonly string[] {
  const all = given === undefined ? [] : typeof given === 'string' ? [given] : [...given].map(String);
  if (!all.every((name) => TOKEN.test(name)) || new Set(all).size < all.length) {
    throw new DOMException('subprotocols are tokens, each of them once', 'SyntaxError');
  }
  return all;
}

/** What is sent is what it was when `send` was called. */
function snapshot(data: unknown): string | Octets {
  if (data instanceof ArrayBuffer || (typeof SharedArrayBuffer === 'function' && data instanceof SharedArrayBuffer)) return new Uint8Array(data).slice();
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() as Octets;
  return String(data);
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** `[Clamp] unsigned short` of Web IDL. */
function clampShort(value: number): number {
  const clamped = Math.min(65_535, Math.max(0, Number(value)));
  return Number.isNaN(clamped) ? 0 : Math.round(clamped);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(asOurs(signal.reason)), { once: true }));
}

function asOurs(error: unknown): PeerageError {
  if (error instanceof PeerageError) return error;
  if (error instanceof DOMException && error.name === 'AbortError') return new PeerageError('cancelled', 'the socket was closed before it was open');
  return new PeerageError('internal', 'the socket failed', { cause: error });
}

/** `null`: it did not end with a close of the other side's. */
function closeEvent(close: SocketClose | null): CloseEvent {
  const init = { wasClean: close !== null, code: close?.code ?? ABNORMAL, reason: close?.reason ?? '' };
  if (typeof CloseEvent === 'function') return new CloseEvent('close', init);
  // Node has none before version 23.
  return Object.assign(new Event('close'), init) as CloseEvent;
}
