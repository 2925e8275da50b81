import { afterEach, describe, expect, test } from 'vitest';
import { PeerageError } from '../error.js';
import { STREAM } from '../protocol/http/outbound.js';
import { type Answer, type Asked, FakeTarget, type Handler } from '../testing/target.js';
import type { HttpLink } from './exchange.js';
import { ChannelHttpLink } from './http-link.js';
import { connectPeer, createPeerFetch, type PeerOptions } from './peer.js';
import { peerFetch } from './peer-fetch.js';

const BASE = 'https://device.invalid/';

let target: FakeTarget;
afterEach(() => target.stop());

describe('a request', () => {
  test('goes to the device with its path, its fields and what a browser adds', async () => {
    const get = device(() => ({ body: 'hello', fields: [['content-type', 'text/plain'], ['x-own', '1']] }));
    const response = await get('/a/b?c=d#e', { headers: { 'X-Mine': 'yes', Range: 'bytes=0-9' } });
    expect(last()).toMatchObject({
      method: 'GET',
      path: '/a/b?c=d',
      fields: { 'x-mine': 'yes', range: 'bytes=0-9', accept: '*/*', 'accept-encoding': 'identity', 'peerage-cookies': 'jar', 'sec-fetch-site': 'same-origin' },
    });
    expect(response).toMatchObject({ status: 200, ok: true, statusText: '', url: `${BASE}a/b?c=d`, redirected: false, type: 'basic' });
    expect(response.headers.get('x-own')).toBe('1');
    expect(await response.text()).toBe('hello');
  });

  test.each<[string, string | URL | Request, string]>([
    ['a relative path', 'c', '/app/c'],
    ['an absolute path', '/c?d', '/c?d'],
    ['the device’s own URL', 'https://device.invalid/x', '/x'],
    ['a URL object', new URL('https://device.invalid/y'), '/y'],
    ['a Request', new Request('https://device.invalid/z'), '/z'],
  ])('takes %s', async (_, input, path) => {
    const get = device(() => ({}), { base: `${BASE}app/` });
    await get(input);
    expect(last().path).toBe(path);
  });

  test.each([
    ['another site', 'https://elsewhere.example/'],
    ['another port', 'https://device.invalid:8443/'],
    ['another scheme', 'http://device.invalid/'],
    ['a data URL', 'data:,x'],
    ['a path of Peerage', '/__peerage/cookies'],
    ['a path of Peerage, after dots', '/a/../__peerage'],
  ])('to %s is a TypeError, and nothing is sent', async (_, url) => {
    const get = device(() => ({}));
    await expect(get(url)).rejects.toThrow(TypeError);
    expect(target.asked).toEqual([]);
  });

  test.each<[string, RequestInit]>([
    ['a method that is forbidden', { method: 'TRACE' }],
    ['a body with GET', { body: 'x' }],
    ['integrity', { integrity: 'sha256-AAAA' }],
  ])('with %s is a TypeError', async (_, init) => {
    await expect(device(() => ({}))('/', init)).rejects.toThrow(TypeError);
  });

  test('has its method written as the standard does', async () => {
    const ask = device(() => ({}));
    for (const method of ['post', 'patch', 'Delete', 'query']) await ask('/', { method });
    expect(target.asked.map(({ method }) => method)).toEqual(['POST', 'patch', 'DELETE', 'query']);
  });

  test('without credentials leaves the jar alone, and no page can ask for it otherwise', async () => {
    const ask = device(() => ({}));
    await ask('/', { credentials: 'omit', headers: { 'peerage-cookies': 'jar' } });
    expect(last().fields['peerage-cookies']).toBeUndefined();
    await ask('/', { credentials: 'same-origin', headers: { 'peerage-cookies': 'none' } });
    expect(last().fields['peerage-cookies']).toBe('jar');
  });

  const form = new FormData();
  form.set('name', 'value');
  test.each<[string, BodyInit, RegExp | undefined, RegExp]>([
    ['a string', 'h\u00e9', /^text\/plain;charset=UTF-8$/, /^h\u00e9$/],
    ['a Blob', new Blob(['blob'], { type: 'image/png' }), /^image\/png$/, /^blob$/],
    ['a buffer', new TextEncoder().encode('buffer').buffer, undefined, /^buffer$/],
    ['a view', new TextEncoder().encode('view'), undefined, /^view$/],
    ['URLSearchParams', new URLSearchParams({ a: 'b c' }), /^application\/x-www-form-urlencoded;charset=UTF-8$/, /^a=b\+c$/],
    ['FormData', form, /^multipart\/form-data; ?boundary=/, /name="name"\r\n\r\nvalue\r\n/],
  ])('sends %s, with its type and length', async (_, body, type, content) => {
    await device(() => ({}))('/', { method: 'POST', body });
    const { fields } = last();
    if (type === undefined) expect(fields['content-type']).toBeUndefined();
    else expect(fields['content-type']).toMatch(type);
    expect(fields['content-length']).toBe(String(last().body.length));
    expect(new TextDecoder().decode(last().body)).toMatch(content);
  });

  test('sends the body of a Request, and says 0 where a POST has none', async () => {
    const ask = device(() => ({}));
    await ask(new Request(BASE, { method: 'PUT', body: 'inside' }));
    expect(new TextDecoder().decode(last().body)).toBe('inside');
    await ask('/', { method: 'POST' });
    expect(last().fields['content-length']).toBe('0');
  });

  test('streams a body: it is pulled as it is sent, and may be longer than anything held', async () => {
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (pulled === 40) return controller.close();
        controller.enqueue(new Uint8Array(50_000).fill(pulled++));
      },
    });
    await device(() => ({}))('/up', { method: 'POST', body, duplex: 'half' } as RequestInit);
    expect(last().body).toHaveLength(2_000_000);
    expect(last().fields['content-length']).toBeUndefined();
  });
});

