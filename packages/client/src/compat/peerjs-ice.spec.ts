import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PeerageError } from '../error.js';
import { type StockPeer, useIceServers, type UseIceServersOptions } from './peerjs-ice.js';

const TURN = { urls: ['turn:own.example:3478?transport=udp'], username: '1795300000:ada', credential: 'aGVsbG8=' };
const OWN = { urls: 'stun:of-the-page.example' };
/** The one object that all stock peers share. */
const DEFAULT_CONFIG = {
  iceServers: [
    { urls: 'stun:stun.l.google.com:19302' },
    { urls: ['turn:eu-0.turn.peerjs.com:3478', 'turn:us-0.turn.peerjs.com:3478'], username: 'peerjs', credential: 'peerjsp' },
  ],
  sdpSemantics: 'unified-plan',
};
const DEFAULT_TEXT = JSON.stringify(DEFAULT_CONFIG);

type Message = { readonly type: string; readonly src?: string };

/** As much of PeerJS as matters: it opens on OPEN, and makes a connection of `options.config` on OFFER. */
class FakePeer implements StockPeer {
  id: string | null = 'ada';
  open = false;
  destroyed = false;
  readonly options: StockPeer['options'];
  /** What each connection was made with. */
  readonly made: (readonly RTCIceServer[] | undefined)[] = [];
  readonly handled: string[] = [];
  readonly #listeners = new Map<string, (() => void)[]>();

  constructor(config: RTCConfiguration | undefined = DEFAULT_CONFIG) {
    this.options = { host: 'server.example', port: 9000, path: '/myapp/', key: 'peerjs', token: 'secret-token', secure: true, ...(config && { config }) };
  }

  on(event: string, listener: () => void): this {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  /** The socket has a message. */
  says(message: Message): void {
    this._handleMessage(message);
  }

  _handleMessage({ type }: Message): void {
    this.handled.push(type);
    if (type === 'THROWS') throw new Error('PeerJS stumbles');
    if (type === 'OFFER') this.made.push(this.options.config?.iceServers);
    if (type === 'OPEN') {
      this.open = true;
      this.emit('open');
    }
  }

  emit(event: string): void {
    for (const listener of this.#listeners.get(event) ?? []) listener();
  }

  disconnect(): void {
    this.open = false;
    this.id = null;
    this.emit('disconnected');
  }

  reconnect(): void {
    this.id = 'ada';
    this.says({ type: 'OPEN' });
  }
}

let asked: { readonly url: URL; readonly init: RequestInit }[];
let answer: () => Response | Promise<Response>;
let peer: FakePeer;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  asked = [];
  answer = () => Response.json({ iceServers: [TURN], ttl: 86_400 });
  vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
    asked.push({ url, init });
    const aborted = new Promise<never>((_, reject) => init.signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError'))));
    return Promise.race([answer(), aborted]);
  });
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  peer = new FakePeer();
});

