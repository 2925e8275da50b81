import { describe, expect, it } from 'vitest';
import { type Arrival, route } from './route.js';

const ORIGIN = 'http://device.localhost:9000';
const OURS = `${ORIGIN}/page`;
const FOREIGN = 'https://elsewhere.example/';

function to(arrival: Partial<Arrival>): string {
  return route({ url: `${ORIGIN}/a?b`, method: 'GET', mode: 'navigate', destination: 'document', referrer: '', ...arrival }, ORIGIN).to;
}

describe('route', () => {
  it('leaves_other_origins_to_the_browser', () => {
    expect(to({ url: 'https://cdn.example/x.js', mode: 'no-cors', destination: 'script' })).toBe('browser');
    expect(to({ url: 'http://device.localhost:9001/x.js', mode: 'no-cors', destination: 'script' })).toBe('browser');
  });

  it('never_forwards_the_own_path', () => {
    for (const path of ['/__peerage', '/__peerage/', '/__peerage/shell.js', '/x/../__peerage/shell.js', '/__peerage/%2e%2e/a']) {
      expect(to({ url: ORIGIN + path, mode: 'cors', destination: '' })).toBe(path.endsWith('a') ? 'device' : 'own');
    }
    expect(to({ url: `${ORIGIN}/__peerage_not/x`, mode: 'cors', destination: '' })).toBe('device');
  });

  it('answers_every_plain_navigation_of_the_tab_with_the_shell', () => {
    for (const referrer of ['', OURS, FOREIGN]) expect(to({ referrer })).toBe('shell');
  });

  it('answers_navigations_of_frames_from_the_device', () => {
    for (const destination of ['iframe', 'frame', 'embed', 'object']) {
      for (const referrer of ['', OURS, FOREIGN]) expect(to({ destination, referrer })).toBe('device');
    }
  });

  it('does_not_forward_a_form_of_another_site', () => {
    for (const destination of ['document', 'iframe']) expect(to({ method: 'POST', destination, referrer: FOREIGN })).toBe('nobody');
    expect(to({ method: 'POST', referrer: 'http://device.localhost:9001/' })).toBe('nobody');
    expect(to({ method: 'POST', referrer: 'not a url' })).toBe('nobody');
  });

  it('asks_the_person_where_the_cause_of_a_form_cannot_be_told', () => {
    for (const destination of ['document', 'iframe']) {
      for (const referrer of ['', 'about:client']) expect(to({ method: 'POST', destination, referrer })).toBe('person');
    }
  });

  it('forwards_forms_of_the_app_and_shows_the_shell_around_them', () => {
    expect(to({ method: 'POST', destination: 'iframe', referrer: OURS })).toBe('device');
    expect(to({ method: 'POST', destination: 'document', referrer: OURS })).toBe('shell-then-device');
  });

  it('forwards_what_our_own_pages_fetch_and_nothing_with_a_foreign_referrer', () => {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS']) {
      expect(to({ method, mode: 'cors', destination: '', referrer: '' })).toBe('device');
      expect(to({ method, mode: 'same-origin', destination: '', referrer: OURS })).toBe('device');
      expect(to({ method, mode: 'no-cors', destination: 'image', referrer: FOREIGN })).toBe('nobody');
    }
  });
});
