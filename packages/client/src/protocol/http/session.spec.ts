import { describe, expect, test } from 'vitest';
import { PeerageError } from '../../error.js';
import { Writer } from './bytes.js';
import type { Event } from './event.js';
import { emitFrame, MESSAGE_MAX, type Frame } from './frame.js';
import { DEFAULT_HELLO } from './hello.js';
import { WINDOW } from './inbound.js';
import { SEND_QUEUE, STREAM } from './outbound.js';
import { Session, type Role } from './session.js';

type Octets = Uint8Array<ArrayBuffer>;

describe('whatever arrives', () => {
  test.each(seeds(60))('nothing throws but a PeerageError to a command, and a violation closes: seed %i', (seed) => {
    const random = generator(seed);
    const session = new Session(seed % 2 === 0 ? 'caller' : 'callee', { websocket: true, tcp: true }, 0);
    let now = 0;
    let last: Event | undefined;
    session.handleMessage(message({ type: 'hello', hello: { ...DEFAULT_HELLO, websocket: true, tcp: true } }), now);
    for (let step = 0; step < 300 && session.closed === null; step++) {
      now += random(2_000);
      if (random(4) === 0) command(session, random, now);
      else session.handleMessage(random(3) === 0 ? noise(random) : message(plausible(random)), now);
      session.handleTimeout(now);
      last = drain(session).events.at(-1) ?? last;
    }
    session.close('lost');
    expect(session.live).toBe(0);
    expect((drain(session).events.at(-1) ?? last)?.type).toBe('closed');
  });

  test.each(seeds(40))('two sessions never break the protocol for one another, and every octet arrives: seed %i', (seed) => {
    const random = generator(seed);
    const pair = new Pair(random);
    const sizes = Array.from({ length: 12 }, () => random(4) * random(60_000));
    for (const [index, size] of sizes.entries()) pair.transfer(index % 2 === 0 ? 'caller' : 'callee', size);
    pair.run();
    expect(pair.received()).toEqual(sizes);
    expect([pair.caller.closed, pair.callee.closed]).toEqual([null, null]);
    expect([pair.caller.live, pair.callee.live]).toEqual([0, 0]);
  });
});

test('a sender never exceeds its credit, however much it is given to send', () => {
  const session = greeted('caller');
  const id = session.open({ kind: 'http', method: 'PUT', path: '/', fields: [] }, false, 0);
  let left: Octets | null = new Uint8Array(5 * WINDOW);
  let sent = 0;
  for (let turn = 0; turn < 20; turn++) {
    if (left !== null) left = session.write(id, left, STREAM);
    sent += drain(session).octets;
  }
  // Headers and heads, on top of one window.
  expect(sent).toBeGreaterThanOrEqual(WINDOW);
  expect(sent).toBeLessThan(WINDOW + 200);
  expect(session.writable(id)).toBe(0);
  session.handleMessage(message({ type: 'credit', id, octets: 1_000 }), 0);
  expect(drain(session).octets).toBe(1_000 + 8);
  expect(left?.length).toBe(5 * WINDOW - WINDOW - SEND_QUEUE);
});

test('more than was granted closes the link with flow', () => {
  const session = greeted('caller');
  const id = session.open({ kind: 'http', method: 'GET', path: '/', fields: [] }, true, 0);
  drain(session);
  const full: Frame = { type: 'data', id, end: false, fin: false, text: false, bytes: new Uint8Array(16_376) };
  session.handleMessage(message({ type: 'head', id, end: false, more: false, block: Uint8Array.of(16, 0, 200, 0, 0) }), 0);
  for (let frames = 0; frames < 4; frames++) session.handleMessage(message(full), 0);
  expect(session.closed).toBeNull();
  session.handleMessage(message(full), 0);
  expect(session.closed).toBe('flow');
});

