/** Learns of the end of pages, tabs and workers by the locks that they hold: it shows in nothing else, their ports stay silent for ever. */
export class Deaths {
  readonly #locks: LockManager;
  readonly #mourners = new Map<string, Set<() => void>>();

  constructor(locks: LockManager) {
    this.#locks = locks;
  }

  /** Calls `mourner` once when whoever held `lock` is gone, soon if that is so already; until the returned function is called. */
  watch(lock: string, mourner: () => void): () => void {
    let mourners = this.#mourners.get(lock);
    if (mourners === undefined) {
      mourners = new Set();
      this.#mourners.set(lock, mourners);
      void this.#locks.request(lock, { mode: 'shared' }, () => this.#died(lock));
    }
    mourners.add(mourner);
    return () => this.#mourners.get(lock)?.delete(mourner);
  }

  #died(lock: string): void {
    const mourners = this.#mourners.get(lock) ?? [];
    this.#mourners.delete(lock);
    for (const mourner of mourners) mourner();
  }
}
