/** Holds the origin's one link: makes it, makes it again when it is lost, and says how it stands. */
import { type Code, PeerageError } from '../error.js';
import type { HttpLink } from '../fetch/exchange.js';
import type { LinkProof } from '../identity/proof.js';
import type { LinkState, OpenLink } from '../transport/link.js';
import { backoff, SETTLED_MS } from '../transport/backoff.js';
import type { LinkStatus } from './messages.js';
import { OWN_PATH } from './route.js';
import { explain } from './states.js';

/** What a holder needs of its surroundings. */
export interface Surroundings {
  /** One attempt; every wait in it is bounded. */
  call(proof: LinkProof | null, onState: (state: LinkState) => void, signal: AbortSignal): Promise<OpenLink>;
  /** The proof of a link that was opened and not yet used. */
  pending(): Promise<LinkProof | null>;
  drop(proof: LinkProof): Promise<void>;
  /** Whether the device knows this browser, as far as the browser knows. */
  granted(): Promise<boolean>;
  saveGrant(): Promise<void>;
  onStatus(status: LinkStatus): void;
}

/** How long an exchange waits for a link that is being made. Longer than a reconnect, shorter than a person's patience. */
const LINK_WAIT_MS = 30_000;
/** A device answers its own path at once. One that is not heard for so long after a sleep is not there any more. */
const CHECK_MS = 3_000;

