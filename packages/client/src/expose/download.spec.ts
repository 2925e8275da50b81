import { describe, expect, it } from 'vitest';
import { downloadAddress, wantedName, withWantedName } from './download.js';

function disposition(given: string | null, name: string): string | null {
  const headers = new Headers(given === null ? {} : { 'content-disposition': given });
  withWantedName(headers, name);
  return headers.get('content-disposition');
}

describe('downloads', () => {
  it('carry_the_wanted_name_in_the_fragment', () => {
    for (const name of ['', 'a b.txt', "it's (1)*.txt", 'größe&x=1#2.csv', '50%']) {
      expect(wantedName(new URL(downloadAddress('http://a.localhost/f?x=1#old', name)))).toBe(name);
    }
  });

  it('are_not_seen_in_other_fragments', () => {
    for (const hash of ['', '#x', '#/peerage-download=x']) expect(wantedName(new URL(`http://a.localhost/${hash}`))).toBeNull();
    expect(wantedName(new URL('http://a.localhost/#peerage-download=%ff'))).toBe('');
  });

  it('take_the_wanted_name_unless_the_target_gives_one', () => {
    expect(disposition(null, 'ä.txt')).toBe("attachment; filename*=UTF-8''%C3%A4.txt");
    expect(disposition('inline', "it's")).toBe("attachment; filename*=UTF-8''it%27s");
    expect(disposition('inline; filename="own.txt"', 'x')).toBe('attachment; filename="own.txt"');
    expect(disposition("attachment; filename*=UTF-8''own", 'x')).toBe("attachment; filename*=UTF-8''own");
    expect(disposition('attachment', '')).toBe('attachment');
  });
});
