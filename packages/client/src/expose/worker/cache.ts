/** The app's HTTP cache, over Cache Storage: bounded, the least recently used goes first, and whatever fails is as if it had not been stored. */
import type { Field, Puller } from '../../fetch/exchange.js';
import { fromStream } from '../../fetch/body.js';
import {
  type Asked, clearsCache, conditionsOf, isFresh, isWorthRenewing, matches, outdated, partOf, renewed, storable, type Stored,
} from '../http-cache.js';
import { HTTP_CACHE } from '../messages.js';
import { OWN_PATH } from '../route.js';

/** One answer. Films and archives are read once; what pages are made of is smaller. */
const LONGEST = 8 * 1024 * 1024;
/** All answers. */
const MOST_OCTETS = 128 * 1024 * 1024;
const MOST_ENTRIES = 2_048;
/** Held in memory for answers that are under way. Beyond this they pass unstored. */
const MOST_UNDER_WAY = 32 * 1024 * 1024;

export interface CachedAnswer {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly body: Puller;
}

/** A body that is stored while it passes. */
export type Keep = (body: Puller) => Puller;

interface Entry {
  readonly key: string;
  readonly size: number;
}

export class HttpCache {
  /** By address, the least recently used first; read from the store when a worker begins. */
  #index: Promise<Map<string, Entry>> | null = null;
  #underWay = 0;
  /** What is being stored, by address: whoever asks next finds it. */
  readonly #storing = new Map<string, Promise<void>>();
  /** Bodies that are passing, and how to store none of them after all. */
  readonly #passing = new Set<{ readonly url: string; readonly stop: () => void }>();

  /**
   * Answers from the store where it may, else by `send`, with fields of its own to ask whether what is stored still holds. `keep` is for the body, unpacked and
   * otherwise as it came: it passes through, and what may be stored is. Null where the request wants no network and nothing is stored.
   */
  async answer(asked: Asked, send: (conditions: readonly Field[]) => Promise<CachedAnswer>): Promise<{ answer: CachedAnswer; keep: Keep | null } | null> {
    const part = partOf(asked);
    const found = part.read === 'never' ? null : await this.#find(asked);
    if (found !== null && (part.read === 'any' || (part.read === 'fresh' && isFresh(found.stored, asked)))) {
      return { answer: { status: 200, fields: found.stored.fields, body: found.body() }, keep: null };
    }
    if (!part.network) return null;

    const conditions = found === null ? [] : conditionsOf(found.stored, asked);
    const answer = await send(conditions);
    if (found !== null && conditions.length > 0 && answer.status === 304) {
      answer.body.cancel();
      const stored = renewed(found.stored, asked, answer.fields);
      if (isWorthRenewing(stored)) void this.#renew(asked.url, stored);
      return { answer: { status: 200, fields: stored.fields, body: found.body() }, keep: null };
    }
    if (clearsCache(answer.fields)) await this.#clear();
    for (const url of outdated(asked, answer.status, answer.fields)) await this.#drop(url);
    const stored = part.write ? storable(asked, answer.status, answer.fields) : null;
    if (stored === null && part.write && answer.status === 200) await this.#drop(asked.url);
    return { answer, keep: stored === null ? null : (body) => this.#keep(asked.url, stored, body) };
  }

  async #find(asked: Asked): Promise<{ stored: Stored; body: () => Puller } | null> {
    try {
      await this.#storing.get(asked.url);
      const index = await this.#entries();
      const entry = index.get(asked.url);
      const response = entry && (await (await caches.open(HTTP_CACHE)).match(entry.key));
      if (!entry || !response) {
        // The app may empty the store, as it has the same origin.
        index.delete(asked.url);
        return null;
      }
      const stored = storedIn(response);
      if (!matches(stored, asked)) return null;
      index.delete(asked.url);
      index.set(asked.url, entry);
      // An empty body is none here.
      return { stored, body: () => fromStream(response.body ?? new Blob().stream()) };
    } catch {
      return null;
    }
  }