export class Holder {
  readonly #around: Surroundings;
  readonly #end = new AbortController();
  #status: LinkStatus = { is: 'connecting', step: 'starting' };
  #link: OpenLink | null = null;
  /** The link that did not answer when it was asked. */
  #foundDead: OpenLink | null = null;
  #wake: () => void = () => {};
  /** The attempt under way. */
  #attempting: { readonly since: number; readonly end: AbortController } | null = null;
  #checking = false;
  readonly #waiting = new Set<{ open: (link: HttpLink) => void; fail: (error: PeerageError) => void }>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  get status(): LinkStatus {
    return this.#status;
  }

  /** Runs until `close`. */
  async run(): Promise<void> {
    let failures = 0;
    while (!this.#end.signal.aborted) {
      const outcome = await this.#attempt();
      if (this.#end.signal.aborted) {
        if (typeof outcome === 'object') outcome.close();
        break;
      }
      if (outcome === 'no-link') {
        this.#tell({ is: 'no-link' });
        this.#failWaiting('denied');
        await this.#sleep(null);
        continue;
      }
      let code: Code;
      if (typeof outcome === 'object') {
        const since = performance.now();
        code = await this.#use(outcome);
        if (this.#end.signal.aborted) break;
        if (performance.now() - since >= SETTLED_MS || this.#foundDead === outcome) failures = 0;
        // The loss of a link that worked is answered by an attempt at once.
        if (failures++ === 0) continue;
      } else if (outcome === 'cancelled') {
        continue;
      } else {
        code = outcome;
        failures++;
      }
      if (explain(code).again) {
        const delay = backoff(failures, Math.random());
        this.#tell({ is: 'waiting', code, at: Date.now() + delay });
        await this.#sleep(delay);
      } else {
        this.#tell({ is: 'failed', code });
        this.#failWaiting(code);
        await this.#sleep(null);
      }
    }
    this.#failWaiting('gone');
  }

  /** The next attempt now, if one is being waited for. */
  retry(): void {
    this.#wake();
  }

  /**
   * The machine has slept, the person is back, or, where `moved`, its network is another. A link that is open may be dead without a sign: it is asked, and
   * a new one is made if it does not answer. An attempt that was begun on another network is begun anew.
   */
  woke(moved: boolean): void {
    if (this.#status.is === 'waiting') this.retry();
    if (this.#link !== null) void this.#check(this.#link);
    else if (moved && this.#attempting !== null && performance.now() - this.#attempting.since > CHECK_MS) this.#attempting.end.abort();
  }

  close(): void {
    this.#end.abort();
    this.#link?.close();
    this.#wake();
  }

  /** The link, as soon as it is open. Rejects with `PeerageError` when it fails for good or takes too long. */
  link(): Promise<HttpLink> {
    if (this.#link !== null) return Promise.resolve(this.#link);
    if (this.#status.is === 'failed') return Promise.reject(failure(this.#status.code));
    if (this.#status.is === 'no-link') return Promise.reject(failure('denied'));
    return new Promise((resolve, reject) => {
      const entry = {
        open: (link: HttpLink) => (settle(), resolve(link)),
        fail: (error: PeerageError) => (settle(), reject(error)),
      };
      const limit = setTimeout(() => entry.fail(failure(this.#status.is === 'waiting' ? this.#status.code : 'no-answer')), LINK_WAIT_MS);
      const settle = (): void => {
        clearTimeout(limit);
        this.#waiting.delete(entry);
      };
      this.#waiting.add(entry);
    });
  }

  async #attempt(): Promise<OpenLink | Code | 'no-link'> {
    this.#tell({ is: 'connecting', step: 'starting' });
    const attempting = { since: performance.now(), end: new AbortController() };
    this.#attempting = attempting;
    try {
      const proof = await this.#around.pending();
      const granted = await this.#around.granted();
      if (proof === null && !granted) return 'no-link';
      try {
        return await this.#call(proof);
      } catch (error) {
        if (proof === null || PeerageError.codeOf(error) !== 'denied') throw error;
        // This link lets nobody in, but an earlier one may have let this browser in.
        await this.#around.drop(proof);
        if (!granted) throw error;
        return await this.#call(null);
      }
    } catch (error) {
      const code = PeerageError.codeOf(error);
      if (code === 'internal') console.error('peerage:', error);
      return attempting.end.signal.aborted ? 'cancelled' : code;
    } finally {
      this.#attempting = null;
    }
  }

  async #call(proof: LinkProof | null): Promise<OpenLink> {
    const signals = this.#attempting === null ? [] : [this.#attempting.end.signal];
    const signal = AbortSignal.any([this.#end.signal, ...signals]);
    const link = await this.#around.call(proof, (step) => step !== 'open' && this.#tell({ is: 'connecting', step }), signal);
    if (proof !== null) {
      await this.#around.saveGrant();
      await this.#around.drop(proof);
    }
    return link;
  }

  /** Until the link is gone; returns why. */
  async #use(link: OpenLink): Promise<Code> {
    this.#link = link;
    for (const { open } of [...this.#waiting]) open(link);
    this.#tell({ is: 'open', route: null, roundTrip: null });
    link.watch(({ route, roundTrip }) => this.#link === link && this.#tell({ is: 'open', route, roundTrip }));
    try {
      return await link.closed;
    } finally {
      this.#link = null;
    }
  }

  async #check(link: OpenLink): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    try {
      // An answer may wait behind a long upload; that its octets are acknowledged is life enough.
      const received = async (): Promise<number> => (await link.path().catch(() => null))?.received ?? 0;
      const before = await received();
      if ((await answers(link)) || (await received()) > before) return;
      this.#foundDead = link;
      link.close();
    } finally {
      this.#checking = false;
    }
  }

  #tell(status: LinkStatus): void {
    this.#status = status;
    this.#around.onStatus(status);
  }

  #failWaiting(code: Code): void {
    for (const { fail } of [...this.#waiting]) fail(failure(code));
  }

  /** Until `retry`, `close` or, unless null, `ms`. */
  #sleep(ms: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === null ? undefined : setTimeout(() => this.#wake(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
      if (this.#end.signal.aborted) this.#wake();
    });
  }
}

/** Whether the device answers in time, with whatever. */
function answers(link: OpenLink): Promise<boolean> {
  const given = new AbortController();
  return new Promise((resolve) => {
    const limit = setTimeout(() => {
      resolve(false);
      given.abort();
    }, CHECK_MS);
    link.exchange({ method: 'HEAD', path: OWN_PATH, fields: [], body: null, signal: given.signal }).then(
      ({ body }) => {
        clearTimeout(limit);
        body.cancel();
        resolve(true);
      },
      () => {
        clearTimeout(limit);
        resolve(true);
      },
    );
  });
}

function failure(code: Code): PeerageError {
  return new PeerageError(code, explain(code).title);
}