test('a window that is read quickly grows to 1 MiB and no further', () => {
  const session = greeted('caller');
  const id = session.open({ kind: 'http', method: 'GET', path: '/', fields: [] }, true, 0);
  drain(session);
  session.handleMessage(message({ type: 'head', id, end: false, more: false, block: Uint8Array.of(16, 0, 200, 0, 0) }), 0);
  let credit = WINDOW;
  let most = credit;
  for (let octets = 0; octets < 8 << 20; octets += 16_000) {
    session.handleMessage(message({ type: 'data', id, end: false, fin: false, text: false, bytes: new Uint8Array(16_000) }), 0);
    credit -= 16_000;
    while (session.read(id, Infinity) !== null);
    credit += granted(drain(session).messages, id);
    most = Math.max(most, credit);
  }
  expect(most).toBeGreaterThan(1_000_000);
  expect(most).toBeLessThanOrEqual(1 << 20);
});

test('a hundred thousand frames of one octet cost no more than their octets', () => {
  const session = greeted('caller');
  const id = session.open({ kind: 'http', method: 'GET', path: '/', fields: [] }, true, 0);
  drain(session);
  session.handleMessage(message({ type: 'head', id, end: false, more: false, block: Uint8Array.of(16, 0, 200, 0, 0) }), 0);
  for (let octet = 0; octet < WINDOW; octet++) {
    session.handleMessage(message({ type: 'data', id, end: false, fin: false, text: false, bytes: Uint8Array.of(octet) }), 0);
  }
  let pieces = 0;
  let held = 0;
  for (let incoming = session.read(id, Infinity); incoming?.type === 'data'; incoming = session.read(id, Infinity)) {
    pieces++;
    held += incoming.bytes.buffer.byteLength;
  }
  expect(pieces).toBe(WINDOW / 4096);
  expect(held).toBe(WINDOW);
});

