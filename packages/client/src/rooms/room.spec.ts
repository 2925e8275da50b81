import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ANN, begin, BOB, joined, ME, passes, settled, welcome } from '../testing/room.js';
import { entry, EPOCH, FakeHub, message } from '../testing/room-hub.js';
import { RoomError } from './error.js';
import type { JoinRoomOptions } from './types.js';

const OCTETS = Uint8Array.of(0, 255, 1);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  vi.stubGlobal('fetch', async () => Response.json({ status: 'ok' }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe('joining', () => {
  test('greets the hub with token and metadata, and resolves when it says who is there', async () => {
    const hub = new FakeHub();
    const joining = begin(hub, { token: '000102030405060708090a0b0c0d0e0f', metadata: { name: 'Me' } });
    await settled();
    expect(hub.last.options).toMatchObject({ room: 'lobby', id: 'me', channels: [{ label: 'peerage-room', init: { ordered: true } }] });
    expect(hub.last.options.server.href).toBe('http://hub.example/');
    expect(hub.last.said()).toMatchObject([
      { type: 'hello', token: Uint8Array.from({ length: 16 }, (_, at) => at), metadata: '{"name":"Me"}', epoch: new Uint8Array(8), last: 0 },
    ]);
    welcome(hub.last);
    const room = await joining;
    expect(room).toMatchObject({ name: 'lobby', id: 'me', state: 'joined', host: 'ann', isHost: false, token: '000102030405060708090a0b0c0d0e0f' });
    expect([...room.members]).toEqual([
      ['ann', { id: 'ann', metadata: { name: 'Ann' }, joinedAt: ANN.joined }],
      ['bob', { id: 'bob', metadata: { name: 'Bob' }, joinedAt: BOB.joined }],
      ['me', { id: 'me', metadata: { name: 'Me' }, joinedAt: ME.joined }],
    ]);
  });

  test('draws an id and a token where none is given, others each time', async () => {
    const drawn = new Set<string>();
    for (let time = 0; time < 2; time++) {
      const hub = new FakeHub();
      const joining = begin(hub, { id: undefined });
      await settled();
      welcome(hub.last);
      const { id, token } = await joining;
      expect([id, token]).toEqual([expect.stringMatching(/^member-[0-9a-f]{12}$/), expect.stringMatching(/^[0-9a-f]{32}$/)]);
      drawn.add(id).add(token);
    }
    expect(drawn.size).toBe(4);
  });

  test('waits for a list of members that comes in parts', async () => {
    const hub = new FakeHub();
    const joining = begin(hub);
    await settled();
    hub.last.welcomes(3, [ANN], { total: 3 });
    hub.last.says({ type: 'members', members: [BOB] });
    const early = vi.fn();
    void joining.then(early);
    await settled();
    expect(early).not.toHaveBeenCalled();
    hub.last.says({ type: 'members', members: [ME] });
    expect([...(await joining).members.keys()]).toEqual(['ann', 'bob', 'me']);
  });

  test('hears everything that comes after, if its handlers are there as soon as it resolves', async () => {
    const hub = new FakeHub();
    const heard: unknown[] = [];
    const joining = begin(hub).then((room) => room.on('message', (value) => void heard.push(value)));
    await settled();
    welcome(hub.last);
    await Promise.resolve().then(() => undefined);
    await joining;
    hub.last.says(message(11, 1, null, 'first'));
    expect(heard).toEqual(['first']);
  });

  test.each<[string, string, (hub: FakeHub) => void]>([
    ['the server cannot be reached', 'unreachable-server', (hub) => hub.last.fails(new RoomError('unreachable-server', ''))],
    ['the hub refuses', 'name-taken', (hub) => (hub.last.opens(), void settled().then(() => hub.last.says({ type: 'refused', code: 'name-taken' })))],
    ['the connection breaks before the hub has answered', 'lost', (hub) => (hub.last.opens(), void settled().then(() => hub.last.breaks()))],
    ['the hub says what is no frame', 'protocol', (hub) => (hub.last.opens(), void settled().then(() => hub.last.says(Uint8Array.of(129, 1))))],
    ['the hub speaks another version', 'version', (hub) => (hub.last.opens(), void settled().then(() => hub.last.says(Uint8Array.of(129, 2))))],
  ])('rejects when %s, and leaves nothing behind', async (_, code, happens) => {
    const hub = new FakeHub();
    hub.next = null;
    const joining = begin(hub);
    joining.catch(() => undefined);
    await settled();
    happens(hub);
    await settled();
    await settled();
    await expect(joining).rejects.toMatchObject({ name: 'RoomError', code });
    await passes(120_000);
    expect(hub.wires).toHaveLength(1);
    expect(hub.last.isOpen && hub.last.sent.length > 0).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('that is given up after the greeting gives back the place that the hub may hold; before it there is none', async () => {
    const posted: unknown[] = [];
    vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => (posted.push([url.pathname, JSON.parse(String(init.body))]), Response.json({})));
    const token = '000102030405060708090a0b0c0d0e0f';
    for (const [happens, opens, leaves] of [['timeout', false, 0], ['timeout', true, 1], ['aborted', true, 1], ['full', true, 0]] as const) {
      const hub = new FakeHub();
      if (!opens) hub.next = null;
      posted.length = 0;
      const abort = new AbortController();
      const failed = expect(begin(hub, { timeout: 3_000, signal: abort.signal, token })).rejects.toMatchObject({ code: happens });
      await settled();
      if (happens === 'aborted') abort.abort();
      if (happens === 'full') hub.last.says({ type: 'refused', code: happens });
      await passes(happens === 'timeout' ? 3_000 : 0);
      await failed;
      expect(posted).toEqual(Array(leaves).fill(['/leave', { room: 'lobby', peer_id: 'me', token }]));
    }
  });

  test('ends after its time, whether nobody answers or the hub does not greet', async () => {
    for (const opens of [false, true]) {
      const hub = new FakeHub();
      if (!opens) hub.next = null;
      const joining = begin(hub, { timeout: 3_000 });
      const failed = expect(joining).rejects.toMatchObject({ code: 'timeout' });
      await passes(3_000);
      await failed;
      expect(hub.wires).toHaveLength(1);
    }
  });

  test('is given up by its signal at any point', async () => {
    const over = new AbortController();
    over.abort();
    await expect(begin(new FakeHub(), { signal: over.signal })).rejects.toMatchObject({ code: 'aborted' });
    for (const opens of [false, true]) {
      const hub = new FakeHub();
      if (!opens) hub.next = null;
      const abort = new AbortController();
      const joining = begin(hub, { signal: abort.signal });
      const failed = expect(joining).rejects.toMatchObject({ code: 'aborted' });
      await settled();
      abort.abort();
      await failed;
      await settled();
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  test.each<[string, string, JoinRoomOptions]>([
    ['an empty name', '', {}],
    ['a name of 257 octets', 'é'.repeat(128) + 'x', {}],
    ['a name with a line end', 'a\nb', {}],
    ['the id server', 'a', { id: 'server' }],
    ['an id of 513 octets', 'a', { id: 'x'.repeat(513) }],
    ['a short token', 'a', { token: 'abc' }],
    ['no server where there is no page', 'a', { server: undefined }],
    ['a server that is no http', 'a', { server: 'ws://hub.example' }],
    ['a time that is none', 'a', { timeout: Number.NaN }],
    ['a topology that there is not', 'a', { topology: 'mesh' as 'hub' }],
  ])('refuses %s before anything is tried', async (_, name, options) => {
    const { joinIn } = await import('./room.js');
    const hub = new FakeHub();
    await expect(joinIn({ open: hub.open, random: () => 0, now: () => 0 }, name, { server: 'http://hub.example', ...options })).rejects.toMatchObject({ code: 'bad-option' });
    expect(hub.wires).toEqual([]);
  });

  test('refuses metadata above 16 KiB, and what is no JSON', async () => {
    await expect(begin(new FakeHub(), { metadata: 'x'.repeat(16_383) })).rejects.toMatchObject({ code: 'too-large' });
    await expect(begin(new FakeHub(), { metadata: 1n })).rejects.toMatchObject({ code: 'not-json' });
  });

  test('keeps the path of a server, and without one takes the page’s origin', async () => {
    vi.stubGlobal('location', { origin: 'https://page.example' });
    for (const [server, href] of [['http://h.example/app?x#y', 'http://h.example/app/'], [new URL('https://h.example/a/'), 'https://h.example/a/'], [undefined, 'https://page.example/']] as const) {
      const hub = new FakeHub();
      begin(hub, { server }).catch(() => undefined);
      await settled();
      expect(hub.last.options.server.href).toBe(href);
      hub.last.breaks();
      await settled();
    }
  });
});

describe('saying', () => {
  test('emit goes to everybody else, with the event and its data as JSON or octets', async () => {
    const { hub, room } = await joined();
    room.emit('draw', { x: 1 });
    room.broadcast('clear');
    room.emit('bytes', OCTETS);
    room.emit('view', new DataView(OCTETS.buffer, 1, 1));
    room.emit('buffer', OCTETS.buffer);
    room.send('hi');
    expect(hub.last.saidOf('emit')).toEqual([
      { type: 'emit', to: 'others', ack: null, event: 'draw', fast: false, body: { json: '{"x":1}' } },
      { type: 'emit', to: 'others', ack: null, event: 'clear', fast: false, body: { json: 'null' } },
      { type: 'emit', to: 'others', ack: null, event: 'bytes', fast: false, body: { bytes: OCTETS } },
      { type: 'emit', to: 'others', ack: null, event: 'view', fast: false, body: { bytes: Uint8Array.of(255) } },
      { type: 'emit', to: 'others', ack: null, event: 'buffer', fast: false, body: { bytes: OCTETS } },
      { type: 'emit', to: 'others', ack: null, event: null, fast: false, body: { json: '"hi"' } },
    ]);
  });

  test('octets are taken at once: what happens to them later changes nothing', async () => {
    const { hub, room } = await joined();
    hub.last.waiting = [1_000_000];
    const octets = OCTETS.slice();
    room.emit('bytes', octets);
    octets.fill(9);
    hub.last.takes();
    expect(hub.last.saidOf('emit')).toMatchObject([{ body: { bytes: OCTETS } }]);
  });

  test('to names one, several, or the server alone; to who is not there, and to oneself, nothing is said', async () => {
    const { hub, room } = await joined();
    room.emit('a', 1, { to: 'bob' });
    room.send(2, { to: ['bob', 'nobody', 'ann', 'me'] });
    room.emit('c', 3, { to: 'server' });
    room.emit('d', 4, { to: 'nobody' });
    room.emit('e', 5, { to: 'me' });
    room.emit('f', 6, { to: [] });
    expect(hub.last.saidOf('emit').map(({ event, to }) => [event, to])).toEqual([
      ['a', [2]],
      [null, [1, 2]],
      ['c', 'hub'],
    ]);
  });

  test('what may be lost goes by a channel of its own, and only while that has room', async () => {
    const { hub, room } = await joined({ unreliable: true });
    expect(hub.last.options.channels).toEqual([
      { label: 'peerage-room', init: { ordered: true } },
      { label: 'peerage-room-fast', init: { ordered: false, maxRetransmits: 0 } },
    ]);
    room.emit('cursor', 1, { unreliable: true });
    hub.last.waiting = [0, 20_000];
    room.emit('cursor', 2, { unreliable: true });
    expect(hub.last.said(1)).toMatchObject([{ type: 'emit', event: 'cursor', fast: true, body: { json: '1' } }]);
    hub.last.waiting = [0, null];
    room.emit('cursor', 3, { unreliable: true });
    expect(hub.last.saidOf('emit')).toMatchObject([{ fast: true, body: { json: '3' } }]);
    hub.last.breaks();
    room.emit('cursor', 4, { unreliable: true });
    await passes(500);
    hub.last.says({ type: 'welcome', epoch: EPOCH, you: 3, seq: 10, resumed: 'whole', heard: 0, host: 0, total: 0, members: [] });
    await settled();
    expect(hub.last.saidOf('emit')).toEqual([]);
  });

  test('without that channel it is said like everything else', async () => {
    const { hub, room } = await joined();
    room.emit('cursor', 1, { unreliable: true });
    expect(hub.last.saidOf('emit')).toMatchObject([{ fast: false, body: { json: '1' } }]);
  });

  test('the names of the room’s own events are refused, and so are names that are none', async () => {
    const { room } = await joined();
    for (const event of ['joined', 'left', 'host', 'metadata', 'message', 'state', 'missed', 'closed', 'error', '', 'x'.repeat(257)]) {
      expect(() => room.emit(event, 1)).toThrow(expect.objectContaining({ code: 'reserved' }));
      await expect(room.emitWithAck(event)).rejects.toMatchObject({ code: 'reserved' });
    }
  });

  test('what is no JSON, or too large, is refused', async () => {
    const { hub, room } = await joined();
    for (const data of [1n, () => 1, Symbol('x')]) expect(() => room.emit('a', data)).toThrow(expect.objectContaining({ code: 'not-json' }));
    expect(() => room.emit('a', new Uint8Array(65_536))).toThrow(expect.objectContaining({ code: 'too-large' }));
    room.emit('a', new Uint8Array(65_536 - 25));
    expect(hub.last.saidOf('emit')).toHaveLength(1);
  });

  test('what the channel has no room for waits, in order, within bounds that are said', async () => {
    const { hub, room } = await joined();
    hub.last.waiting = [300_000];
    for (let n = 0; n < 1_000; n++) room.emit('n', n);
    expect(() => room.emit('n', 1_000)).toThrow(expect.objectContaining({ code: 'overflow' }));
    expect(room.buffered).toBeGreaterThan(300_000);
    expect(hub.last.saidOf('emit')).toEqual([]);
    let isDrained = false;
    void room.drain().then(() => (isDrained = true));
    await settled();
    expect(isDrained).toBe(false);
    hub.last.takes();
    await paced(hub);
    expect(isDrained).toBe(true);
    expect(hub.last.saidOf('emit').map(({ body }) => ('json' in body ? Number(body.json) : -1))).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    expect(room.buffered).toBe(0);
  });

  test('nothing overtakes what waits, though there is room again', async () => {
    const { hub, room } = await joined();
    hub.last.waiting = [300_000];
    room.emit('n', 1);
    hub.last.waiting = [0];
    room.emit('n', 2);
    hub.last.takes();
    expect(hub.last.saidOf('emit').map(({ body }) => body)).toEqual([{ json: '1' }, { json: '2' }]);
  });

  test('no more is said than a hub takes: 400 messages at once, and 180 a second, those that may be lost dropped beyond', async () => {
    const { hub, room } = await joined({ unreliable: true });
    for (let n = 0; n < 1_000; n++) room.emit('n', n);
    const said = (): number => hub.last.said().filter(({ type }) => type === 'emit').length;
    const hears = (): void => hub.last.says({ type: 'heard', count: said() });
    hears();
    hears();
    expect(said()).toBe(400);
    for (let n = 0; n < 10; n++) room.emit('cursor', n, { unreliable: true });
    for (let second = 1; second <= 3; second++) {
      await passes(1_000);
      expect(said()).toBeGreaterThan(400 + second * 170);
      expect(said()).toBeLessThanOrEqual(400 + second * 180);
      hears();
    }
    await paced(hub);
    expect(hub.last.saidOf('emit').map(({ body }) => Number('json' in body ? body.json : -1))).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    expect(hub.last.said(1)).toEqual([]);
    await passes(5_000);
    for (let n = 0; n < 1_000; n++) room.emit('cursor', n, { unreliable: true });
    expect(hub.last.said(1)).toHaveLength(351);
  });

  test('waiting octets are bounded as well', async () => {
    const { hub, room } = await joined();
    hub.last.waiting = [300_000];
    const large = new Uint8Array(60_000);
    let taken = 0;
    expect(() => {
      for (;; taken++) room.emit('large', large);
    }).toThrow(expect.objectContaining({ code: 'overflow' }));
    expect(taken).toBe(69);
  });

  test('metadata of one’s own is told to the hub, to oneself, and to the hub that comes after', async () => {
    const { hub, room, told } = await joined();
    room.setMetadata({ name: 'I' });
    expect(room.members.get('me')?.metadata).toEqual({ name: 'I' });
    expect(hub.last.saidOf('metadata')).toEqual([{ type: 'metadata', metadata: '{"name":"I"}' }]);
    hub.last.says({ type: 'metadata', seq: 11, member: 3, metadata: '{"name":"old"}' });
    expect(told).toEqual([['metadata', { id: 'me', metadata: { name: 'I' }, joinedAt: ME.joined }]]);
    hub.last.breaks();
    await passes(500);
    expect(hub.last.saidOf('hello')).toMatchObject([{ metadata: '{"name":"I"}' }]);
  });
});

describe('hearing', () => {
  test('events and messages come with their sender, octets as octets', async () => {
    const { hub, told } = await joined({}, ['draw']);
    hub.last.says(message(11, 1, 'draw', { x: 1 }), message(12, 2, null, 'hi'), message(13, 0, null, 'from the server'), message(14, 1, 'draw', OCTETS), message(15, 1, 'other', 1));
    expect(told).toEqual([
      ['draw', { x: 1 }, 'ann'],
      ['message', 'hi', 'bob'],
      ['message', 'from the server', 'server'],
      ['draw', OCTETS, 'ann'],
    ]);
  });

  test('each message once, nothing of who is not there, nothing of one’s own', async () => {
    const { hub, told } = await joined({}, ['a']);
    hub.last.says(message(11, 1, 'a', 1), message(11, 1, 'a', 1), message(9, 1, 'a', 2), message(12, 77, 'a', 3), message(13, 3, 'a', 4), message(0, 1, 'a', 5), message(0, 77, 'a', 6));
    expect(told).toEqual([
      ['a', 1, 'ann'],
      ['a', 5, 'ann'],
    ]);
  });

  test('nobody forges the room’s own events', async () => {
    const { hub, told } = await joined();
    let seq = 10;
    for (const event of ['joined', 'left', 'host', 'metadata', 'message', 'state', 'missed', 'closed', 'error']) hub.last.says(message(++seq, 1, event, null));
    expect(told).toEqual([]);
  });

  test('members come, change and go, and the host moves', async () => {
    const { hub, room, told } = await joined();
    const carol = entry(4, 'carol', 7);
    hub.last.says({ type: 'joined', seq: 11, member: carol }, { type: 'metadata', seq: 12, member: 4, metadata: '8' });
    expect(room.members.get('carol')).toEqual({ id: 'carol', metadata: 8, joinedAt: carol.joined });
    hub.last.says({ type: 'left', seq: 13, member: 1, reason: 'lost' }, { type: 'host', seq: 14, member: 3 });
    expect([room.host, room.isHost, [...room.members.keys()]]).toEqual(['me', true, ['bob', 'me', 'carol']]);
    expect(told).toEqual([
      ['joined', { id: 'carol', metadata: 7, joinedAt: carol.joined }],
      ['metadata', { id: 'carol', metadata: 8, joinedAt: carol.joined }],
      ['left', { id: 'ann', metadata: { name: 'Ann' }, joinedAt: ANN.joined }, 'lost'],
      ['host', 'me'],
    ]);
  });

  test('a handler that throws harms no other, and is reported', async () => {
    const reported: unknown[] = [];
    vi.stubGlobal('reportError', (error: unknown) => reported.push(error));
    const { hub, room } = await joined();
    const heard: unknown[] = [];
    room.on('a', () => {
      throw new Error('mine');
    });
    room.on('a', (value) => void heard.push(value));
    hub.last.says(message(11, 1, 'a', 1), message(12, 1, 'a', 2));
    expect(heard).toEqual([1, 2]);
    expect(reported).toMatchObject([{ message: 'mine' }, { message: 'mine' }]);
  });

  test('once is called once; off, the returned function and a signal each end a handler; twice the same is called once', async () => {
    const { hub, room } = await joined();
    const heard: string[] = [];
    const note = (name: string) => (): void => void heard.push(name);
    const [kept, off, all] = [note('kept'), note('off'), note('all')];
    const abort = new AbortController();
    room.once('a', note('once'));
    room.on('a', kept);
    room.on('a', kept);
    room.on('a', off);
    room.on('b', all);
    const end = room.on('a', note('returned'));
    room.on('a', note('signal'), { signal: abort.signal });
    room.on('a', note('never'), { signal: AbortSignal.abort() });
    hub.last.says(message(11, 1, 'a', 1), message(12, 1, 'b', 1));
    expect(heard.splice(0)).toEqual(['once', 'kept', 'off', 'returned', 'signal', 'all']);
    room.off('a', off);
    room.off('b');
    end();
    abort.abort();
    hub.last.says(message(13, 1, 'a', 1), message(14, 1, 'b', 1));
    expect(heard).toEqual(['kept']);
  });

  test('a handler that another one ended in the same turn is not called', async () => {
    const { hub, room } = await joined();
    const second = vi.fn();
    room.on('a', () => room.off('a', second));
    room.on('a', second);
    hub.last.says(message(11, 1, 'a', 1));
    expect(second).not.toHaveBeenCalled();
  });

  test('what was handed on is confirmed, once a second', async () => {
    const { hub } = await joined();
    hub.last.says(message(11, 1, 'a', 1), message(12, 1, 'a', 1));
    await passes(999);
    expect(hub.last.saidOf('got')).toEqual([]);
    hub.last.says(message(13, 1, 'a', 1));
    await passes(1);
    expect(hub.last.saidOf('got')).toEqual([{ type: 'got', seq: 13 }]);
    await passes(10_000);
    expect(hub.last.saidOf('got')).toHaveLength(1);
  });

  test('pings are answered', async () => {
    const { hub } = await joined();
    hub.last.says({ type: 'ping', octets: EPOCH });
    expect(hub.last.saidOf('pong')).toEqual([{ type: 'pong', octets: EPOCH }]);
  });

  test('what may be lost and is no message is passed over, and says nothing of the room', async () => {
    const { hub, room, told } = await joined({ unreliable: true }, ['a']);
    hub.last.saysOn(1, message(0, 1, 'a', 1));
    hub.last.saysOn(1, Uint8Array.of(137, 1));
    hub.last.saysOn(1, message(12, 1, 'a', 2));
    hub.last.saysOn(1, { type: 'host', seq: 11, member: 3 });
    hub.last.saysOn(1, { type: 'refused', code: 'kicked' });
    expect([told, room.state, room.host]).toEqual([[['a', 1, 'ann']], 'joined', 'ann']);
  });

  test('frames of later versions, and texts, are passed over', async () => {
    const { hub, room, told } = await joined();
    hub.last.says(Uint8Array.of(200, 1, 2), 'text');
    expect([room.state, told]).toEqual(['joined', []]);
  });
});

describe('answers', () => {
  test('of one who is asked', async () => {
    const { hub, room } = await joined();
    const answer = room.emitWithAck('sum', [1, 2], { to: 'bob' });
    expect(hub.last.saidOf('emit')).toMatchObject([{ to: [2], ack: 1, event: 'sum', body: { json: '[1,2]' } }]);
    hub.last.says({ type: 'ack', ack: 1, from: 2, body: { json: '3' } }, { type: 'ack', ack: 1, from: 2, body: { json: '4' } });
    expect(await answer).toBe(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('of the server', async () => {
    const { hub, room } = await joined();
    const answer = room.emitWithAck('save', null, { to: 'server' });
    hub.last.says({ type: 'ack', ack: 1, from: 0, body: { bytes: OCTETS } });
    expect(await answer).toEqual(OCTETS);
  });

  test('of everybody, when all who were asked have answered or left', async () => {
    const { hub, room } = await joined();
    const answers = room.emitWithAck('ready?');
    hub.last.says({ type: 'asked', ack: 1, members: [1, 2] }, { type: 'ack', ack: 1, from: 2, body: { json: '"yes"' } });
    hub.last.says({ type: 'unacked', ack: 1, from: 1, reason: 'left' });
    expect(await answers).toEqual(new Map([['bob', 'yes']]));
  });

  test('of nobody, where nobody else is there', async () => {
    const { hub, room } = await joined();
    const answers = room.emitWithAck('ready?');
    hub.last.says({ type: 'asked', ack: 1, members: [] });
    expect(await answers).toEqual(new Map());
    expect(await room.emitWithAck('ready?', 1, { to: ['nobody'] })).toEqual(new Map());
  });

  test('of several', async () => {
    const { hub, room } = await joined();
    const answers = room.emitWithAck('ready?', 1, { to: ['ann', 'bob'] });
    hub.last.says({ type: 'ack', ack: 1, from: 1, body: { json: '1' } }, { type: 'ack', ack: 1, from: 1, body: { json: '9' } }, { type: 'ack', ack: 1, from: 2, body: { json: '2' } });
    expect(await answers).toEqual(
      new Map([
        ['ann', 1],
        ['bob', 2],
      ]),
    );
  });

  test.each([
    ['unknown', 'no-such-member'],
    ['left', 'left'],
    ['dropped', 'dropped'],
    ['mute', 'mute'],
    ['late', 'timeout'],
  ] as const)('that will not come, because of %s, are an error', async (reason, code) => {
    const { hub, room } = await joined();
    const answer = room.emitWithAck('sum', 1, { to: 'bob' });
    hub.last.says({ type: 'unacked', ack: 1, from: 2, reason });
    await expect(answer).rejects.toMatchObject({ name: 'RoomError', code });
  });

  test('of who is not there are refused at once, and of a message that the server drops for all', async () => {
    const { hub, room } = await joined();
    await expect(room.emitWithAck('sum', 1, { to: 'nobody' })).rejects.toMatchObject({ code: 'no-such-member' });
    const answers = room.emitWithAck('sum', 1);
    hub.last.says({ type: 'unacked', ack: 2, from: 0, reason: 'dropped' });
    await expect(answers).rejects.toMatchObject({ code: 'dropped' });
  });

  test('that come too late are an error that has those that came', async () => {
    const { hub, room } = await joined();
    const answers = room.emitWithAck('ready?', null, { timeout: 1_000 });
    const late = expect(answers).rejects.toMatchObject({ code: 'timeout', answers: new Map([['ann', 1]]) });
    hub.last.says({ type: 'asked', ack: 1, members: [1, 2] }, { type: 'ack', ack: 1, from: 1, body: { json: '1' } });
    await passes(1_000);
    await late;
    const one = expect(room.emitWithAck('sum', 1, { to: 'bob' })).rejects.toMatchObject({ code: 'timeout', answers: undefined });
    await passes(10_000);
    await one;
  });

  test('that are waited for no time, or for ever, are not asked for', async () => {
    const { hub, room } = await joined();
    for (const timeout of [Infinity, Number.NaN, -1, 2 ** 31]) await expect(room.emitWithAck('a', 1, { timeout })).rejects.toMatchObject({ code: 'bad-option' });
    expect(hub.last.saidOf('emit')).toEqual([]);
  });

  test('that found no room can be given again', async () => {
    const { hub, room } = await joined();
    let ack: ((reply: unknown) => void) | undefined;
    room.on('a', (_: unknown, __: string, given?: (reply: unknown) => void) => void (ack = given));
    hub.last.says(message(11, 1, 'a', 0, 5));
    hub.last.waiting = [300_000];
    for (let n = 0; n < 1_000; n++) room.emit('n', n);
    expect(() => ack?.(1)).toThrow(expect.objectContaining({ code: 'overflow' }));
    hub.last.takes();
    ack?.(2);
    await paced(hub);
    expect(hub.last.saidOf('ack')).toMatchObject([{ body: { json: '2' } }]);
  });

  test('awaited at once are bounded', async () => {
    const { room } = await joined();
    const all = Array.from({ length: 256 }, () => room.emitWithAck('a').catch(() => undefined));
    await expect(room.emitWithAck('a')).rejects.toMatchObject({ code: 'overflow' });
    await room.leave();
    await Promise.all(all);
  });

  test('are given by the function, by what a handler returns, or by its promise; the first counts', async () => {
    const { hub, room } = await joined();
    room.on('a', (_: unknown, __: string, ack?: (reply: unknown) => void) => (ack?.(1), ack?.(2), 3));
    room.on('b', () => OCTETS);
    room.on('c', async () => 'later');
    room.on('d', () => undefined);
    hub.last.says(message(11, 1, 'a', 0, 5), message(12, 2, 'b', 0, 6), message(13, 1, 'c', 0, 7), message(14, 1, 'd', 0, 8), message(15, 1, 'c', 0));
    await settled();
    expect(hub.last.saidOf('ack')).toEqual([
      { type: 'ack', to: 1, ack: 5, body: { json: '1' } },
      { type: 'ack', to: 2, ack: 6, body: { bytes: OCTETS } },
      { type: 'ack', to: 1, ack: 7, body: { json: '"later"' } },
    ]);
  });

  test('are no longer given to a room that began anew', async () => {
    const { hub, room } = await joined();
    let ack: ((reply: unknown) => void) | undefined;
    room.on('a', (_: unknown, __: string, given?: (reply: unknown) => void) => void (ack = given));
    hub.last.says(message(11, 1, 'a', 0, 5));
    hub.last.breaks();
    await passes(500);
    welcome(hub.last, { epoch: Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9) });
    await settled();
    ack?.(1);
    expect(hub.last.saidOf('ack')).toEqual([]);
  });
});

/** Time passes, in which the hub takes what comes. */
async function paced(hub: FakeHub): Promise<void> {
  for (let second = 0; second < 10; second++) {
    const count = hub.last.said().filter(({ type }) => type === 'emit').length;
    if (second > 0) hub.last.says({ type: 'heard', count });
    await passes(1_000);
  }
}
