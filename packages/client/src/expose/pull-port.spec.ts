import { describe, expect, it } from 'vitest';
import { PeerageError } from '../error.js';
import type { Puller } from '../fetch/exchange.js';
import { fromStream, measured, toStream } from '../fetch/body.js';
import { PortPuller, serveBody } from './pull-port.js';

function source(pieces: (string | PeerageError)[]): Puller & { pulls: number; cancelled: boolean } {
  const rest = [...pieces];
  return {
    pulls: 0,
    cancelled: false,
    async pull() {
      this.pulls++;
      const next = rest.shift();
      if (next instanceof PeerageError) throw next;
      return next === undefined ? null : new TextEncoder().encode(next);
    },
    cancel() {
      this.cancelled = true;
    },
  };
}

function across(pieces: (string | PeerageError)[]) {
  const { port1, port2 } = new MessageChannel();
  const from = source(pieces);
  const ended = new Promise<void>((resolve) => serveBody(port1, from, resolve));
  return { from, puller: new PortPuller(port2), ended };
}

const text = (piece: Uint8Array | null): string | null => (piece === null ? null : new TextDecoder().decode(piece));

describe('a body over a port', () => {
  it('arrives_piece_by_piece_and_ends', async () => {
    const { puller, ended } = across(['a', 'b']);
    expect(text(await puller.pull())).toBe('a');
    expect(text(await puller.pull())).toBe('b');
    expect(await puller.pull()).toBeNull();
    expect(await puller.pull()).toBeNull();
    await ended;
  });

  it('is_read_no_further_than_it_is_pulled', async () => {
    const { from, puller } = across(['a', 'b', 'c']);
    await puller.pull();
    expect(from.pulls).toBe(1);
    puller.cancel();
  });

  it('stops_its_source_when_the_reader_gives_up', async () => {
    const { from, puller, ended } = across(['a']);
    puller.cancel();
    await ended;
    expect(from.cancelled).toBe(true);
    await expect(puller.pull()).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('tells_the_reader_why_it_broke', async () => {
    const { puller } = across(['a', new PeerageError('gone', 'x')]);
    await puller.pull();
    await expect(puller.pull()).rejects.toMatchObject({ code: 'gone' });
  });

  it('ends_a_waiting_pull_when_its_carrier_dies', async () => {
    const puller = new PortPuller(new MessageChannel().port2);
    const waiting = puller.pull();
    puller.fail('gone');
    await expect(waiting).rejects.toMatchObject({ code: 'gone' });
  });

  it('leaves_the_buffer_of_a_partial_view_alone', async () => {
    const { port1, port2 } = new MessageChannel();
    const whole = new TextEncoder().encode('abcdef') as Uint8Array<ArrayBuffer>;
    serveBody(port1, { pull: async () => whole.subarray(2, 4), cancel() {} });
    const puller = new PortPuller(port2);
    expect(text(await puller.pull())).toBe('cd');
    expect(text(whole)).toBe('abcdef');
    puller.cancel();
  });
});

describe('streams', () => {
  it('pull_nothing_before_they_are_read_and_cancel_their_source', async () => {
    const from = source(['a', 'b']);
    const stream = toStream(from);
    await Promise.resolve();
    expect(from.pulls).toBe(0);
    await stream.cancel();
    expect(from.cancelled).toBe(true);
  });

  it('become_pullers_without_empty_pieces', async () => {
    const puller = fromStream(toStream(source(['', 'a'])));
    expect(text(await puller.pull())).toBe('a');
    expect(await puller.pull()).toBeNull();
  });
});

describe('measured', () => {
  const rest = async (body: Puller): Promise<string> => new Response(toStream(body)).text();

  it('states_the_length_of_a_short_body_and_keeps_it', async () => {
    const { body, length } = await measured(source(['abc', 'de']));
    expect(length).toBe(5);
    expect(await rest(body)).toBe('abcde');
    expect((await measured(source([]))).length).toBe(0);
  });

  it('passes_a_long_body_on_without_a_length', async () => {
    const long = 'x'.repeat(600_000);
    const { body, length } = await measured(source([long, long, 'y']));
    expect(length).toBeNull();
    expect((await rest(body)).length).toBe(1_200_001);
  });

  it('does_not_hold_back_a_body_that_is_made_while_it_is_sent', async () => {
    let finish: (piece: null) => void = () => {};
    const pieces = [Promise.resolve(new TextEncoder().encode('a')), new Promise<null>((resolve) => (finish = resolve))];
    const { body, length } = await measured({ pull: () => pieces.shift() ?? Promise.resolve(null), cancel() {} });
    expect(length).toBeNull();
    expect(text(await body.pull())).toBe('a');
    finish(null);
    expect(await body.pull()).toBeNull();
  });
});
