import { describe, expect, test } from 'vitest';
import { PeerageError } from '../error.js';
import { FakeSocket } from '../testing/socket.js';
import { SocketClose, type LinkSocket } from './exchange.js';
import { PeerWebSocket } from './web-socket.js';

const URL_ = 'wss://device.example/live';

describe('making one', () => {
  test.each<[string, string | URL, string | undefined, string]>([
    ['as it stands', 'wss://device.example/a?b', undefined, 'wss://device.example/a?b'],
    ['http as ws', 'http://device.example:8080/', undefined, 'ws://device.example:8080/'],
    ['https as wss, from a URL object', new URL('https://device.example'), undefined, 'wss://device.example/'],
    ['a path against a base', '/live', 'https://device.example/app/', 'wss://device.example/live'],
  ])('reads a URL: %s', async (_, url, base, expected) => {
    const socket = new PeerWebSocket(url, undefined, () => Promise.reject(new PeerageError('gone', '')), base);
    expect(socket.url).toBe(expected);
    expect(socket.readyState).toBe(PeerWebSocket.CONNECTING);
    await next(socket, 'close');
  });

  test.each([
    ['a relative URL without a base', '/live', undefined],
    ['another scheme', 'ftp://device.example/', undefined],
    ['a fragment', 'wss://device.example/#a', undefined],
    ['an empty fragment', 'wss://device.example/#', undefined],
    ['a subprotocol twice', URL_, ['a', 'b', 'a']],
    ['an empty subprotocol', URL_, ''],
    ['a subprotocol with a space', URL_, ['a b']],
    ['a subprotocol with a comma', URL_, 'a,b'],
  ])('with %s is a SyntaxError, and nothing is opened', (_, url, protocols) => {
    let opened = false;
    const make = () => new PeerWebSocket(url, protocols, () => ((opened = true), Promise.resolve(new FakeSocket())));
    expect(make).toThrow(expect.objectContaining({ name: 'SyntaxError' }));
    expect(opened).toBe(false);
  });

  test('has the constants on the class and on each object, and they stay', () => {
    const names = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'] as const;
    expect(names.map((name) => PeerWebSocket[name])).toEqual([0, 1, 2, 3]);
    expect(names.map((name) => PeerWebSocket.prototype[name])).toEqual([0, 1, 2, 3]);
    expect(() => ((PeerWebSocket as { OPEN: number }).OPEN = 7)).toThrow(TypeError);
  });
});

describe('opening', () => {
  test('is told by an event, after the constructor has returned', async () => {
    const { socket, log } = await open(new FakeSocket());
    expect(log).toEqual(['open']);
    expect(socket).toMatchObject({ readyState: 1, protocol: '', extensions: '', bufferedAmount: 0, binaryType: 'blob', failure: null });
  });

  test('offers subprotocols, and has the one that was chosen', async () => {
    let offered: readonly string[] = [];
    const socket = new PeerWebSocket(URL_, ['a', 'b'], async (protocols) => {
      offered = protocols;
      return new FakeSocket({ fields: [['sec-websocket-protocol', 'b']] });
    });
    await next(socket, 'open');
    expect(offered).toEqual(['a', 'b']);
    expect(socket.protocol).toBe('b');
  });

  test.each<[string, string[], string[]]>([
    ['none of those on offer', ['a'], []],
    ['another one', ['a'], ['b']],
    ['two of them', ['a', 'b'], ['a', 'b']],
    ['one where none was on offer', [], ['a']],
  ])('fails when the target chose %s', async (_, offered, chosen) => {
    const link = new FakeSocket({ fields: chosen.map((name) => ['sec-websocket-protocol', name] as const) });
    const socket = new PeerWebSocket(URL_, offered, () => Promise.resolve(link));
    const log = logged(socket);
    await next(socket, 'close');
    expect(log).toEqual(['error', 'close 1006 false ""']);
    expect(socket.failure?.code).toBe('broken');
    expect(link.isCancelled).toBe(true);
  });

  test('that fails is an error and then a close, and the reason can be read', async () => {
    const socket = new PeerWebSocket(URL_, undefined, () => Promise.reject(new PeerageError('refused', 'no')));
    const log = logged(socket);
    await next(socket, 'close');
    expect(log).toEqual(['error', 'close 1006 false ""']);
    expect(socket).toMatchObject({ readyState: 3, failure: { code: 'refused' } });
  });

  test('given up by close aborts it, and a socket that comes too late is cancelled', async () => {
    const late = new FakeSocket();
    let come!: (socket: LinkSocket) => void;
    let asked!: AbortSignal;
    const socket = new PeerWebSocket(URL_, undefined, (_, signal) => ((asked = signal), new Promise((resolve) => (come = resolve))));
    const log = logged(socket);
    await Promise.resolve();
    await Promise.resolve();
    socket.close();
    expect(socket.readyState).toBe(2);
    expect(asked.aborted).toBe(true);
    come(late);
    await next(socket, 'close');
    expect(log).toEqual(['error', 'close 1006 false ""']);
    expect(late.isCancelled).toBe(true);
  });

  test('given up in the very turn in which it was made asks nothing', async () => {
    let opened = false;
    const socket = new PeerWebSocket(URL_, undefined, () => ((opened = true), Promise.resolve(new FakeSocket())));
    socket.close();
    await next(socket, 'close');
    expect(opened).toBe(false);
  });
});

