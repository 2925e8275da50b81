import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Code, PeerageError } from '../error.js';
import type { LinkProof } from '../identity/proof.js';
import type { OpenLink, Path } from '../transport/link.js';
import { backoff } from '../transport/backoff.js';
import { Holder } from './holder.js';
import type { LinkStatus } from './messages.js';

const PATH: Path = { route: 'direct', roundTrip: 5, sent: 0, received: 0, relayed: { sent: 0, received: 0 }, openedIn: 1 };
const PROOF = { kid: new Uint8Array(8), key: {} } as unknown as LinkProof;

/** A holder whose attempts end as they are told, in order; the last end stays. */
function scene({ ends, pending = PROOF, granted = false }: { ends: ('open' | 'hangs' | Code)[]; pending?: LinkProof | null; granted?: boolean }) {
  const seen: string[] = [];
  const calls: boolean[] = [];
  const state = { pending, granted, lose: (_: Code): void => {}, moves: (_: Path['route']): void => {}, attempts: 0, isSilent: false, received: 0 };
  const holder = new Holder({
    async call(proof, onState, signal) {
      calls.push(proof !== null);
      const end = ends[Math.min(state.attempts++, ends.length - 1)] ?? 'open';
      onState('calling');
      if (end === 'hangs') return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(new PeerageError('cancelled', 'aborted'))));
      if (end !== 'open') throw new PeerageError(end, end);
      const closed = new Promise<Code>((resolve) => (state.lose = resolve));
      const path = async () => ({ ...PATH, received: state.received });
      const watch = (listener: (path: Path) => void) => {
        state.moves = (route) => listener({ ...PATH, route });
        state.moves('direct');
        return () => {};
      };
      return { closed, close: () => state.lose('closed'), path, watch, openWebSocket: () => Promise.reject(new Error('unused')),
      exchange: () => (state.isSilent ? new Promise<never>(() => {}) : Promise.reject(new PeerageError('refused', 'alive'))) } as OpenLink;
    },
    pending: async () => state.pending,
    drop: async () => void (state.pending = null),
    granted: async () => state.granted,
    saveGrant: async () => void (state.granted = true),
    onStatus: (status: LinkStatus) => seen.push('code' in status ? `${status.is} ${status.code}` : status.is === 'connecting' ? status.step : status.is),
  });
  void holder.run();
  const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
  return { holder, seen, calls, state, settle };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('Holder', () => {
  it('proves_a_link_once_and_remembers_the_grant', async () => {
    const { state, calls, seen, settle } = scene({ ends: ['open'] });
    await settle();
    expect(seen).toEqual(['starting', 'calling', 'open', 'open']);
    expect(calls).toEqual([true]);
    expect(state).toMatchObject({ granted: true, pending: null });
  });

  it('follows_the_route_of_the_link_that_there_is', async () => {
    const { holder, state, settle } = scene({ ends: ['open'] });
    await settle();
    expect(holder.status).toEqual({ is: 'open', route: 'direct', roundTrip: 5 });
    state.moves('relayed');
    expect(holder.status).toEqual({ is: 'open', route: 'relayed', roundTrip: 5 });
    const moves = state.moves;
    holder.close();
    await settle();
    const last = holder.status;
    moves('direct');
    expect(holder.status).toBe(last);
  });

  it('asks_nobody_without_proof_and_grant_until_it_is_told_of_one', async () => {
    const { holder, state, calls, seen, settle } = scene({ ends: ['open'], pending: null });
    await settle();
    expect(seen).toEqual(['starting', 'no-link']);
    await expect(holder.link()).rejects.toMatchObject({ code: 'denied' });
    state.pending = PROOF;
    holder.retry();
    await settle();
    expect(calls).toEqual([true]);
    expect(seen.at(-1)).toBe('open');
  });

  it('falls_back_on_an_earlier_grant_when_a_link_is_denied', async () => {
    const { calls, seen, settle } = scene({ ends: ['denied', 'open'], granted: true });
    await settle();
    expect(calls).toEqual([true, false]);
    expect(seen.at(-1)).toBe('open');
  });

  it('gives_up_where_trying_again_cannot_help', async () => {
    const { holder, state, seen } = scene({ ends: ['denied'] });
    const waiting = holder.link();
    await expect(waiting).rejects.toMatchObject({ code: 'denied' });
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(seen).toEqual(['starting', 'calling', 'failed denied']);
    expect(state.pending).toBeNull();
  });

  it('tries_again_with_growing_pauses_and_at_once_when_asked', async () => {
    const { holder, state, seen, settle } = scene({ ends: ['peer-unavailable'] });
    await settle();
    expect(seen.at(-1)).toBe('waiting peer-unavailable');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(state.attempts).toBeGreaterThan(5);
    expect(state.attempts).toBeLessThan(10);
    const before = state.attempts;
    holder.retry();
    await settle();
    expect(state.attempts).toBe(before + 1);
  });

  it('keeps_the_proof_while_the_device_cannot_be_asked', async () => {
    const { state, settle } = scene({ ends: ['no-answer'] });
    await settle();
    expect(state.pending).toBe(PROOF);
  });

  it('makes_a_lost_link_again_at_once_and_does_not_spin_when_it_never_lasts', async () => {
    const { state, calls, settle } = scene({ ends: ['open'] });
    await settle();
    await vi.advanceTimersByTimeAsync(20_000);
    state.lose('lost');
    await settle();
    expect(calls).toEqual([true, false]);
    for (let round = 0; round < 20; round++) {
      state.lose('closed');
      await settle();
    }
    expect(calls.length).toBeLessThan(4);
  });

  it('lets_exchanges_wait_for_the_link_but_not_for_ever', async () => {
    const { holder, seen, settle } = scene({ ends: ['peer-unavailable', 'open'] });
    const patient = holder.link();
    await settle();
    expect(seen.at(-1)).toBe('waiting peer-unavailable');
    await vi.advanceTimersByTimeAsync(2_000);
    await expect(patient).resolves.toBeDefined();

    const never = scene({ ends: ['peer-unavailable'] });
    const impatient = never.holder.link();
    const outcome = expect(impatient).rejects.toMatchObject({ code: 'peer-unavailable' });
    await vi.advanceTimersByTimeAsync(40_000);
    await outcome;
  });

  it('ends_what_waits_when_it_is_closed', async () => {
    const { holder, settle } = scene({ ends: ['peer-unavailable'] });
    await settle();
    const outcome = expect(holder.link()).rejects.toMatchObject({ code: 'gone' });
    holder.close();
    await outcome;
  });

  it('replaces_a_link_that_does_not_answer_after_a_sleep_and_leaves_one_that_does', async () => {
    const { holder, state, seen, settle } = scene({ ends: ['open'] });
    await settle();
    holder.woke(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(state.attempts).toBe(1);
    state.isSilent = true;
    holder.woke(false);
    await vi.advanceTimersByTimeAsync(2_900);
    expect(state.attempts).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(state.attempts).toBe(2);
    expect(seen.at(-1)).toBe('open');
    // Twice in a row is not once too often.
    holder.woke(false);
    await vi.advanceTimersByTimeAsync(3_100);
    expect(state.attempts).toBe(3);
    holder.close();
  });

  it('leaves_a_link_that_is_heard_behind_a_long_upload', async () => {
    const { holder, state, settle } = scene({ ends: ['open'] });
    await settle();
    state.isSilent = true;
    holder.woke(false);
    await vi.advanceTimersByTimeAsync(1_000);
    state.received = 100;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(state.attempts).toBe(1);
    holder.close();
  });

  it('begins_anew_on_another_network', async () => {
    const { holder, state, settle } = scene({ ends: ['hangs', 'open'] });
    await settle();
    await vi.advanceTimersByTimeAsync(1_000);
    holder.woke(true);
    await settle();
    // That one had just begun.
    expect(state.attempts).toBe(1);
    await vi.advanceTimersByTimeAsync(5_000);
    holder.woke(false);
    await settle();
    expect(state.attempts).toBe(1);
    holder.woke(true);
    await settle();
    expect(state.attempts).toBe(2);
    expect(holder.status.is).toBe('open');
    holder.close();
  });
});

describe('backoff', () => {
  it('grows_to_a_limit_and_spreads', () => {
    expect([1, 2, 3, 4, 5, 6, 60].map((n) => backoff(n, 1))).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    expect(backoff(1, 0)).toBe(750);
  });
});
