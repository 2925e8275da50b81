import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { passes, settled } from '../testing/room.js';
import { RoomError } from '../rooms/error.js';
import { openWire, postLeave, type Wire, type WireOptions } from './hub.js';

class FakeChannel extends EventTarget {
  binaryType = 'blob';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  readyState = 'connecting';
  readonly sent: unknown[] = [];
  fails = false;
  readonly label: string;
  readonly init: unknown;

  constructor(label: string, init: unknown) {
    super();
    this.label = label;
    this.init = init;
  }

  send(data: unknown): void {
    if (this.fails) throw new TypeError('too large');
    this.sent.push(data);
  }

  close(): void {
    this.readyState = 'closing';
  }

  becomes(state: string): void {
    this.readyState = state;
    this.dispatchEvent(new Event(state === 'open' ? 'open' : 'close'));
  }

  says(data: unknown): void {
    this.dispatchEvent(Object.assign(new Event('message'), { data }));
  }
}

class FakeConnection extends EventTarget {
  static last: FakeConnection;
  readonly channels: FakeChannel[] = [];
  connectionState = 'new';
  iceConnectionState = 'new';
  remote: unknown = null;
  isClosed = false;
  readonly config: unknown;

  constructor(config: unknown) {
    super();
    this.config = config;
    FakeConnection.last = this;
  }

  createDataChannel(label: string, init: unknown): FakeChannel {
    const channel = new FakeChannel(label, init);
    this.channels.push(channel);
    return channel;
  }

  async createOffer(): Promise<unknown> {
    return { type: 'offer', sdp: 'v=0 offer' };
  }

  async setLocalDescription(): Promise<void> {
    this.gathers('candidate:1');
  }

  async setRemoteDescription(description: { sdp: string }): Promise<void> {
    if (description.sdp === 'nonsense') throw new TypeError('nonsense');
    this.remote = description;
  }

  gathers(candidate: string | null): void {
    const given = candidate === null ? null : { candidate, toJSON: () => ({ candidate, sdpMid: '0', sdpMLineIndex: 0 }) };
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: given }));
  }

  becomes(state: string): void {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  iceBecomes(state: string): void {
    this.iceConnectionState = state;
    this.dispatchEvent(new Event('iceconnectionstatechange'));
  }

  close(): void {
    this.isClosed = true;
  }
}

