import { describe, expect, it } from 'vitest';
import type { Code } from '../error.js';
import type { LinkStatus } from './messages.js';
import { badge, explain, obstacle, panel, statusOf } from './states.js';

const CODES: Code[] = [
  'bad-link', 'unsupported', 'unreachable-server', 'peer-unavailable', 'no-answer', 'denied', 'stale', 'busy', 'wrong-device', 'no-route', 'closed',
  'lost', 'protocol', 'flow', 'hello', 'none', 'cancelled', 'refused', 'malformed', 'too-large', 'unreachable', 'broken', 'timeout', 'gone', 'internal',
];
const HERE = { secure: true, serviceWorker: true, webRtc: true, device: true, framed: false };

describe('words', () => {
  for (const code of CODES) {
    it(`say_what_happened_why_and_what_to_do_for ${code}`, () => {
      const { title, why, remedies } = explain(code);
      expect(title).not.toMatch(/[.!]$/);
      expect(why).toMatch(/\.$/);
      expect(remedies.length).toBeGreaterThan(0);
      expect(statusOf(code)).toBeGreaterThanOrEqual(400);
    });
  }

  it('show_the_app_and_no_panel_while_the_link_is_open', () => {
    expect(panel({ is: 'open', route: 'direct', roundTrip: 3 })).toBeNull();
  });

  it('count_the_steps_of_connecting', () => {
    const steps = (step: Extract<LinkStatus, { is: 'connecting' }>['step']) => panel({ is: 'connecting', step })?.steps.map(({ state }) => state).join();
    expect(steps('calling')).toBe('now,later,later');
    expect(steps('verifying')).toBe('done,now,later');
    expect(steps('connecting')).toBe('done,done,now');
  });

  it('offer_another_try_after_every_failure', () => {
    expect(panel({ is: 'waiting', code: 'lost', at: 5 })).toMatchObject({ action: 'Try now', until: 5 });
    expect(panel({ is: 'failed', code: 'denied' })).toMatchObject({ action: 'Try again', until: null });
  });

  it('tell_direct_from_relayed_and_give_the_round_trip', () => {
    expect(badge({ is: 'open', route: 'direct', roundTrip: 12.4 }).text).toBe('Direct · 12 ms');
    expect(badge({ is: 'open', route: 'relayed', roundTrip: null }).text).toBe('Relayed');
    expect(badge({ is: 'open', route: null, roundTrip: null }).text).toBe('Connected');
  });

  it('name_the_first_thing_that_stands_in_the_way', () => {
    expect(obstacle(HERE)).toBeNull();
    expect(obstacle({ ...HERE, secure: false, serviceWorker: false })?.title).toContain('https');
    expect(obstacle({ ...HERE, serviceWorker: false })?.text).toContain('service worker');
    expect(obstacle({ ...HERE, webRtc: false })?.title).toContain('browser');
    expect(obstacle({ ...HERE, device: false })?.title).toContain('address');
    expect(obstacle({ ...HERE, framed: true })?.title).toContain('tab');
  });
});
