import { describe, expect, it } from 'vitest';
import { UnknownCoding } from '../fetch/coding.js';
import type { Field } from '../fetch/exchange.js';
import { type RequestFacts, requestFields } from '../fetch/request-fields.js';
import { planResponse } from './headers.js';

const FACTS: RequestFacts = {
  url: new URL('http://device.localhost:9000/a?b'),
  method: 'GET',
  mode: 'cors',
  destination: '',
  cache: 'default',
  credentials: 'same-origin',
  reload: false,
  referrer: '',
  fields: [],
  languages: ['en-GB', 'en'],
  userAgent: 'Browser/1',
};

function sent(facts: Partial<RequestFacts>, length: number | null = null): Record<string, string> {
  return Object.fromEntries(requestFields({ ...FACTS, ...facts }, length));
}

function returned(fields: Field[], { status = 200, method = 'GET', navigation = false } = {}) {
  const plan = planResponse(status, fields, method, navigation);
  return { ...plan, headers: Object.fromEntries(plan.headers) };
}

describe('requestFields', () => {
  it('passes_what_the_app_set', () => {
    const fields: Field[] = [['accept', 'text/x'], ['range', 'bytes=0-'], ['if-none-match', '"a"'], ['authorization', 'Basic x'], ['x-own', '1']];
    expect(sent({ fields })).toMatchObject(Object.fromEntries(fields));
  });

  it('never_sends_cookies_hosts_or_fields_of_one_hop', () => {
    const names = ['cookie', 'host', 'connection', 'transfer-encoding', 'upgrade', 'te', 'proxy-authorization', 'keep-alive'];
    expect(Object.keys(sent({ fields: names.map((name) => [name, 'x']) })).filter((name) => names.includes(name))).toEqual([]);
  });

  it('asks_only_for_codings_that_can_be_unpacked_and_for_none_with_a_range', () => {
    expect(sent({ fields: [['accept-encoding', 'br']] })['accept-encoding']).toBe('gzip, deflate');
    expect(sent({ fields: [['range', 'bytes=5-9']] })['accept-encoding']).toBe('identity');
  });

  it('adds_what_the_browser_would_have_added_later', () => {
    expect(sent({})).toMatchObject({ accept: '*/*', 'accept-language': 'en-GB,en;q=0.9', 'user-agent': 'Browser/1', 'sec-fetch-dest': 'empty' });
    expect(sent({ cache: 'reload' })['cache-control']).toBe('no-cache');
    expect(sent({ cache: 'no-cache' })['cache-control']).toBe('max-age=0');
    expect(sent({ mode: 'navigate', destination: 'iframe' })['sec-fetch-dest']).toBe('document');
  });

  it('names_its_origin_where_methods_change_something', () => {
    expect(sent({ method: 'POST' })['origin']).toBe('http://device.localhost:9000');
    expect(sent({})['origin']).toBeUndefined();
    expect(sent({ fields: [['origin', 'https://elsewhere.example']] })['origin']).toBeUndefined();
  });

  it('sends_no_referrer_but_its_own', () => {
    expect(sent({ referrer: 'http://device.localhost:9000/p?q#f' })['referer']).toBe('http://device.localhost:9000/p?q');
    expect(sent({ referrer: 'https://elsewhere.example/p' })['referer']).toBeUndefined();
    expect(sent({ referrer: '', fields: [['referer', '/x']] })['referer']).toBeUndefined();
    expect(sent({ referrer: 'http://device.localhost:9000/a?b', mode: 'navigate' })['referer']).toBeUndefined();
  });

  it('says_when_it_is_not_known_that_the_app_led_a_frame_here', () => {
    const site = (facts: Partial<RequestFacts>): string | undefined => sent({ mode: 'navigate', destination: 'iframe', ...facts })['sec-fetch-site'];
    expect(site({ referrer: 'https://elsewhere.example/p' })).toBe('cross-site');
    expect(site({ referrer: 'http://device.localhost:9000/p' })).toBe('same-origin');
    expect(site({ referrer: '' })).toBe('cross-site');
    expect(site({ referrer: '', reload: true })).toBe('same-origin');
    expect(site({ mode: 'cors', referrer: '' })).toBe('same-origin');
  });

  it('opts_in_to_cookies_where_there_are_credentials_and_lets_no_app_speak_for_it', () => {
    expect(sent({})['peerage-cookies']).toBe('jar');
    expect(sent({ credentials: 'omit' })['peerage-cookies']).toBeUndefined();
    expect(sent({ credentials: 'omit', mode: 'navigate' })['peerage-cookies']).toBe('jar');
    expect(sent({ mode: 'navigate', referrer: 'https://elsewhere.example/p' })['peerage-cookies']).toBeUndefined();
    expect(sent({ credentials: 'omit', fields: [['peerage-cookies', 'jar'], ['peerage-login', 'none']] })).not.toHaveProperty('peerage-cookies');
    expect(sent({ fields: [['peerage-login', 'none']] })).not.toHaveProperty('peerage-login');
  });

  it('states_the_length_exactly_when_it_is_known', () => {
    expect(sent({ method: 'PUT' }, 0)['content-length']).toBe('0');
    expect(sent({ method: 'DELETE' }, 0)['content-length']).toBeUndefined();
    expect(sent({ method: 'PUT', fields: [['content-length', '7']] })['content-length']).toBeUndefined();
  });
});

