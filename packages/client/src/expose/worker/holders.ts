/** Finds the tab that has the link, and learns of its death. */
import { PeerageError } from '../../error.js';
import { holderLock, type ToShell, VERSION } from '../messages.js';

/** How long to look for a holder: a tab that takes over after another's end needs well under a second. */
const FIND_MS = 20_000;
/** A shell that was still starting did not hear the first question. */
const ASK_AGAIN_MS = 500;

export class Holder {
  readonly id: string;
  readonly client: Client;
  #alive = true;
  readonly #mourners = new Set<() => void>();

  constructor(id: string, client: Client) {
    this.id = id;
    this.client = client;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Calls `mourner` once when the holder dies, at once if it has; until the returned function is called. */
  onDeath(mourner: () => void): () => void {
    if (!this.#alive) {
      mourner();
      return () => {};
    }
    this.#mourners.add(mourner);
    return () => this.#mourners.delete(mourner);
  }

  died(): void {
    this.#alive = false;
    for (const mourner of this.#mourners) mourner();
    this.#mourners.clear();
  }
}

export class Holders {
  readonly #clients: Clients;
  readonly #locks: LockManager;
  #known: Holder | null = null;
  readonly #seekers = new Set<(holder: Holder) => void>();

  constructor(clients: Clients, locks: LockManager) {
    this.#clients = clients;
    this.#locks = locks;
  }

  /** A shell says that it has the link. */
  announced(client: Client, id: string): void {
    if (this.#known?.id === id) return;
    const holder = new Holder(id, client);
    this.#known = holder;
    // The end of a tab shows nowhere else: its ports stay silent for ever.
    void this.#locks.request(holderLock(id), { mode: 'shared' }, () => {
      if (this.#known === holder) this.#known = null;
      holder.died();
    });
    for (const found of this.#seekers) found(holder);
    this.#seekers.clear();
  }

  /** Rejects with `lost` when no tab has, or makes, the link. */
  async find(): Promise<Holder> {
    if (this.#known !== null) return this.#known;
    let found: (holder: Holder) => void = () => {};
    const answer = new Promise<Holder>((resolve) => (found = resolve));
    this.#seekers.add(found);
    const ask = setInterval(() => void this.#ask(), ASK_AGAIN_MS);
    let limit: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      limit = setTimeout(() => reject(new PeerageError('lost', 'no open tab has the link')), FIND_MS);
    });
    try {
      await this.#ask();
      return await Promise.race([answer, late]);
    } finally {
      clearInterval(ask);
      clearTimeout(limit);
      this.#seekers.delete(found);
    }
  }

  /** Lock owners cannot be mapped to clients (the ids differ), so all tabs are asked. */
  async #ask(): Promise<void> {
    for (const client of await this.#clients.matchAll({ type: 'window', includeUncontrolled: true })) {
      if (client.frameType !== 'nested') client.postMessage({ type: 'who', version: VERSION } satisfies ToShell);
    }
  }
}
