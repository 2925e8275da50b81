import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PeerageError, type ResetCode } from '../error.js';
import { WINDOW } from '../protocol/http/inbound.js';
import { STREAM } from '../protocol/http/outbound.js';
import { FakeDevice } from '../testing/device.js';
import type { ExchangeRequest, ExchangeResponse, Puller } from './exchange.js';
import { ChannelHttpLink } from './http-link.js';

type Octets = Uint8Array<ArrayBuffer>;

let device: FakeDevice;
let link: ChannelHttpLink;

beforeEach(async () => {
  device = new FakeDevice();
  link = new ChannelHttpLink(device.channel);
  await device.settle();
});

afterEach(() => void vi.useRealTimers());

describe('a response', () => {
  test('comes head first, and its body as it arrives', async () => {
    const asked = link.exchange(get('/slow'));
    await device.settle();
    const id = device.opened('/slow');
    device.session.respond(id, 200, [['content-type', 'text/plain']], false);
    await device.settle();
    const response = await asked;
    expect(response).toMatchObject({ status: 200, fields: [['content-type', 'text/plain']] });
    const first = response.body.pull();
    device.session.write(id, octets('a'), STREAM);
    await device.settle();
    expect(await first).toEqual(octets('a'));
    const second = response.body.pull();
    device.session.write(id, octets('b'), STREAM);
    device.session.finish(id, { type: 'plain' });
    await device.settle();
    expect(await second).toEqual(octets('b'));
    expect(await response.body.pull()).toBeNull();
    expect(device.session.live).toBe(0);
  });

  test('that has arrived is joined into one piece, which owns its buffer', async () => {
    const { id, response } = await begun('/joined');
    for (const text of ['one ', 'two ', 'three']) device.session.write(id, octets(text), STREAM);
    await device.settle();
    const piece = await response.body.pull();
    expect(piece).toEqual(octets('one two three'));
    structuredClone(piece, { transfer: [piece?.buffer as ArrayBuffer] });
    device.session.write(id, octets('x'.repeat(16_000)), STREAM);
    await device.settle();
    expect(await response.body.pull()).toHaveLength(16_000);
  });

  test('that nobody reads stops its sender at the window, and hinders no other', async () => {
    const { id, response } = await begun('/large');
    let left: Octets | null = new Uint8Array(4 * WINDOW);
    const pour = async () => {
      if (left !== null) left = device.session.write(id, left, STREAM);
      await device.settle();
    };
    const before = device.delivered;
    for (let turn = 0; turn < 8; turn++) await pour();
    expect(device.delivered - before).toBeGreaterThanOrEqual(WINDOW);
    expect(device.delivered - before).toBeLessThan(WINDOW + 100);
    const other = await begun('/other');
    device.session.write(other.id, octets('quick'), STREAM);
    await device.settle();
    expect(await other.response.body.pull()).toEqual(octets('quick'));
    let total = 0;
    while (total < 4 * WINDOW) {
      const [piece] = await Promise.all([response.body.pull(), device.settle()]);
      total += piece?.length ?? 0;
      await pour();
    }
    expect(total).toBe(4 * WINDOW);
  });

  test('without a body ends at once', async () => {
    const asked = link.exchange(get('/empty'));
    await device.settle();
    device.session.respond(device.opened('/empty'), 204, [], true);
    await device.settle();
    expect(await (await asked).body.pull()).toBeNull();
  });

  test.each<[ResetCode, string]>([
    ['refused', 'refused'],
    ['unreachable', 'unreachable'],
    ['none', 'broken'],
  ])('that the device resets with %s rejects with %s', async (code, expected) => {
    const asked = link.exchange(get('/no'));
    const failed = codeOf(asked);
    await device.settle();
    device.session.reset(device.opened('/no'), code);
    await device.settle();
    expect(await failed).toBe(expected);
  });
});