describe('a response', () => {
  test.each<CompressionFormat>(['gzip', 'deflate'])('packed as %s comes unpacked', async (coding) => {
    const stream = new Blob(['unpacked '.repeat(1000)]).stream().pipeThrough(new CompressionStream(coding));
    const body = new Uint8Array(await new Response(stream).arrayBuffer());
    const response = await device(() => ({ fields: [['content-encoding', coding]], body }))('/');
    expect(await response.text()).toBe('unpacked '.repeat(1000));
    expect(last().fields['accept-encoding']).toBe('gzip, deflate');
  });

  test('packed as nobody asked is a TypeError', async () => {
    await expect(device(() => ({ fields: [['content-encoding', 'br']], body: 'x' }))('/')).rejects.toMatchObject({ name: 'TypeError', cause: { code: 'broken' } });
    await until(() => target.device.session.live === 0);
  });

  test.each([204, 205, 304])('with status %i has no body', async (status) => {
    const response = await device(() => ({ status }))('/');
    expect([response.status, response.body]).toEqual([status, null]);
  });

  test('to HEAD has fields and no body', async () => {
    const response = await device(() => ({ fields: [['content-length', '5']] }))('/', { method: 'HEAD' });
    expect([response.headers.get('content-length'), response.body]).toEqual(['5', null]);
  });

  test('shows no cookies', async () => {
    const response = await device(() => ({ fields: [['set-cookie', 'a=b'], ['peerage-cookie', '*']] }))('/', { credentials: 'omit' });
    expect([...response.headers]).toEqual([]);
  });

  test('that the device itself makes is an ordinary one', async () => {
    const response = await device(() => ({ status: 502, fields: [['peerage-error', 'unreachable']] }))('/');
    expect([response.status, response.headers.get('peerage-error')]).toEqual([502, 'unreachable']);
  });

  test('can be cloned, and its clone says the same of itself', async () => {
    const response = (await device(() => ({ body: 'twice' }))('/c')).clone();
    expect(response.clone()).toMatchObject({ url: `${BASE}c`, type: 'basic' });
    expect(await response.text()).toBe('twice');
  });

  test('comes as it is sent: what was sent first can be read before the rest exists', async () => {
    const response = await device(() => ({ body: 'first', open: true }))('/live');
    const reader = response.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('first');
    const { id } = last();
    target.device.session.write(id, new TextEncoder().encode('second'), STREAM);
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('second');
    await reader?.cancel();
    await until(() => target.device.session.live === 0);
  });

  test('that breaks off is a TypeError for its reader, and says why', async () => {
    const response = await device(() => ({ body: 'half', open: true }))('/');
    const failed = expect(response.text()).rejects.toMatchObject({ name: 'TypeError', cause: { code: 'broken' } });
    await until(() => target.asked.length === 1);
    target.device.session.reset(last().id, 'broken');
    await failed;
  });
});