/** Two sessions, and bodies from one to the other that are read at random. */
class Pair {
  readonly caller = new Session('caller', {}, 0);
  readonly callee = new Session('callee', {}, 0);
  readonly #random: Random;
  readonly #uploads = new Map<string, Octets | null>();
  readonly #counts = new Map<string, number>();
  readonly #order: string[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  transfer(from: Role, size: number): void {
    const id = this.#session(from).open({ kind: 'http', method: 'POST', path: '/', fields: [['content-length', String(size)]] }, false, 0);
    this.#order.push(`${id}`);
    this.#counts.set(`${id}`, 0);
    this.#uploads.set(`${id}`, new Uint8Array(size));
  }

  received(): number[] {
    return this.#order.map((id) => this.#counts.get(id) ?? -1);
  }

  run(): void {
    for (let idle = 0; idle < 200; ) idle = this.#step() ? 0 : idle + 1;
  }

  #session(role: Role): Session {
    return role === 'caller' ? this.caller : this.callee;
  }

  #step(): boolean {
    let moved = false;
    for (const [id, left] of this.#uploads) {
      const session = Number(id) % 2 === 1 ? this.caller : this.callee;
      if (left === null || left.length === 0) {
        session.finish(Number(id), { type: 'plain' });
        this.#uploads.delete(id);
        moved = true;
      } else if (this.#random(2) === 0) {
        const part = left.subarray(0, 1 + this.#random(40_000));
        const rest = session.write(Number(id), part, STREAM)?.length ?? 0;
        moved ||= rest < part.length;
        this.#uploads.set(id, left.subarray(part.length - rest));
      }
    }
    for (const [from, to] of [[this.caller, this.callee], [this.callee, this.caller]] as const) {
      for (const octets of drain(from).messages) {
        moved = true;
        to.handleMessage(octets, 0);
      }
      for (const id of this.#order) moved = this.#read(to, Number(id)) || moved;
    }
    return moved;
  }

  #read(session: Session, id: number): boolean {
    const ours = (id % 2 === 1) === (session === this.caller);
    if (ours || this.#random(2) === 0) return false;
    try {
      const incoming = session.read(id, 1 + this.#random(20_000));
      if (incoming?.type === 'data') this.#counts.set(`${id}`, (this.#counts.get(`${id}`) ?? 0) + incoming.bytes.length);
      if (incoming?.type === 'end') session.respond(id, 204, [], true);
      return incoming !== null;
    } catch (error) {
      // Before it was begun, and after it is over.
      expect(error).toBeInstanceOf(PeerageError);
      return false;
    }
  }
}

/** Octets that these messages grant an exchange. */
function granted(messages: readonly Octets[], id: number): number {
  let sum = 0;
  for (const octets of messages) {
    const view = new DataView(octets.buffer);
    for (let at = 0; at < octets.length; at += 8 + view.getUint16(at + 2)) {
      if (octets[at] === 3 && view.getUint32(at + 4) === id) sum += view.getUint32(at + 8);
    }
  }
  return sum;
}

type Random = (below: number) => number;

/** A small generator (mulberry32): a failure names its seed. */
function generator(seed: number): Random {
  let state = seed * 0x9e3779b9;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function seeds(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

function greeted(role: Role): Session {
  const session = new Session(role, {}, 0);
  session.handleMessage(message({ type: 'hello', hello: DEFAULT_HELLO }), 0);
  drain(session);
  return session;
}

function message(...frames: readonly Frame[]): Octets {
  const writer = new Writer();
  for (const frame of frames) emitFrame(frame, writer);
  return writer.bytes.slice();
}

function drain(session: Session): { messages: Octets[]; events: Event[]; octets: number } {
  const messages: Octets[] = [];
  const events: Event[] = [];
  for (let sent = session.pollTransmit(); sent !== null; sent = session.pollTransmit()) {
    expect(sent.length).toBeLessThanOrEqual(MESSAGE_MAX);
    messages.push(sent.slice());
  }
  for (let event = session.pollEvent(); event !== null; event = session.pollEvent()) events.push(event);
  return { messages, events, octets: messages.reduce((sum, octets) => sum + octets.length, 0) };
}

function noise(random: Random): Octets {
  return Uint8Array.from({ length: random(60) }, () => random(256));
}

/** A frame that a peer might send, on an exchange that might live. */
function plausible(random: Random): Frame {
  const id = 1 + random(8);
  const bytes = Uint8Array.from({ length: random(50) }, () => random(256));
  const block = [Uint8Array.of(16, 0, 200, 0, 0), Uint8Array.of(17, 0, 103, 0, 0), Uint8Array.of(18, 0, 0), Uint8Array.of(0, 0, 3, 71, 69, 84, 0, 1, 47, 0, 0), bytes];
  switch (random(8)) {
    case 0:
    case 1:
    case 2:
      return { type: 'head', id, end: random(2) === 0, more: random(6) === 0, block: block[random(block.length)] ?? bytes };
    case 3:
    case 4:
      return { type: 'data', id, end: random(4) === 0, fin: random(3) === 0, text: random(2) === 0, bytes };
    case 5:
      return { type: 'credit', id, octets: random(100_000) };
    case 6:
      return random(4) === 0 ? { type: 'reset', id, code: 'none' } : { type: 'pong', octets: new Uint8Array(8) };
    default:
      return { type: 'ping', octets: new Uint8Array(8) };
  }
}

function command(session: Session, random: Random, now: number): void {
  const id = 1 + random(8);
  const commands: (() => unknown)[] = [
    () => session.open({ kind: 'http', method: random(2) === 0 ? 'GET' : 'POST', path: '/', fields: [] }, random(2) === 0, now),
    () => session.open({ kind: 'websocket', path: '/', fields: [] }, false, now),
    () => session.respond(id, 200, [], random(2) === 0),
    () => session.inform(id, 103, []),
    () => session.write(id, new Uint8Array(random(100_000)), STREAM),
    () => session.finish(id, { type: 'plain' }),
    () => session.read(id, 1 + random(100)),
    () => session.discard(id),
    () => session.reset(id, 'cancelled'),
  ];
  try {
    commands[random(commands.length)]?.();
  } catch (error) {
    expect(error).toBeInstanceOf(PeerageError);
  }
}
