import { describe, expect, it } from 'vitest';
import type { ExchangeRequest, ExchangeResponse, Field, LinkSocket, SocketRequest } from '../fetch/exchange.js';
import type { CookieChange } from '../protocol/cookies/mirror.js';
import type { CookieState } from '../protocol/cookies/state.js';
import type { OpenLink } from '../transport/link.js';
import type { SharedCookies } from './cookies/shared.js';
import { Visit } from './visit.js';

type Answer = { readonly status: number; readonly fields?: readonly Field[]; readonly text?: string };
const JAR: Field = ['peerage-cookies', 'jar'];
const NEWS: Field = ['peerage-cookie', encodeURIComponent(JSON.stringify({ name: 'a', value: '1', path: '/', domain: null, expires: null, created: 1, stamp: 2 }))];

/** A visit to a device that answers by `answer`, and lists its jar after `list`. */
function scene(answer: (path: string, authorization: string | null) => Answer = () => ({ status: 200 }), list: Promise<void> = Promise.resolve()) {
  const sent: string[] = [];
  const heard: string[] = [];
  let changes: CookieChange[] = [];
  let listed = 0;
  const cookies = {
    get pending() { return changes; },
    isPending: (id: string) => changes.some((each) => each.id === id),
    lead: () => {},
    listed: () => listed++,
    heard: (states: readonly CookieState[]) => heard.push(...states.map(({ name, value }) => `${name}=${value}`)),
    settle: (ids: readonly string[]) => void (changes = changes.filter(({ id }) => !ids.includes(id))),
  } as unknown as SharedCookies;
  const socket = { fields: [NEWS, ['sec-websocket-protocol', 'chat']] } as unknown as LinkSocket;
  const link = {
    closed: new Promise(() => {}),
    async exchange({ method, path, fields, body }: ExchangeRequest): Promise<ExchangeResponse> {
      const authorization = fields.find(([name]) => name === 'authorization')?.[1] ?? null;
      let text = '';
      for (let piece = await body?.pull(); piece != null; piece = await body?.pull()) text += new TextDecoder().decode(piece);
      sent.push([method, path, method === 'POST' && listed === 0 ? 'before the list' : '', ...fields.filter(([name]) => /^(authorization|peerage-)/.test(name)).map((field) => field.join(': ')), text].filter((each) => each !== '').join(' | '));
      const report: Answer | null = path === '/__peerage/cookies' ? { status: 200, text: '{"stamp":1,"now":1,"cookies":[]}' } : null;
      if (report !== null && method === 'GET') await list;
      const { status, fields: given = [], text: said = '' } = report ?? answer(path, authorization);
      let left: Uint8Array<ArrayBuffer> | null = new TextEncoder().encode(said);
      return { status, fields: given, body: { pull: async () => { const piece = left; left = null; return piece; }, cancel: () => {} } };
    },
    openWebSocket: async ({ path, fields }: SocketRequest) => (sent.push([`socket ${path}`, ...fields.map((field) => field.join(': '))].join(' | ')), socket),
  } as unknown as OpenLink;
  const visit = new Visit(cookies);
  const over = visit.over(link);
  const get = async (path: string, fields: Field[] = [JAR], body: ExchangeRequest['body'] = null) => {
    const response = await over.exchange({ method: 'GET', path, fields, body });
    return [response.status, ...response.fields.map((field) => field.join(': '))].join(' | ');
  };
  return { visit, over, sent, heard, get, change: (change: CookieChange) => changes.push(change), listed: () => listed };
}

const basic = (name: string) => `Basic ${btoa(`${name}:x`)}`;
const challenge = (realm: string): Answer => ({ status: 401, fields: [['www-authenticate', `Basic realm="${realm}"`]] });

