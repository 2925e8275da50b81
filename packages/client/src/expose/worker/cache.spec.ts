import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Field, Puller } from '../../fetch/exchange.js';
import type { Asked } from '../http-cache.js';
import { type CachedAnswer, HttpCache } from './cache.js';

const MIB = 1024 * 1024;
const FRESH: Field[] = [['cache-control', 'max-age=60']];
const asked = (path: string, more: Partial<Asked> = {}): Asked => ({
  url: `http://device.localhost${path}`, method: 'GET', cache: 'default', navigation: false, credentials: 'same-origin', fields: [], ...more,
});

/** As much of Cache Storage as is used. `full`: nothing can be written. */
function storage() {
  const state = { stores: new Map<string, Map<string, Response>>(), full: false };
  const open = (name: string): Map<string, Response> => state.stores.get(name) ?? (state.stores.set(name, new Map()), open(name));
  vi.stubGlobal('caches', {
    open: async (name: string) => ({
      match: async (key: string) => open(name).get(key)?.clone(),
      put: async (key: string, response: Response) => {
        if (state.full) throw new DOMException('full', 'QuotaExceededError');
        open(name).delete(key);
        open(name).set(key, new Response(await response.blob(), { headers: response.headers }));
      },
      delete: async (key: string) => open(name).delete(key),
      keys: async () => [...open(name).keys()].map((url) => ({ url })),
    }),
    delete: async (name: string) => state.stores.delete(name),
  });
  return state;
}

function body(...sizes: number[]): Puller {
  return { pull: async () => (sizes.length === 0 ? null : new Uint8Array(sizes.shift() ?? 0)), cancel: () => void (sizes = []) };
}

/** Asks, reads all of it; what came from the device is counted. */
function scene() {
  const cache = new HttpCache();
  const sent: string[] = [];
  const get = async (path: string, answer: Partial<CachedAnswer> = {}, more: Partial<Asked> = {}): Promise<number> => {
    const found = await cache.answer(asked(path, more), async (conditions) => {
      sent.push([path, ...conditions.map(([, value]) => value)].join(' '));
      return { status: 200, fields: FRESH, body: body(3), ...answer };
    });
    if (found === null) throw new Error('no answer');
    const read = found.keep?.(found.answer.body) ?? found.answer.body;
    let size = 0;
    for (let piece = await read.pull(); piece !== null; piece = await read.pull()) size += piece.length;
    return size;
  };
  return { cache, sent, get };
}

let state: ReturnType<typeof storage>;
beforeEach(() => void (state = storage()));
afterEach(() => vi.unstubAllGlobals());

