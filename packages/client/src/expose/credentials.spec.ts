import { describe, expect, it } from 'vitest';
import { basicRealm, Credentials } from './credentials.js';

describe('Credentials', () => {
  it('go_unasked_to_the_folder_that_asked_and_below_and_nowhere_else', () => {
    const credentials = new Credentials();
    credentials.give('admin', '/admin/users?x=/y/', 'ada', 'pass:wörd');
    const header = 'Basic YWRhOnBhc3M6d8O2cmQ=';
    expect(['/admin/', '/admin/users', '/admin/deep/er', '/administer', '/admin', '/'].map((path) => credentials.for(path)?.authorization ?? null)).toEqual([header, header, header, null, null, null]);
  });

  it('go_elsewhere_once_the_same_realm_is_asked_for_there', () => {
    const credentials = new Credentials();
    credentials.give('admin', '/admin/', 'ada', 'x');
    expect(credentials.answer('other', '/reports/1')).toBeNull();
    expect(credentials.for('/reports/2')).toBeNull();
    expect(credentials.answer('admin', '/reports/1')).toBe(credentials.for('/admin/'));
    expect(credentials.for('/reports/2')).toBe(credentials.for('/admin/'));
  });

  it('of_the_nearest_folder_win_and_wrong_ones_are_forgotten', () => {
    const credentials = new Credentials();
    credentials.give('all', '/', 'a', 'x');
    credentials.give('part', '/part/', 'b', 'x');
    const part = credentials.for('/part/1');
    if (part === null) throw new Error('nothing for it');
    expect(part).not.toBe(credentials.for('/'));
    credentials.refuse(part);
    expect(credentials.for('/part/1')).toBe(credentials.for('/'));
  });

  it('are_bounded', () => {
    const credentials = new Credentials();
    for (let n = 0; n < 100; n++) credentials.give(`${n}`, `/${n}/`, 'a', `${n}`);
    expect(credentials.for('/0/')).toBeNull();
    for (let n = 0; n < 100; n++) credentials.answer('99', `/x${n}/`);
    expect(credentials.for('/x98/')).toBeNull();
  });
});

describe('basicRealm', () => {
  it('finds_the_basic_challenge_among_others', () => {
    const realm = (...values: string[]): string | null => basicRealm(values.map((value) => ['www-authenticate', value]));
    expect(realm('Basic realm="a b", charset="UTF-8"')).toBe('a b');
    expect(realm('basic realm=plain')).toBe('plain');
    expect(realm('Basic charset="UTF-8", realm = "with \\"quotes\\""')).toBe('with "quotes"');
    expect(realm('Digest realm="d, Basic realm=x", nonce="n"')).toBeNull();
    expect(realm('Digest realm="d", nonce="n", Basic realm="b"')).toBe('b');
    expect(realm('Negotiate', 'Basic realm="b"')).toBe('b');
    expect(realm('Basic')).toBe('');
    expect(realm('Basic, Digest realm="d"')).toBe('');
    expect(realm()).toBeNull();
  });
});