describe('a redirect', () => {
  const to = (location: string, status = 302): Handler => ({ path }) => (path === '/from' ? { status, fields: [['location', location]] } : { body: path });

  test('is followed within the device, and the response says so', async () => {
    const response = await device(to('/to?x#y'))('/from');
    expect(await response.text()).toBe('/to?x');
    expect(response).toMatchObject({ url: `${BASE}to?x`, redirected: true });
  });

  test.each<[number, string, string]>([
    [301, 'POST', 'GET'],
    [302, 'POST', 'GET'],
    [303, 'POST', 'GET'],
    [303, 'PUT', 'GET'],
    [303, 'HEAD', 'HEAD'],
    [302, 'PUT', 'PUT'],
    [307, 'POST', 'POST'],
    [308, 'POST', 'POST'],
  ])('%i of %s goes on as %s, with the body only where it does', async (status, method, expected) => {
    await device(to('/to', status))('/from', { method, ...(method !== 'HEAD' && { body: 'again', headers: { 'content-type': 'text/x' } }) });
    expect(last().method).toBe(expected);
    expect(new TextDecoder().decode(last().body)).toBe(expected === method && method !== 'HEAD' ? 'again' : '');
    expect(last().fields['content-type']).toBe(expected === method && method !== 'HEAD' ? 'text/x' : undefined);
  });

  test('that wants a streamed body again is a TypeError', async () => {
    const body = new ReadableStream({ start: (controller) => (controller.enqueue(new Uint8Array(2 << 20)), controller.close()) });
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    await expect(device(to('/to', 307))('/from', init)).rejects.toThrow(/only once/);
  });

  test.each([
    ['elsewhere', 'https://elsewhere.example/'],
    ['to what is no URL', 'https://['],
    ['to a path of Peerage', '/__peerage/cookies'],
  ])('%s is a TypeError', async (_, location) => {
    await expect(device(to(location))('/from')).rejects.toThrow(TypeError);
    expect(target.asked).toHaveLength(1);
  });

  test('is a TypeError or the response itself, as asked', async () => {
    await expect(device(to('/to'))('/from', { redirect: 'error' })).rejects.toThrow(TypeError);
    target.stop();
    expect(await device(to('/to'))('/from', { redirect: 'manual' })).toMatchObject({ status: 302, redirected: false, url: `${BASE}from` });
  });

  test('that never ends is given up after twenty', async () => {
    await expect(device(() => ({ status: 302, fields: [['location', '/']] }))('/')).rejects.toThrow(/20 redirects/);
    expect(target.asked).toHaveLength(21);
    await until(() => target.device.session.live === 0);
  });

  test('without a location is an ordinary response', async () => {
    expect((await device(() => ({ status: 301 }))('/')).status).toBe(301);
  });
});

