import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PeerageError } from '../error.js';
import { areEqual } from '../identity/caller.js';
import type { Incoming } from '../protocol/http/event.js';
import { WINDOW } from '../protocol/http/inbound.js';
import { FakeDevice } from '../testing/device.js';
import { SocketClose, type LinkSocket } from './exchange.js';
import { ChannelHttpLink } from './http-link.js';
import { MESSAGE_MAX } from './link-socket.js';
import { joined } from './running.js';

type Octets = Uint8Array<ArrayBuffer>;

let device: FakeDevice;
let link: ChannelHttpLink;

beforeEach(async () => {
  device = new FakeDevice({ websocket: true });
  link = new ChannelHttpLink(device.channel);
  await device.settle();
});

afterEach(() => void vi.useRealTimers());

describe('opening', () => {
  test('offers subprotocols and tells the one that was chosen', async () => {
    const opening = link.openWebSocket({ path: '/chat', fields: [['Sec-WebSocket-Protocol', 'a, b'], ['Host', 'x']] });
    await device.settle();
    const id = device.opened('/chat');
    expect(device.events).toContainEqual(
      expect.objectContaining({ type: 'opened', request: { kind: 'websocket', path: '/chat', fields: [['sec-websocket-protocol', 'a, b']] } }),
    );
    device.session.respond(id, 101, [['sec-websocket-protocol', 'b']], false);
    await device.settle();
    expect((await opening).fields).toEqual([['sec-websocket-protocol', 'b']]);
  });

  test('waits for the hello before it judges whether the device answers WebSockets', async () => {
    const late = new FakeDevice({ websocket: true });
    const opening = new ChannelHttpLink(late.channel).openWebSocket({ path: '/late', fields: [] });
    await Promise.resolve();
    await late.settle();
    late.session.respond(late.opened('/late'), 101, [], false);
    await late.settle();
    expect((await opening).fields).toEqual([]);
  });

  test('is unsupported where the device says in its hello that it answers none', async () => {
    const plain = new FakeDevice();
    const failed = codeOf(new ChannelHttpLink(plain.channel).openWebSocket({ path: '/', fields: [] }));
    await plain.settle();
    expect(await failed).toBe('unsupported');
    expect(plain.session.live).toBe(0);
  });

  test('gives up the link when no hello comes for 30 s', async () => {
    vi.useFakeTimers();
    const silent = new ChannelHttpLink(new FakeDevice().channel);
    const failed = codeOf(silent.openWebSocket({ path: '/', fields: [] }));
    await vi.advanceTimersByTimeAsync(30_001);
    expect(await failed).toBe('gone');
    expect(await silent.closed).toBe('lost');
  });

  test.each([
    ['with a body', false],
    ['without a body', true],
  ])('that another status answers %s is refused, and leaves nothing behind', async (_, end) => {
    const opening = link.openWebSocket({ path: '/no', fields: [] });
    const refused = expect(opening).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('403') });
    await device.settle();
    const id = device.opened('/no');
    device.session.respond(id, 403, [], end);
    await device.settle();
    await refused;
    // Nothing was sent on it, so there is its end to read, or a reset came.
    if (end) expect(device.read(id)).toHaveLength(0);
    expect(device.session.live).toBe(0);
  });

  test('that is aborted resets its exchange; once open, the signal says nothing', async () => {
    const abort = new AbortController();
    const failed = codeOf(link.openWebSocket({ path: '/abort', fields: [], signal: abort.signal }));
    await device.settle();
    abort.abort();
    await device.settle();
    expect(await failed).toBe('cancelled');
    expect(device.session.live).toBe(0);

    const later = new AbortController();
    const { socket } = await open('/open', later.signal);
    later.abort();
    void socket.send('still here');
    await device.settle();
    expect(device.session.live).toBe(1);
  });

  test('before it was asked for, aborted, rejects and asks nothing', async () => {
    expect(await codeOf(link.openWebSocket({ path: '/', fields: [], signal: AbortSignal.abort() }))).toBe('cancelled');
    await device.settle();
    expect(device.events.some(({ type }) => type === 'opened')).toBe(false);
  });
});