  /** Passes a body on at its reader's pace and stores it at its end, unless it turns out too long. */
  #keep(url: string, stored: Stored, body: Puller): Puller {
    let pieces: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    let keeping = true;
    const stop = (): void => {
      if (keeping) this.#underWay -= size;
      keeping = false;
      pieces = [];
      this.#passing.delete(passing);
    };
    const passing = { url, stop };
    this.#passing.add(passing);
    return {
      pull: async () => {
        try {
          const piece = await body.pull();
          if (!keeping) return piece;
          if (piece === null) {
            const whole = new Blob(pieces);
            stop();
            this.#store(url, stored, whole);
            return null;
          }
          pieces.push(piece);
          size += piece.byteLength;
          this.#underWay += piece.byteLength;
          if (size > LONGEST || this.#underWay > MOST_UNDER_WAY) stop();
          return piece;
        } catch (error) {
          stop();
          throw error;
        }
      },
      cancel: () => {
        stop();
        body.cancel();
      },
    };
  }

  async #renew(url: string, stored: Stored): Promise<void> {
    try {
      const entry = (await this.#entries()).get(url);
      const response = entry && (await (await caches.open(HTTP_CACHE)).match(entry.key));
      if (response) await this.#put(url, stored, await response.blob());
    } catch {
      // The next use asks again.
    }
  }

  #store(url: string, stored: Stored, body: Blob): void {
    const done = this.#put(url, stored, body).finally(() => this.#storing.get(url) === done && this.#storing.delete(url));
    this.#storing.set(url, done);
  }

  async #put(url: string, stored: Stored, body: Blob): Promise<void> {
    try {
      const [index, cache] = await Promise.all([this.#entries(), caches.open(HTTP_CACHE)]);
      const entry: Entry = { key: keyOf(url, body.size), size: body.size };
      await cache.put(entry.key, new Response(body, { headers: { 'x-stored': encodeURIComponent(JSON.stringify(stored)) } }));
      const old = index.get(url);
      index.delete(url);
      index.set(url, entry);
      if (old !== undefined && old.key !== entry.key) await cache.delete(old.key);
      let octets = 0;
      for (const { size } of index.values()) octets += size;
      for (const [address, { key, size }] of index) {
        if (octets <= MOST_OCTETS && index.size <= MOST_ENTRIES) break;
        index.delete(address);
        octets -= size;
        await cache.delete(key);
      }
    } catch {
      // No room: what is stored is worth less than what the app wants to store.
      await this.#empty();
    }
  }

  async #drop(url: string): Promise<void> {
    for (const passing of this.#passing) if (passing.url === url) passing.stop();
    await this.#storing.get(url);
    try {
      const index = await this.#entries();
      const entry = index.get(url);
      index.delete(url);
      if (entry !== undefined) await (await caches.open(HTTP_CACHE)).delete(entry.key);
    } catch {
      await this.#empty();
    }
  }

  async #clear(): Promise<void> {
    for (const { stop } of this.#passing) stop();
    await Promise.all(this.#storing.values());
    await this.#empty();
  }

  async #empty(): Promise<void> {
    this.#index = null;
    await caches.delete(HTTP_CACHE).catch(() => false);
  }

  #entries(): Promise<Map<string, Entry>> {
    this.#index ??= readIndex();
    return this.#index;
  }
}

/** From the keys alone, which are in the order of their storing. */
async function readIndex(): Promise<Map<string, Entry>> {
  const index = new Map<string, Entry>();
  const cache = await caches.open(HTTP_CACHE);
  for (const { url } of await cache.keys()) {
    const [, size, address] = /\/stored\/(\d+)\?(.*)$/.exec(url) ?? [];
    if (size === undefined || address === undefined) continue;
    const plain = decodeURIComponent(address);
    index.delete(plain);
    index.set(plain, { key: url, size: Number(size) });
  }
  return index;
}

/** Says what a worker that begins must know of an entry. */
function keyOf(url: string, size: number): string {
  return new URL(`${OWN_PATH}stored/${size}?${encodeURIComponent(url)}`, url).href;
}

function storedIn(response: Response): Stored {
  return JSON.parse(decodeURIComponent(response.headers.get('x-stored') ?? '')) as Stored;
}
