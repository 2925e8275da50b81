/** The cookies that scripts may read, alike in all tabs of the origin: the tab that has the link speaks with the jar, the others hear what it learns. */
import { CookieMirror, type CookieChange, type MirrorSnapshot, type VisibleCookie } from '../../protocol/cookies/mirror.js';
import type { CookieState, JarReport } from '../../protocol/cookies/state.js';
import { LINK_LOCK, VERSION } from '../messages.js';
import type { CookieHook } from './hook.js';

/** Among the shells of one origin, over a `BroadcastChannel` of their own. */
type CookieGossip =
  /** What are the cookies? The tab that has the link answers with `all`. */
  | { readonly type: 'ask' }
  | { readonly type: 'all'; readonly snapshot: MirrorSnapshot }
  /** A script of the sender's tab wants this. */
  | { readonly type: 'change'; readonly change: CookieChange }
  /** The device told the tab that has the link. Who is asked by `name` to say so answers with `heard`. */
  | { readonly type: 'news'; readonly states: readonly CookieState[]; readonly settled: readonly string[]; readonly name?: string }
  | { readonly type: 'heard'; readonly name: string };

/** The tab that has the link may be busy, or gone: then the app is shown with what is known, and hears the rest. */
const ANSWER_MS = 2_000;
/** A tab that does not react in this time does not keep an answer from the others. */
const HEARD_MS = 100;
/** Longer than any cookie with all its attributes. */
const LONGEST_LINE = 16 * 1024;

export class SharedCookies implements CookieHook {
  readonly #mirror: CookieMirror;
  readonly #channel = new BroadcastChannel(`peerage/${VERSION}/cookies`);
  readonly #watchers = new Set<() => void>();
  /** What the tab that has the link does with a change; null in the others. */
  #lead: (() => void) | null = null;
  #known: () => void = () => {};
  /** Resolves when this tab knows the cookies, or will learn of them with the first answers. */
  readonly ready = new Promise<void>((resolve) => (this.#known = resolve));

  /** News that the other tabs are asked to have heard: what each that did calls. */
  readonly #spreading = new Map<string, () => void>();
  readonly #otherTabs: () => Promise<number>;

  /** `otherTabs`: how many have these cookies too. */
  constructor(host: string, otherTabs: () => Promise<number> = waitingForLink) {
    this.#mirror = new CookieMirror(host);
    this.#otherTabs = otherTabs;
    this.#channel.onmessage = ({ data }: MessageEvent<CookieGossip>) => this.#hear(data);
    this.#tell({ type: 'ask' });
    setTimeout(this.#known, ANSWER_MS);
  }

  get pending(): readonly CookieChange[] {
    return this.#mirror.changes;
  }

  isPending(id: string): boolean {
    return this.#mirror.isPending(id);
  }

  visible(path: string): VisibleCookie[] {
    return this.#mirror.visible(path, Date.now());
  }

  set(path: string, cookie: string): void {
    if (cookie.length > LONGEST_LINE) return;
    const change: CookieChange = { id: crypto.randomUUID(), path, cookie, at: Date.now() };
    this.#mirror.change(change);
    this.#tell({ type: 'change', change });
    this.#lead?.();
    this.#changed();
  }

  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** This tab has the link from now on; `changed` is called when there is something for the device. Null: no longer. */
  lead(changed: (() => void) | null): void {
    this.#lead = changed;
    // The cookies come with the jar's list, which every answer waits for.
    if (changed !== null) this.#known();
  }

  /** What a response said. Resolves when the other tabs know of it too: the response may be one of theirs, and its script reads at once what it has set. */
  async heard(states: readonly CookieState[]): Promise<void> {
    if (states.length === 0) return;
    const others = await this.#otherTabs();
    if (others === 0) return this.#learn(states, []);
    const name = crypto.randomUUID();
    await new Promise<void>((resolve) => {
      let left = others;
      this.#spreading.set(name, () => --left === 0 && resolve());
      setTimeout(resolve, HEARD_MS);
      this.#learn(states, [], name);
    });
    this.#spreading.delete(name);
  }

  /** The device answered these changes. */
  settle(settled: readonly string[], states: readonly CookieState[]): void {
    this.#learn(states, settled);
  }

  /** The jar was listed; null: the device keeps none. */
  listed(report: JarReport | null, anew: boolean): void {
    if (report === null) this.#mirror.keepNone();
    else this.#mirror.list(report, Date.now(), anew);
    this.#tell({ type: 'all', snapshot: this.#mirror.snapshot() });
    this.#changed();
  }

  #learn(states: readonly CookieState[], settled: readonly string[], name?: string): void {
    if (states.length === 0 && settled.length === 0) return;
    this.#mirror.settle(settled, states);
    this.#tell({ type: 'news', states, settled, ...(name !== undefined && { name }) });
    this.#changed();
  }

  #hear(said: CookieGossip): void {
    switch (said.type) {
      case 'ask':
        if (this.#lead !== null) this.#tell({ type: 'all', snapshot: this.#mirror.snapshot() });
        return;
      case 'change':
        this.#mirror.change(said.change);
        this.#lead?.();
        break;
      // What another tab learnt of a link that it has no longer is not for the one that has it now.
      case 'all':
        if (this.#lead !== null) return;
        this.#mirror.restore(said.snapshot);
        this.#known();
        break;
      case 'news':
        this.#mirror.settle(said.settled, said.states);
        if (said.name !== undefined) this.#tell({ type: 'heard', name: said.name });
        break;
      case 'heard':
        this.#spreading.get(said.name)?.();
        return;
    }
    this.#changed();
  }

  #changed(): void {
    for (const changed of [...this.#watchers]) changed();
  }

  #tell(said: CookieGossip): void {
    this.#channel.postMessage(said);
  }
}

/** Every other tab waits for the link. */
async function waitingForLink(): Promise<number> {
  const { pending = [] } = await navigator.locks.query();
  return pending.filter(({ name }) => name === LINK_LOCK).length;
}
