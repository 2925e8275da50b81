import { describe, expect, it } from 'vitest';
import { arrived, looksDamaged } from './arrival.js';

const SECRET = 'abcdefghijklmnopqrstuvwxyz';
const at = (fragment: string) => arrived(`http://device.localhost:9000/${fragment}`);

describe('arrived', () => {
  it('takes_secret_and_path_from_a_link', () => {
    expect(at(`#1.${SECRET}`)).toEqual({ secret: SECRET, address: '/' });
    expect(at(`#1.${SECRET}/a/b?c=1#/route`)).toEqual({ secret: SECRET, address: '/a/b?c=1#/route' });
  });

  it('leaves_the_fragments_of_the_app_alone', () => {
    for (const fragment of ['', '#', '#/route', '#1.short', `#2.${SECRET}`, `#1.${SECRET}x`]) expect(at(fragment)).toBeNull();
  });

  it('never_leads_out_of_the_app', () => {
    for (const path of ['//elsewhere.example/x', '/\\elsewhere.example', '/__peerage/worker.js', '/x/../__peerage/', '//[']) {
      expect(at(`#1.${SECRET}${path}`)).toEqual({ secret: SECRET, address: '/' });
    }
  });

  it('tells_a_damaged_link_from_what_the_app_may_have_put_there', () => {
    const damaged = (fragment: string) => looksDamaged(`http://device.localhost:9000/${fragment}`);
    for (const fragment of ['#1.', '#1.abc', `#1.${SECRET}x`, `#1.${SECRET.slice(1)}/path`, `#1.${SECRET.toUpperCase()}`]) expect(damaged(fragment)).toBe(true);
    for (const fragment of ['', `#1.${SECRET}`, '#/route', '#1', '#1.2.3', '#section-1.2']) expect(damaged(fragment)).toBe(false);
  });
});
