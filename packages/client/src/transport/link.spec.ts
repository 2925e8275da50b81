import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PeerageError } from '../error.js';
import { areEqual, SentOffer } from '../identity/caller.js';
import { generateIdentity, type CallerIdentity } from '../identity/key.js';
import { proofFromSecret } from '../identity/proof.js';
import { decodeBase64 } from '../protocol/base64.js';
import { emitSdp, formatFingerprint, parseSdp } from '../protocol/sdp.js';
import { Answerer, read } from '../testing/answerer.js';
import { FakePeerConnection, FakeWebSocket } from '../testing/browser.js';
import { openLink, type LinkState, type OpenLink, type OpenLinkOptions } from './link.js';

type Json = Readonly<Record<string, unknown>>;

let device: Answerer;
let identity: CallerIdentity;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  vi.spyOn(SentOffer.prototype, 'verify');
  vi.stubGlobal('WebSocket', FakeWebSocket);
  vi.stubGlobal('RTCPeerConnection', FakePeerConnection);
  [device, identity] = await Promise.all([Answerer.make(), generateIdentity()]);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  FakeWebSocket.all = [];
  FakePeerConnection.all = [];
});

describe('a call', () => {
  test('opens a link to the device that proves its key', async () => {
    const states: LinkState[] = [];
    const { link } = await connected({ onState: (state) => states.push(state) });
    expect(states).toEqual(['signalling', 'calling', 'verifying', 'connecting', 'open']);
    expect(FakePeerConnection.last.label).toBe('peerage-http');
    expect(FakePeerConnection.last.channel.binaryType).toBe('arraybuffer');
    link.close();
    expect(await link.closed).toBe('closed');
    expect(FakePeerConnection.last.isClosed).toBe(true);
    expect(FakeWebSocket.last.isClosed).toBe(true);
  });

  test('proves a first visit by the link, and a later one by the key alone', async () => {
    const proof = await proofFromSecret('abcdefghijklmnopqrstuvwxyz', device.id);
    for (const visit of [proof, null]) {
      const opening = call({ proof: visit });
      const offer = await offered();
      const { stated } = await read(offer);
      const peerage = (offer['payload'] as Json)['peerage'] as Json;
      expect(areEqual(stated.kid, visit?.kid ?? new Uint8Array(0))).toBe(true);
      expect(decodeBase64(String(peerage['mac']))?.length).toBe(visit === null ? undefined : 32);
      expect(areEqual(stated.fingerprint, FakePeerConnection.last.fingerprint)).toBe(true);
      FakeWebSocket.last.says(device.refusal(offer, 'denied'));
      expect(await codeOf(opening)).toBe('denied');
    }
  });

  test('shows no address before an answer has passed, and all of them after', async () => {
    const opening = call();
    const offer = await offered();
    expect(JSON.stringify(offer)).not.toContain('candidate');
    FakeWebSocket.last.says(await (await Answerer.make()).answer(offer));
    await judged();
    expect(FakeWebSocket.last.sentOf('CANDIDATE')).toEqual([]);
    FakeWebSocket.last.says(await device.answer(offer));
    await until(() => FakeWebSocket.last.sentOf('CANDIDATE').length > 0);
    FakePeerConnection.last.gather('candidate:2 1 udp 1 192.0.2.10 50000 typ host');
    expect(FakeWebSocket.last.sentOf('CANDIDATE')).toMatchObject([
      { dst: device.id, payload: { candidate: { candidate: expect.stringContaining('192.0.2.9') }, type: 'data' } },
      { payload: { candidate: { candidate: expect.stringContaining('192.0.2.10') } } },
    ]);
    await finish(opening);
  });

  test('builds the remote description from scratch, with the verified fingerprint', async () => {
    const extra = 'a=identity:mallory\r\na=candidate:9 1 udp 1 198.51.100.1 9 typ host\r\na=candidate:9 1 udp 1 mallory.example 9 typ host\r\n';
    const { remote } = await connected({}, (text) => text + extra);
    const description = parseSdp(remote);
    if (description === null) throw new Error('a description');
    expect(remote).toBe(emitSdp(description, await device.fingerprint(), 'active'));
    expect(remote).not.toContain('mallory');
    expect(FakePeerConnection.last.added).toEqual([{ candidate: 'candidate:9 1 udp 1 198.51.100.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0 }]);
  });

  test("adds the device's candidates once there is a description, and nobody else's", async () => {
    const opening = call();
    const offer = await offered();
    const candidate = (src: string, address: string) => ({
      type: 'CANDIDATE',
      src,
      payload: { candidate: { candidate: `candidate:1 1 udp 1 ${address} 9 typ host`, sdpMid: '0', sdpMLineIndex: 0 }, type: 'data', connectionId: connectionOf(offer) },
    });
    FakeWebSocket.last.says(candidate(device.id, '192.0.2.1'));
    FakeWebSocket.last.says(candidate('mallory', '198.51.100.1'));
    FakeWebSocket.last.says(candidate(device.id, 'tracker.example'));
    await judged();
    expect(FakePeerConnection.last.added).toEqual([]);
    FakeWebSocket.last.says(await device.answer(offer));
    await finish(opening);
    expect(FakePeerConnection.last.added.map((added) => added['candidate'])).toEqual(['candidate:1 1 udp 1 192.0.2.1 9 typ host']);
  });

  test('that the device takes for an old one is made once more, with the nonce and another connection', async () => {
    const opening = call();
    const first = await offered();
    const nonce = crypto.getRandomValues(new Uint8Array(16));
    FakeWebSocket.last.says(await device.stale(first, nonce));
    const second = await offered(2);
    expect(connectionOf(second)).not.toBe(connectionOf(first));
    expect(areEqual((await read(second)).stated.reply, nonce)).toBe(true);
    FakeWebSocket.last.says(await device.answer(second));
    await finish(opening);
  });

  test('that is taken for an old one twice ends with stale', async () => {
    const opening = call();
    FakeWebSocket.last.says(await device.stale(await offered(), new Uint8Array(16)));
    FakeWebSocket.last.says(await device.stale(await offered(2), new Uint8Array(16)));
    expect(await codeOf(opening)).toBe('stale');
  });
});

describe('a hostile server', () => {
  const other = () => crypto.getRandomValues(new Uint8Array(32));
  const line = () => `a=fingerprint:sha-256 ${formatFingerprint(other())}\r\n`;
  const attacks: [string, (offer: Json) => Promise<Json>][] = [
    ['swaps the fingerprint on all lines', (offer) => device.answer(offer, (text) => text.replace(/a=fingerprint:.*\r\n/g, line()))],
    ['adds a second fingerprint', (offer) => device.answer(offer, (text) => text + line())],
    ['puts a fingerprint at session level', (offer) => device.answer(offer, (text) => text.replace('t=0 0\r\n', `t=0 0\r\n${line()}`))],
    ['adds a fingerprint by another hash', (offer) => device.answer(offer, (text) => `${text}a=fingerprint:sha-1 ${formatFingerprint(other().slice(0, 20))}\r\n`)],
    ['answers with a key of its own under the id', async (offer) => ({ ...(await (await Answerer.make()).answer(offer)), src: device.id })],
    ['answers from another id', async (offer) => ({ ...(await device.answer(offer)), src: 'mallory' })],
    ['answers without a statement', async (offer) => withoutStatement(await device.answer(offer))],
  ];

  test.each(attacks)('that %s is not believed, and does not end the wait for the true answer', async (_, attack) => {
    const opening = call();
    const offer = await offered();
    FakeWebSocket.last.says(await attack(offer));
    await judged();
    expect(FakePeerConnection.last.remote).toBeNull();
    FakeWebSocket.last.says(await device.answer(offer));
    await finish(opening);
  });

  test.each(attacks)('that only ever %s is named: someone else answers', async (_, attack) => {
    const opening = codeOf(call());
    FakeWebSocket.last.says(await attack(await offered()));
    await judged();
    await vi.advanceTimersByTimeAsync(16_000);
    expect(await opening).toBe('wrong-device');
    expect(FakePeerConnection.last.remote).toBeNull();
    expect(FakePeerConnection.last.isClosed).toBe(true);
  });

  test('that replays the answer to an earlier call is not believed', async () => {
    const first = call();
    const earlier = await offered();
    const recorded = await device.answer(earlier);
    FakeWebSocket.last.says(device.refusal(earlier, 'busy'));
    expect(await codeOf(first)).toBe('busy');
    const second = codeOf(call());
    const offer = await offered();
    const replayed = { ...recorded, payload: { ...(recorded['payload'] as Json), connectionId: connectionOf(offer) } };
    FakeWebSocket.last.says(replayed);
    await judged();
    expect(FakePeerConnection.last.remote).toBeNull();
    await vi.advanceTimersByTimeAsync(16_000);
    expect(await second).toBe('wrong-device');
  });

  test('that stands in the path with another certificate gets nothing but a closed connection', async () => {
    const opening = codeOf(answered());
    await until(() => FakePeerConnection.last.remote !== null);
    FakePeerConnection.last.certificate = new Uint8Array(300);
    FakePeerConnection.last.opens();
    expect(await opening).toBe('wrong-device');
    expect(FakePeerConnection.last.isClosed).toBe(true);
    expect(FakePeerConnection.last.channel.sent).toEqual([]);
  });

  test('that stands in the path is found by the statistics too', async () => {
    const opening = codeOf(answered());
    await until(() => FakePeerConnection.last.remote !== null);
    FakePeerConnection.last.certificate = null;
    FakePeerConnection.last.stats = [
      { id: 'T', type: 'transport', remoteCertificateId: 'C' },
      { id: 'C', type: 'certificate', fingerprint: formatFingerprint(other()) },
    ];
    FakePeerConnection.last.opens();
    expect(await opening).toBe('wrong-device');
  });

  test('that sends garbage on every frame changes nothing', async () => {
    const opening = call();
    const offer = await offered();
    for (const frame of ['', '{', '[]', 'null', '{"type":"ANSWER"}', '{"type":7}', '{"type":"OFFER","src":"x","payload":{}}']) FakeWebSocket.last.says(frame);
    for (const payload of [null, [], 'x', { type: 'data' }, { type: 'data', connectionId: 7 }, { type: 'data', connectionId: connectionOf(offer), peerage: 1, sdp: [] }]) {
      for (const type of ['ANSWER', 'CANDIDATE']) FakeWebSocket.last.says({ type, src: device.id, payload });
    }
    FakeWebSocket.last.says(await device.answer(offer));
    await finish(opening);
  });

  test('that speaks of restarts is read past, and heard of none', async () => {
    const opening = call();
    const offer = await offered();
    expect(JSON.stringify(offer)).not.toContain('generation');
    const asks = { type: 'ANSWER', src: device.id, payload: { type: 'data', connectionId: connectionOf(offer), generation: 1 } };
    FakeWebSocket.last.says(asks);
    const answer = await device.answer(offer);
    FakeWebSocket.last.says({ ...answer, payload: { ...(answer['payload'] as Json), generation: 0 } });
    await finish(opening);
    FakeWebSocket.last.says(asks);
    await judged();
    expect(FakePeerConnection.last.isClosed).toBe(false);
  });
});

describe('a failure has its reason:', () => {
  test('a server that does not answer', async () => {
    const opening = codeOf(call());
    await vi.advanceTimersByTimeAsync(16_000);
    expect(await opening).toBe('unreachable-server');
  });

  test('a server that refuses', async () => {
    const opening = codeOf(call());
    FakeWebSocket.last.says({ type: 'ERROR', payload: { msg: 'Invalid key provided' } });
    expect(await opening).toBe('unreachable-server');
  });

  test.each(['EXPIRE', 'LEAVE'])('a device that is not there (%s)', async (type) => {
    const opening = codeOf(call());
    await offered();
    FakeWebSocket.last.says({ type, src: device.id });
    expect(await opening).toBe('peer-unavailable');
  });

  test('a device that does not answer', async () => {
    const opening = codeOf(call());
    await offered();
    await vi.advanceTimersByTimeAsync(16_000);
    expect(await opening).toBe('no-answer');
  });

  test.each(['denied', 'busy', 'malformed'])('a device that refuses (%s)', async (code) => {
    const opening = codeOf(call());
    FakeWebSocket.last.says(device.refusal(await offered(), code));
    expect(await opening).toBe(code);
  });

  test('no path', async () => {
    const opening = codeOf(answered());
    await until(() => FakePeerConnection.last.remote !== null);
    FakePeerConnection.last.becomes('failed');
    expect(await opening).toBe('no-route');
  });

  test('no path in time', async () => {
    const opening = codeOf(answered());
    await until(() => FakePeerConnection.last.remote !== null);
    await vi.advanceTimersByTimeAsync(31_000);
    expect(await opening).toBe('no-route');
  });

  test('a handshake that fails on a path that works', async () => {
    const opening = codeOf(answered());
    await until(() => FakePeerConnection.last.remote !== null);
    FakePeerConnection.last.becomes('failed', 'connected');
    expect(await opening).toBe('wrong-device');
  });

  test.each(['before', 'during'])('cancelled %s', async (when) => {
    const abort = new AbortController();
    if (when === 'before') abort.abort();
    const opening = codeOf(call({ signal: abort.signal }));
    abort.abort();
    expect(await opening).toBe('cancelled');
    expect(FakeWebSocket.last.isClosed).toBe(true);
    expect(FakePeerConnection.last.isClosed).toBe(true);
  });

  test('a browser without WebRTC', async () => {
    vi.stubGlobal('RTCPeerConnection', undefined);
    expect(await codeOf(call())).toBe('unsupported');
  });
});

describe('the servers that help to find a path', () => {
  const TURN = { urls: ['turn:turn.example:3478?transport=udp'], username: '1795300000:me', credential: 'aGVsbG8=' };
  const STUN = { urls: ['stun:stun.example'] };
  const minted = { iceServers: [STUN, TURN], ttl: 86_400 };
  let asked: { readonly url: URL; readonly init: RequestInit }[];
  let answers: { ice: () => Response | Promise<Response>; config: () => Response | Promise<Response> };

  beforeEach(() => {
    asked = [];
    answers = { ice: () => Response.json(minted), config: () => Response.json({ version: 1, iceServers: [STUN] }) };
    vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
      asked.push({ url, init });
      return answers[url.pathname.endsWith('config.json') ? 'config' : 'ice']();
    });
  });

  /** The browser's choice, where nobody chose for it. */
  function calling(options: Partial<OpenLinkOptions> = {}): Promise<OpenLink> {
    const server = new URL('wss://example.org/__peerage/');
    const opening = openLink({ device: device.id, server, identity, proof: null, ...options });
    opening.catch(() => undefined);
    return opening;
  }

  const gathered = async (): Promise<unknown> => {
    await until(() => FakePeerConnection.last.gatheredWith !== null);
    return FakePeerConnection.last.gatheredWith?.['iceServers'];
  };
  const ice = () => asked.filter(({ url }) => url.pathname.endsWith('/ice'));

  test('are asked of the server once it has let us in, and nothing is gathered before they are there', async () => {
    let give!: (response: Response) => void;
    answers.ice = () => new Promise((resolve) => (give = resolve));
    const opening = calling();
    await judged();
    expect(ice()).toEqual([]);
    FakeWebSocket.last.says(await device.answer(await offered()));
    await until(() => ice().length === 1);
    const { id, token } = Object.fromEntries(FakeWebSocket.last.url.searchParams);
    expect(ice()[0]?.url.href).toBe(`https://example.org/__peerage/ice?id=${id}`);
    expect(ice()[0]?.init).toMatchObject({ headers: { authorization: `Bearer ${token}` }, redirect: 'error', credentials: 'omit' });
    await judged();
    expect(FakePeerConnection.last.gatheredWith).toBeNull();
    give(Response.json(minted));
    expect(await gathered()).toEqual([STUN, TURN]);
    await finish(opening);
  });

  test('hold up no call: the offer goes before they are there', async () => {
    answers.ice = () => new Promise(() => undefined);
    calling();
    await offered();
    expect(FakePeerConnection.last.gatheredWith).toBeNull();
  });

  test.each<[string, () => Response | Promise<Response>]>([
    ['knows no such question', () => new Response('', { status: 404 })],
    ['does not know the token', () => new Response('', { status: 401 })],
    ['is asked too often', () => new Response('', { status: 429, headers: { 'retry-after': '1' } })],
    ['breaks off', () => Promise.reject(new TypeError('network'))],
    ['answers no JSON', () => new Response('<html>')],
    ['answers another JSON', () => Response.json([])],
    ['answers without end', () => new Response(JSON.stringify(minted).padEnd(100_000))],
  ])('are those of its settings where the server %s', async (_, answer) => {
    answers.ice = answer;
    const opening = calling();
    FakeWebSocket.last.says(await device.answer(await offered()));
    expect(await gathered()).toEqual([STUN]);
    await finish(opening);
  });

  test('are none where the server does not say them within two seconds', async () => {
    answers.ice = () => new Promise(() => undefined);
    const opening = calling();
    FakeWebSocket.last.says(await device.answer(await offered()));
    await until(() => ice().length === 1);
    await vi.advanceTimersByTimeAsync(1_900);
    expect(FakePeerConnection.last.gatheredWith).toBeNull();
    await vi.advanceTimersByTimeAsync(200);
    expect(await gathered()).toEqual([]);
    await finish(opening);
  });

  test('that a browser would not take are left out, and the others stay', async () => {
    answers.ice = () => Response.json({ ...minted, iceServers: [{ urls: 'http://nonsense' }, { urls: ['turn:turn.example'] }, null, STUN] });
    calling();
    await offered();
    expect(await gathered()).toEqual([STUN]);
  });

  test('that this browser does not take all the same leave a connection without any', async () => {
    vi.spyOn(FakePeerConnection.prototype, 'setConfiguration').mockImplementation(() => {
      throw new SyntaxError('one of them');
    });
    const opening = calling();
    FakeWebSocket.last.says(await device.answer(await offered()));
    await finish(opening);
    expect(await gathered()).toBeUndefined();
  });

  test('are the owner’s where he gave some: then nobody is asked, and gathering begins at once', async () => {
    calling({ iceServers: [STUN] });
    expect(await gathered()).toEqual([STUN]);
    await offered();
    expect(asked).toEqual([]);
  });

  test('are used for relays alone where the owner wants that', async () => {
    calling({ iceTransportPolicy: 'relay' });
    await offered();
    await gathered();
    expect(FakePeerConnection.last.gatheredWith).toEqual({ iceTransportPolicy: 'relay', iceServers: [STUN, TURN] });
  });

  test('a server that cannot be reached at all is named at once', async () => {
    answers.config = () => Promise.reject(new TypeError('network'));
    expect(await codeOf(calling())).toBe('unreachable-server');
  });

  test('no error shows the token or a credential', async () => {
    answers.ice = () => Response.json({ iceServers: [{ ...TURN, urls: 'turn:' }], ttl: 'x' });
    const opening = calling();
    const { token } = Object.fromEntries(FakeWebSocket.last.url.searchParams);
    FakeWebSocket.last.says(device.refusal(await offered(), 'busy'));
    const error: unknown = await opening.catch((error: unknown) => error);
    const shown = `${String(error)} ${String((error as Error).stack)} ${String((error as Error).cause)}`;
    for (const secret of [token ?? '', TURN.credential]) expect(shown).not.toContain(secret);
  });
});

describe('an open link', () => {
  const through = (remote: Json): readonly Json[] => [
    { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
    { id: 'P', type: 'candidate-pair', localCandidateId: 'L', remoteCandidateId: 'R', currentRoundTripTime: 0.0125 },
    { id: 'L', type: 'local-candidate', candidateType: 'host' },
    { id: 'R', type: 'remote-candidate', ...remote },
  ];

  test('says whether packets go by a relay, how long they take, and how long it took to open', async () => {
    const { link } = await connected();
    FakePeerConnection.last.stats = through({ candidateType: 'relay' });
    expect(await link.path()).toMatchObject({ route: 'relayed', roundTrip: 12.5, openedIn: expect.any(Number) });
    FakePeerConnection.last.stats = [];
    expect(await link.path()).toMatchObject({ route: null, roundTrip: null });
  });

  test('knows a relay that the device named, also where the browser found it before it was told', async () => {
    const opening = call();
    const offer = await offered();
    const line = 'candidate:1 1 udp 1 198.51.100.7 61000 typ relay raddr 192.0.2.1 rport 9';
    FakeWebSocket.last.says({
      type: 'CANDIDATE',
      src: device.id,
      payload: { candidate: { candidate: line, sdpMid: '0', sdpMLineIndex: 0 }, type: 'data', connectionId: connectionOf(offer) },
    });
    FakeWebSocket.last.says(await device.answer(offer));
    const link = await finish(opening);
    for (const [port, route] of [[61_000, 'relayed'], [61_001, 'direct']] as const) {
      FakePeerConnection.last.stats = through({ candidateType: 'prflx', protocol: 'udp', address: '198.51.100.7', port });
      expect((await link.path()).route).toBe(route);
    }
  });

  test('tells who watches it of another path soon, and of every figure now and then, until it is closed', async () => {
    const { link } = await connected();
    const seen: unknown[] = [];
    link.watch(({ route }) => seen.push(route));
    await vi.advanceTimersByTimeAsync(0);
    expect(seen).toEqual([null]);
    FakePeerConnection.last.stats = through({ candidateType: 'relay' });
    FakePeerConnection.last.ice.dispatchEvent(new Event('selectedcandidatepairchange'));
    await vi.advanceTimersByTimeAsync(200);
    expect(seen).toEqual([null, 'relayed']);
    FakePeerConnection.last.stats = through({ candidateType: 'host' });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(seen).toEqual([null, 'relayed', 'direct']);
    link.close();
    await link.closed;
    FakePeerConnection.last.ice.dispatchEvent(new Event('selectedcandidatepairchange'));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(seen).toHaveLength(3);
  });

  test('loses nothing that the device said while its certificate was checked', async () => {
    const opening = answered();
    await until(() => FakePeerConnection.last.remote !== null);
    FakePeerConnection.last.certificate = device.certificate;
    FakePeerConnection.last.opens();
    const twice = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1);
    FakePeerConnection.last.channel.dispatchEvent(new MessageEvent('message', { data: twice.buffer }));
    // Two hellos: only who reads them can object.
    expect(await (await opening).closed).toBe('hello');
  });

  test('leaves the server when late candidates have had their time', async () => {
    await connected();
    expect(FakeWebSocket.last.isClosed).toBe(false);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(FakeWebSocket.last.isClosed).toBe(true);
  });

  test('survives a short loss of its path, and is lost with a long one', async () => {
    const { link } = await connected();
    let code: string | null = null;
    void link.closed.then((reason) => (code = reason));
    FakePeerConnection.last.becomes('disconnected');
    await vi.advanceTimersByTimeAsync(14_000);
    FakePeerConnection.last.becomes('connected');
    await vi.advanceTimersByTimeAsync(14_000);
    expect(code).toBeNull();
    FakePeerConnection.last.becomes('disconnected');
    await vi.advanceTimersByTimeAsync(16_000);
    expect(code).toBe('lost');
  });

  test('is closed when the device closes it', async () => {
    const { link } = await connected();
    FakePeerConnection.last.channel.dispatchEvent(new Event('close'));
    expect(await link.closed).toBe('closed');
  });
});

function call(options: Partial<OpenLinkOptions> = {}): Promise<OpenLink> {
  const server = new URL('wss://example.org/__peerage/');
  const opening = openLink({ device: device.id, server, identity, proof: null, iceServers: [], ...options });
  opening.catch(() => undefined);
  return opening;
}

/** The frame that the server has from the caller, its nth offer on this socket. */
async function offered(nth = 1): Promise<Json> {
  FakeWebSocket.last.says({ type: 'OPEN' });
  await until(() => FakeWebSocket.last.sentOf('OFFER').length >= nth);
  return FakeWebSocket.last.sentOf('OFFER')[nth - 1] ?? {};
}

async function answered(options: Partial<OpenLinkOptions> = {}, sdp?: (text: string) => string): Promise<OpenLink> {
  const opening = call(options);
  FakeWebSocket.last.says(await device.answer(await offered(), sdp));
  return opening;
}

async function finish(opening: Promise<OpenLink>): Promise<OpenLink> {
  await until(() => FakePeerConnection.last.remote !== null);
  FakePeerConnection.last.certificate = device.certificate;
  FakePeerConnection.last.opens();
  return opening;
}

async function connected(options: Partial<OpenLinkOptions> = {}, sdp?: (text: string) => string): Promise<{ link: OpenLink; remote: string }> {
  const link = await finish(answered(options, sdp));
  return { link, remote: FakePeerConnection.last.remote ?? '' };
}

function connectionOf(offer: Json): string {
  return String((offer['payload'] as Json)['connectionId']);
}

function withoutStatement(frame: Json): Json {
  const { peerage: _, ...payload } = frame['payload'] as Json;
  return { ...frame, payload };
}

/** WebCrypto answers from other threads, when a busy machine lets them: no number of turns is enough. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; performance.now() < end && !condition(); ) await new Promise((resolve) => setImmediate(resolve));
  expect(condition()).toBe(true);
}

/** Every answer that has come so far has been judged. */
async function judged(): Promise<void> {
  await Promise.all(vi.mocked(SentOffer.prototype.verify).mock.results.map(({ value }) => value as Promise<unknown>));
  // What follows a verdict follows in the same turn.
  await Promise.resolve();
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return error instanceof PeerageError ? error.code : `not ours: ${String(error)}`;
  }
}
