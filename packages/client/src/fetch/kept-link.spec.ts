import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Code, PeerageError } from '../error.js';
import { parseLink } from '../protocol/link-url.js';
import type { OpenLink, OpenLinkOptions } from '../transport/link.js';
import { type Asked, type Answer, FakeTarget } from '../testing/target.js';
import type { HttpLink } from './exchange.js';
import { ChannelHttpLink } from './http-link.js';
import { KeptLink, type KeptLinkOptions } from './kept-link.js';
import { peerFetch } from './peer-fetch.js';

const ORIGIN = 'https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.org';
const LINK = parseLink(`${ORIGIN}/#1.abcdefghijklmnopqrstuvwxyz`);
const ICE = [{ urls: 'stun:stun.example' }];

const targets: FakeTarget[] = [];
let attempts: OpenLinkOptions[] = [];

afterEach(() => {
  for (const target of targets.splice(0)) target.stop();
  attempts = [];
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('a link that is kept', () => {
  test('is made at first use, and once for all who ask', async () => {
    const kept = keeping([opened]);
    expect(attempts).toHaveLength(0);
    const links = await Promise.all([kept.link(null), kept.link(null), kept.link(new AbortController().signal)]);
    expect(new Set(links).size).toBe(1);
    expect(await kept.link(null)).toBe(links[0]);
    expect(attempts).toMatchObject([{ device: LINK.device, server: { href: `${ORIGIN}/__peerage/` }, iceServers: ICE }]);
  });

  test('is made anew at the next use after it was lost, with the same identity and without the secret', async () => {
    const kept = keeping([opened, opened]);
    const first = await kept.link(null);
    (first as ChannelHttpLink).close('lost');
    await first.closed;
    expect(await kept.link(null)).not.toBe(first);
    expect(attempts.map(({ proof }) => proof !== null)).toEqual([true, false]);
    expect(attempts[0]?.identity).toBe(attempts[1]?.identity);
  });

  test('that is being made fails for all who wait for it, and the next attempt waits a little', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const kept = keeping([failed('peer-unavailable'), failed('peer-unavailable'), opened]);
    expect(await Promise.all([codeOf(kept.link(null)), codeOf(kept.link(null))])).toEqual(['peer-unavailable', 'peer-unavailable']);
    expect(attempts).toHaveLength(1);
    const second = codeOf(kept.link(null));
    await vi.advanceTimersByTimeAsync(700);
    await settled();
    expect(attempts).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(300);
    await attempted(2);
    expect(await second).toBe('peer-unavailable');
    const third = kept.link(null);
    await vi.advanceTimersByTimeAsync(2_000);
    await third;
    expect(attempts).toHaveLength(3);
  });

  test.each<[string, Code[], boolean[]]>([
    ['by its secret, and then by what the device knows of an earlier visit', ['denied'], [true, false]],
    ['by neither of them', ['denied', 'denied'], [true, false]],
  ])('is asked for %s', async (_, codes, proofs) => {
    const kept = keeping([...codes.map(failed), opened], { identity: { publicKey: new Uint8Array(65), privateKey: {} as CryptoKey } });
    await codeOf(kept.link(null));
    expect(attempts.map(({ proof }) => proof !== null)).toEqual(proofs);
  });

  test('is asked for by its secret again when the device has forgotten the visit', async () => {
    const kept = keeping([opened, failed('denied'), opened]);
    (await kept.link(null)).close();
    await settled();
    await kept.link(null);
    expect(attempts.map(({ proof }) => proof !== null)).toEqual([true, false, true]);
  });

  test('is not ended by one who gives up while another waits', async () => {
    let open!: (link: HttpLink) => void;
    const kept = keeping([() => new Promise((resolve) => (open = resolve))]);
    const abort = new AbortController();
    const [gaveUp, waits] = [codeOf(kept.link(abort.signal)), kept.link(null)];
    abort.abort();
    expect(await gaveUp).toBe('cancelled');
    await vi.waitFor(() => expect(attempts).toHaveLength(1));
    expect(attempts[0]?.signal?.aborted).toBe(false);
    open(opened());
    await waits;
  });

  test('closed ends its attempt and its link, and nothing is begun any more', async () => {
    const kept = keeping([opened]);
    const link = await kept.link(null);
    kept.close();
    expect(await link.closed).toBe('closed');
    expect(attempts[0]?.signal?.aborted).toBe(true);
    expect(await codeOf(kept.link(null))).toBe('cancelled');
  });

  test('leaves the ICE servers to each attempt, unless its owner gave some', async () => {
    const kept = new KeptLink(LINK, {}, attempt([opened]));
    await kept.link(null);
    expect(attempts[0]).not.toHaveProperty('iceServers');
    const own = keeping([opened], { iceTransportPolicy: 'relay' });
    await own.link(null);
    expect(attempts[1]).toMatchObject({ iceServers: ICE, iceTransportPolicy: 'relay' });
  });

  test('tells how packets go, when that changes, and when there is no link any more', async () => {
    const routes: unknown[] = [];
    let moves!: (route: 'direct' | 'relayed') => void;
    const path = { roundTrip: 1, sent: 0, received: 0, relayed: { sent: 0, received: 0 }, openedIn: 7 };
    const telling = (): HttpLink => {
      const link = opened() as ChannelHttpLink & Partial<OpenLink>;
      link.path = async () => ({ ...path, route: 'direct' });
      link.watch = (listener) => ((moves = (route) => listener({ ...path, route })), () => undefined);
      return link;
    };
    const kept = keeping([telling], { onRoute: (route) => routes.push(route) });
    expect(await kept.path()).toBeNull();
    const link = await kept.link(null);
    expect(await kept.path()).toMatchObject({ route: 'direct', openedIn: 7 });
    for (const route of ['direct', 'direct', 'relayed'] as const) moves(route);
    expect(routes).toEqual(['direct', 'relayed']);
    link.close();
    await settled();
    expect(routes).toEqual(['direct', 'relayed', null]);
    expect(await kept.path()).toBeNull();
  });
});

describe('a request on a kept link', () => {
  const silent = (): null => null;
  const well = (): Answer => ({ body: 'well' });

  test.each([
    ['GET', 'well'],
    ['POST', 'gone'],
  ])('%s whose link is lost under way ends %s', async (method, expected) => {
    const get = peerFetch(keeping([opened, opened], {}, [silent, well]), new URL(ORIGIN));
    const asked = get('/', { method, ...(method === 'POST' && { body: 'x' }) }).then((response) => response.text(), ({ cause }) => PeerageError.codeOf(cause));
    await vi.waitFor(() => expect(targets[0]?.asked).toHaveLength(1));
    targets[0]?.device.channel.emit('close');
    expect(await asked).toBe(expected);
    expect(targets).toHaveLength(method === 'GET' ? 2 : 1);
  });

  test('that finds its link draining goes by another, and the old one ends what it has', async () => {
    const kept = keeping([opened, opened], {}, [silent, well]);
    const get = peerFetch(kept, new URL(ORIGIN));
    const old = get('/old').then((response) => response.text());
    await vi.waitFor(() => expect(targets[0]?.asked).toHaveLength(1));
    targets[0]?.device.session.drain();
    await settled();
    // Longer than what is held, so that it can be sent once.
    const body = new Blob([new Uint8Array(2 << 20)]).stream();
    const response = await get('/new', { method: 'POST', body, duplex: 'half' } as RequestInit);
    expect(await response.text()).toBe('well');
    expect(targets[1]?.asked.map(({ path, body }) => [path, body.length])).toEqual([['/new', 2 << 20]]);
    const { id } = targets[0]?.asked[0] as Asked;
    targets[0]?.device.session.respond(id, 200, [], true);
    expect(await old).toBe('');
  });
});

type Outcome = () => HttpLink | Promise<HttpLink>;
let handlers: ((asked: Asked) => Answer | null)[] = [];

function keeping(outcomes: Outcome[], options: KeptLinkOptions = {}, answers: typeof handlers = []): KeptLink {
  handlers = answers;
  return new KeptLink(LINK, { iceServers: ICE, ...options }, attempt(outcomes));
}

function attempt(outcomes: Outcome[]): (options: OpenLinkOptions) => Promise<HttpLink> {
  return async (options) => {
    attempts.push(options);
    const outcome = outcomes.shift();
    if (outcome === undefined) throw new Error('no further attempt was expected');
    return outcome();
  };
}

function opened(): HttpLink {
  const target = new FakeTarget(handlers[targets.length] ?? (() => ({})));
  targets.push(target);
  return new ChannelHttpLink(target.device.channel);
}

function failed(code: Code): Outcome {
  return () => Promise.reject(new PeerageError(code, 'as the test wants it'));
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'none', (error: unknown) => PeerageError.codeOf(error));
}

/** Promises, and what the fakes do by themselves. */
/** An attempt is begun by cryptography in other threads, which no number of turns waits for. */
async function attempted(count: number): Promise<void> {
  const until = Date.now() + 10_000;
  while (attempts.length < count && Date.now() < until) await new Promise<void>((resolve) => setImmediate(resolve));
  expect(attempts).toHaveLength(count);
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

declare function setImmediate(then: () => void): void;
