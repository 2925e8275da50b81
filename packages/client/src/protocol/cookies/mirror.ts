/**
 * The browser's copy of the cookies that scripts may read. The jar itself is the device's; what a page asked for and the device has not yet answered is
 * laid over the copy each time it is read, so an answer that crosses a change on its way can neither undo it nor be lost. Pure.
 */
import { defaultPath, parseCookieLine, pathMatches } from './line.js';
import type { CookieState, JarReport } from './state.js';

/** One `document.cookie = cookie` that the device has not answered. */
export interface CookieChange {
  readonly id: string;
  /** Of the document. */
  readonly path: string;
  readonly cookie: string;
  /** When, by this browser's clock. */
  readonly at: number;
}

/** All that a tab needs to know what the others do. */
export interface MirrorSnapshot {
  readonly kept: readonly CookieState[];
  readonly changes: readonly CookieChange[];
  readonly ahead: number;
  readonly local: boolean;
}

export interface VisibleCookie {
  readonly name: string;
  readonly value: string;
}

/** Far more than a jar holds, so that only what is gone is ever forgotten. */
const MOST_KEPT = 1_024;
/** Changes that wait for a link. Beyond this the oldest are forgotten. */
const MOST_CHANGES = 512;

export class CookieMirror {
  readonly #host: string;
  /** Also what is gone, with its stamp: older news must not bring it back. */
  #kept = new Map<string, CookieState>();
  #changes: CookieChange[] = [];
  /** The device's clock less this browser's. */
  #ahead = 0;
  /** The device keeps no jar: what scripts set lives here, as long as a tab does. */
  #local = false;

  /** `host` is the one that documents see. */
  constructor(host: string) {
    this.#host = host;
  }

  get changes(): readonly CookieChange[] {
    return this.#changes;
  }

  isPending(id: string): boolean {
    return this.#changes.some((change) => change.id === id);
  }

  /** Cookies that a document at `path` sees, in the order of RFC 6265 5.4. */
  visible(path: string, now: number): VisibleCookie[] {
    const all = this.#changes.length === 0 ? this.#kept : new Map(this.#kept);
    for (const change of this.#changes) this.#play(change, all);
    return [...all.values()]
      .filter((cookie) => cookie.value !== null && pathMatches(path, cookie.path) && (cookie.expires === null || cookie.expires > now + this.#ahead))
      .sort((a, b) => b.path.length - a.path.length || a.created - b.created)
      .map(({ name, value }) => ({ name, value: value ?? '' }));
  }

  /** A script wants this. */
  change(change: CookieChange): void {
    if (this.isPending(change.id)) return;
    this.#changes.push(change);
    if (this.#changes.length > MOST_CHANGES) this.#changes.shift();
  }

  /** The device has done, or refused, these changes; `states` says what is so now. */
  settle(ids: readonly string[], states: readonly CookieState[]): void {
    const settled = this.#changes.filter(({ id }) => ids.includes(id));
    this.#changes = this.#changes.filter(({ id }) => !ids.includes(id));
    if (this.#local) for (const change of settled) this.#play(change, this.#kept);
    this.apply(states);
  }

  /** News of single cookies, in any order. */
  apply(states: readonly CookieState[]): void {
    for (const state of states) {
      const key = keyOf(state);
      if (state.stamp >= (this.#kept.get(key)?.stamp ?? -1)) this.#kept.set(key, state);
    }
    if (this.#kept.size > MOST_KEPT) this.#forgetGone();
  }

  /** Takes the device's list for its jar. `anew`: the link is a new one, and so might be the jar; else what came later than the list is kept. */
  list(report: JarReport, now: number, anew: boolean): void {
    const later = anew ? [] : [...this.#kept.values()].filter(({ stamp }) => stamp > report.stamp);
    this.#local = false;
    this.#ahead = report.now - now;
    this.#kept = new Map(report.cookies.map((state) => [keyOf(state), state]));
    this.apply(later);
  }

  /** The device keeps no jar. */
  keepNone(): void {
    if (this.#local) return;
    this.#local = true;
    this.#ahead = 0;
    this.#kept.clear();
  }

  snapshot(): MirrorSnapshot {
    return { kept: [...this.#kept.values()], changes: this.#changes, ahead: this.#ahead, local: this.#local };
  }

  /** Becomes like the tab that has the link; what this one asked for and that one has not heard of yet stays. */
  restore({ kept, changes, ahead, local }: MirrorSnapshot): void {
    this.#kept = new Map(kept.map((state) => [keyOf(state), state]));
    this.#ahead = ahead;
    this.#local = local;
    const own = this.#changes;
    this.#changes = [...changes];
    for (const change of own) this.change(change);
  }

  #play({ path, cookie, at }: CookieChange, jar: Map<string, CookieState>): void {
    const line = parseCookieLine(cookie, at + this.#ahead);
    // A domain that is not this page's may be the target's: only the device knows, and until it has said so nothing shows.
    if (line === null || line.httpOnly || (line.domain !== null && !within(this.#host, line.domain))) return;
    const { name, value, domain, expires } = line;
    const found = { name, path: line.path ?? defaultPath(path), domain };
    const key = keyOf(found);
    const old = jar.get(key);
    const created = old !== undefined && old.value !== null ? old.created : 1 + Math.max(-1, ...Array.from(jar.values(), (each) => each.created));
    const gone = expires !== null && expires <= at + this.#ahead;
    jar.set(key, { ...found, value: gone ? null : value, expires, created, stamp: old?.stamp ?? 0 });
  }

  #forgetGone(): void {
    const gone = [...this.#kept].filter(([, { value }]) => value === null).sort(([, a], [, b]) => a.stamp - b.stamp);
    for (const [key] of gone.slice(0, this.#kept.size - MOST_KEPT)) this.#kept.delete(key);
  }
}

function keyOf({ name, path, domain }: Pick<CookieState, 'name' | 'path' | 'domain'>): string {
  return JSON.stringify([name, path, domain]);
}

function within(host: string, domain: string): boolean {
  return host === domain || host.endsWith(`.${domain}`);
}
