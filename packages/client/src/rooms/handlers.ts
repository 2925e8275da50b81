/** Handlers by event: one that throws harms no other. */

type Handler = (...given: never[]) => unknown;

export class Handlers {
  readonly #all = new Map<string, Map<Handler, { readonly once: boolean }>>();

  /** The same handler twice is called once. Returns what ends it. */
  add(event: string, handler: Handler, once: boolean, signal: AbortSignal | undefined): () => void {
    const remove = (): void => this.remove(event, handler);
    if (signal?.aborted) return remove;
    const those = this.#all.get(event) ?? new Map<Handler, { readonly once: boolean }>();
    this.#all.set(event, those.set(handler, { once }));
    signal?.addEventListener('abort', remove, { once: true });
    return remove;
  }

  remove(event: string, handler?: Handler): void {
    if (handler === undefined) this.#all.delete(event);
    else this.#all.get(event)?.delete(handler);
  }

  clear(): void {
    this.#all.clear();
  }

  has(event: string): boolean {
    return (this.#all.get(event)?.size ?? 0) > 0;
  }

  /** `returned` gets what each of them returns. */
  call(event: string, given: readonly unknown[], returned: (value: unknown) => void = () => undefined): void {
    for (const [handler, { once }] of [...(this.#all.get(event) ?? [])]) {
      // One before it may have removed it.
      if (this.#all.get(event)?.has(handler) !== true) continue;
      if (once) this.remove(event, handler);
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
