import { afterEach, describe, expect, test, vi } from 'vitest';
import { ChannelHttpLink } from '../fetch/http-link.js';
import { type Asked, FakeTarget, type Handler } from '../testing/target.js';
import { PeerFetch } from './peer-fetch-class.js';

let target: FakeTarget;
afterEach(() => {
  target.stop();
  vi.useRealTimers();
});

describe('results', () => {
  test('have header, content and receivedAll as before', async () => {
    const peer = device(() => ({ fields: [['content-type', 'application/json']], body: '{"a":1}' }));
    const result = await peer.get('/api/status');
    expect(result.header).toEqual({ status: 200, 'content-type': 'application/json', 'content-length': 7 });
    expect(result.receivedAll).toBe(true);
    expect(peer.jsonify(result.content)).toEqual({ a: 1 });
    expect(peer.textDecode(result.content)).toBe('{"a":1}');
  });

  test('of 204 have no content, and an empty one is {} as JSON', async () => {
    const peer = device(() => ({ status: 204 }));
    const result = await peer.get('/');
    expect(result).toEqual({ header: { status: 204, 'content-type': 'None', 'content-length': 0 }, content: undefined, receivedAll: true });
    expect(peer.jsonify(result.content)).toEqual({});
    expect(peer.jsonify(new ArrayBuffer(0))).toEqual({});
    expect(peer.textDecode(undefined)).toBe('');
  });

  test('of an error status are results, and larger ones than a message of old come whole', async () => {
    expect((await device(() => ({ status: 500, body: 'x'.repeat(60_000) })).get('/')).header).toMatchObject({ status: 500, 'content-length': 60_000 });
  });
});

describe('requests', () => {
  test.each<[string, string, Parameters<PeerFetch['get']>[1], string]>([
    ['a path', '/api/timeline?page=1', {}, '/api/timeline?page=1'],
    ['the device’s own absolute URL', 'http://localhost:8778/api/json?', {}, '/api/json'],
    ['a Map of parameters', '/a', { params: new Map([['page', 2]]) }, '/a?page=2'],
    ['an object of parameters, after those of the URL', '/a?b=c', { params: { page: 2, name: 'x y' } }, '/a?b=c&page=2&name=x+y'],
    ['URLSearchParams', '/a', { params: new URLSearchParams('q=1') }, '/a?q=1'],
  ])('go to %s', async (_, url, config, path) => {
    await device(() => ({})).get(url, config);
    expect(last().path).toBe(path);
  });

  test('put and post send what they are given, and return its result', async () => {
    const peer = device(({ body }) => ({ body }));
    const sent = async (result: ReturnType<PeerFetch['put']>) => [text(await result), last().method, last().fields['content-type']];
    const text = ({ content }: Awaited<ReturnType<PeerFetch['put']>>): string => peer.textDecode(content);
    expect(await sent(peer.put('/', { a: 1 }))).toEqual(['{"a":1}', 'PUT', 'application/json']);
    expect(await sent(peer.put('/', 'text'))).toEqual(['text', 'PUT', 'text/plain;charset=UTF-8']);
    expect(await sent(peer.put('/'))).toEqual(['', 'PUT', undefined]);
    expect(await sent(peer.post('/', { a: 1 }, 'not this'))).toEqual(['{"a":1}', 'POST', 'application/json']);
    expect(await sent(peer.post('/', undefined, 'text', { params: { q: 1 } }))).toEqual(['text', 'POST', 'text/plain;charset=UTF-8']);
    expect(last().path).toBe('/?q=1');
    await peer.fetch('/x', { method: 'DELETE' });
    expect([last().method, last().path]).toEqual(['DELETE', '/x']);
  });

  test('run at once: one that waits holds up no other', async () => {
    const peer = device(({ path }) => (path === '/slow' ? null : { body: path }));
    const slow = peer.get('/slow');
    expect(peer.textDecode((await peer.get('/quick')).content)).toBe('/quick');
    target.device.session.respond(target.asked[0]?.id ?? 0, 200, [], true);
    expect((await slow).header.status).toBe(200);
  });

  test('end after 20 s, and what comes after one that ended so goes through', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const peer = device(({ path }) => (path === '/never' ? null : { body: path }));
    const failed = expect(peer.get('/never')).rejects.toMatchObject({ code: 'timeout' });
    await until(() => target.asked.length === 1);
    await vi.advanceTimersByTimeAsync(20_000);
    await failed;
    expect((await peer.get('/next')).header.status).toBe(200);
  });

  test('that fail reject, and say why', async () => {
    const peer = device(({ id }) => (target.device.session.reset(id, 'refused'), null));
    await expect(peer.get('/')).rejects.toMatchObject({ name: 'TypeError', cause: { code: 'refused' } });
  });
});

test('without a link there is nothing to ask, and a peer id of old is no link', async () => {
  const peer = new PeerFetch({});
  await expect(peer.get('/')).rejects.toMatchObject({ code: 'closed' });
  await expect(peer.connect('0b1ffc9e-6d2a-4b7e-9d0a-1f6f0a2f3b11')).rejects.toMatchObject({ code: 'bad-link' });
});

test('after disconnect nothing is asked any more', async () => {
  const peer = device(() => ({}));
  peer.disconnect();
  await expect(peer.get('/')).rejects.toMatchObject({ code: 'closed' });
});

function device(handler: Handler): PeerFetch {
  target = new FakeTarget(handler);
  return new PeerFetch(new ChannelHttpLink(target.device.channel));
}

function last(): Asked {
  const asked = target.asked.at(-1);
  if (asked === undefined) throw new Error('nothing was asked');
  return asked;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => setImmediate(resolve));
}

declare function setImmediate(then: () => void): void;