describe('Visit', () => {
  it('lists_the_jar_once_a_link_and_before_it_hands_on_any_answer', async () => {
    let list = (): void => {};
    // The list comes in a later turn than the answers.
    const { get, listed, sent } = scene(() => (setTimeout(list), { status: 200 }), new Promise((resolve) => (list = resolve)));
    const lists: number[] = [];
    await Promise.all([get('/'), get('/')].map((each) => each.then(() => lists.push(listed()))));
    expect(lists).toEqual([1, 1]);
    expect(sent[0]).toBe('GET | /__peerage/cookies | peerage-cookies: jar');
  });

  it('lists_it_again_when_the_news_were_too_many', async () => {
    const { get, listed } = scene(() => ({ status: 200, fields: [['peerage-cookie', '*']] }));
    await get('/');
    expect(listed()).toBe(2);
  });

  it('tells_the_device_of_every_change_before_the_next_request', async () => {
    const { get, sent, change } = scene();
    await get('/');
    sent.length = 0;
    change({ id: '1', path: '/p', cookie: 'a=1', at: 0 });
    change({ id: '2', path: '/p', cookie: 'b=2', at: 0 });
    await get('/');
    expect(sent).toEqual(['POST | /__peerage/cookies | peerage-cookies: jar | {"changes":[{"path":"/p","cookie":"a=1"},{"path":"/p","cookie":"b=2"}]}', 'GET | / | peerage-cookies: jar']);
  });

  it('sends_what_waited_for_the_link_after_the_list_which_knows_nothing_of_it', async () => {
    const { get, sent, change } = scene();
    change({ id: '1', path: '/', cookie: 'a=1', at: 0 });
    await get('/');
    expect(sent.map((each) => each.split(' | ').slice(0, 3).join(' '))).toEqual(['GET /__peerage/cookies peerage-cookies: jar', 'POST /__peerage/cookies peerage-cookies: jar', 'GET / peerage-cookies: jar']);
  });

  it('sends_no_more_in_one_go_than_the_device_takes', async () => {
    const { get, sent, change } = scene();
    await get('/');
    sent.length = 0;
    for (let n = 0; n < 40; n++) change({ id: `${n}`, path: '/', cookie: `a${n}=${'x'.repeat(4_000)}`, at: 0 });
    await get('/');
    const posts = sent.filter((each) => each.startsWith('POST')).map((each) => each.slice(each.indexOf('{')));
    expect(posts.length).toBe(3);
    expect(Math.max(...posts.map(({ length }) => length))).toBeLessThanOrEqual(65_536);
    expect(posts.join('').match(/a\d+=/g)?.length).toBe(40);
  });

  it('takes_the_news_out_of_answers_and_touches_nothing_of_requests_without_credentials', async () => {
    const { visit, get, sent, heard } = scene(() => ({ status: 200, fields: [NEWS, ['x-own', '1']] }));
    visit.logIn('r', '/', 'ada', 'x');
    expect(await get('/')).toBe('200 | x-own: 1 | peerage-login: given');
    expect(heard).toEqual(['a=1']);
    expect(await get('/', [])).toContain('peerage-cookie');
    expect(heard).toEqual(['a=1']);
    expect(sent.at(-1)).toBe('GET | /');
  });

  it('gives_web_sockets_cookies_and_password_and_hears_what_their_answer_says', async () => {
    const { visit, over, sent, heard } = scene();
    visit.logIn('r', '/', 'ada', 'x');
    const { fields } = await over.openWebSocket({ path: '/ws', fields: [['origin', 'x'], ['peerage-login', 'none']] });
    expect(fields).toEqual([['sec-websocket-protocol', 'chat']]);
    expect(heard).toEqual(['a=1']);
    expect(sent.at(-1)).toBe(`socket /ws | origin: x | authorization: ${basic('ada')} | peerage-cookies: jar`);
  });

  it('answers_the_same_realm_elsewhere_by_itself_once', async () => {
    const { visit, get, sent } = scene((path, authorization) => (path.startsWith('/a/') || authorization !== null ? { status: 200 } : challenge('r')));
    expect(await get('/b/')).toMatch(/^401/);
    visit.logIn('r', '/a/', 'ada', 'x');
    sent.length = 0;
    expect([await get('/b/'), await get('/b/')]).toEqual(['200 | peerage-login: given', '200 | peerage-login: given']);
    expect(sent.length).toBe(3);
    const body = { pull: async () => null, cancel: () => {} };
    expect(await get('/c/', [JAR], body)).toMatch(/^401/);
  });

  it('forgets_a_wrong_password_and_not_one_of_another_realm', async () => {
    const { visit, get } = scene((path, authorization) => (path.startsWith('/a/b/') ? challenge('other') : authorization === basic('ada') ? { status: 200 } : challenge('r')));
    visit.logIn('r', '/a/', 'ada', 'x');
    expect(await get('/a/b/')).toBe('401 | www-authenticate: Basic realm="other" | peerage-login: given');
    expect(await get('/a/')).toBe('200 | peerage-login: given');
    visit.logIn('r', '/a/', 'eve', 'x');
    expect(await get('/a/')).toBe('401 | www-authenticate: Basic realm="r" | peerage-login: refused');
    expect(await get('/a/')).toBe('401 | www-authenticate: Basic realm="r"');
  });

  it('sends_no_password_where_the_app_or_the_person_wants_none', async () => {
    const { visit, get, sent } = scene();
    visit.logIn('r', '/', 'ada', 'x');
    await get('/', [['authorization', 'Bearer y'], JAR]);
    await get('/', [['peerage-login', 'none'], JAR]);
    expect(sent.slice(-2)).toEqual(['GET | / | authorization: Bearer y | peerage-cookies: jar', 'GET | / | peerage-cookies: jar']);
  });
});
