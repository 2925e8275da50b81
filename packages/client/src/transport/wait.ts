/** Bounded waits: nothing here hangs. */
import { PeerageError, type Code } from '../error.js';

/** `work`, or a `PeerageError` when it takes longer than `ms`. The work itself goes on: whoever started it ends it. */
export async function within<T>(ms: number, work: Promise<T>, late: () => readonly [code: Code, message: string]): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PeerageError(...late())), ms);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** `work`, or what `why` says as soon as the signal is aborted. The work itself goes on. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal, why: () => unknown): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(why());
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** A promise with its ends in hand. A rejection that nobody waits for is no error. */
export class Deferred<T, E extends Error = PeerageError> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: E) => void;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => undefined);
  }
}