describe('receiving', () => {
  test('gives texts, and octets as a Blob or a buffer, as binaryType is when they are told', async () => {
    const link = new FakeSocket();
    const { socket } = await open(link);
    link.arrive('text', Uint8Array.of(1), Uint8Array.of(0, 2).subarray(1), new Uint8Array(0));
    const text = await next(socket, 'message');
    expect(text).toMatchObject({ data: 'text', origin: 'wss://device.example' });
    const blob = (await next(socket, 'message')).data as Blob;
    expect(blob).toBeInstanceOf(Blob);
    expect([...new Uint8Array(await blob.arrayBuffer())]).toEqual([1]);
    socket.binaryType = 'arraybuffer';
    socket.binaryType = 'nonsense' as BinaryType;
    expect(socket.binaryType).toBe('arraybuffer');
  });

  test('switches binaryType between two messages that had both arrived', async () => {
    const link = new FakeSocket();
    const { socket } = await open(link);
    link.arrive(Uint8Array.of(1), Uint8Array.of(9, 2).subarray(1));
    expect((await next(socket, 'message')).data).toBeInstanceOf(Blob);
    socket.binaryType = 'arraybuffer';
    const { data } = await next(socket, 'message');
    expect(data).toBeInstanceOf(ArrayBuffer);
    expect([...new Uint8Array(data as ArrayBuffer)]).toEqual([2]);
  });

  test('tells each message in a task of its own: what waited for one hears the next', async () => {
    const link = new FakeSocket();
    const { socket } = await open(link);
    link.arrive('1', '2', '3');
    const heard: unknown[] = [];
    for (let turn = 0; turn < 3; turn++) {
      heard.push((await next(socket, 'message')).data);
      // More promises than any loop of ours takes.
      for (let more = 0; more < 50; more++) await Promise.resolve();
    }
    expect(heard).toEqual(['1', '2', '3']);
  });

  test('takes no more than a window ahead of what it has told', async () => {
    const link = new FakeSocket();
    const { socket } = await open(link);
    const kilobyte = 'x'.repeat(480);   // at two octets each, with what any message costs
    const messages = Array.from({ length: 1_000 }, () => kilobyte);
    let told = 0;
    let most = 0;
    socket.onmessage = () => void (most = Math.max(most, messages.length - link.waiting - told++));
    link.arrive(...messages);
    await until(() => told === messages.length);
    expect(most).toBe(256);
  });

  test('ends when this side closes', async () => {
    const link = new FakeSocket();
    const { socket, log } = await open(link);
    socket.close();
    link.arrive('too late', new SocketClose(1005, ''));
    await next(socket, 'close');
    expect(log).toEqual(['open', 'close 1005 true ""']);
  });
});

describe('sending', () => {
  test('takes everything that the standard takes, as it is at that moment, in order', async () => {
    const link = new FakeSocket();
    const { socket } = await open(link);
    const octets = Uint8Array.of(1, 2, 3, 4);
    socket.send('text');
    socket.send(new Blob(['blob']));
    socket.send(octets.buffer);
    socket.send(new DataView(octets.buffer, 1, 2));
    socket.send(7 as unknown as string);
    octets.fill(0);
    await until(() => link.sent.length === 5);
    expect(link.sent).toEqual(['text', new TextEncoder().encode('blob'), Uint8Array.of(1, 2, 3, 4), Uint8Array.of(2, 3), '7']);
  });

  test('throws while connecting, and without an argument', async () => {
    const socket = new PeerWebSocket(URL_, undefined, () => Promise.resolve(new FakeSocket()));
    expect(() => socket.send('x')).toThrow(expect.objectContaining({ name: 'InvalidStateError' }));
    await next(socket, 'open');
    expect(() => (socket.send as () => void)()).toThrow(TypeError);
  });

  test('counts octets that wait, hands the link one message at a time, and never counts down again once closed', async () => {
    const link = new FakeSocket({ takesAtOnce: false });
    const { socket } = await open(link);
    socket.send('\u20ac');
    socket.send(new Uint8Array(10));
    expect(socket.bufferedAmount).toBe(13);
    await until(() => link.sent.length === 1);
    link.take();
    await until(() => link.sent.length === 2);
    expect(socket.bufferedAmount).toBe(10);
    link.arrive(new SocketClose(1001, 'away'));
    await next(socket, 'close');
    socket.send('xy');
    socket.send(new Uint8Array(3));
    expect(socket.bufferedAmount).toBe(5);
    expect(link.isCancelled).toBe(false);
  });

  test('of more than can wait fails the socket', async () => {
    const link = new FakeSocket({ takesAtOnce: false });
    const { socket, log } = await open(link);
    const large = new Blob([new Uint8Array(64 << 20)]);
    socket.send(large);
    socket.send(large);
    expect(socket.readyState).toBe(1);
    socket.send('x');
    await next(socket, 'close');
    expect(log).toEqual(['open', 'error', 'close 1006 false ""']);
    expect(socket.failure?.code).toBe('too-large');
  });
});