describe('planResponse', () => {
  it('gives_no_body_to_answers_that_may_not_have_one', () => {
    for (const status of [204, 205, 304]) expect(returned([], { status }).body).toBe(false);
    expect(returned([], { method: 'HEAD' }).body).toBe(false);
    expect(returned([], { status: 302 }).body).toBe(true);
  });

  it('unpacks_and_then_drops_coding_and_length', () => {
    const plan = returned([['content-encoding', 'deflate, gzip'], ['content-length', '9'], ['etag', '"x"']]);
    expect(plan.decode).toEqual(['gzip', 'deflate']);
    expect(plan.headers).toEqual({ etag: '"x"' });
  });

  it('keeps_the_length_of_what_it_passes_on_untouched', () => {
    expect(returned([['content-length', '9'], ['content-type', 'text/html']]).headers).toMatchObject({ 'content-length': '9' });
    expect(returned([['content-length', '9']], { method: 'HEAD' }).headers).toMatchObject({ 'content-length': '9' });
    expect(returned([['content-length', '9'], ['content-type', 'text/html']], { navigation: true }).headers).not.toHaveProperty('content-length');
  });

  it('refuses_codings_it_cannot_unpack', () => {
    expect(() => returned([['content-encoding', 'br']])).toThrow(UnknownCoding);
    expect(() => returned([['content-encoding', 'identity']])).not.toThrow();
  });

  it('lets_the_app_be_framed_by_this_page_alone_and_leaves_the_rest_of_its_policy', () => {
    const plan = returned([
      ['x-frame-options', 'DENY'],
      ['content-security-policy', "default-src 'self'; frame-ancestors 'none'; img-src *"],
    ]);
    expect(plan.headers).toEqual({
      'x-frame-options': 'SAMEORIGIN',
      'content-security-policy': "default-src 'self'; frame-ancestors 'self'; img-src *",
    });
    expect(returned([['content-security-policy', "frame-ancestors 'none', default-src *"]]).headers['content-security-policy'])
      .toBe("frame-ancestors 'self', default-src *");
  });

  it('lets_a_document_without_an_origin_ask_for_nothing_as_its_requests_would_pass_the_worker_by', () => {
    const asksForNothing = (policy: string): boolean =>
      planResponse(200, [['content-security-policy', policy]], 'GET', true).headers.some(([, value]) => value.includes("default-src data: blob:"));
    for (const policy of ['sandbox', 'sandbox allow-scripts', "img-src *; SANDBOX allow-forms", "img-src *, sandbox allow-scripts"]) expect(asksForNothing(policy)).toBe(true);
    for (const policy of ['', 'sandbox allow-scripts allow-same-origin', "script-src 'self'; report-uri /sandbox"]) expect(asksForNothing(policy)).toBe(false);
  });

  it('lets_no_other_site_frame_a_document_whatever_the_app_says', () => {
    const policies = (policy: Field[]): string[] =>
      planResponse(200, policy, 'GET', true).headers.filter(([name]) => name === 'content-security-policy').map(([, value]) => value);
    expect(policies([])).toEqual(["frame-ancestors 'self'; object-src data: blob:"]);
    expect(policies([['content-security-policy', 'img-src *']])).toEqual(['img-src *', "frame-ancestors 'self'; object-src data: blob:"]);
    expect(returned([]).headers).toEqual({});
  });

  it('keeps_referrers_visible_to_this_origin', () => {
    expect(returned([['referrer-policy', 'no-referrer']]).headers['referrer-policy']).toBe('same-origin');
    expect(returned([['referrer-policy', 'no-referrer-when-downgrade']]).headers['referrer-policy']).toBe('no-referrer-when-downgrade');
  });

  it('withholds_what_would_touch_the_whole_origin_and_what_is_between_the_ends', () => {
    expect(returned([['peerage-cookie', '*'], ['peerage-login', 'refused']]).headers).toEqual({});
    expect(returned([['clear-site-data', '"*"'], ['set-cookie', 'a=b'], ['service-worker-allowed', '/']]).headers).toEqual({});
  });

  it('gives_the_shim_to_documents_in_html_only_with_a_nonce_where_the_app_has_one', () => {
    const html: Field[] = [['content-type', 'text/html; charset=utf-8']];
    expect(returned(html).shim).toBeUndefined();
    expect(returned(html, { navigation: true }).shim).toBeNull();
    expect(returned([['content-type', 'text/html; charset=UTF-16LE']], { navigation: true }).shim).toBeUndefined();
    expect(returned([['content-type', 'text/htmlx']], { navigation: true }).shim).toBeUndefined();
    const csp: Field = ['content-security-policy', "default-src 'none'; script-src 'strict-dynamic' 'nonce-r4nd0m=='"];
    expect(returned([...html, csp], { navigation: true }).shim).toBe('r4nd0m==');
  });
});
