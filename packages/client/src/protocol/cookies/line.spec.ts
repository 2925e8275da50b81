import { describe, expect, it } from 'vitest';
import { defaultPath, parseCookieDate, parseCookieLine, pathMatches } from './line.js';

const NOW = 1_000_000;

describe('parseCookieLine', () => {
  it('reads_names_values_and_attributes_as_browsers_do', () => {
    expect(parseCookieLine(' a = b=c ; PATH=/x; Domain=.Example.org; secure; HttpOnly; Max-Age=60; Expires=Wed, 21 Oct 2015 07:28:00 GMT', NOW)).toEqual({
      name: 'a', value: 'b=c', path: '/x', domain: 'example.org', secure: true, httpOnly: true, expires: NOW + 60_000,
    });
    expect(parseCookieLine('just a value', NOW)).toMatchObject({ name: '', value: 'just a value', path: null, domain: null, expires: null });
    expect(parseCookieLine('a=1; Path=relative; Domain=; Max-Age=soon; Expires=never', NOW)).toMatchObject({ path: null, domain: null, expires: null });
    expect(parseCookieLine('a=1; Path=/x; Path=', NOW)).toMatchObject({ path: null });
  });

  it('takes_no_notice_of_what_is_no_cookie', () => {
    for (const line of ['', ';', '=', ' = ; Path=/', 'a=1\n', 'a=\0', `a=${'x'.repeat(4_096)}`, `a=${'ü'.repeat(2_048)}`]) expect(parseCookieLine(line, NOW), JSON.stringify(line)).toBeNull();
    expect(parseCookieLine(`a=${'x'.repeat(4_095)}; Path=/${'x'.repeat(1_024)}`, NOW)).toMatchObject({ path: null });
    expect(parseCookieLine('a=\t1', NOW)).toMatchObject({ value: '1' });
  });

  it('keeps_what_prefixes_promise', () => {
    for (const line of ['__Secure-a=1; Secure', '__Host-a=1; Secure; Path=/', '__host-a=1; Secure; Path=/']) expect(parseCookieLine(line, NOW)).not.toBeNull();
    for (const line of ['__Secure-a=1', '__Host-a=1; Secure', '__Host-a=1; Path=/', '__HOST-a=1; Secure; Path=/; Domain=x.org', '=__Host-a=1; Secure; Path=/']) {
      expect(parseCookieLine(line, NOW), line).toBeNull();
    }
  });
});

describe('SameSite=None', () => {
  it('needs_secure', () => {
    expect(parseCookieLine('a=1; SameSite=None', NOW)).toBeNull();
    for (const line of ['a=1; SameSite=None; Secure', 'a=1; SameSite=None; SameSite=Lax', 'a=1; SameSite=else']) expect(parseCookieLine(line, NOW), line).not.toBeNull();
  });
});

describe('parseCookieDate', () => {
  it('reads_what_browsers_read', () => {
    const date = Date.UTC(1994, 10, 6, 8, 49, 37);
    for (const text of ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994', '06 november 1994 8:49:37', '08:49:37 06 Nov 94']) expect(parseCookieDate(text), text).toBe(date);
    expect(parseCookieDate('1 Jan 69 0:0:0')).toBe(Date.UTC(2069, 0, 1));
    for (const text of ['', '0', 'tomorrow', '31 Feb 2020 00:00:00', '32 Jan 2020 00:00:00', '1 Jan 2020 24:00:00', '1 Jan 1600 00:00:00']) expect(parseCookieDate(text), text).toBeNull();
  });
});

describe('paths', () => {
  it('match_whole_folders', () => {
    expect(['/a', '/a/', '/a/b', '/ab', '/'].map((path) => pathMatches(path, '/a'))).toEqual([true, true, true, false, false]);
    expect(['/a', '/a/', '/a/b'].map((path) => pathMatches(path, '/a/'))).toEqual([false, true, true]);
    expect(pathMatches('/anything', '/')).toBe(true);
  });

  it('default_to_the_folder_of_the_document', () => {
    expect(['/', '/a', '/a/', '/a/b'].map(defaultPath)).toEqual(['/', '/', '/a', '/a']);
  });
});