describe('a request', () => {
  test('leaves out the fields that never travel', async () => {
    void link.exchange({ ...get('/fields'), fields: [['Host', 'x'], ['Connection', 'close'], ['Accept', '*/*']] });
    await device.settle();
    expect(device.events).toContainEqual(expect.objectContaining({ type: 'opened', request: expect.objectContaining({ fields: [['accept', '*/*']] }) }));
  });

  test('that breaks a rule is refused here, and its body stopped', async () => {
    const body = pieces([octets('x')]);
    expect(await codeOf(link.exchange({ ...get('no slash'), body }))).toBe('malformed');
    expect(body.cancelled).toBe(true);
  });

  test('body is pulled no further than there is room, and arrives whole', async () => {
    const body = pieces(Array.from({ length: 64 }, (_, index) => new Uint8Array(10_000).fill(index)));
    void link.exchange({ ...get('/upload'), method: 'POST', body });
    await device.settle();
    const id = device.opened('/upload');
    // One window is with the device, one send queue waits here, one piece is cut in two.
    expect(body.pulled).toBeLessThanOrEqual(Math.ceil((2 * WINDOW) / 10_000) + 1);
    let total = 0;
    while (total < 640_000) {
      const got = device.read(id).length;
      if (got === 0) break;
      total += got;
      await device.settle();
    }
    expect(total).toBe(640_000);
    expect(body.pulled).toBe(64);
  });

  test('that breaks off in its body is reset, and says why', async () => {
    const failed = codeOf(link.exchange({ ...get('/broken'), method: 'POST', body: { pull: () => Promise.reject(new Error('disk')), cancel: () => undefined } }));
    await device.settle();
    expect(await failed).toBe('cancelled');
    expect(device.events).toContainEqual(expect.objectContaining({ type: 'reset', code: 'cancelled', byPeer: true }));
  });

  test('whose rest the device does not need keeps its response', async () => {
    const body = pieces(Array.from({ length: 64 }, () => new Uint8Array(10_000)));
    const asked = link.exchange({ ...get('/enough'), method: 'POST', body });
    await device.settle();
    const id = device.opened('/enough');
    device.session.discard(id);
    device.session.respond(id, 413, [], true);
    await device.settle();
    expect((await asked).status).toBe(413);
    expect(body.cancelled).toBe(true);
    expect(device.session.live).toBe(0);
  });

  test('that is aborted resets its exchange, stops its body and rejects', async () => {
    const abort = new AbortController();
    const body = pieces([new Uint8Array(200_000)]);
    const failed = codeOf(link.exchange({ ...get('/abort'), method: 'POST', body, signal: abort.signal }));
    await device.settle();
    abort.abort();
    await device.settle();
    expect(await failed).toBe('cancelled');
    expect(body.cancelled).toBe(true);
    expect(device.events).toContainEqual(expect.objectContaining({ type: 'reset', code: 'cancelled', byPeer: true }));
  });

  test('whose reader cancels resets its exchange, and a waiting pull rejects', async () => {
    const { response } = await begun('/cancel');
    const waiting = codeOf(response.body.pull());
    response.body.cancel();
    response.body.cancel();
    await device.settle();
    expect(await waiting).toBe('cancelled');
    expect(device.session.live).toBe(0);
  });

  test('beyond the places waits for one, and goes then', async () => {
    const asked = Array.from({ length: 257 }, (_, index) => link.exchange(get(`/${index}`)));
    await device.settle();
    expect(device.session.live).toBe(256);
    device.session.respond(device.opened('/0'), 204, [], true);
    await device.settle();
    await (await asked[0])?.body.pull();
    await device.settle();
    expect(device.opened('/256')).toBe(513);
  });
});

describe('the channel', () => {
  test('is given at most a quarter of a MiB ahead, whatever there is to send', async () => {
    for (let index = 0; index < 16; index++) {
      void link.exchange({ ...get(`/${index}`), method: 'POST', body: pieces([new Uint8Array(100_000)]) });
    }
    await device.settle();
    expect(device.mostBuffered).toBeGreaterThan(200_000);
    expect(device.mostBuffered).toBeLessThanOrEqual(256 * 1024 + 16_384);
  });

  test('that closes ends every exchange with gone, and the link with closed', async () => {
    const { response } = await begun('/one');
    const failures = [codeOf(response.body.pull()), codeOf(link.exchange(get('/two')))];
    device.channel.emit('close');
    expect(await Promise.all(failures)).toEqual(['gone', 'gone']);
    expect(await link.closed).toBe('closed');
    expect(await codeOf(link.exchange(get('/three')))).toBe('gone');
  });

  test('that broke says so', async () => {
    link.close('lost');
    expect(await link.closed).toBe('lost');
    expect(device.channel.isClosed).toBe(true);
  });

  test.each<[string, unknown, string]>([
    ['a text', 'hello', 'protocol'],
    ['an empty message', new ArrayBuffer(0), 'protocol'],
    ['a second hello', Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0, 1).buffer, 'hello'],
  ])('that carries %s is closed', async (_, data, code) => {
    device.channel.emit('message', data);
    expect(await link.closed).toBe(code);
    expect(device.channel.isClosed).toBe(true);
  });

  test('that falls silent while a request waits is given up after 30 s', async () => {
    vi.useFakeTimers();
    const silent = new FakeDevice();
    const quiet = new ChannelHttpLink(silent.channel);
    const failed = codeOf(quiet.exchange(get('/silence')));
    await vi.advanceTimersByTimeAsync(29_000);
    expect(silent.channel.isClosed).toBe(false);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await failed).toBe('gone');
    expect(await quiet.closed).toBe('lost');
  });
});

function get(path: string): ExchangeRequest {
  return { method: 'GET', path, fields: [], body: null };
}

/** An exchange whose response has begun. */
async function begun(path: string): Promise<{ id: number; response: ExchangeResponse }> {
  const asked = link.exchange(get(path));
  await device.settle();
  const id = device.opened(path);
  device.session.respond(id, 200, [], false);
  await device.settle();
  return { id, response: await asked };
}

function octets(text: string): Octets {
  return new TextEncoder().encode(text);
}

function pieces(all: Octets[]): Puller & { pulled: number; cancelled: boolean } {
  const puller = {
    pulled: 0,
    cancelled: false,
    pull: async () => all[puller.pulled++] ?? (puller.pulled--, null),
    cancel: () => void (puller.cancelled = true),
  };
  return puller;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return error instanceof PeerageError ? error.code : `not ours: ${String(error)}`;
  }
}
