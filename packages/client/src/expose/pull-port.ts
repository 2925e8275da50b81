/**
 * Bodies between two threads, by pull over a `MessagePort`: nothing is read that nobody asked for, each piece is transferred and not
 * copied. (Transferring a `ReadableStream` says the same in less code, buffers more, and does not exist in Safari.)
 */
import { type Code, PeerageError } from '../error.js';
import type { Puller } from '../fetch/exchange.js';
import type { BodySays, ReaderSays } from './messages.js';

/** Serves `source` to the reader at the other end of `port`, until its end. `done` is called once, however it ends. */
export function serveBody(port: MessagePort, source: Puller, done: () => void = () => {}): void {
  let live = true;
  const finish = (): void => {
    if (!live) return;
    live = false;
    port.close();
    done();
  };
  port.onmessage = ({ data }: MessageEvent<ReaderSays>) => {
    if (!live) return;
    if (data.type === 'cancel') {
      source.cancel();
      finish();
      return;
    }
    void source.pull().then(
      (piece) => {
        if (!live) return;
        if (piece === null) {
          say(port, { type: 'end' });
          finish();
        } else {
          const data = wholeBuffer(piece);
          say(port, { type: 'piece', data }, [data]);
        }
      },
      (error: unknown) => {
        if (!live) return;
        say(port, { type: 'broken', code: PeerageError.codeOf(error) });
        finish();
      },
    );
  };
}

/** Reads a body that is served at the other end of a port. */
export class PortPuller implements Puller {
  readonly #port: MessagePort;
  readonly #done: () => void;
  #waiting: { resolve: (piece: Uint8Array<ArrayBuffer> | null) => void; reject: (error: PeerageError) => void } | null = null;
  #over: PeerageError | 'ended' | null = null;

  /** Takes over `port`; `done` is called once, however it ends. */
  constructor(port: MessagePort, done: () => void = () => {}) {
    this.#port = port;
    this.#done = done;
    port.onmessage = ({ data }: MessageEvent<BodySays>) => this.#hear(data);
  }

  pull(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.#over === 'ended') return Promise.resolve(null);
    if (this.#over !== null) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#port.postMessage({ type: 'pull' } satisfies ReaderSays);
    });
  }

  cancel(): void {
    if (this.#over !== null) return;
    this.#port.postMessage({ type: 'cancel' } satisfies ReaderSays);
    this.#finish(new PeerageError('cancelled', 'the reader gave up'));
  }

  /** Ends it from outside: whoever served it is no more. */
  fail(code: Code): void {
    this.#finish(new PeerageError(code, 'whoever carried this body is gone'));
  }

  #hear(said: BodySays): void {
    switch (said.type) {
      case 'piece':
        this.#waiting?.resolve(new Uint8Array(said.data));
        this.#waiting = null;
        return;
      case 'end':
        this.#finish('ended');
        return;
      case 'broken':
        this.#finish(new PeerageError(said.code, 'the body broke off'));
    }
  }

  #finish(over: PeerageError | 'ended'): void {
    if (this.#over !== null) return;
    this.#over = over;
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#port.close();
    if (over === 'ended') waiting?.resolve(null);
    else waiting?.reject(over);
    this.#done();
  }
}

function say(port: MessagePort, said: BodySays, transfer: Transferable[] = []): void {
  port.postMessage(said, transfer);
}

/** A piece that is a view into something larger is copied: transferring would take the rest with it. */
export function wholeBuffer(piece: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return piece.byteLength === piece.buffer.byteLength ? piece.buffer : piece.slice().buffer;
}
