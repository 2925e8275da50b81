/** A socket of no link: what its test says is received, what is sent is kept. */
import { PeerageError } from '../error.js';
import { type Field, type LinkSocket, SocketClose, type SocketMessage } from '../fetch/exchange.js';

export class FakeSocket implements LinkSocket {
  readonly fields: readonly Field[];
  /** Messages, and how this side closed: `[code, reason]`. */
  readonly sent: (SocketMessage | [code: number | undefined, reason: string | undefined])[] = [];
  isCancelled = false;
  /** Sends resolve at once; else when `take` is called. */
  readonly #takesAtOnce: boolean;
  readonly #taking: (() => void)[] = [];
  #isClosed = false;
  readonly #arrived: (SocketMessage | SocketClose | PeerageError)[] = [];
  #wake: () => void = () => undefined;

  constructor({ fields = [], takesAtOnce = true }: { fields?: readonly Field[]; takesAtOnce?: boolean } = {}) {
    this.fields = fields;
    this.#takesAtOnce = takesAtOnce;
  }

  /** The other side's doing. */
  arrive(...got: (SocketMessage | SocketClose | PeerageError)[]): void {
    this.#arrived.push(...got);
    this.#wake();
  }

  /** How many messages nobody has received yet. */
  get waiting(): number {
    return this.#arrived.length;
  }

  /** The link takes the oldest message that waits. */
  take(): void {
    this.#taking.shift()?.();
  }

  async receive(): Promise<SocketMessage | SocketClose> {
    for (;;) {
      const got = this.#arrived.shift();
      if (got instanceof PeerageError) throw got;
      if (got instanceof SocketClose) {
        this.#isClosed = true;
        for (const taken of this.#taking.splice(0)) taken();
      }
      if (got !== undefined) return got;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  send(message: SocketMessage): Promise<void> {
    if (this.#isClosed) return Promise.reject(new PeerageError('gone', 'the socket is closed'));
    this.sent.push(message);
    return this.#takesAtOnce ? Promise.resolve() : new Promise((resolve) => this.#taking.push(resolve));
  }

  close(code?: number, reason?: string): void {
    this.sent.push([code, reason]);
  }

  cancel(): void {
    this.isCancelled = true;
    this.arrive(new PeerageError('cancelled', 'cancelled'));
  }
}