afterEach(() => {
  expect(JSON.stringify(DEFAULT_CONFIG)).toBe(DEFAULT_TEXT);
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe('a stock peer', () => {
  test('gets the servers of its own server, asked with its id and token when that has let it in', async () => {
    const ready = useIceServers(peer);
    await settled();
    expect(asked).toEqual([]);
    peer.says({ type: 'OPEN' });
    expect(await ready).toEqual([TURN]);
    expect(asked).toMatchObject([{ url: { href: 'https://server.example:9000/myapp/peerjs/ice?id=ada' }, init: { headers: { authorization: 'Bearer secret-token' } } }]);
    expect(peer.options.config).toEqual({ ...DEFAULT_CONFIG, iceServers: [TURN] });
  });

  test('opens, and hears of calls, when they are in place and not before', async () => {
    let give!: (response: Response) => void;
    answer = () => new Promise((resolve) => (give = resolve));
    const ready = useIceServers(peer);
    let servers: unknown;
    peer.on('open', () => (servers = peer.options.config?.iceServers));
    for (const type of ['OPEN', 'THROWS', 'OFFER', 'CANDIDATE']) peer.says({ type });
    await settled();
    expect(peer.handled).toEqual([]);
    const stumbles = new Promise((resolve) => process.once('uncaughtException', resolve));
    give(Response.json({ iceServers: [TURN], ttl: 600 }));
    await ready;
    await stumbles;
    await settled();
    expect(peer.handled).toEqual(['OPEN', 'THROWS', 'OFFER', 'CANDIDATE']);
    expect(servers).toEqual([TURN]);
    expect(peer.made).toEqual([[TURN]]);
    peer.says({ type: 'OFFER' });
    expect(peer.made).toHaveLength(2);
  });

  test('that is open already gets them too', async () => {
    peer.open = true;
    expect(await useIceServers(peer)).toEqual([TURN]);
  });

  test('of a build that is unknown gets them when it says that it is open', async () => {
    const other = Object.assign(new FakePeer(), { _handleMessage: undefined as unknown as FakePeer['_handleMessage'] });
    const ready = useIceServers(other);
    other.emit('open');
    expect(await ready).toEqual([TURN]);
  });

  test.each<[string, RTCConfiguration, unknown]>([
    ['its own servers, in front', { iceServers: [OWN], iceTransportPolicy: 'relay' }, { iceServers: [OWN, TURN], iceTransportPolicy: 'relay' }],
    ['one of PeerJS’s own that its page chose', { iceServers: [DEFAULT_CONFIG.iceServers[0] ?? OWN] }, { iceServers: [DEFAULT_CONFIG.iceServers[0], TURN] }],
    ['what else its page configured', { iceTransportPolicy: 'relay' }, { iceServers: [TURN], iceTransportPolicy: 'relay' }],
  ])('keeps %s', async (_, config, expected) => {
    peer = new FakePeer(config);
    const ready = useIceServers(peer);
    peer.says({ type: 'OPEN' });
    await ready;
    expect(peer.options.config).toEqual(expected);
  });

  test('keeps what its page configured meanwhile', async () => {
    const ready = useIceServers(peer);
    peer.says({ type: 'OPEN' });
    await ready;
    peer.options.config = { iceServers: [OWN] };
    await vi.advanceTimersByTimeAsync(86_400_000 / 2);
    await settled();
    expect(peer.options.config).toEqual({ iceServers: [OWN, TURN] });
  });

  test('gets others before those expire, for as long as it is open', async () => {
    let made = 0;
    answer = () => Response.json({ iceServers: [{ ...TURN, credential: `of ${++made}` }], ttl: 600 });
    const told: unknown[] = [];
    const ready = useIceServers(peer, { onServers: (servers) => told.push(servers[0]?.credential) });
    peer.says({ type: 'OPEN' });
    await ready;
    await vi.advanceTimersByTimeAsync(299_000);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    await settled();
    expect(told).toEqual(['of 1', 'of 2']);
    expect(peer.options.config?.iceServers).toMatchObject([{ credential: 'of 2' }]);
    peer.disconnect();
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(asked).toHaveLength(2);
    expect(console.warn).not.toHaveBeenCalled();
  });

  test('asks once a minute at most, however soon the server says that they expire', async () => {
    answer = () => Response.json({ iceServers: [TURN], ttl: 1 });
    const ready = useIceServers(peer);
    peer.says({ type: 'OPEN' });
    await ready;
    await vi.advanceTimersByTimeAsync(59_000);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked).toHaveLength(2);
  });

  test('gets others when it opens anew', async () => {
    const ready = useIceServers(peer);
    peer.says({ type: 'OPEN' });
    await ready;
    await settled();
    peer.disconnect();
    answer = () => Response.json({ iceServers: [{ ...TURN, credential: 'anew' }], ttl: 600 });
    peer.reconnect();
    await settled();
    expect(peer.open).toBe(true);
    expect(peer.options.config?.iceServers).toMatchObject([{ credential: 'anew' }]);
  });

  test('that disconnects while it waits hears nothing of the socket that is gone', async () => {
    const given: ((response: Response) => void)[] = [];
    answer = () => new Promise((resolve) => given.push(resolve));
    const ready = useIceServers(peer);
    peer.says({ type: 'OPEN' });
    peer.says({ type: 'OFFER' });
    peer.disconnect();
    peer.reconnect();
    for (const give of given) give(Response.json({ iceServers: [TURN], ttl: 600 }));
    await ready;
    await settled();
    expect(peer.handled).toEqual(['OPEN']);
  });

  test('that says very much is not kept waiting for it', async () => {
    answer = () => new Promise(() => undefined);
    void useIceServers(peer);
    peer.says({ type: 'OPEN' });
    for (let said = 0; said < 300; said++) peer.says({ type: 'CANDIDATE' });
    await settled();
    expect(peer.handled).toHaveLength(301);
    expect(peer.open).toBe(true);
  });
});

describe('where the server gives none', () => {
  test.each<[string, string, () => Response | Promise<Response>]>([
    ['it knows no such question', 'unsupported', () => new Response('', { status: 404 })],
    ['it does not know the token', 'denied', () => new Response('', { status: 401 })],
    ['it is asked too often', 'busy', () => new Response('', { status: 429 })],
    ['it answers nonsense', 'malformed', () => new Response('{')],
    ['it is away', 'unreachable-server', () => Promise.reject(new TypeError('network'))],
  ])('the peer opens with what its page had, and is told: %s', async (_, code, response) => {
    answer = response;
    const errors: PeerageError[] = [];
    const ready = useIceServers(peer, { onError: (error) => errors.push(error) });
    peer.says({ type: 'OPEN' });
    const error: unknown = await ready.catch((error: unknown) => error);
    expect(PeerageError.codeOf(error)).toBe(code);
    await settled();
    expect(errors).toEqual([error]);
    expect(JSON.stringify([String(error), (error as Error).stack])).not.toContain('secret-token');
    expect(peer.options.config).toBe(DEFAULT_CONFIG);
    expect(peer.open).toBe(true);
  });

  test('in time, the peer opens two seconds late', async () => {
    answer = () => new Promise(() => undefined);
    const ready = useIceServers(peer);
    peer.says({ type: 'OPEN' });
    await vi.advanceTimersByTimeAsync(1_900);
    expect(peer.open).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(await ready.catch(PeerageError.codeOf)).toBe('timeout');
    await settled();
    expect(peer.open).toBe(true);
  });

  test('it is asked again after a minute, unless it does not know the question', async () => {
    answer = () => new Response('', { status: 503 });
    const options: UseIceServersOptions = { onError: () => undefined };
    void useIceServers(peer, options);
    peer.says({ type: 'OPEN' });
    await settled();
    answer = () => Response.json({ iceServers: [TURN], ttl: 600 });
    await vi.advanceTimersByTimeAsync(60_000);
    await settled();
    expect(peer.options.config?.iceServers).toEqual([TURN]);

    peer.disconnect();
    const other = new FakePeer();
    answer = () => new Response('', { status: 404 });
    void useIceServers(other, options);
    other.says({ type: 'OPEN' });
    await settled();
    asked = [];
    await vi.advanceTimersByTimeAsync(400_000);
    expect(asked).toEqual([]);
  });

  test('because it has none, nothing changes', async () => {
    answer = () => Response.json({ iceServers: [], ttl: 600 });
    const ready = useIceServers(peer);
    peer.says({ type: 'OPEN' });
    expect(await ready).toBe(DEFAULT_CONFIG.iceServers);
    expect(peer.options.config).toBe(DEFAULT_CONFIG);
  });

  test('because the peer was closed first, that is said', async () => {
    const ready = useIceServers(peer);
    peer.emit('close');
    expect(await ready.catch(PeerageError.codeOf)).toBe('closed');
    expect(await useIceServers(Object.assign(new FakePeer(), { destroyed: true })).catch(PeerageError.codeOf)).toBe('closed');
  });
});

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

declare function setImmediate(then: () => void): void;
declare const process: { once(event: 'uncaughtException', listener: (error: unknown) => void): void };