describe('HttpCache', () => {
  it('keeps_what_it_stored_over_the_end_of_the_worker', async () => {
    const { sent, get } = scene();
    expect([await get('/a'), await get('/a')]).toEqual([3, 3]);
    expect(sent).toEqual(['/a']);
    const next = scene();
    expect(await next.get('/a')).toBe(3);
    expect(next.sent).toEqual([]);
  });

  it('lets_the_least_recently_used_go_when_there_is_too_much', async () => {
    const { sent, get } = scene();
    for (let n = 0; n < 16; n++) await get(`/${n}`, { body: body(8 * MIB) });
    await get('/0');
    await get('/more', { body: body(8 * MIB) });
    sent.length = 0;
    expect(await get('/0')).toBe(8 * MIB);
    expect(sent).toEqual([]);
    await get('/1');
    expect(sent).toEqual(['/1']);
    expect([...state.stores.values()].map((store) => store.size)).toEqual([16]);
  });

  it('passes_what_is_too_long_and_stores_none_of_it', async () => {
    const { sent, get } = scene();
    expect(await get('/long', { body: body(8 * MIB, 1) })).toBe(8 * MIB + 1);
    await get('/long');
    expect(sent).toEqual(['/long', '/long']);
  });

  it('holds_no_more_in_memory_than_it_may_however_many_are_read_slowly', async () => {
    const { cache, sent, get } = scene();
    const slow: Puller[] = [];
    for (let n = 0; n < 5; n++) {
      const found = await cache.answer(asked(`/slow${n}`), async () => ({ status: 200, fields: FRESH, body: body(8 * MIB) }));
      const read = found?.keep?.(found.answer.body);
      if (read) slow.push(read);
      await read?.pull();
    }
    // The fifth was one too many.
    for (const each of slow) expect(await each.pull()).toBeNull();
    for (let n = 0; n < 5; n++) await get(`/slow${n}`);
    expect(sent).toEqual(['/slow4']);
  });

  it('takes_back_the_memory_of_what_was_given_up', async () => {
    const { cache, sent, get } = scene();
    for (let n = 0; n < 10; n++) {
      const found = await cache.answer(asked(`/slow${n}`), async () => ({ status: 200, fields: FRESH, body: body(8 * MIB) }));
      const read = found?.keep?.(found.answer.body);
      await read?.pull();
      read?.cancel();
    }
    await get('/after', { body: body(8 * MIB) });
    await get('/after');
    expect(sent).toEqual(['/after']);
  });

  it('stores_nothing_of_what_broke_or_was_given_up', async () => {
    const { sent, get } = scene();
    const broken: Puller = { pull: async () => Promise.reject(new Error('broken')), cancel: () => {} };
    await expect(get('/a', { body: broken })).rejects.toThrow('broken');
    await get('/a');
    expect(sent).toEqual(['/a', '/a']);
  });

  it('is_as_if_it_were_not_there_when_nothing_can_be_stored', async () => {
    const { sent, get } = scene();
    state.full = true;
    expect([await get('/a'), await get('/a')]).toEqual([3, 3]);
    expect(sent).toEqual(['/a', '/a']);
    vi.stubGlobal('caches', { open: () => Promise.reject(new Error('forbidden')), delete: () => Promise.reject(new Error('forbidden')) });
    expect(await scene().get('/a')).toBe(3);
  });

  it('survives_what_the_app_does_to_the_store', async () => {
    const { sent, get } = scene();
    await get('/a');
    await get('/a');
    for (const store of state.stores.values()) for (const key of store.keys()) store.set(key, new Response('x', { headers: { 'x-stored': '%7B' } }));
    expect([await get('/a'), await get('/a')]).toEqual([3, 3]);
    state.stores.clear();
    expect(await get('/a')).toBe(3);
    expect(sent).toEqual(['/a', '/a', '/a']);
  });

  it('asks_whether_it_still_holds_and_hands_on_what_it_has', async () => {
    const { sent, get } = scene();
    await get('/a', { fields: [['etag', '"1"'], ['cache-control', 'no-cache']] });
    expect(await get('/a', { status: 304, body: body() })).toBe(3);
    expect(sent).toEqual(['/a', '/a "1"']);
  });

  it('does_not_store_what_was_outdated_while_it_passed', async () => {
    const { cache, sent, get } = scene();
    const found = await cache.answer(asked('/a'), async () => ({ status: 200, fields: FRESH, body: body(1, 1) }));
    const old = found?.keep?.(found.answer.body);
    await old?.pull();
    await get('/a', { fields: [] }, { method: 'PUT' });
    expect((await old?.pull())?.length).toBe(1);
    expect(await old?.pull()).toBeNull();
    await get('/a');
    expect(sent).toEqual(['/a', '/a']);
  });

  it('forgets_what_is_outdated_cleared_or_no_longer_to_be_stored', async () => {
    const { sent, get } = scene();
    await get('/a');
    await get('/a', { fields: [] }, { method: 'POST' });
    await get('/a');
    await get('/b', { fields: [['clear-site-data', '"cache"']] });
    await get('/a', { fields: [['cache-control', 'no-store']] }, { cache: 'reload' });
    await get('/a');
    await get('/a', { fields: [['cache-control', 'no-store']] }, { cache: 'reload' });
    await get('/a');
    expect(sent).toEqual(['/a', '/a', '/a', '/b', '/a', '/a', '/a', '/a']);
  });
});