describe('messages', () => {
  test('come back as they went: text, octets, and empty ones', async () => {
    const { id, socket } = await open('/echo');
    for (const message of ['hello \u{1f600}', '', bytes(1, 2, 3), bytes()]) {
      void socket.send(message);
      await device.settle();
      const { octets, text } = received(id);
      expect(text).toBe(typeof message === 'string');
      device.session.write(id, octets, { type: 'message', text, fin: true });
      await device.settle();
      expect(await socket.receive()).toEqual(message);
    }
  });

  test('that arrive in parts are put together, in order', async () => {
    const { id, socket } = await open('/parts');
    const first = socket.receive();
    device.session.write(id, utf8('one \u20ac').subarray(0, 5), { type: 'message', text: true, fin: false });
    await device.settle();
    device.session.write(id, utf8('one \u20ac').subarray(5), { type: 'message', text: true, fin: true });
    device.session.write(id, bytes(7), { type: 'message', text: false, fin: true });
    await device.settle();
    expect(await first).toBe('one \u20ac');
    expect(await socket.receive()).toEqual(bytes(7));
  });

  test('larger than a window cross both ways', async () => {
    const { id, socket } = await open('/large');
    const large = new Uint8Array(5 * WINDOW).map((_, index) => index);
    const sent = socket.send(large);
    const parts: Octets[] = [];
    for (let fin = false; !fin; await device.settle()) {
      for (let got = device.session.read(id, Infinity); got?.type === 'data'; got = device.session.read(id, Infinity)) {
        parts.push(got.bytes);
        fin = got.fin;
      }
    }
    await sent;
    expect(areEqual(joined(parts), large)).toBe(true);

    const receiving = socket.receive();
    for (let left: Octets | null = large; left !== null; await device.settle()) left = device.session.write(id, left, { type: 'message', text: false, fin: true });
    expect(areEqual((await receiving) as Octets, large)).toBe(true);
  });

  test('that nobody receives stop their sender at the window', async () => {
    const { id, socket } = await open('/slow');
    const before = device.delivered;
    for (let left: Octets | null = new Uint8Array(4 * WINDOW), turn = 0; left !== null && turn < 8; turn++) {
      left = device.session.write(id, left, { type: 'message', text: false, fin: true });
      await device.settle();
    }
    expect(device.delivered - before).toBeGreaterThanOrEqual(WINDOW - 16);
    expect(device.delivered - before).toBeLessThan(WINDOW + 100);
    socket.cancel();
  });

  test('wait at their sender while the device does not read', async () => {
    const { id, socket } = await open('/full');
    let taken = 0;
    const sends = Array.from({ length: 8 }, () => socket.send(new Uint8Array(WINDOW / 2)).then(() => taken++));
    await device.settle();
    // One window is with the device, one send queue waits in the link.
    expect(taken).toBeLessThanOrEqual(4);
    for (let total = 0; total < 4 * WINDOW; await device.settle()) total += device.read(id).length;
    await Promise.all(sends);
    expect(taken).toBe(8);
  });

  test('of more than the limit are not kept: the socket closes with 1009', async () => {
    const { id, socket } = await open('/huge');
    const failed = codeOf(socket.receive());
    let left: Octets | null = new Uint8Array(MESSAGE_MAX + 1);
    while (left !== null) {
      left = device.session.write(id, left, { type: 'message', text: false, fin: true });
      await device.settle();
    }
    expect(await failed).toBe('too-large');
    expect(await codeOf(socket.receive())).toBe('too-large');
    expect(closeOf(id)).toEqual([1009, '']);
    device.session.finish(id, { type: 'close', payload: bytes() });
    await device.settle();
    expect(device.session.live).toBe(0);
  });

  test('of text that are not UTF-8 close with 1007', async () => {
    const { id, socket } = await open('/latin');
    device.session.write(id, bytes(0xff, 0xfe), { type: 'message', text: true, fin: true });
    await device.settle();
    expect(await codeOf(socket.receive())).toBe('malformed');
    await device.settle();
    expect(closeOf(id)).toEqual([1007, '']);
  });

  test('keep a byte order mark', async () => {
    const { id, socket } = await open('/bom');
    device.session.write(id, utf8('\ufeffx'), { type: 'message', text: true, fin: true });
    await device.settle();
    expect(await socket.receive()).toBe('\ufeffx');
  });
});