describe('giving up', () => {
  const reason = new Error('enough');

  test('before it began rejects with the reason, and sends nothing', async () => {
    const ask = device(() => ({}));
    await expect(ask('/', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(ask(new Request(BASE, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    expect(target.asked).toEqual([]);
  });

  test('while the device is silent rejects with the reason, and tells the device', async () => {
    const abort = new AbortController();
    const failed = expect(device(() => null)('/', { signal: abort.signal })).rejects.toBe(reason);
    await until(() => target.asked.length === 1);
    abort.abort(reason);
    await failed;
    await until(() => target.device.session.live === 0);
  });

  test('while the body comes rejects its reader with the reason, and tells the device', async () => {
    const abort = new AbortController();
    const response = await device(() => ({ body: 'half', open: true }))('/', { signal: abort.signal });
    const failed = expect(response.text()).rejects.toBe(reason);
    abort.abort(reason);
    await failed;
    await until(() => target.device.session.live === 0);
  });

  test('while there is no link rejects with the reason', async () => {
    target = new FakeTarget(() => null);
    const never = { link: (signal: AbortSignal | null) => new Promise<HttpLink>((_, reject) => signal?.addEventListener('abort', () => reject(new PeerageError('cancelled', '')))), leave() {}, close() {} };
    const abort = new AbortController();
    const failed = expect(peerFetch(never, new URL(BASE))('/', { signal: abort.signal })).rejects.toBe(reason);
    await Promise.resolve();
    abort.abort(reason);
    await failed;
  });
});

describe('a failure', () => {
  test.each<['refused' | 'timeout' | 'unreachable' | 'busy' | 'broken', string, number]>([
    ['refused', 'GET', 1],
    ['timeout', 'GET', 2],
    ['broken', 'HEAD', 2],
    ['unreachable', 'GET', 2],
    ['busy', 'DELETE', 2],
    ['unreachable', 'POST', 2],
    ['broken', 'DELETE', 1],
    ['timeout', 'POST', 1],
  ])('%s of %s is tried %i time(s), and is a TypeError with its cause', async (code, method, tries) => {
    const ask = device(({ id }) => (target.device.session.reset(id, code), null));
    await expect(ask('/', { method })).rejects.toMatchObject({ name: 'TypeError', cause: { code } });
    expect(target.asked).toHaveLength(tries);
  });

  test('once is mended by the second try', async () => {
    const ask = device(({ id }) => (target.asked.length === 1 ? (target.device.session.reset(id, 'broken'), null) : { body: 'well' }));
    expect(await (await ask('/')).text()).toBe('well');
  });

  test('never sends a body again that was begun', async () => {
    const ask = device(({ id }) => (target.device.session.reset(id, 'unreachable'), null));
    await expect(ask('/', { method: 'PUT', body: 'begun' })).rejects.toMatchObject({ cause: { code: 'unreachable' } });
    expect(target.asked).toHaveLength(1);
  });

  test('of a link that was given is not mended by another', async () => {
    target = new FakeTarget(() => null);
    const link = new ChannelHttpLink(target.device.channel);
    link.close();
    await expect(createPeerFetch(link)('/')).rejects.toMatchObject({ name: 'TypeError', cause: { code: 'gone' } });
  });
});

describe('a WebSocket beside it', () => {
  test('is opened at the device, with subprotocols, origin and cookies', async () => {
    const { peer } = peerOf(() => ({ status: 101, fields: [['sec-websocket-protocol', 'b']], open: true }), { websocket: true });
    const socket = peer.openWebSocket('/live?x', ['a', 'b']);
    expect(socket.url).toBe('wss://device.invalid/live?x');
    await new Promise((resolve) => (socket.onopen = resolve));
    expect(last()).toMatchObject({
      kind: 'websocket',
      path: '/live?x',
      fields: { 'sec-websocket-protocol': 'a, b', origin: 'https://device.invalid', 'peerage-cookies': 'jar' },
    });
    expect(socket.protocol).toBe('b');
    const received = new Promise<MessageEvent>((resolve) => (socket.onmessage = resolve));
    target.device.session.write(last().id, new TextEncoder().encode('hi'), { type: 'message', text: true, fin: true });
    expect((await received).data).toBe('hi');
    peer.close();
    await new Promise((resolve) => (socket.onclose = resolve));
  });

  test('to elsewhere is a SecurityError', () => {
    const { peer } = peerOf(() => null);
    expect(() => peer.openWebSocket('wss://elsewhere.example/')).toThrow(expect.objectContaining({ name: 'SecurityError' }));
  });
});

function device(handler: Handler, options: PeerOptions = {}): typeof fetch {
  target = new FakeTarget(handler);
  return createPeerFetch(new ChannelHttpLink(target.device.channel), options);
}

function peerOf(handler: (asked: Asked) => Answer | null, config = {}) {
  target = new FakeTarget(handler, config);
  return { peer: connectPeer(new ChannelHttpLink(target.device.channel)) };
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
