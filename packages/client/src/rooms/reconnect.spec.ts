import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ANN, BOB, joined, ME, passes, settled } from '../testing/room.js';
import { entry, EPOCH, type FakeWire, message } from '../testing/room-hub.js';
import { RoomError } from './error.js';

const OTHER_EPOCH = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9);

let asked: string[];
let page: EventTarget & { persisted?: boolean };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  asked = [];
  vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
    asked.push(`${url.pathname} ${String(init.body)}${init.keepalive === true ? ' keepalive' : ''}`);
    return Response.json({ status: 'ok' });
  });
  page = new EventTarget();
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
  vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** `heard`: messages of ours that the hub had. */
function resumes(wire: FakeWire, seq: number, heard = 0): void {
  wire.says({ type: 'welcome', epoch: EPOCH, you: 3, seq, resumed: 'whole', heard, host: 0, total: 0, members: [] });
}

describe('a connection that breaks', () => {
  test('is made anew, under the same id and with what was seen last, and what was missed comes in order, once', async () => {
    const { hub, room, told } = await joined();
    hub.last.says(message(11, 1, null, 'before'));
    hub.last.breaks();
    expect(room.state).toBe('reconnecting');
    expect([...room.members.keys()]).toEqual(['ann', 'bob', 'me']);
    await passes(500);
    expect(hub.last.options.id).toBe('me');
    expect(hub.last.saidOf('hello')).toMatchObject([{ epoch: EPOCH, last: 11, token: hub.wires[0]?.saidOf('hello')[0]?.token }]);
    resumes(hub.last, 15);
    const dora = entry(5, 'dora');
    hub.last.says(message(11, 1, null, 'before'), message(12, 2, null, 'missed'), { type: 'joined', seq: 13, member: dora }, message(14, 5, null, 'from dora'), { type: 'left', seq: 15, member: 5, reason: 'left' });
    hub.last.says(message(16, 1, null, 'after'));
    expect(told.map((one) => one.slice(0, 2))).toEqual([
      ['message', 'before'],
      ['state', 'reconnecting'],
      ['state', 'joined'],
      ['message', 'missed'],
      ['joined', expect.objectContaining({ id: 'dora' })],
      ['message', 'from dora'],
      ['left', expect.objectContaining({ id: 'dora' })],
      ['message', 'after'],
    ]);
    expect(hub.wires).toHaveLength(2);
  });

  test('says that messages are gone before anything else, and then who came, changed and went', async () => {
    const { hub, room, told } = await joined();
    hub.last.breaks();
    await passes(500);
    const [eve, bob] = [entry(6, 'eve'), { ...BOB, metadata: '"other"' }];
    hub.last.welcomes(3, [bob, ME, eve], { resumed: 'missed', seq: 99, host: 2 });
    await settled();
    hub.last.says(message(99, 2, null, 'old'), message(100, 2, null, 'new'));
    expect(told.map((one) => (one[0] === 'missed' ? one : one.slice(0, 2)))).toEqual([
      ['state', 'reconnecting'],
      ['missed'],
      ['left', expect.objectContaining({ id: 'ann' })],
      ['metadata', expect.objectContaining({ id: 'bob', metadata: 'other' })],
      ['joined', expect.objectContaining({ id: 'eve' })],
      ['host', 'bob'],
      ['state', 'joined'],
      ['message', 'new'],
    ]);
    expect([...room.members.keys()]).toEqual(['bob', 'me', 'eve']);
  });

  test('to a hub that began anew tells members apart by their names, not by their numbers', async () => {
    const { hub, room, told } = await joined();
    hub.last.breaks();
    await passes(500);
    hub.last.welcomes(1, [entry(1, 'me'), entry(2, 'ann', { name: 'Ann' }), entry(3, 'zoe')], { epoch: OTHER_EPOCH, resumed: 'new', seq: 3 });
    await settled();
    expect(told.map((one) => one.slice(0, 2))).toEqual([
      ['state', 'reconnecting'],
      ['missed'],
      ['left', expect.objectContaining({ id: 'bob' })],
      ['joined', expect.objectContaining({ id: 'zoe' })],
      ['host', 'me'],
      ['state', 'joined'],
    ]);
    room.emit('a', 1, { to: 'ann' });
    expect(hub.last.saidOf('emit')).toMatchObject([{ to: [2] }]);
  });

  test('keeps what is said meanwhile, and says it in order to those who are there then', async () => {
    const { hub, room } = await joined();
    hub.last.breaks();
    room.emit('n', 1);
    room.emit('n', 2, { to: 'zoe' });
    room.emit('n', 3, { to: 'bob' });
    await passes(500);
    expect(hub.last.saidOf('emit')).toEqual([]);
    hub.last.welcomes(3, [ME, entry(7, 'bob'), entry(8, 'zoe')], { epoch: OTHER_EPOCH, resumed: 'new' });
    await settled();
    expect(hub.last.saidOf('emit').map(({ to, body }) => [to, body])).toEqual([
      ['others', { json: '1' }],
      [[8], { json: '2' }],
      [[7], { json: '3' }],
    ]);
  });

  test('loses nothing that was on its way: what the hub did not hear is said again first, the rest not', async () => {
    const { hub, room } = await joined();
    for (let n = 0; n < 5; n++) room.emit('n', n);
    room.emit('fast', 0, { unreliable: true });
    hub.last.breaks();
    room.emit('n', 5);
    await passes(500);
    resumes(hub.last, 11, 2);
    await settled();
    const numbers = (): unknown[] => hub.last.saidOf('emit').map(({ event, body }) => [event, 'json' in body && JSON.parse(body.json)]);
    expect(numbers()).toEqual([['n', 2], ['n', 3], ['n', 4], ['fast', 0], ['n', 5]]);
    hub.last.says({ type: 'heard', count: 6 });
    hub.last.breaks();
    await passes(1_000);
    resumes(hub.last, 11, 6);
    await settled();
    expect(numbers()).toEqual([['n', 5]]);
  });

  test('loses nothing either where the hub has forgotten what we missed', async () => {
    const { hub, room } = await joined();
    room.emit('n', 1);
    room.setMetadata(1);
    hub.last.breaks();
    room.setMetadata(2);
    await passes(500);
    hub.last.welcomes(3, [ANN, BOB, ME], { resumed: 'missed', seq: 50, heard: 0 });
    await settled();
    expect(hub.last.said().slice(1)).toMatchObject([{ type: 'emit', body: { json: '1' } }, { type: 'metadata', metadata: '1' }, { type: 'metadata', metadata: '2' }]);
  });

  test('gives up what was said to a hub that began anew: it is not known who heard it', async () => {
    const { hub, room } = await joined();
    room.emit('n', 1);
    hub.last.breaks();
    await passes(500);
    hub.last.welcomes(3, [ANN, BOB, ME], { epoch: OTHER_EPOCH, resumed: 'new' });
    await settled();
    expect(hub.last.saidOf('emit')).toEqual([]);
    room.emit('n', 2);
    hub.last.breaks();
    await passes(1_000);
    hub.last.welcomes(3, [], { epoch: OTHER_EPOCH, resumed: 'whole', heard: 1, host: 0 });
    await settled();
    expect([room.state, hub.last.saidOf('emit')]).toEqual(['joined', []]);
  });

  test('keeps no more than 256 messages that the hub has not said to have', async () => {
    const { hub, room } = await joined();
    for (let n = 0; n < 300; n++) room.emit('n', n);
    expect(hub.last.saidOf('emit')).toHaveLength(256);
    hub.last.says({ type: 'heard', count: 32 });
    expect(hub.last.saidOf('emit')).toHaveLength(288);
  });

  test('with as many messages unheard as are kept says them all again, and then what waits', async () => {
    const { hub, room } = await joined();
    for (let n = 0; n < 300; n++) room.emit('n', n);
    hub.last.breaks();
    await passes(500);
    resumes(hub.last, 11, 0);
    await passes(5_000);
    expect(hub.last.saidOf('emit')).toHaveLength(256);
    hub.last.says({ type: 'heard', count: 256 });
    await settled();
    expect(hub.last.saidOf('emit').map(({ body }) => 'json' in body && JSON.parse(body.json))).toEqual(Array.from({ length: 300 }, (_, n) => n));
  });

  test('leaves metadata as it was set last, whenever that was: before the hub answered, or after one that still waited', async () => {
    const { hub, room } = await joined();
    hub.last.waiting = [300_000];
    room.setMetadata('waits');
    hub.last.breaks();
    room.setMetadata('away');
    await passes(500);
    expect(hub.last.saidOf('hello')).toMatchObject([{ metadata: '"away"' }]);
    room.setMetadata('greeted');
    resumes(hub.last, 11);
    await settled();
    expect(hub.last.saidOf('metadata').map(({ metadata }) => metadata)).toEqual(['"waits"', '"away"', '"greeted"']);
  });

  test('leaves one’s own metadata as it is here, whatever a list of the hub says that has not heard it', async () => {
    // A page that was loaded anew comes to the place of the one before.
    const { hub, room, told } = await joined({ metadata: 'new' });
    expect(room.members.get('me')?.metadata).toBe('new');
    hub.last.breaks();
    room.setMetadata('away');
    await passes(500);
    room.setMetadata('greeted');
    hub.last.welcomes(3, [ANN, BOB, { ...ME, metadata: '"new"' }], { resumed: 'missed', seq: 99, heard: 0 });
    await settled();
    expect(room.members.get('me')?.metadata).toBe('greeted');
    expect(told.filter(([event]) => event === 'metadata').map(([, member]) => (member as { metadata: unknown }).metadata)).toEqual(['away', 'greeted']);
  });

  test('changes no metadata where too much waits to say so', async () => {
    const { hub, room, told } = await joined({ metadata: 'old' });
    hub.last.breaks();
    for (let n = 0; n < 1_000; n++) room.emit('n', n);
    expect(() => room.setMetadata('new')).toThrow(expect.objectContaining({ code: 'overflow' }));
    expect(room.members.get('me')?.metadata).toBe('old');
    expect(told.some(([event]) => event === 'metadata')).toBe(false);
    await passes(500);
    expect(hub.last.saidOf('hello')).toMatchObject([{ metadata: '"old"' }]);
  });

  test('to a hub that claims to have heard more than was said is the end', async () => {
    for (const says of [{ type: 'heard', count: 2 }, { type: 'welcome', epoch: EPOCH, you: 3, seq: 10, resumed: 'whole', heard: 2, host: 0, total: 0, members: [] }] as const) {
      const { hub, room, told } = await joined();
      room.emit('n', 1);
      if (says.type === 'welcome') hub.last.breaks();
      await passes(500);
      hub.last.says(says);
      await settled();
      expect(told.at(-1)).toEqual(['closed', expect.objectContaining({ code: 'protocol' })]);
    }
  });

  test('refuses more than a thousand messages meanwhile', async () => {
    const { hub, room } = await joined();
    hub.last.breaks();
    for (let n = 0; n < 1_000; n++) room.emit('n', n);
    expect(() => room.emit('n')).toThrow(expect.objectContaining({ code: 'overflow' }));
  });

  test('lets answers be awaited on, asked before or meanwhile', async () => {
    const { hub, room } = await joined();
    const before = room.emitWithAck('a', 1, { to: 'bob' });
    hub.last.breaks();
    const meanwhile = room.emitWithAck('b', 1, { to: 'ann' });
    await passes(500);
    resumes(hub.last, 11, 1);
    await settled();
    expect(hub.last.saidOf('emit')).toMatchObject([{ ack: 2, to: [1] }]);
    hub.last.says({ type: 'ack', ack: 1, from: 2, body: { json: '1' } }, { type: 'ack', ack: 2, from: 1, body: { json: '2' } });
    expect(await Promise.all([before, meanwhile])).toEqual([1, 2]);
  });

  test('to a hub that began anew ends waits for what was asked before, not for what is still to be asked', async () => {
    const { hub, room } = await joined();
    const gone = expect(room.emitWithAck('a')).rejects.toMatchObject({ code: 'left' });
    hub.last.breaks();
    const meanwhile = room.emitWithAck('b', 1, { to: 'ann' });
    await passes(500);
    hub.last.welcomes(3, [ANN, BOB, ME], { epoch: OTHER_EPOCH, resumed: 'new' });
    await gone;
    hub.last.says({ type: 'ack', ack: 2, from: 1, body: { json: '2' } });
    expect(await meanwhile).toBe(2);
  });

  test('to a hub that gave the place away while it was gone ends these waits too, and says nothing again', async () => {
    const { hub, room, told } = await joined();
    const gone = expect(room.emitWithAck('a')).rejects.toMatchObject({ code: 'left' });
    hub.last.breaks();
    await passes(500);
    hub.last.welcomes(9, [ANN, BOB, entry(9, 'me')], { resumed: 'missed', seq: 50, heard: 0 });
    await gone;
    await settled();
    expect(hub.last.saidOf('emit')).toEqual([]);
    expect(told.map(([event]) => event)).toEqual(['state', 'missed', 'state']);
  });

  test('is tried again with growing pauses, and each failure is told', async () => {
    const { hub, room, told } = await joined({ reconnect: { delay: 100, maxDelay: 500 } });
    hub.next = () => Promise.reject(new RoomError('unreachable-server', 'away'));
    hub.last.breaks();
    const times: number[] = [];
    for (let before = 1, ms = 0; ms <= 2_000; ms += 50, await passes(50)) {
      if (hub.wires.length > before) times.push(ms);
      before = hub.wires.length;
    }
    expect(times.slice(0, 6)).toEqual([100, 300, 700, 1_200, 1_700].slice(0, 6));
    expect(told.slice(0, 3)).toEqual([
      ['state', 'reconnecting'],
      ['error', expect.objectContaining({ code: 'unreachable-server' })],
      ['error', expect.objectContaining({ code: 'unreachable-server' })],
    ]);
    hub.next = () => Promise.resolve();
    await passes(500);
    resumes(hub.last, 11);
    await settled();
    expect(room.state).toBe('joined');
  });

  test('that goes as soon as it is there is one more failure, until one lasted for ten seconds', async () => {
    const { hub } = await joined();
    const pauses: number[] = [];
    const breaks = async (): Promise<void> => {
      const [before, began] = [hub.wires.length, Date.now()];
      for (hub.last.breaks(); hub.wires.length === before; ) await passes(50);
      pauses.push(Date.now() - began);
      resumes(hub.last, 11);
      await settled();
    };
    for (let time = 0; time < 7; time++) await breaks();
    await passes(10_000);
    await breaks();
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 500]);
  });

  test('is given up after as many attempts as were allowed, with why the last one failed', async () => {
    const { hub, room, told } = await joined({ reconnect: { attempts: 2 } });
    hub.next = () => Promise.reject(new RoomError('no-route', 'no way'));
    const waiting = room.emitWithAck('a', 1, { to: 'bob' });
    const failed = expect(waiting).rejects.toMatchObject({ code: 'no-route' });
    const drained = expect((hub.last.breaks(), room.drain())).rejects.toMatchObject({ code: 'no-route' });
    await passes(100_000);
    await failed;
    await drained;
    expect(hub.wires).toHaveLength(3);
    expect(told.at(-1)).toEqual(['closed', expect.objectContaining({ code: 'no-route' })]);
    expect(room.state).toBe('closed');
    expect(() => room.emit('a')).toThrow(expect.objectContaining({ code: 'closed' }));
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is the end where reconnecting is off', async () => {
    const { hub, told } = await joined({ reconnect: false });
    hub.last.breaks();
    expect(told).toEqual([
      ['state', 'closed'],
      ['closed', expect.objectContaining({ code: 'lost' })],
    ]);
    await passes(100_000);
    expect(hub.wires).toHaveLength(1);
  });

  test('in the middle of a greeting is one more failure', async () => {
    const { hub, room } = await joined();
    hub.last.breaks();
    await passes(500);
    hub.last.breaks();
    await passes(1_000);
    resumes(hub.last, 11);
    await settled();
    expect([room.state, hub.wires.length]).toEqual(['joined', 3]);
  });

  test('is not waited for longer than an attempt may take', async () => {
    const { hub, told } = await joined({ timeout: 2_000 });
    hub.next = null;
    hub.last.breaks();
    await passes(500 + 2_000);
    expect(told.at(-1)).toEqual(['error', expect.objectContaining({ code: 'timeout' })]);
  });
});