let asked: { readonly path: string; readonly body: unknown; readonly init: RequestInit }[];
let answer: () => Response | Promise<Response>;
let over: AbortController;
let told: unknown[][];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.stubGlobal('RTCPeerConnection', FakeConnection);
  [asked, told, over] = [[], [], new AbortController()];
  answer = () => Response.json({ answer: { sdp: 'v=0 answer', type: 'answer' } });
  vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
    asked.push({ path: url.pathname, body: JSON.parse(String(init.body)), init });
    const aborted = new Promise<never>((_, reject) => init.signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError'))));
    return Promise.race([url.pathname.endsWith('/offer') ? answer() : Response.json({ status: 'ok' }), aborted]);
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function opening(options: Partial<WireOptions> = {}): Promise<Wire> {
  const note =
    (name: string) =>
    (...given: unknown[]): void =>
      void told.push([name, ...given]);
  return openWire(
    { server: new URL('https://hub.example/app/'), room: 'lobby', id: 'me', channels: [{ label: 'a', init: { ordered: true } }, { label: 'b', init: { ordered: false, maxRetransmits: 0 } }], iceServers: [{ urls: 'stun:s.example' }], patience: 5_000, signal: over.signal, ...options },
    { onMessage: note('message'), onLow: note('low'), onBroken: note('broken'), onState: note('state'), onAnswer: note('answer') },
  );
}

async function opened(): Promise<{ wire: Wire; pc: FakeConnection; first: FakeChannel }> {
  const wire = opening();
  await vi.waitFor(() => expect(FakeConnection.last.remote).not.toBe(null));
  const pc = FakeConnection.last;
  const [first] = pc.channels as [FakeChannel];
  for (const channel of pc.channels) channel.becomes('open');
  pc.becomes('connected');
  return { wire: await wire, pc, first };
}

describe('opening', () => {
  test('sends the offer by HTTP at once, takes the answer, and resolves when the first channel is open', async () => {
    const wire = opening();
    await settled();
    await settled();
    expect(asked[0]).toMatchObject({ path: '/app/offer', body: { room: 'lobby', peer_id: 'me', offer: { sdp: 'v=0 offer', type: 'offer' } }, init: { method: 'POST', headers: { 'content-type': 'application/json' } } });
    const pc = FakeConnection.last;
    expect(pc.config).toEqual({ iceServers: [{ urls: 'stun:s.example' }] });
    expect(pc.remote).toEqual({ sdp: 'v=0 answer', type: 'answer' });
    expect(pc.channels.map(({ label, init, binaryType }) => [label, init, binaryType])).toEqual([
      ['a', { ordered: true }, 'arraybuffer'],
      ['b', { ordered: false, maxRetransmits: 0 }, 'arraybuffer'],
    ]);
    let isOpen = false;
    void wire.then(() => (isOpen = true));
    pc.channels[1]?.becomes('open');
    await settled();
    expect(isOpen).toBe(false);
    pc.channels[0]?.becomes('open');
    await wire;
  });

  test('tells candidates after the answer, as they come, until there is a way', async () => {
    const wire = opening();
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    expect(asked.map(({ path }) => path)).toEqual(['/app/offer', '/app/candidate']);
    expect(asked[1]?.body).toEqual({ room: 'lobby', peer_id: 'me', candidate: { candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0 } });
    const pc = FakeConnection.last;
    pc.gathers('candidate:2');
    pc.gathers('');
    pc.gathers(null);
    expect(asked).toHaveLength(3);
    for (let more = 0; more < 100; more++) pc.gathers(`candidate:${more}`);
    expect(asked).toHaveLength(1 + 32);
    pc.channels[0]?.becomes('open');
    await wire;
    pc.gathers('candidate:3');
    expect(asked).toHaveLength(1 + 32);
  });

  test.each<[string, string, () => Response | Promise<Response>]>([
    ['no server', 'unreachable-server', () => Promise.reject(new TypeError('network'))],
    ['no rooms there', 'refused', () => new Response('', { status: 404 })],
    ['a bad request', 'refused', () => Response.json({ error: 'x' }, { status: 400 })],
    ['no place', 'busy', () => Response.json({ error: 'full' }, { status: 503 })],
    ['too many requests', 'busy', () => new Response('', { status: 429 })],
    ['no JSON', 'refused', () => new Response('<html>')],
    ['another JSON', 'refused', () => Response.json([1])],
    ['no answer in it', 'refused', () => Response.json({ answer: { sdp: 1, type: 'answer' } })],
    ['an offer in its place', 'refused', () => Response.json({ answer: { sdp: 'x', type: 'offer' } })],
    ['nonsense', 'refused', () => Response.json({ answer: { sdp: 'nonsense', type: 'answer' } })],
  ])('rejects for %s as %s, and closes what it had', async (_, code, given) => {
    answer = given;
    await expect(opening()).rejects.toMatchObject({ name: 'RoomError', code });
    expect(FakeConnection.last.isClosed).toBe(true);
  });

  test('reads no more of an answer than it may have', async () => {
    let [pieces, isCancelled] = [0, false];
    answer = () => new Response(new ReadableStream({
      pull: (to) => (pieces++ < 1_000 ? to.enqueue(new Uint8Array(65_536).fill(32)) : to.close()),
      cancel: () => void (isCancelled = true),
    }));
    await expect(opening()).rejects.toMatchObject({ code: 'refused' });
    expect([pieces < 10, isCancelled]).toEqual([true, true]);
  });

  test('rejects as unsupported where there is no WebRTC, and for ICE servers that are none', async () => {
    vi.stubGlobal('RTCPeerConnection', class { constructor() { throw new SyntaxError('no URL'); } });
    await expect(opening()).rejects.toMatchObject({ code: 'bad-option' });
    vi.stubGlobal('RTCPeerConnection', undefined);
    await expect(opening()).rejects.toMatchObject({ code: 'unsupported' });
  });

  test('rejects when no path is found, or the channel closes before it opens', async () => {
    for (const [code, happens] of [['no-route', (pc: FakeConnection) => pc.becomes('failed')], ['lost', (pc: FakeConnection) => pc.channels[0]?.becomes('closed')]] as const) {
      const wire = opening();
      const failed = expect(wire).rejects.toMatchObject({ code });
      await vi.waitFor(() => expect(FakeConnection.last.remote).not.toBe(null));
      happens(FakeConnection.last);
      await failed;
    }
    expect(told.filter(([name]) => name === 'broken')).toEqual([]);
  });

  test('is ended by its signal at any point, with its reason', async () => {
    const reason = new RoomError('timeout', 'late');
    const waits = [() => new Promise<Response>(() => undefined), () => Response.json({ answer: { sdp: 'v=0', type: 'answer' } })];
    for (const given of waits) {
      over = new AbortController();
      answer = given;
      const failed = expect(opening()).rejects.toBe(reason);
      await settled();
      await settled();
      over.abort(reason);
      await failed;
      expect(FakeConnection.last.isClosed).toBe(true);
    }
    await expect(opening()).rejects.toBe(reason);
  });
});

describe('an open connection', () => {
  test('sends and hears by channel, and says how much waits', async () => {
    const { wire, pc, first } = await opened();
    expect([wire.send('x'), wire.send(Uint8Array.of(1), 1), wire.send('x', 2)]).toEqual([true, true, false]);
    expect(pc.channels.map(({ sent }) => sent)).toEqual([['x'], [Uint8Array.of(1)]]);
    first.bufferedAmount = 7;
    expect([wire.buffered(), wire.buffered(1), wire.buffered(2)]).toEqual([7, 0, null]);
    first.says('text');
    pc.channels[1]?.says('fast');
    first.dispatchEvent(new Event('bufferedamountlow'));
    expect(told.filter(([name]) => name === 'message' || name === 'low')).toEqual([
      ['message', 'text', 0],
      ['message', 'fast', 1],
      ['low'],
    ]);
    expect(first.bufferedAmountLowThreshold).toBe(65_536);
    first.fails = true;
    expect(wire.send('too large')).toBe(false);
    expect(wire.status()).toEqual({ peerConnection: 'connected', iceConnection: 'new', dataChannel: 'open' });
  });

  test('tells of its states, and that the answer is there', async () => {
    const { pc } = await opened();
    pc.iceBecomes('checking');
    expect(told).toEqual([['answer', null], ['state', 'connection', 'connected'], ['state', 'ice', 'checking']]);
  });

  test.each<[string, (pc: FakeConnection) => void]>([
    ['the channel closes', (pc) => pc.channels[0]?.becomes('closed')],
    ['the path fails', (pc) => pc.becomes('failed')],
  ])('is broken at once when %s, and told so once', async (_, happens) => {
    const { wire, pc } = await opened();
    happens(pc);
    happens(pc);
    expect(told.filter(([name]) => name === 'broken')).toHaveLength(1);
    expect([pc.isClosed, wire.send('x'), wire.buffered()]).toEqual([true, false, null]);
  });

  test('may be disconnected for as long as it is given', async () => {
    const { pc } = await opened();
    pc.becomes('disconnected');
    await passes(4_999);
    pc.becomes('connected');
    await passes(60_000);
    expect(told.some(([name]) => name === 'broken')).toBe(false);
    pc.becomes('disconnected');
    await passes(5_000);
    expect(told.filter(([name]) => name === 'broken')).toHaveLength(1);
  });

  test('is closed with what it has to say, in half a second at most, and tells nothing more', async () => {
    for (const [closes, ms] of [[true, 0], [false, 500]] as const) {
      const { wire, pc, first } = await opened();
      let isClosed = false;
      void wire.close().then(() => (isClosed = true));
      expect([first.readyState, pc.isClosed]).toEqual(['closing', false]);
      if (closes) first.becomes('closed');
      else await passes(ms - 1);
      await settled();
      expect(isClosed).toBe(closes);
      await passes(1);
      expect([isClosed, pc.isClosed]).toEqual([true, true]);
      first.says('late');
      pc.becomes('failed');
    }
    expect(told.some(([name]) => name === 'broken' || name === 'message')).toBe(false);
  });
});

test('the goodbye by HTTP outlives its page, and never fails', async () => {
  await postLeave(new URL('https://hub.example/'), 'lobby', 'me');
  vi.stubGlobal('location', { origin: 'https://hub.example' });
  await postLeave(new URL('https://hub.example/'), 'lobby', 'me');
  const said = { path: '/leave', body: { room: 'lobby', peer_id: 'me' } };
  // A question before it would not be answered in time.
  expect(asked).toMatchObject([
    { ...said, init: { keepalive: true, headers: { 'content-type': 'text/plain' } } },
    { ...said, init: { keepalive: true, headers: { 'content-type': 'application/json' } } },
  ]);
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('network')));
  await postLeave(new URL('https://hub.example/'), 'lobby', 'me');
  vi.stubGlobal('fetch', (_: URL, { signal }: RequestInit) => new Promise((__, reject) => signal?.addEventListener('abort', () => reject(new Error('late')))));
  const slow = postLeave(new URL('https://hub.example/'), 'lobby', 'me');
  await passes(1_000);
  await slow;
});
