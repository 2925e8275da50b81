/** A WebSocket over the link, as a page has it: at the other end of a port. */
import { type Code, PeerageError } from '../../error.js';
import { costOf, type LinkSocket, type SocketMessage, SocketClose, type SocketRequest } from '../../fetch/exchange.js';
import type { Field } from '../../protocol/http/field.js';
import { Queue } from '../../protocol/queue.js';
import { Deaths } from '../deaths.js';
import { holderLock, pageLock, type SocketAsked, type SocketAsks, type SocketSays, VERSION } from '../messages.js';
import type { Way } from './way.js';

/** For the worker to find a holder, and for the holder to react: each says within 20 s if there is none. */
const TAKEN_MS = 40_000;

/** Openings after the first one, at most. */
const TRIES = 2;

export class PortSockets {
  readonly #way: Way;
  readonly #deaths = new Deaths(navigator.locks);
  #page: Promise<string> | null = null;

  constructor(way: Way) {
    this.#way = way;
  }

  /** Rejects with `PeerageError`. */
  async open(request: SocketRequest): Promise<LinkSocket> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#try(request);
      } catch (error) {
        // The link, or the tab that had it, went before the target had answered. A tab that closes is known to be gone a moment later.
        if (PeerageError.codeOf(error) !== 'gone' || tries === TRIES || request.signal?.aborted === true) throw error;
      }
    }
  }

  async #try({ path, fields, signal }: SocketRequest): Promise<LinkSocket> {
    const { port1, port2 } = new MessageChannel();
    const socket = new PortSocket(port1, this.#deaths);
    const abort = (): void => socket.cancel();
    signal?.addEventListener('abort', abort);
    if (signal?.aborted === true) abort();
    const protocols = fields.filter(([name]) => name.toLowerCase() === 'sec-websocket-protocol').map(([, value]) => value);
    this.#send({ path, protocols }, port2).catch((error: unknown) => {
      console.warn('peerage:', error);
      socket.fail('unsupported');
    });
    return socket.opened.finally(() => signal?.removeEventListener('abort', abort));
  }

  async #send(asked: Pick<SocketAsked, 'path' | 'protocols'>, port: MessagePort): Promise<void> {
    this.#page ??= living();
    await this.#way({ type: 'socket', version: VERSION, ...asked, page: await this.#page }, port);
  }
}

class PortSocket implements LinkSocket {
  readonly opened: Promise<LinkSocket>;
  fields: readonly Field[] = [];
  readonly #port: MessagePort;
  readonly #deaths: Deaths;
  readonly #arrived = new Queue<SocketMessage>();
  /** Senders that wait, the first one first. */
  readonly #sending = new Queue<{ taken: () => void; failed: (error: PeerageError) => void }>();
  #over: SocketClose | PeerageError | null = null;
  #unwatch: () => void = () => {};
  #wake: () => void = () => {};
  #open!: (socket: LinkSocket) => void;
  #refuse!: (error: PeerageError) => void;
  readonly #untaken: ReturnType<typeof setTimeout>;

  constructor(port: MessagePort, deaths: Deaths) {
    this.#port = port;
    this.#deaths = deaths;
    this.opened = new Promise((resolve, reject) => {
      this.#open = resolve;
      this.#refuse = reject;
    });
    this.#untaken = setTimeout(() => this.fail('timeout'), TAKEN_MS);
    port.onmessage = ({ data }: MessageEvent<SocketSays>) => this.#hear(data);
  }

  async receive(): Promise<SocketMessage | SocketClose> {
    for (;;) {
      const message = this.#arrived.shift();
      if (message !== undefined) {
        this.#ask({ type: 'read', cost: costOf(message) });
        return message;
      }
      if (this.#over instanceof SocketClose) return this.#over;
      if (this.#over !== null) throw this.#over;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  send(data: SocketMessage): Promise<void> {
    if (this.#over !== null) return Promise.reject(this.#over instanceof PeerageError ? this.#over : new PeerageError('gone', 'the socket is closed'));
    return new Promise((taken, failed) => {
      this.#sending.push({ taken, failed });
      this.#ask({ type: 'send', data });
    });
  }

  close(code?: number, reason = ''): void {
    this.#ask({ type: 'close', code, reason });
  }

  cancel(): void {
    this.#ask({ type: 'cancel' });
    this.fail('cancelled');
  }

  /** Ends it from this side. */
  fail(code: Code): void {
    this.#finish(new PeerageError(code, `the WebSocket broke: ${code}`));
  }

  #hear(said: SocketSays): void {
    switch (said.type) {
      case 'passed':
        this.#unwatch();
        // What the holder said last may be on its way.
        this.#unwatch = this.#deaths.watch(holderLock(said.holder), () => setTimeout(() => this.fail('gone')));
        return;
      case 'taken':
        clearTimeout(this.#untaken);
        return;
      case 'open':
        this.fields = said.fields;
        this.#open(this);
        return;
      case 'message':
        this.#arrived.push(said.data);
        this.#wake();
        return;
      case 'sent':
        this.#sending.shift()?.taken();
        return;
      case 'closed':
        this.#finish(new SocketClose(said.code, said.reason));
        return;
      case 'failed':
        this.fail(said.code);
    }
  }

  #ask(asks: SocketAsks): void {
    if (this.#over === null) this.#port.postMessage(asks);
  }

  #finish(over: SocketClose | PeerageError): void {
    if (this.#over !== null) return;
    this.#over = over;
    clearTimeout(this.#untaken);
    this.#unwatch();
    this.#port.close();
    const error = over instanceof PeerageError ? over : new PeerageError('gone', 'the socket is closed');
    this.#refuse(error);
    for (let sender = this.#sending.shift(); sender !== undefined; sender = this.#sending.shift()) sender.failed(error);
    this.#wake();
  }
}

/** Holds a lock until this page or worker is gone, and returns its name. */
function living(): Promise<string> {
  const page = crypto.randomUUID();
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(pageLock(page), () => {
        resolve(page);
        return new Promise<never>(() => {});
      })
      .catch(reject);
  });
}
