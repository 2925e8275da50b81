import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Field } from '../fetch/exchange.js';
import { type Asked, clearsCache, conditionsOf, isFresh, isWorthRenewing, matches, outdated, partOf, renewed, storable, type Stored } from './http-cache.js';

const URL_ = 'http://device.localhost/a';
const asked = (more: Partial<Asked> = {}): Asked => ({ url: URL_, method: 'GET', cache: 'default', navigation: false, credentials: 'same-origin', fields: [], ...more });
function stored(fields: Field[], request = asked()): Stored {
  const found = storable(request, 200, fields);
  if (found === null) throw new Error('not stored');
  return JSON.parse(JSON.stringify(found)) as Stored;
}
const later = (seconds: number): unknown => vi.advanceTimersByTime(seconds * 1_000);
const FRESH: Field = ['cache-control', 'max-age=60'];
const ETAG: Field = ['etag', '"1"'];

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('partOf', () => {
  it('follows_the_cache_modes_of_fetch', () => {
    expect(Object.fromEntries(['default', 'no-store', 'reload', 'no-cache', 'force-cache', 'only-if-cached'].map((cache) => {
      const { read, write, network } = partOf(asked({ cache }));
      return [cache, `${read}${write ? ', write' : ''}${network ? '' : ', no network'}`];
    }))).toEqual({
      default: 'fresh, write', 'no-store': 'never', reload: 'never, write', 'no-cache': 'checked, write', 'force-cache': 'any, write', 'only-if-cached': 'any, write, no network',
    });
  });

  it('has_none_in_what_is_the_apps_own_affair', () => {
    for (const name of ['range', 'if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'if-range']) {
      expect(partOf(asked({ fields: [[name, 'x']] })), name).toMatchObject({ read: 'never', write: false });
    }
    expect(partOf(asked({ method: 'POST' }))).toMatchObject({ read: 'never', write: false });
    expect(partOf(asked({ credentials: 'omit' }))).toMatchObject({ read: 'never', write: false });
  });

  it('asks_about_documents_and_about_what_a_key_opened_before_each_use', () => {
    expect(partOf(asked({ navigation: true })).read).toBe('checked');
    expect(partOf(asked({ fields: [['authorization', 'Bearer x']] })).read).toBe('checked');
  });
});

describe('storable', () => {
  it('takes_what_is_fresh_for_a_time_or_can_be_asked_about', () => {
    for (const field of [FRESH, ETAG, ['last-modified', 'Wed, 21 Oct 2015 07:28:00 GMT'], ['expires', new Date(Date.now() + 60_000).toUTCString()], ['cache-control', 'private, max-age=60'], ['cache-control', 'immutable']] as Field[]) {
      expect(storable(asked(), 200, [field]), String(field)).not.toBeNull();
    }
  });

  it('leaves_what_may_not_or_need_not_be_stored', () => {
    expect(storable(asked(), 200, [])).toBeNull();
    expect(storable(asked(), 200, [ETAG, ['cache-control', 'no-store']])).toBeNull();
    expect(storable(asked(), 200, [ETAG, ['vary', '*']])).toBeNull();
    expect(storable(asked(), 200, [ETAG, ['content-type', 'text/event-stream; charset=utf-8']])).toBeNull();
    for (const status of [206, 304, 401, 404, 500]) expect(storable(asked(), status, [FRESH, ETAG])).toBeNull();
    expect(storable(asked({ method: 'HEAD' }), 200, [FRESH])).toBeNull();
  });

  it('describes_what_is_handed_on_and_writes_no_key_down', () => {
    expect(stored([FRESH, ['content-encoding', 'gzip'], ['content-length', '9'], ['content-type', 'text/css']]).fields).toEqual([FRESH, ['content-type', 'text/css']]);
    expect(stored([FRESH, ['content-length', '9']]).fields).toEqual([FRESH, ['content-length', '9']]);
    const secret = stored([FRESH, ['vary', 'authorization, accept']], asked({ fields: [['authorization', 'Bearer s3cret']] }));
    expect(JSON.stringify(secret)).not.toContain('s3cret');
  });
});

describe('a stored answer', () => {
  it('is_fresh_for_its_time_and_no_longer', () => {
    const found = stored([['cache-control', 'max-age=60, must-revalidate']]);
    expect(isFresh(found, asked())).toBe(true);
    later(61);
    expect(isFresh(found, asked())).toBe(false);
    expect(isFresh(stored([['cache-control', 'no-cache'], ETAG]), asked())).toBe(false);
    expect(isFresh(stored([FRESH]), asked({ fields: [['cache-control', 'no-cache']] }))).toBe(false);
    expect(isFresh(stored([['cache-control', 'max-age=0, stale-while-revalidate=60'], ETAG]), asked())).toBe(false);
  });

  it('that_depends_on_who_asks_is_never_used_unasked', () => {
    expect(isFresh(stored([FRESH, ['vary', 'Accept, Cookie']]), asked())).toBe(false);
    expect(isFresh(stored([FRESH], asked({ fields: [['authorization', 'Bearer x']] })), asked())).toBe(false);
    const withPassword = stored([FRESH, ['peerage-login', 'given']]);
    expect(isFresh(withPassword, asked())).toBe(false);
    expect(withPassword.fields).not.toContainEqual(['peerage-login', 'given']);
  });

  it('is_for_requests_that_are_alike_in_what_it_varies_by', () => {
    const found = stored([FRESH, ['vary', 'Accept-Language, X-Own']], asked({ fields: [['accept-language', 'en']] }));
    expect(matches(found, asked({ fields: [['accept-language', 'en'], ['accept', 'text/x']] }))).toBe(true);
    expect(matches(found, asked({ fields: [['accept-language', 'de']] }))).toBe(false);
    expect(matches(found, asked({ fields: [['accept-language', 'en'], ['x-own', '1']] }))).toBe(false);
  });

  it('is_asked_about_by_what_identifies_it_and_takes_the_news_of_a_304', () => {
    const date: Field = ['last-modified', 'Wed, 21 Oct 2015 07:28:00 GMT'];
    const found = stored([ETAG, date, FRESH, ['content-type', 'text/css'], ['x-own', 'old']]);
    expect(conditionsOf(found, asked())).toEqual([['if-none-match', '"1"'], ['if-modified-since', date[1]]]);
    later(100);
    const again = renewed(found, asked(), [['etag', '"1"'], ['x-own', 'new'], ['content-type', 'text/html'], ['content-length', '0']]);
    expect(again.fields).toEqual([date, FRESH, ['content-type', 'text/css'], ['etag', '"1"'], ['x-own', 'new']]);
    expect(isFresh(again, asked())).toBe(true);
    expect(isWorthRenewing(again)).toBe(true);
    expect(isWorthRenewing(renewed(stored([ETAG, ['cache-control', 'no-cache']]), asked(), []))).toBe(false);
    expect(conditionsOf(stored([FRESH]), asked())).toEqual([]);
  });
});

describe('what an answer does to others', () => {
  it('outdates_what_it_changed_if_it_did_and_nothing_of_another_site', () => {
    const fields: Field[] = [['location', '/b#c'], ['content-location', 'http://elsewhere.example/a']];
    expect(outdated(asked({ method: 'POST' }), 303, fields)).toEqual([URL_, 'http://device.localhost/b']);
    expect(outdated(asked({ method: 'DELETE' }), 404, fields)).toEqual([]);
    expect(outdated(asked(), 200, fields)).toEqual([]);
  });

  it('clears_everything_where_it_says_so', () => {
    expect(clearsCache([['clear-site-data', '"cookies", "cache"']])).toBe(true);
    expect(clearsCache([['clear-site-data', '"*"']])).toBe(true);
    expect(clearsCache([['clear-site-data', '"storage"']])).toBe(false);
    expect(clearsCache([])).toBe(false);
  });
});
