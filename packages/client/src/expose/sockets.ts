/** The holder's side of WebSockets: opens them on the link, and carries their messages to and from the pages that asked. */
import { PeerageError } from '../error.js';
import { costOf, type HttpLink, type LinkSocket, SocketClose, type SocketMessage } from '../fetch/exchange.js';
import type { Deaths } from './deaths.js';
import { pageLock, SOCKET_WINDOW, type SocketAsks, type SocketSays, type ToShell } from './messages.js';
import { wholeBuffer } from './pull-port.js';

type Asked = Extract<ToShell, { type: 'socket' }>;

export class Sockets {
  readonly #link: () => Promise<HttpLink>;
  readonly #deaths: Deaths;

  constructor(link: () => Promise<HttpLink>, deaths: Deaths) {
    this.#link = link;
    this.#deaths = deaths;
  }

  begin(asked: Asked, port: MessagePort): void {
    new Carrier(port, this.#deaths, asked.page).run(async (signal) => {
      const link = await this.#link();
      if (signal.aborted) throw new PeerageError('cancelled', 'given up before it was opened');
      return link.openWebSocket({ path: asked.path, fields: asked.fields, signal });
    });
  }
}

/** One WebSocket between the link and a port. */
class Carrier {
  readonly #port: MessagePort;
  readonly #end = new AbortController();
  readonly #unwatch: () => void;
  #socket: LinkSocket | null = null;
  /** What the page still has room for. */
  #window = SOCKET_WINDOW;
  #wake: () => void = () => {};

  constructor(port: MessagePort, deaths: Deaths, page: string) {
    this.#port = port;
    this.#unwatch = deaths.watch(pageLock(page), () => this.#stop());
    port.onmessage = ({ data }: MessageEvent<SocketAsks>) => this.#hear(data);
    this.#say({ type: 'taken' });
  }

  run(open: (signal: AbortSignal) => Promise<LinkSocket>): void {
    void this.#run(open).catch((error: unknown) => {
      const code = PeerageError.codeOf(error);
      if (code === 'internal') console.error('peerage:', error);
      this.#say({ type: 'failed', code });
      this.#stop();
    });
  }

  async #run(open: (signal: AbortSignal) => Promise<LinkSocket>): Promise<void> {
    const socket = await open(this.#end.signal);
    if (this.#end.signal.aborted) {
      socket.cancel();
      return;
    }
    this.#socket = socket;
    this.#say({ type: 'open', fields: socket.fields });
    for (;;) {
      while (this.#window <= 0 && !this.#end.signal.aborted) await new Promise<void>((resolve) => (this.#wake = resolve));
      const got = await socket.receive();
      if (this.#end.signal.aborted) return;
      if (got instanceof SocketClose) {
        this.#say({ type: 'closed', code: got.code, reason: got.reason });
        this.#finish();
        return;
      }
      this.#window -= costOf(got);
      this.#pass(got);
    }
  }

  #hear(asks: SocketAsks): void {
    switch (asks.type) {
      case 'read':
        this.#window += asks.cost;
        this.#wake();
        return;
      case 'send':
        // One that cannot be sent any more is followed by the reason, which `receive` gives.
        this.#socket?.send(asks.data).then(
          () => this.#say({ type: 'sent' }),
          () => {},
        );
        return;
      case 'close':
        this.#close(asks.code, asks.reason);
        return;
      case 'cancel':
        this.#stop();
    }
  }

  #close(code: number | undefined, reason: string): void {
    try {
      this.#socket?.close(code, reason);
    } catch (error) {
      this.#say({ type: 'failed', code: PeerageError.codeOf(error) });
      this.#stop();
    }
  }

  #pass(data: SocketMessage): void {
    if (typeof data === 'string') {
      this.#say({ type: 'message', data });
      return;
    }
    const buffer = wholeBuffer(data);
    this.#say({ type: 'message', data: new Uint8Array(buffer) }, [buffer]);
  }

  #say(said: SocketSays, transfer: Transferable[] = []): void {
    if (!this.#end.signal.aborted) this.#port.postMessage(said, transfer);
  }

  /** Breaks off, if there is still something to break off. */
  #stop(): void {
    this.#finish();
    this.#socket?.cancel();
  }

  #finish(): void {
    this.#end.abort();
    this.#wake();
    this.#unwatch();
    this.#port.close();
  }
}
