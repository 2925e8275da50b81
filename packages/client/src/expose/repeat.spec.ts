import { expect, it } from 'vitest';
import { repeatIn } from './repeat.js';

it('repeats_what_changes_nothing_after_the_link_was_lost', () => {
  for (const code of ['gone', 'lost', 'closed'] as const) {
    for (const method of ['GET', 'HEAD', 'OPTIONS']) expect(repeatIn(code, method, 'none')).toBe(0);
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) expect(repeatIn(code, method, 'none')).toBeNull();
    expect(repeatIn(code, 'OPTIONS', 'untouched')).toBeNull();
  }
});

it('repeats_any_method_of_which_nothing_was_done', () => {
  for (const code of ['busy', 'unreachable'] as const) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      expect(repeatIn(code, method, 'none')).toBeGreaterThan(0);
      expect(repeatIn(code, method, 'untouched')).toBeGreaterThan(0);
      expect(repeatIn(code, method, 'begun')).toBeNull();
    }
  }
});

it('repeats_nothing_else', () => {
  for (const code of ['cancelled', 'refused', 'malformed', 'too-large', 'broken', 'timeout', 'denied', 'internal'] as const) expect(repeatIn(code, 'GET', 'none')).toBeNull();
});