describe('closing', () => {
  test.each<[string, [(number | undefined)?, string?], [number | undefined, string]]>([
    ['nothing', [], [undefined, '']],
    ['a code', [1000], [1000, '']],
    ['a code and a reason', [4999, 'bye'], [4999, 'bye']],
    ['a reason alone', [undefined, 'bye'], [1000, 'bye']],
  ])('with %s comes after what was sent', async (_, given, expected) => {
    const link = new FakeSocket();
    const { socket } = await open(link);
    socket.send(new Blob(['last']));
    socket.close(...given);
    socket.close(3000);
    expect(socket.readyState).toBe(2);
    await until(() => link.sent.length === 2);
    expect(link.sent).toEqual([new TextEncoder().encode('last'), expected]);
  });

  test.each<[string, [number, string?], string]>([
    ['code 1001', [1001], 'InvalidAccessError'],
    ['code 2999', [2999], 'InvalidAccessError'],
    ['code 5000', [5000], 'InvalidAccessError'],
    ['code 66536, which is clamped and not wrapped', [66_536], 'InvalidAccessError'],
    ['a reason of 124 octets', [1000, '\u20ac'.repeat(41) + 'x'], 'SyntaxError'],
  ])('with %s throws, and changes nothing', async (_, given, name) => {
    const { socket } = await open(new FakeSocket());
    expect(() => socket.close(...given)).toThrow(expect.objectContaining({ name }));
    expect(socket.readyState).toBe(1);
    socket.close(1000, '\u20ac'.repeat(41));
  });

  test('by the target tells its code and reason, after all of its messages', async () => {
    const link = new FakeSocket();
    const { log, socket } = await open(link);
    link.arrive('a', 'b', new SocketClose(4001, 'why'));
    await next(socket, 'close');
    expect(log).toEqual(['open', 'message a', 'message b', 'close 4001 true "why"']);
    expect(socket.readyState).toBe(3);
  });

  test('by the target while messages wait is clean, and those are not sent', async () => {
    const link = new FakeSocket({ takesAtOnce: false });
    const { log, socket } = await open(link);
    for (const message of ['1', '2', '3']) socket.send(message);
    await until(() => link.sent.length === 1);
    link.arrive(new SocketClose(1000, ''));
    await next(socket, 'close');
    expect(log).toEqual(['open', 'close 1000 true ""']);
    expect(link).toMatchObject({ sent: ['1'], isCancelled: false });
    expect(socket).toMatchObject({ failure: null, bufferedAmount: 2 });
  });

  test('of the link beneath it is an error and then a close that is not clean', async () => {
    const link = new FakeSocket();
    const { log, socket } = await open(link);
    link.arrive(new PeerageError('gone', 'lost'));
    await next(socket, 'close');
    expect(log).toEqual(['open', 'error', 'close 1006 false ""']);
    expect(socket.failure?.code).toBe('gone');
  });
});

test('event handlers stand where they were first set, are replaced in place, and can be taken away', async () => {
  const heard: string[] = [];
  const socket = new PeerWebSocket(URL_, undefined, () => Promise.resolve(new FakeSocket()));
  socket.onopen = () => heard.push('never');
  socket.addEventListener('open', () => heard.push('second'));
  socket.onopen = function (event) {
    heard.push(`first ${event.type} ${String(this === socket)}`);
  };
  socket.onclose = () => heard.push('never');
  socket.onclose = null;
  expect(socket.onclose).toBeNull();
  expect(socket.onopen).toBeTypeOf('function');
  await next(socket, 'open');
  expect(heard).toEqual(['first open true', 'second']);
});

async function open(link: LinkSocket): Promise<{ socket: PeerWebSocket; log: string[] }> {
  const socket = new PeerWebSocket(URL_, undefined, () => Promise.resolve(link));
  const log = logged(socket);
  await next(socket, 'open');
  return { socket, log };
}

/** Everything that the socket tells, as text. */
function logged(socket: PeerWebSocket): string[] {
  const log: string[] = [];
  socket.onopen = () => log.push('open');
  socket.onmessage = ({ data }) => log.push(`message ${String(data)}`);
  socket.onerror = () => log.push('error');
  socket.onclose = ({ code, wasClean, reason }) => log.push(`close ${code} ${wasClean} "${reason}"`);
  return log;
}

function next<K extends keyof WebSocketEventMap>(socket: PeerWebSocket, type: K): Promise<WebSocketEventMap[K]> {
  return new Promise((resolve) => socket.addEventListener(type, resolve, { once: true }));
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => setImmediate(resolve));
}

declare function setImmediate(then: () => void): void;
