import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RoomError } from '../rooms/error.js';
import { passes, settled } from '../testing/room.js';
import { FakeHub, type FakeWire } from '../testing/room-hub.js';
import { WORLD } from './peerpyrtc-connection.js';
import { type RoomPeer, WebRTCConnection, type WebRTCConnectionOptions, WebRTCRoomManager } from './peerpyrtc.js';

const NOW = 1_795_204_884_188;
const open = WORLD.open;

let hub: FakeHub;
let posted: string[];
let warned: ReturnType<typeof vi.spyOn>;
let page: EventTarget;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: NOW });
  vi.stubGlobal('location', { origin: 'http://page.example' });
  vi.stubGlobal('navigator', { userAgent: 'UA' });
  page = new EventTarget();
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
  posted = [];
  vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
    posted.push(`${url.href} ${String(init.body)}`);
    return Response.json({ status: 'ok' });
  });
  warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  hub = new FakeHub();
  WORLD.open = hub.open;
});
afterEach(() => {
  WORLD.open = open;
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const system = (action: string, payload: unknown, peer_id: string, target: string | null = null): string =>
  JSON.stringify({ type: 'SYSTEM', action, payload, peer_id, target, timestamp: NOW });
const joins = (id: string, timestamp = NOW): string => system('PEER_JOIN', { userAgent: 'theirs', timestamp }, id);
const state = (from: string, ids: readonly string[], hostId: unknown): string =>
  system('ROOM_STATE', { peers: ids.map((id, at) => ({ id, joinTime: NOW - 100 + at, lastSeen: NOW, userAgent: 'theirs', timestamp: NOW - 100 + at })), hostId }, from, 'alice');
const heardOf = (wire: FakeWire): unknown[] => wire.texts().map((text) => JSON.parse(text) as unknown);
const actionsOf = (wire: FakeWire): unknown[] => wire.texts().map((text) => (JSON.parse(text) as { action?: string }).action ?? 'chat');

/** Notes every callback, as `[name, …]`. */
function noted(connection: WebRTCConnection): unknown[][] {
  const told: unknown[][] = [];
  for (const name of ['onOpen', 'onClose', 'onError', 'onMessage', 'onStatusChange', 'onPeerJoined', 'onPeerLeft', 'onRoomUpdate'] as const) {
    (connection as unknown as Record<string, unknown>)[name] = (...given: unknown[]) => void told.push([name, ...given]);
  }
  return told;
}

async function connected(options: WebRTCConnectionOptions = {}): Promise<{ connection: WebRTCConnection; told: unknown[][] }> {
  const connection = new WebRTCConnection('r1', { peerId: 'alice', ...options });
  const told = noted(connection);
  await connection.connect();
  return { connection, told: told.splice(0) && told };
}

describe('connect', () => {
  test('resolves when the channel is open, which is called chat and loses nothing', async () => {
    hub.next = null;
    const connection = new WebRTCConnection('r1', { peerId: 'alice' });
    const told = noted(connection);
    let isResolved = false;
    const connecting = connection.connect().then(() => (isResolved = true));
    await settled();
    hub.last.becomes('ice', 'checking');
    hub.last.answers();
    hub.last.becomes('connection', 'connecting');
    await settled();
    expect([isResolved, connection.isConnected(), connection.getConnectionStatus()]).toEqual([
      false,
      false,
      { peerConnection: 'connecting', iceConnection: 'checking', dataChannel: 'connecting', isFullyConnected: false },
    ]);
    hub.last.becomes('connection', 'connected');
    hub.last.opens();
    await connecting;
    expect(hub.last.options).toMatchObject({ room: 'r1', id: 'alice', channels: [{ label: 'chat', init: { ordered: true } }], iceServers: [] });
    expect(hub.last.options.channels[0]?.init).toEqual({ ordered: true });
    expect(hub.last.options.server.href).toBe('http://page.example/');
    expect(told).toEqual([
      ['onStatusChange', 'ICE: checking'],
      ['onStatusChange', 'Waiting for connection...'],
      ['onStatusChange', 'Connection: connecting'],
      ['onStatusChange', 'Connection: connected'],
      ['onOpen'],
    ]);
    expect([connection.isConnected(), connection.getConnectionStatus().isFullyConnected, connection.getPeerCount()]).toEqual([true, true, 1]);
    expect(heardOf(hub.last)).toEqual([{ type: 'SYSTEM', action: 'PEER_JOIN', payload: { userAgent: 'UA', timestamp: NOW }, peer_id: 'alice', target: null, timestamp: NOW }]);
  });

  test('rejects, after onError, where the server refuses, and can be called again', async () => {
    const connection = new WebRTCConnection('r1');
    const told = noted(connection);
    hub.next = () => Promise.reject(new RoomError('refused', 'no'));
    await expect(connection.connect()).rejects.toMatchObject({ code: 'refused' });
    expect(told).toEqual([['onError', expect.objectContaining({ code: 'refused' })]]);
    hub.next = () => Promise.resolve();
    await connection.connect();
    expect(connection.isConnected()).toBe(true);
  });

  test('ends after its time', async () => {
    hub.next = null;
    const failed = expect(new WebRTCConnection('r1', { timeout: 1_000 }).connect()).rejects.toMatchObject({ code: 'timeout' });
    await passes(1_000);
    await failed;
  });

  test('twice is one connection', async () => {
    const connection = new WebRTCConnection('r1');
    await Promise.all([connection.connect(), connection.connect()]);
    await connection.connect();
    expect(hub.wires).toHaveLength(1);
  });

  test('takes a random id, another server and ICE servers', async () => {
    const connection = new WebRTCConnection('r1', { server: 'https://h.example/app', iceServers: [{ urls: 'stun:s.example' }] });
    await connection.connect();
    expect(connection.peerId).toMatch(/^peer-[0-9a-z]{1,9}$/);
    expect(hub.last.options).toMatchObject({ id: connection.peerId, iceServers: [{ urls: 'stun:s.example' }] });
    expect(hub.last.options.server.href).toBe('https://h.example/app/');
  });

  test('takes the id that a server gives', async () => {
    hub.next = null;
    const connection = new WebRTCConnection('r1', { peerId: 'alice' });
    const connecting = connection.connect();
    await settled();
    hub.last.answers('alice-2');
    hub.last.opens();
    await connecting;
    expect([connection.peerId, heardOf(hub.last)]).toEqual(['alice-2', [expect.objectContaining({ peer_id: 'alice-2' })]]);
  });
});

describe('saying', () => {
  test('writes what the old client wrote', async () => {
    const { connection } = await connected();
    expect(connection.sendMessage('txt')).toBe(true);
    expect(connection.sendMessage({ a: [1] })).toBe(true);
    expect(connection.emit('welcome', { u: 2 })).toBe(true);
    expect(connection.broadcast('ann', { t: 1 })).toBe(true);
    expect(connection.sendRawJSON({ any: 'thing' })).toBe(true);
    expect(hub.last.texts().slice(1)).toEqual([
      '{"peer_id":"alice","message":"txt"}',
      '{"peer_id":"alice","message":{"a":[1]}}',
      `{"type":"SYSTEM","action":"EVENT","payload":{"event":"welcome","data":{"u":2}},"peer_id":"alice","target":null,"timestamp":${NOW}}`,
      `{"type":"SYSTEM","action":"BROADCAST","payload":{"event":"ann","data":{"t":1}},"peer_id":"alice","target":null,"timestamp":${NOW}}`,
      '{"any":"thing"}',
    ]);
  });

  test('without a connection: messages are refused with a warning and onError, events wait', async () => {
    const connection = new WebRTCConnection('r1', { peerId: 'alice' });
    const told = noted(connection);
    expect([connection.sendMessage('lost'), connection.sendRawJSON({})]).toEqual([false, false]);
    expect(told).toEqual([
      ['onError', expect.objectContaining({ code: 'lost' })],
      ['onError', expect.objectContaining({ code: 'lost' })],
    ]);
    expect(warned).toHaveBeenCalledTimes(2);
    expect([connection.emit('early', 1), connection.emit(''), connection.broadcast('')]).toEqual([true, false, false]);
    await connection.connect();
    expect(actionsOf(hub.last)).toEqual(['PEER_JOIN', 'EVENT']);
  });

  test('events wait within bounds, and not after the end', async () => {
    const connection = new WebRTCConnection('r1');
    for (let n = 0; n < 1_000; n++) expect(connection.emit('n', n)).toBe(true);
    expect(connection.emit('n')).toBe(false);
    await connection.connect();
    await connection.closeConnection();
    expect(connection.emit('n')).toBe(false);
  });

  test('too large a message, or one that is no JSON, is refused and told', async () => {
    const { connection, told } = await connected();
    expect([connection.sendMessage('x'.repeat(65_536)), connection.emit('n', 1n)]).toEqual([false, false]);
    expect(told.map(([name, error]) => [name, (error as RoomError).code])).toEqual([
      ['onError', 'too-large'],
      ['onError', 'not-json'],
    ]);
    expect(hub.last.texts()).toHaveLength(1);
  });
});

describe('hearing', () => {
  test('gives each kind of message as it was given', async () => {
    const { told } = await connected();
    told.length = 0;
    hub.last.says(
      '{"peer_id":"bob","message":{"a":1}}',
      system('EVENT', { event: 'e', data: 1 }, 'bob'),
      system('BROADCAST', { event: 'b', data: 2 }, 'bob'),
      '{"peer_id": "server", "message": "still there?"}',
      '{"event":"name","x":1}',
      '[1,2]',
      '{"peer_id":"","message":1}',
      'no JSON',
      '{"peer_id":"bob","message":null}',
      system('WHATEVER', {}, 'bob'),
    );
    expect(told).toEqual([
      ['onMessage', 'bob', { a: 1 }],
      ['onMessage', 'bob', 1, 'e'],
      ['onMessage', 'bob', 2, 'b'],
      ['onMessage', 'server', 'still there?'],
      ['onMessage', 'server', { event: 'name', x: 1 }, 'name'],
      ['onMessage', 'unknown', [1, 2]],
      ['onMessage', 'unknown', { peer_id: '', message: 1 }],
      ['onMessage', 'unknown', 'no JSON'],
      ['onMessage', 'bob', null],
    ]);
  });

  test('a callback that throws harms nothing', async () => {
    vi.stubGlobal('reportError', () => undefined);
    const { connection } = await connected();
    const heard: unknown[] = [];
    connection.onPeerJoined = () => {
      throw new Error('mine');
    };
    connection.onRoomUpdate = (peers) => void heard.push(peers.length);
    hub.last.says(joins('bob'));
    expect([heard, connection.getPeerCount()]).toEqual([[2], 2]);
  });
});

describe('at a server of Peerage', () => {
  test('the server says who is there and who is host, and members say nothing of each other', async () => {
    const { connection, told } = await connected();
    told.length = 0;
    hub.last.says(state('server', ['zoe', 'alice', 'bob'], 'zoe'), system('HOST_CHANGE', 'zoe', 'server'));
    expect(connection.getRoomPeers().map(({ id, isHost }) => [id, isHost])).toEqual([
      ['zoe', true],
      ['alice', false],
      ['bob', false],
    ]);
    expect([connection.getPeerCount(), connection.isRoomHost()]).toEqual([3, false]);
    expect(told.map(([name]) => name)).toEqual(['onRoomUpdate']);
    hub.last.says(joins('carol'));
    expect(told.slice(1).map(([name, given]) => [name, Array.isArray(given) ? given.length : (given as RoomPeer).id])).toEqual([
      ['onPeerJoined', 'carol'],
      ['onRoomUpdate', 4],
    ]);
    expect(actionsOf(hub.last)).toEqual(['PEER_JOIN']);
    hub.last.says(system('PEER_LEAVE', {}, 'zoe'), system('HOST_CHANGE', 'alice', 'server'));
    expect([connection.isRoomHost(), connection.getRoomPeers().filter(({ isHost }) => isHost)]).toEqual([true, [expect.objectContaining({ id: 'alice' })]]);
  });

  test('nobody else makes a host or a list', async () => {
    const { connection } = await connected();
    hub.last.says(state('server', ['alice', 'bob'], 'bob'), system('HOST_CHANGE', 'alice', 'alice'), state('bob', ['ghost'], 'ghost'));
    expect([connection.isRoomHost(), connection.getRoomPeers().map(({ id }) => id)]).toEqual([false, ['alice', 'bob']]);
    hub.last.says(system('HOST_CHANGE', '', 'server'));
    expect(connection.getRoomPeers().some(({ isHost }) => isHost)).toBe(false);
  });

  test('a member cannot pass for the server', async () => {
    const { connection } = await connected();
    const told: unknown[] = [];
    connection.onMessage = (...given) => void told.push(given);
    hub.last.says(state('server', ['alice', 'eve'], 'alice'), '{"event":"alert","x":1}', '{"peer_id":"eve","event":"alert"}', system('EVENT', { event: 'alert', data: 2 }, 'server'));
    expect(told).toEqual([
      ['unknown', { event: 'alert', x: 1 }, 'alert'],
      ['unknown', { peer_id: 'eve', event: 'alert' }, 'alert'],
      ['server', 2, 'alert'],
    ]);
  });

  test('a member cannot pass for another by what it says of itself', async () => {
    const { connection } = await connected();
    hub.last.says(state('server', ['alice'], 'alice'), system('PEER_JOIN', { id: 'alice', isHost: true, joinTime: 1 }, 'eve'));
    expect(connection.getRoomPeers()).toMatchObject([
      { id: 'alice', isHost: true },
      { id: 'eve', isHost: false },
    ]);
  });
});

describe('at an old server', () => {
  test('members tell newcomers who is there, and who came first is host', async () => {
    const { connection, told } = await connected();
    expect(connection.isRoomHost()).toBe(true);
    told.length = 0;
    hub.last.says(joins('bob', NOW + 5));
    expect(told.map(([name]) => name)).toEqual(['onPeerJoined', 'onRoomUpdate']);
    expect(told[0]?.[1]).toEqual({ id: 'bob', joinTime: NOW, lastSeen: NOW, userAgent: 'theirs', timestamp: NOW + 5, isHost: false });
    expect(heardOf(hub.last).at(-1)).toEqual({
      type: 'SYSTEM',
      action: 'ROOM_STATE',
      payload: {
        peers: [
          { id: 'alice', joinTime: NOW, lastSeen: NOW, userAgent: 'UA', timestamp: NOW },
          { id: 'bob', joinTime: NOW, lastSeen: NOW, userAgent: 'theirs', timestamp: NOW + 5 },
        ],
        hostId: 'alice',
      },
      peer_id: 'alice',
      target: 'bob',
      timestamp: NOW,
    });
    expect(connection.isRoomHost()).toBe(true);
  });

  test('a newcomer learns from them, is not host, and becomes it when those before it left', async () => {
    const { connection } = await connected();
    hub.last.says(state('bob', ['bob', 'carol', 'alice'], 'bob'), state('carol', ['carol', 'bob'], 'carol'));
    expect(connection.getRoomPeers().map(({ id, isHost }) => [id, isHost])).toEqual([
      ['alice', false],
      ['bob', true],
      ['carol', false],
    ]);
    hub.last.says(system('PEER_LEAVE', {}, 'bob'), system('PEER_LEAVE', {}, 'carol'));
    expect([connection.isRoomHost(), connection.getPeerCount()]).toEqual([true, 1]);
  });

  test('a host that members name is host until it leaves', async () => {
    const { connection } = await connected();
    hub.last.says(joins('bob', NOW + 5), system('HOST_CHANGE', 'nobody', 'bob'));
    expect(connection.isRoomHost()).toBe(true);
    hub.last.says(system('HOST_CHANGE', 'bob', 'bob'));
    expect(connection.isRoomHost()).toBe(false);
    hub.last.says(system('PEER_LEAVE', {}, 'bob'));
    expect(connection.isRoomHost()).toBe(true);
  });

  test('members that are made up are not kept without end', async () => {
    const { connection } = await connected();
    hub.last.says(state('bob', Array.from({ length: 990 }, (_, n) => `listed ${n}`), null));
    for (let n = 0; n < 20; n++) hub.last.says(joins(`made up ${n}`));
    hub.last.says(state('bob', Array.from({ length: 990 }, (_, n) => `more ${n}`), null));
    expect(connection.getPeerCount()).toBe(1_000);
    hub.last.says(system('PEER_LEAVE', {}, 'made up 1'), joins('carol'));
    expect(connection.getRoomPeers().at(-1)).toMatchObject({ id: 'carol' });
  });

  test('one’s own joining and leaving, told by others, change nothing', async () => {
    const { connection, told } = await connected();
    told.length = 0;
    hub.last.says(joins('alice'), system('PEER_LEAVE', {}, 'alice'), system('PEER_LEAVE', {}, 'nobody'));
    expect([told, connection.getPeerCount()]).toEqual([[], 1]);
  });
});

describe('a connection that is lost', () => {
  test('is made anew, with onOpen, and without onClose', async () => {
    const { connection, told } = await connected();
    hub.last.says(joins('bob'));
    told.length = 0;
    hub.last.breaks();
    expect(connection.emit('kept', 1)).toBe(true);
    expect(connection.sendMessage('refused')).toBe(false);
    await passes(1_999);
    expect(hub.wires).toHaveLength(1);
    await passes(1);
    expect(told.filter(([name]) => name !== 'onError')).toEqual([['onStatusChange', 'Reconnecting: Attempt 1'], ['onOpen']]);
    expect(actionsOf(hub.last)).toEqual(['PEER_JOIN', 'EVENT']);
    expect([connection.isConnected(), connection.getPeerCount()]).toEqual([true, 1]);
  });

  test('is given up after maxReconnectAttempts, with onClose once', async () => {
    const { connection, told } = await connected({ maxReconnectAttempts: 2, reconnectDelay: 100 });
    told.length = 0;
    hub.next = () => Promise.reject(new RoomError('no-route', ''));
    hub.last.breaks();
    await passes(10_000);
    expect(told).toEqual([
      ['onStatusChange', 'Reconnecting: Attempt 1'],
      ['onError', expect.objectContaining({ code: 'no-route' })],
      ['onStatusChange', 'Reconnecting: Attempt 2'],
      ['onError', expect.objectContaining({ code: 'no-route' })],
      ['onClose'],
    ]);
    expect(hub.wires).toHaveLength(3);
    expect([connection.isConnected(), connection.getPeerCount(), connection.emit('n')]).toEqual([false, 0, false]);
    hub.next = () => Promise.resolve();
    await connection.connect();
    expect(connection.isConnected()).toBe(true);
  });

  test('that comes back has all attempts again', async () => {
    const { connection } = await connected({ maxReconnectAttempts: 1, reconnectDelay: 100 });
    for (let time = 0; time < 3; time++) {
      hub.last.breaks();
      await passes(100);
      expect(connection.isConnected()).toBe(true);
    }
  });

  test('with no attempts allowed is the end at once', async () => {
    const { told } = await connected({ maxReconnectAttempts: 0 });
    told.length = 0;
    hub.last.breaks();
    await passes(10_000);
    expect([told, hub.wires.length]).toEqual([[['onClose']], 1]);
  });

  test('leaves nothing at its signal for each time', async () => {
    const added = vi.spyOn(AbortSignal.prototype, 'addEventListener');
    const removed = vi.spyOn(AbortSignal.prototype, 'removeEventListener');
    await connected({ maxReconnectAttempts: 50, reconnectDelay: 100 });
    const [before, gone] = [added.mock.calls.length, removed.mock.calls.length];
    hub.next = () => Promise.reject(new RoomError('no-route', ''));
    hub.last.breaks();
    await passes(2_050);
    const [more, less] = [added.mock.calls.length - before, removed.mock.calls.length - gone];
    // One is the fake's own, of each attempt's signal.
    expect([more > 20, more - less]).toEqual([true, hub.wires.length]);
  });

  test('is made anew once, also by a page that connects again as it hears of it', async () => {
    const { connection } = await connected({ reconnectDelay: 100 });
    let again: Promise<void> | undefined;
    connection.onStatusChange = (status) => void (status.startsWith('Reconnecting') && (again ??= connection.connect()));
    hub.last.breaks();
    await passes(1_000);
    await again;
    expect([connection.isConnected(), hub.wires.length]).toEqual([true, 2]);
  });

  test('is waited for by connect, and made anew by handleDisconnection too', async () => {
    const { connection } = await connected({ reconnectDelay: 100 });
    hub.last.breaks();
    const again = connection.connect();
    await passes(100);
    await again;
    const handled = connection.handleDisconnection();
    expect([connection.isConnected(), hub.last.isOpen]).toEqual([false, false]);
    await passes(100);
    await handled;
    expect([connection.isConnected(), hub.wires.length]).toEqual([true, 3]);
  });
});

describe('closeConnection', () => {
  test('says goodbye on the channel, then by HTTP, and calls onClose once', async () => {
    const { connection, told } = await connected();
    told.length = 0;
    const wire = hub.last;
    await Promise.all([connection.closeConnection(), connection.closeConnection()]);
    expect(actionsOf(wire)).toEqual(['PEER_JOIN', 'PEER_LEAVE']);
    expect(wire.isClosed).toBe(true);
    expect(posted).toEqual(['http://page.example/leave {"room":"r1","peer_id":"alice"}']);
    expect(told).toEqual([['onClose']]);
    expect([connection.isConnected(), connection.getRoomPeers(), connection.isRoomHost()]).toEqual([false, [], false]);
    await passes(100_000);
    expect([hub.wires.length, vi.getTimerCount()]).toEqual([1, 0]);
  });

  test('while connecting, or reconnecting, ends that', async () => {
    hub.next = null;
    const connection = new WebRTCConnection('r1');
    const told = noted(connection);
    const connecting = expect(connection.connect()).rejects.toMatchObject({ code: 'closed' });
    await settled();
    await connection.closeConnection();
    await connecting;
    expect(told).toEqual([['onClose']]);
    hub.next = () => Promise.resolve();
    const other = await connected();
    other.told.length = 0;
    hub.last.breaks();
    await other.connection.closeConnection();
    await passes(100_000);
    expect(other.told.filter(([name]) => name === 'onClose')).toHaveLength(1);
    expect(hub.wires).toHaveLength(2);
  });

  test('before a connection does nothing, and a connect after it waits for the goodbye', async () => {
    const { connection } = await connected();
    let left: () => void = () => undefined;
    vi.stubGlobal('fetch', () => new Promise((resolve) => (left = () => resolve(Response.json({})))));
    void connection.closeConnection();
    const again = connection.connect();
    await settled();
    expect(hub.wires).toHaveLength(1);
    left();
    await again;
    expect(hub.wires).toHaveLength(2);
    await new WebRTCConnection('r2').closeConnection();
  });

  test('ends what was begun before it: a connect after it, during an attempt too, is another', async () => {
    hub.next = null;
    const connection = new WebRTCConnection('r1', { peerId: 'alice' });
    const first = expect(connection.connect()).rejects.toMatchObject({ code: 'closed' });
    await settled();
    void connection.closeConnection();
    hub.next = () => Promise.resolve();
    await Promise.all([first, connection.connect()]);
    expect([connection.isConnected(), hub.wires.length]).toEqual([true, 2]);
    hub.last.breaks();
    void connection.closeConnection();
    await connection.connect();
    await passes(100_000);
    expect([connection.isConnected(), hub.wires.length]).toEqual([true, 3]);
  });

  test('by a page in onClose may be followed by a connect there', async () => {
    const { connection } = await connected();
    let again: Promise<void> | undefined;
    connection.onClose = () => (again = connection.connect());
    await connection.closeConnection();
    await again;
    expect([connection.isConnected(), hub.wires.length]).toEqual([true, 2]);
  });

  test('is what a page does that goes', async () => {
    await connected();
    page.dispatchEvent(new Event('pagehide'));
    expect(actionsOf(hub.last)).toEqual(['PEER_JOIN', 'PEER_LEAVE']);
    expect([hub.last.isClosed, posted]).toEqual([true, ['http://page.example/leave {"room":"r1","peer_id":"alice"}']]);
  });

  test('need not be called by a page that is back from the cache: it joins again', async () => {
    const { connection } = await connected();
    page.dispatchEvent(new Event('pagehide'));
    page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
    await settled();
    expect([connection.isConnected(), hub.wires.length]).toEqual([true, 2]);
  });
});

describe('the room manager', () => {
  interface Heard {
    readonly manager: WebRTCRoomManager;
    readonly told: unknown[][];
  }
  function managing(): Heard {
    const manager = new WebRTCRoomManager('dave');
    const told: unknown[][] = [];
    manager.onRoomJoined = (id, connection) => void told.push(['joined', id, connection instanceof WebRTCConnection]);
    manager.onRoomLeft = (id) => void told.push(['left', id]);
    manager.onConnectionChange = (id, status, error) => void told.push(error === undefined ? [id, status] : [id, status, (error as RoomError).code]);
    return { manager, told };
  }

  test('joins rooms under one id, tells of them, and gives the same connection twice', async () => {
    const { manager, told } = managing();
    const [one, two] = await Promise.all([manager.joinRoom('m1'), manager.joinRoom('m1')]);
    expect([one === two, await manager.joinRoom('m1')]).toEqual([true, one]);
    expect(await manager.joinRooms(['m1', 'm2'])).toMatchObject([
      { roomId: 'm1', success: true, connection: one },
      { roomId: 'm2', success: true },
    ]);
    expect(hub.wires.map(({ options }) => [options.room, options.id])).toEqual([
      ['m1', 'dave'],
      ['m2', 'dave'],
    ]);
    expect(told).toEqual([
      ['m1', 'connected'],
      ['joined', 'm1', true],
      ['m2', 'connected'],
      ['joined', 'm2', true],
    ]);
    expect([manager.getRoomIds(), manager.getRoom('m1'), manager.getRoom('m9'), manager.isConnectedTo('m2'), manager.isConnectedTo('m9')]).toEqual([['m1', 'm2'], one, undefined, true, false]);
    expect(manager.getStatus()).toMatchObject({ m1: { connected: true, peerCount: 1, isHost: true, connectionStatus: { isFullyConnected: true } }, m2: { connected: true } });
  });

  test('says which rooms could not be joined', async () => {
    const { manager, told } = managing();
    hub.next = () => Promise.reject(new RoomError('refused', ''));
    expect(await manager.joinRooms(['m1'])).toMatchObject([{ roomId: 'm1', success: false, error: { code: 'refused' } }]);
    await expect(manager.joinRoom('m1')).rejects.toMatchObject({ code: 'refused' });
    expect([manager.getRoomIds(), told]).toEqual([[], [['m1', 'error', 'refused'], ['m1', 'error', 'refused']]]);
  });

  test('autoEmit joins and delivers', async () => {
    const { manager } = managing();
    expect(await manager.autoEmit('m1', 'welcome', { u: 1 })).toBe(true);
    expect(actionsOf(hub.last)).toEqual(['PEER_JOIN', 'EVENT']);
    hub.next = () => Promise.reject(new RoomError('refused', ''));
    expect(await manager.autoEmit('m2', 'welcome')).toBe(false);
  });

  test('emits to rooms, and says whether', async () => {
    const { manager } = managing();
    await manager.joinRooms(['m1', 'm2']);
    expect([manager.emit('m1', 'a', 1), manager.emit('m9', 'a'), manager.sendMessage('m2', 'txt'), manager.sendMessage('m9', 'x'), manager.broadcastToAll('ann', 1)]).toEqual([true, false, true, false, 2]);
    expect(hub.wires.map(actionsOf)).toEqual([
      ['PEER_JOIN', 'EVENT', 'EVENT'],
      ['PEER_JOIN', 'chat', 'EVENT'],
    ]);
  });

  test('every handler is called, of a room and of all, of one event and of several; plain messages reach none', async () => {
    const { manager } = managing();
    const heard: unknown[][] = [];
    const note = (name: string) => (...given: unknown[]): void => void heard.push([name, ...given]);
    const g1 = note('g1');
    manager.on('e1', g1);
    manager.on('e1', g1);
    manager.on('e1', note('g2'));
    manager.onRoom('m1', 'e1', note('r1'));
    await manager.joinRoomWithEvents('m1', { e1: note('r2'), e2: note('r3') });
    await manager.joinRoom('m2');
    hub.wires[0]?.says(system('EVENT', { event: 'e1', data: 1 }, 'frank'), system('EVENT', { event: 'e2', data: 2 }, 'frank'), '{"peer_id":"frank","message":"plain"}');
    hub.wires[1]?.says(system('EVENT', { event: 'e1', data: 3 }, 'frank'));
    expect(heard).toEqual([
      ['g1', 'm1', 'frank', 1, 'e1'],
      ['g2', 'm1', 'frank', 1, 'e1'],
      ['r1', 'm1', 'frank', 1, 'e1'],
      ['r2', 'm1', 'frank', 1, 'e1'],
      ['r3', 'm1', 'frank', 2, 'e2'],
      ['g1', 'm2', 'frank', 3, 'e1'],
      ['g2', 'm2', 'frank', 3, 'e1'],
    ]);
    heard.length = 0;
    manager.off('e1');
    manager.offRoom('m1', 'e1');
    hub.wires[0]?.says(system('EVENT', { event: 'e1', data: 1 }, 'frank'));
    expect(heard).toEqual([]);
  });

  test('callbacks of a page on a connection of its are its own', async () => {
    const { manager, told } = managing();
    const connection = await manager.joinRoom('m1');
    const mine = noted(connection);
    let heard = 0;
    manager.on('e', () => void heard++);
    hub.last.says(system('EVENT', { event: 'e', data: 1 }, 'frank'));
    hub.last.breaks();
    await passes(2_000);
    expect([heard, mine.filter(([name]) => name === 'onMessage' || name === 'onOpen').length]).toEqual([1, 2]);
    expect(told.slice(2)).toEqual([
      ['m1', 'disconnected'],
      ['m1', 'connected'],
    ]);
  });

  test('joins a room anew that was left while it was being joined, after the goodbye', async () => {
    const { manager } = managing();
    let left: () => void = () => undefined;
    vi.stubGlobal('fetch', () => new Promise((resolve) => (left = () => resolve(Response.json({})))));
    hub.next = null;
    const first = expect(manager.joinRoom('m1')).rejects.toMatchObject({ code: 'closed' });
    await settled();
    void manager.leaveRoom('m1');
    hub.next = () => Promise.resolve();
    const second = manager.joinRoom('m1');
    await first;
    await settled();
    expect(hub.wires).toHaveLength(1);
    left();
    const connection = await second;
    expect([connection.isConnected(), manager.getRoom('m1') === connection, hub.wires.length]).toEqual([true, true, 2]);
  });

  test('does not join a room that was left before its turn came', async () => {
    const { manager } = managing();
    await manager.joinRoom('m1');
    void manager.leaveRoom('m1');
    const second = expect(manager.joinRoom('m1')).rejects.toMatchObject({ code: 'closed' });
    await manager.leaveRoom('m1');
    await second;
    expect([hub.wires.length, manager.getRoomIds()]).toEqual([1, []]);
  });

  test('leaves rooms, each told once', async () => {
    const { manager, told } = managing();
    await manager.joinRooms(['m1', 'm2']);
    told.length = 0;
    await manager.leaveRoom('m1');
    await manager.leaveRoom('m9');
    await manager.leaveAllRooms();
    expect(told).toEqual([
      ['m1', 'disconnected'],
      ['left', 'm1'],
      ['m2', 'disconnected'],
      ['left', 'm2'],
    ]);
    expect([manager.getRoomIds(), posted.length]).toEqual([[], 2]);
  });
});