describe('closing', () => {
  test.each<[string, number | undefined, string | undefined, [number, string] | null]>([
    ['a code and a reason', 4001, 'over \u20ac', [4001, 'over \u20ac']],
    ['a code', 1000, undefined, [1000, '']],
    ['no code', undefined, undefined, null],
  ])('with %s arrives so, after what was sent', async (_, code, reason, expected) => {
    const { id, socket } = await open('/bye');
    void socket.send('last words');
    socket.close(code, reason);
    socket.close(4999, 'again');
    await device.settle();
    expect(received(id).octets).toEqual(utf8('last words'));
    expect(closeOf(id)).toEqual(expected);
    // What still comes is received, then the other side's close, and that for ever.
    device.session.write(id, utf8('too late'), { type: 'message', text: true, fin: true });
    device.session.finish(id, { type: 'close', payload: bytes(0x0f, 0xa1) });
    await device.settle();
    expect(await socket.receive()).toBe('too late');
    expect(await socket.receive()).toEqual(new SocketClose(4001, ''));
    expect(await socket.receive()).toEqual(new SocketClose(4001, ''));
    expect(device.session.live).toBe(0);
    expect(await codeOf(socket.send('x'))).toBe('gone');
  });

  test.each<[string, Octets, SocketClose]>([
    ['a code and a reason', bytes(0x03, 0xe8, 0x6f, 0x6b), new SocketClose(1000, 'ok')],
    ['no code', bytes(), new SocketClose(1005, '')],
  ])('by the device with %s is told and answered', async (_, payload, expected) => {
    const { id, socket } = await open('/left');
    const receiving = socket.receive();
    device.session.finish(id, { type: 'close', payload });
    await device.settle();
    expect(await receiving).toEqual(expected);
    expect(closeOf(id)).toEqual(expected.code === 1005 ? null : [expected.code, '']);
    expect(device.session.live).toBe(0);
  });

  test('that the device does not answer ends after 10 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { socket } = await open('/deaf');
    const failed = codeOf(socket.receive());
    socket.close();
    await vi.advanceTimersByTimeAsync(10_001);
    expect(await failed).toBe('timeout');
    await device.settle();
    expect(device.session.live).toBe(0);
  });

  test('with a reason that does not fit is refused, and the socket stays open', async () => {
    const { socket } = await open('/long');
    expect(() => socket.close(1000, 'x'.repeat(124))).toThrow(PeerageError);
    void socket.send('x');
    await device.settle();
    expect(device.session.live).toBe(1);
  });

  test('by cancel is at once, even with messages under way, and is no error twice', async () => {
    const { socket } = await open('/cancel');
    const failures = [codeOf(socket.receive()), codeOf(socket.send(new Uint8Array(4 * WINDOW)))];
    socket.cancel();
    socket.cancel();
    expect(await Promise.all(failures)).toEqual(['cancelled', 'cancelled']);
    await device.settle();
    expect(device.events).toContainEqual(expect.objectContaining({ type: 'reset', code: 'cancelled', byPeer: true }));
  });

  test('of the link beneath it ends everything with gone', async () => {
    const { socket } = await open('/lost');
    const failures = [codeOf(socket.receive()), codeOf(socket.send(new Uint8Array(4 * WINDOW)))];
    await device.settle();
    device.channel.emit('close');
    expect(await Promise.all(failures)).toEqual(['gone', 'gone']);
  });

  test('by a reset of the device says why', async () => {
    const { id, socket } = await open('/reset');
    const failed = codeOf(socket.receive());
    device.session.reset(id, 'broken');
    await device.settle();
    expect(await failed).toBe('broken');
  });
});

/** A socket that the device has accepted. */
async function open(path: string, signal?: AbortSignal): Promise<{ id: number; socket: LinkSocket }> {
  const opening = link.openWebSocket({ path, fields: [], ...(signal && { signal }) });
  await device.settle();
  const id = device.opened(path);
  device.session.respond(id, 101, [], false);
  await device.settle();
  return { id, socket: await opening };
}

/** The next message that the device received, which has come whole. */
function received(id: number): { octets: Octets; text: boolean } {
  const pieces: Octets[] = [];
  for (let got = device.session.read(id, Infinity); got?.type === 'data'; got = device.session.read(id, Infinity)) {
    pieces.push(got.bytes);
    if (got.fin) return { octets: joined(pieces), text: got.text };
  }
  throw new Error('no whole message came');
}

/** The code and reason with which this side closed; `null` when it said neither. What came before is thrown away. */
function closeOf(id: number): [number, string] | null {
  let got: Incoming | null = device.session.read(id, Infinity);
  while (got?.type === 'data') got = device.session.read(id, Infinity);
  if (got?.end.type !== 'close') throw new Error('not closed');
  const { payload } = got.end;
  return payload.length === 0 ? null : [new DataView(payload.buffer, payload.byteOffset).getUint16(0), new TextDecoder().decode(payload.subarray(2))];
}

function bytes(...octets: number[]): Octets {
  return Uint8Array.from(octets);
}

function utf8(text: string): Octets {
  return new TextEncoder().encode(text);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return error instanceof PeerageError ? error.code : `not ours: ${String(error)}`;
  }
}