describe('a hub that closes a connection', () => {
  test.each(['kicked', 'replaced', 'name-taken', 'version', 'protocol'] as const)('because of %s means it', async (code) => {
    const { hub, room, told } = await joined();
    hub.last.says({ type: 'refused', code });
    hub.last.breaks();
    expect(told).toEqual([
      ['state', 'closed'],
      ['closed', expect.objectContaining({ code })],
    ]);
    expect(room.state).toBe('closed');
    await passes(100_000);
    expect(hub.wires).toHaveLength(1);
  });

  test.each(['full', 'slow', 'rate', 'closed'] as const)('because of %s is asked again', async (code) => {
    const { hub, room } = await joined();
    hub.last.says({ type: 'refused', code });
    expect(room.state).toBe('reconnecting');
    await passes(500);
    hub.last.says({ type: 'refused', code });
    await passes(1_000);
    resumes(hub.last, 11);
    await settled();
    expect(room.state).toBe('joined');
  });

  test('with what is no frame ends the room', async () => {
    const { hub, told } = await joined();
    hub.last.says(Uint8Array.of(137, 1));
    expect(told.at(-1)).toEqual(['closed', expect.objectContaining({ code: 'protocol' })]);
    expect(hub.last.isOpen).toBe(false);
  });
});

describe('leaving', () => {
  test('says goodbye, ends waits and handlers, and is told once', async () => {
    const { hub, room, told } = await joined();
    const answer = expect(room.emitWithAck('a')).rejects.toMatchObject({ code: 'closed' });
    await room.leave();
    await room.leave();
    await answer;
    expect(hub.last.said().at(-1)).toEqual({ type: 'leave' });
    expect(hub.last.isClosed).toBe(true);
    expect(told).toEqual([
      ['state', 'closed'],
      ['closed', null],
    ]);
    hub.last.says(message(11, 1, null, 'late'));
    expect(told).toHaveLength(2);
    await expect(room.drain()).rejects.toMatchObject({ code: 'closed' });
    expect(vi.getTimerCount()).toBe(0);
  });

  test('by signal is the same', async () => {
    const abort = new AbortController();
    const { hub, room } = await joined({ signal: abort.signal });
    abort.abort();
    await settled();
    expect([room.state, hub.last.said().at(-1)]).toEqual(['closed', { type: 'leave' }]);
  });

  test('while there is no connection tells the server by HTTP, and ends within a second though nobody answers', async () => {
    const { hub, room } = await joined();
    hub.last.breaks();
    vi.stubGlobal('fetch', (url: URL, init: RequestInit) => {
      asked.push(url.pathname);
      return new Promise((_, reject) => init.signal?.addEventListener('abort', () => reject(new Error('late'))));
    });
    const left = room.leave();
    await passes(1_000);
    await left;
    expect(asked).toEqual(['/leave']);
    await passes(100_000);
    expect(hub.wires).toHaveLength(1);
  });

  test('on a path that is dead, or before the hub has answered a greeting, tells the server by HTTP too', async () => {
    for (const isGreeting of [false, true]) {
      asked = [];
      const { hub, room } = await joined();
      if (isGreeting) {
        hub.last.breaks();
        await passes(500);
        expect(hub.last.saidOf('hello')).toHaveLength(1);
      } else hub.last.peerConnection = 'disconnected';
      await room.leave();
      // The channel may yet work: in order, after the greeting.
      expect(hub.last.said().at(-1)).toEqual({ type: 'leave' });
      expect([hub.last.isClosed, asked]).toEqual([true, [`/leave {"room":"lobby","peer_id":"me","token":"${room.token}"} keepalive`]]);
    }
  });

  test('on a connection that is alive needs no HTTP', async () => {
    const { room } = await joined();
    await room.leave();
    expect(asked).toEqual([]);
  });

  test('from within a handler stops what would have come after it', async () => {
    const { hub, room, told } = await joined();
    room.on('message', () => void room.leave());
    hub.last.says(message(11, 1, null, 1), message(12, 1, null, 2));
    expect(told.filter(([event]) => event === 'message')).toEqual([['message', 1, 'ann']]);
  });
});

