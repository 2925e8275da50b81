import { describe, expect, it } from 'vitest';
import { CookieMirror } from './mirror.js';
import { type CookieState, readReport, readStateField } from './state.js';

const NOW = 1_000_000_000_000;
const state = (name: string, value: string | null, stamp: number, more: Partial<CookieState> = {}): CookieState => ({
  name, value, path: '/', domain: null, expires: null, created: stamp, stamp, ...more,
});

function mirror(...states: CookieState[]) {
  const mirror = new CookieMirror('device.localhost');
  mirror.apply(states);
  let number = 0;
  return {
    mirror,
    set: (cookie: string, path = '/') => mirror.change({ id: `${number++}`, path, cookie, at: NOW }),
    sees: (path = '/', now = NOW) => mirror.visible(path, now).map(({ name, value }) => `${name}=${value}`).join('; '),
  };
}

describe('CookieMirror', () => {
  it('orders_by_path_and_age_and_shows_what_matches_and_has_not_expired', () => {
    const { sees } = mirror(
      state('young', '1', 5), state('old', '1', 6, { created: 1 }), state('deep', '1', 9, { path: '/a/b' }), state('aside', '1', 2, { path: '/x' }),
      state('brief', '1', 3, { expires: NOW + 1_000, created: 30 }),
    );
    expect(sees('/a/b/c')).toBe('deep=1; old=1; young=1; brief=1');
    expect(sees('/', NOW + 1_000)).toBe('old=1; young=1');
  });

  it('lets_the_latest_win_in_whatever_order_news_comes', () => {
    const { mirror: own, sees } = mirror(state('a', 'new', 7), state('a', 'older', 6), state('b', null, 9), state('b', 'before', 8));
    expect(sees()).toBe('a=new');
    own.apply([state('a', null, 8), state('a', 'late', 7)]);
    expect(sees()).toBe('');
  });

  it('tells_apart_what_has_another_path_or_domain', () => {
    const { sees, set } = mirror(state('a', '1', 1));
    set('a=2; Path=/x');
    set('a=3; Domain=localhost');
    expect(sees('/x')).toBe('a=2; a=1; a=3');
  });

  it('shows_at_once_what_a_script_sets_and_refuses_what_a_browser_would', () => {
    const { sees, set } = mirror(state('kept', '1', 4));
    set('a=1');
    set('folder=1', '/x/y');
    set('hidden=1; HttpOnly');
    set('far=1; Domain=target.example');
    set('kept=; Max-Age=0');
    set('gone=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT');
    expect(sees('/x/')).toBe('folder=1; a=1');
    expect(sees()).toBe('a=1');
  });

  it('goes_by_the_clock_of_the_device', () => {
    const { mirror: own, sees, set } = mirror();
    own.list({ stamp: 1, now: NOW + 3_600_000, cookies: [state('a', '1', 1, { expires: NOW + 3_600_500 })] }, NOW, true);
    set('b=1; Max-Age=1');
    expect(sees('/', NOW + 400)).toBe('a=1; b=1');
    expect(sees('/', NOW + 600)).toBe('b=1');
    expect(sees('/', NOW + 1_000)).toBe('');
  });

  it('keeps_a_change_over_news_that_crossed_it_until_the_device_has_answered', () => {
    const { mirror: own, sees, set } = mirror(state('a', 'before', 1));
    set('a=mine');
    own.apply([state('a', 'crossed', 2)]);
    expect(sees()).toBe('a=mine');
    own.list({ stamp: 2, now: NOW, cookies: [state('a', 'crossed', 2)] }, NOW, false);
    expect(sees()).toBe('a=mine');
    own.settle(['0'], [state('a', 'mine', 3)]);
    expect(sees()).toBe('a=mine');
    expect(own.changes).toEqual([]);
  });

  it('shows_what_the_device_says_of_a_change_that_it_refused', () => {
    const { mirror: own, sees, set } = mirror();
    set('session=mine');
    expect(sees()).toBe('session=mine');
    own.settle(['0'], [state('session', null, 0)]);
    expect(sees()).toBe('');
  });

  it('takes_a_list_for_all_there_is_except_for_what_came_later', () => {
    const { mirror: own, sees } = mirror(state('a', '1', 1), state('later', '1', 9));
    own.list({ stamp: 5, now: NOW, cookies: [state('b', '1', 4)] }, NOW, false);
    expect(sees()).toBe('b=1; later=1');
    own.list({ stamp: 2, now: NOW, cookies: [state('c', '1', 2)] }, NOW, true);
    expect(sees()).toBe('c=1');
  });

  it('is_a_jar_of_its_own_where_the_device_keeps_none', () => {
    const { mirror: own, sees, set } = mirror(state('of-the-device', '1', 1));
    own.keepNone();
    set('a=1');
    own.settle(['0'], []);
    set('b=2');
    own.keepNone();
    expect(sees()).toBe('a=1; b=2');
    expect(own.changes.length).toBe(1);
  });

  it('tells_another_tab_everything_and_loses_nothing_of_that_tabs_own', () => {
    const { mirror: own, set } = mirror(state('a', '1', 1));
    set('b=1');
    const other = new CookieMirror('device.localhost');
    other.change({ id: 'other', path: '/', cookie: 'c=1', at: NOW });
    other.restore(own.snapshot());
    expect(other.visible('/', NOW).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(other.changes.map(({ id }) => id)).toEqual(['0', 'other']);
  });

  it('is_bounded', () => {
    const { mirror: own, set } = mirror();
    for (let stamp = 0; stamp < 3_000; stamp++) {
      own.apply([state(`gone${stamp}`, null, stamp)]);
      set(`a=${stamp}`);
    }
    expect(own.snapshot().kept.length).toBeLessThanOrEqual(1_024);
    expect(own.changes.length).toBe(512);
    expect(own.changes.at(-1)?.cookie).toBe('a=2999');
  });
});

describe('what the device says', () => {
  it('is_read_as_written_and_anything_else_is_nothing', () => {
    const given = state('ü', 'a b', 3, { domain: 'x.org', expires: 5 });
    expect(readStateField(encodeURIComponent(JSON.stringify(given)))).toEqual(given);
    expect(readStateField('*')).toBe('anew');
    for (const value of ['', '%', '{}', 'null', '7', encodeURIComponent('{"name":1}')]) expect(readStateField(value), value).toBeNull();
    expect(readReport(JSON.stringify({ stamp: 1, now: 2, cookies: [given], more: 1 }))).toEqual({ stamp: 1, now: 2, cookies: [given] });
    for (const text of ['', 'null', '[]', '{"stamp":1,"now":2}', '{"stamp":1,"now":2,"cookies":[{}]}', '{"stamp":"1","now":2,"cookies":[]}']) expect(readReport(text), text).toBeNull();
  });
});
