/** Handlers by event: one that throws harms no other. */

type Handler = (...given: never[]) => unknown;

interface Registration {
  readonly once: boolean;
  /** It is over: its signal is not listened to any more. */
  readonly over: () => void;
}

export class Handlers {
  readonly #all = new Map<string, Map<Handler, Registration>>();

  /** The same handler twice is called once. Returns what ends this registration, and no later one. */
  add(event: string, handler: Handler, once: boolean, signal: AbortSignal | undefined): () => void {
    if (signal?.aborted) return () => undefined;
    const end = (): void => {
      if (this.#all.get(event)?.get(handler) === registration) this.remove(event, handler);
    };
    const registration: Registration = { once, over: () => signal?.removeEventListener('abort', end) };
    const those = this.#all.get(event) ?? new Map<Handler, Registration>();
    those.get(handler)?.over();
    this.#all.set(event, those.set(handler, registration));
    signal?.addEventListener('abort', end);
    return end;
  }

  remove(event: string, handler?: Handler): void {
    const those = this.#all.get(event);
    for (const one of handler === undefined ? [...(those?.keys() ?? [])] : [handler]) {
      those?.get(one)?.over();
      those?.delete(one);
    }
    if (those?.size === 0) this.#all.delete(event);
  }

  clear(): void {
    for (const event of [...this.#all.keys()]) this.remove(event);
  }

  /** `returned` gets what each of them returns. */
  call(event: string, given: readonly unknown[], returned: (value: unknown) => void = () => undefined): void {
    for (const handler of [...(this.#all.get(event)?.keys() ?? [])]) {
      const registration = this.#all.get(event)?.get(handler);
      // One before it has removed it.
      if (registration === undefined) continue;
      if (registration.once) this.remove(event, handler);
      try {
        returned((handler as (...given: unknown[]) => unknown)(...given));
      } catch (error) {
        report(error);
      }
    }
  }
}

/** As an error that nobody caught. */
export function report(error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void };
  if (typeof reportError === 'function') reportError(error);
  else
    queueMicrotask(() => {
      throw error;
    });
}