describe('a page', () => {
  const happens = (event: string, more: object = {}): boolean => page.dispatchEvent(Object.assign(new Event(event), more));

  test('that goes says goodbye on the channel and by HTTP, and tries nothing more', async () => {
    const { hub, room } = await joined();
    happens('pagehide', { persisted: false });
    expect(hub.last.said().at(-1)).toEqual({ type: 'leave' });
    expect(hub.last.isClosed).toBe(true);
    // Proven by its token, as anybody can say this.
    expect(asked).toEqual([`/leave {"room":"lobby","peer_id":"me","token":"${room.token}"} keepalive`]);
    await passes(1_000_000);
    expect(hub.wires).toHaveLength(1);
  });

  test('that comes back from the cache joins again under its id, and is told what it missed', async () => {
    const { hub, room, told } = await joined();
    happens('pagehide', { persisted: true });
    await passes(3_600_000);
    happens('pageshow', { persisted: true });
    await settled();
    expect(hub.last.options.id).toBe('me');
    hub.last.welcomes(9, [ANN, entry(9, 'me')], { resumed: 'missed', seq: 50 });
    await settled();
    expect(told.map(([event]) => event)).toContain('missed');
    expect(room.state).toBe('joined');
  });

  test('whose network comes back, or that is seen again, tries at once', async () => {
    for (const wake of [() => happens('online'), () => document.dispatchEvent(new Event('visibilitychange')), () => document.dispatchEvent(new Event('resume'))]) {
      const { hub } = await joined({ reconnect: { delay: 10_000 } });
      hub.last.breaks();
      await settled();
      expect(hub.wires).toHaveLength(1);
      wake();
      await settled();
      expect(hub.wires).toHaveLength(2);
    }
  });

  test('that wakes with a path that is down does not wait for it', async () => {
    const { hub, room } = await joined();
    happens('online');
    expect(room.state).toBe('joined');
    hub.last.peerConnection = 'disconnected';
    happens('online');
    expect(room.state).toBe('reconnecting');
  });

  test('does not hold on to a room that ended', async () => {
    const { room } = await joined();
    await room.leave();
    happens('pagehide');
    expect(asked).toEqual([]);
  });
});

declare const document: EventTarget;
