import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { PeerageError } from '../error.js';
import type { Frame } from '../protocol/signal.js';
import { FakeWebSocket } from '../testing/browser.js';
import { Signalling } from './signalling.js';

let frames: Frame[];
let refusals: PeerageError[];
let signalling: Signalling;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeWebSocket);
  frames = [];
  refusals = [];
  signalling = new Signalling(new URL('https://example.org:8443/__peerage/'), {
    onFrame: (frame) => frames.push(frame),
    onRefused: (error) => refusals.push(error),
  });
});

afterEach(() => {
  signalling.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  FakeWebSocket.all = [];
});

test('the socket is the PeerJS one below the base, with a random id and token', () => {
  const { url } = FakeWebSocket.last;
  expect(url.href).toMatch(/^wss:\/\/example\.org:8443\/__peerage\/peerjs\?key=peerjs&id=[a-z2-7]{26}&token=[a-z2-7]{26}&version=/);
  expect(url.searchParams.get('id')).toBe(signalling.id);
  expect(url.searchParams.get('hold')).toBe('30');
  expect(url.searchParams.get('token')).not.toBe(signalling.id);
});

test.each([
  ['https://device.example.org:8443/__peerage/', 'https://device.example.org:8443/__peerage/ice'],
  ['wss://example.org/', 'https://example.org/peerjs/ice'],
  ['ws://localhost:9000/myapp/', 'http://localhost:9000/myapp/peerjs/ice'],
])('the server at %s gives ICE servers to the id and token of its socket at %s', (base, expected) => {
  const other = new Signalling(new URL(base), { onFrame: () => undefined, onRefused: () => undefined });
  const { url, token } = other.ice;
  other.close();
  expect(url.href).toBe(`${expected}?id=${other.id}`);
  expect(token).toBe(FakeWebSocket.last.url.searchParams.get('token'));
});

test('what is sent before OPEN waits for it, in order and within bounds', () => {
  for (let index = 0; index < 200; index++) signalling.send('CANDIDATE', 'device', index);
  expect(FakeWebSocket.last.sent).toEqual([]);
  FakeWebSocket.last.says({ type: 'OPEN' });
  expect(FakeWebSocket.last.sent).toHaveLength(128);
  expect(FakeWebSocket.last.sent.slice(0, 2)).toEqual([
    { type: 'CANDIDATE', dst: 'device', payload: 0 },
    { type: 'CANDIDATE', dst: 'device', payload: 1 },
  ]);
});

test('a heartbeat every 5 s keeps the id, from OPEN on', async () => {
  await vi.advanceTimersByTimeAsync(9_000);
  expect(FakeWebSocket.last.sent).toEqual([]);
  FakeWebSocket.last.says({ type: 'OPEN' });
  await vi.advanceTimersByTimeAsync(11_000);
  expect(FakeWebSocket.last.sent).toEqual([{ type: 'HEARTBEAT' }, { type: 'HEARTBEAT' }]);
});

describe('a socket that breaks', () => {
  test('is replaced under the same id and token, and what was sent meanwhile goes then', async () => {
    FakeWebSocket.last.says({ type: 'OPEN' });
    const first = FakeWebSocket.last;
    first.onclose?.();
    signalling.send('OFFER', 'device', {});
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeWebSocket.all).toHaveLength(2);
    expect(FakeWebSocket.last.url.href).toBe(first.url.href);
    FakeWebSocket.last.says({ type: 'OPEN' });
    expect(FakeWebSocket.last.sentOf('OFFER')).toHaveLength(1);
    expect(first.sent).toEqual([]);
  });

  test('is tried again ever less often', async () => {
    for (let minute = 0; minute < 60; minute++) {
      FakeWebSocket.last.onerror?.();
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(FakeWebSocket.all.length).toBeGreaterThan(10);
    expect(FakeWebSocket.all.length).toBeLessThan(35);
  });

  test('is one that never says OPEN as well', async () => {
    await vi.advanceTimersByTimeAsync(11_000);
    expect(FakeWebSocket.all).toHaveLength(2);
    expect(FakeWebSocket.all[0]?.isClosed).toBe(true);
  });

  test('says nothing any more once it was replaced', async () => {
    const first = FakeWebSocket.last;
    first.onclose?.();
    await vi.advanceTimersByTimeAsync(500);
    first.says({ type: 'EXPIRE', src: 'device' });
    expect(frames).toEqual([]);
  });
});

test.each([
  [{ type: 'ERROR', payload: { msg: 'Invalid key provided' } }, 'Invalid key provided'],
  [{ type: 'ID-TAKEN', payload: { msg: 'ID is taken' } }, 'ID is taken'],
  [{ type: 'INVALID-KEY' }, 'INVALID-KEY'],
])('a refusal is final: %o', async (frame, message) => {
  FakeWebSocket.last.says(frame);
  expect(refusals).toMatchObject([{ code: 'unreachable-server', message: expect.stringContaining(message) }]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeWebSocket.all).toHaveLength(1);
});

test('nothing follows a close', async () => {
  signalling.close();
  FakeWebSocket.last.says({ type: 'EXPIRE', src: 'device' });
  FakeWebSocket.last.onclose?.();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([frames, refusals, FakeWebSocket.all.length]).toEqual([[], [], 1]);
});
