/** `vectors/http.json`: what the Rust session does, this one does octet by octet. */
import { describe, expect, test } from 'vitest';
import text from '../../../../../vectors/http.json?raw';
import type { ResetCode } from '../../error.js';
import { hex, unhex } from '../../testing/vectors.js';
import { Writer } from './bytes.js';
import { resetCode, resetNumber } from './code.js';
import type { Event, Incoming } from './event.js';
import type { Fields } from './field.js';
import { emitFrame, Frames, type Frame } from './frame.js';
import { HeadError } from './head-error.js';
import { emitHead, parseHead, type Head, type Request } from './head.js';
import { Session, type Config, type Role } from './session.js';
import { Violation } from './violation.js';

interface Step {
  readonly do: string;
  readonly id?: number;
  readonly message?: string;
  readonly head?: Request;
  readonly status?: number;
  readonly fields?: Fields;
  readonly trailers?: Fields;
  readonly close?: string;
  readonly bytes?: string;
  readonly fin?: boolean;
  readonly text?: boolean;
  readonly end?: boolean;
  readonly code?: ResetCode;
  readonly ms?: number;
  readonly hold?: boolean;
  readonly gives?: unknown;
  readonly sends?: readonly string[];
  readonly tells?: readonly unknown[];
}

interface Vectors {
  readonly codes: readonly { readonly name: ResetCode; readonly number: number }[];
  readonly messages: {
    readonly good: readonly { readonly name: string; readonly hex: string; readonly frames: readonly unknown[] }[];
    readonly bad: readonly { readonly name: string; readonly hex: string; readonly error: string }[];
  };
  readonly heads: {
    readonly good: readonly { readonly name: string; readonly hex: string; readonly head: Head }[];
    readonly bad: readonly { readonly name: string; readonly hex: string; readonly error: string; readonly code: string }[];
  };
  readonly sessions: readonly { readonly name: string; readonly role: Role; readonly accepts: Config; readonly steps: readonly Step[] }[];
}

const vectors = JSON.parse(text) as Vectors;

test.each(vectors.codes)('RESET code $name is number $number', ({ name, number }) => {
  expect(resetCode(number)).toBe(name);
  expect(resetNumber(name)).toBe(number);
});

describe('messages', () => {
  test.each(vectors.messages.good)('are read: $name', ({ hex: message, frames }) => {
    expect(read(message).map(frameJson)).toEqual(frames);
  });
  test.each(vectors.messages.good)('are written as they were read: $name', ({ hex: message }) => {
    const writer = new Writer();
    for (const frame of read(message)) emitFrame(frame, writer);
    expect(read(hex(writer.bytes)).map(frameJson)).toEqual(read(message).map(frameJson));
  });
  test.each(vectors.messages.bad)('that break the protocol close the link: $name', ({ hex: message, error }) => {
    expect(violation(message)).toBe(error);
  });
});

describe('heads', () => {
  test.each(vectors.heads.good)('go both ways: $name', ({ hex: block, head }) => {
    expect(parseHead(unhex(block))).toEqual(head);
    expect(hex(emitHead(head))).toBe(block);
  });
  test.each(vectors.heads.bad)('that break a rule are refused by its name: $name', ({ hex: block, error, code }) => {
    expect(refusal(block)).toEqual({ rule: error, code });
  });
});

describe('sessions', () => {
  test.each(vectors.sessions)('$name', ({ role, accepts, steps }) => {
    let now = 1_000;
    const session = new Session(role, accepts, now);
    for (const [index, step] of steps.entries()) {
      if (step.do === 'wait') now += step.ms ?? 0;
      const given = perform(session, step, now);
      if (step.gives !== undefined) expect(given, `step ${index}`).toEqual(step.gives);
      if (step.hold) continue;
      expect(drain(session), `step ${index}: ${step.do}`).toEqual({ sends: step.sends ?? [], tells: step.tells ?? [] });
    }
  });
});

function perform(session: Session, step: Step, now: number): unknown {
  const id = step.id ?? 0;
  const fields = step.fields ?? [];
  switch (step.do) {
    case 'start':
      return undefined;
    case 'receive':
      return session.handleMessage(unhex(step.message ?? ''), now);
    case 'open':
      return attempt(() => session.open(step.head as Request, step.end ?? false, now));
    case 'inform':
      return session.inform(id, step.status ?? 0, fields);
    case 'respond':
      return session.respond(id, step.status ?? 0, fields, step.end ?? false);
    case 'write': {
      const framing = step.fin === undefined ? { type: 'stream' as const } : { type: 'message' as const, text: step.text ?? false, fin: step.fin };
      return expect(session.write(id, unhex(step.bytes ?? ''), framing)).toBeNull();
    }
    case 'finish':
      if (step.trailers !== undefined) return session.finish(id, { type: 'trailers', fields: step.trailers });
      if (step.close !== undefined) return session.finish(id, { type: 'close', payload: unhex(step.close) });
      return session.finish(id, { type: 'plain' });
    case 'take':
      return incomingJson(session.read(id, Infinity));
    case 'discard':
      return session.discard(id);
    case 'reset':
      return session.reset(id, step.code ?? 'internal');
    case 'drain':
      return session.drain();
    case 'wait':
      return session.handleTimeout(now);
    case 'lost':
      return session.close('lost');
    default:
      throw new Error(`a step that this reader does not know: ${step.do}`);
  }
}

/** What `open` gives: the id, or why not, in the Rust crate's words. */
function attempt(open: () => number): unknown {
  try {
    return open();
  } catch (error) {
    const message = (error as Error).message;
    return message.includes('draining') ? 'draining' : (error as { code?: string }).code;
  }
}

function drain(session: Session): { sends: string[]; tells: unknown[] } {
  const sends: string[] = [];
  for (let message = session.pollTransmit(); message !== null; message = session.pollTransmit()) sends.push(hex(message));
  const tells: unknown[] = [];
  for (let event = session.pollEvent(); event !== null; event = session.pollEvent()) {
    const told = eventJson(event);
    if (told !== null) tells.push(told);
  }
  return { sends, tells };
}

/** `null` for what only wakes a reader or writer: when that happens is each implementation's own affair. */
function eventJson(event: Event): unknown {
  if (event.type === 'readable' || event.type === 'writable') return null;
  const { type, ...members } = event;
  if (event.type === 'hello') return { event: type, ...event.hello };
  if (event.type === 'opened') return { event: type, id: event.id, head: event.request, end: event.end };
  return { event: type, ...members };
}

function incomingJson(incoming: Incoming | null): unknown {
  if (incoming === null) return null;
  if (incoming.type === 'data') return { bytes: hex(incoming.bytes), ...(incoming.fin && { fin: true, text: incoming.text }) };
  const { end } = incoming;
  return { end: true, ...(end.type === 'trailers' && { trailers: end.fields }), ...(end.type === 'close' && { close: hex(end.payload) }) };
}

function frameJson(frame: Frame): unknown {
  if (frame.type === 'hello') return { type: 'hello', ...frame.hello };
  return Object.fromEntries(Object.entries(frame).map(([name, value]) => [name, value instanceof Uint8Array ? hex(value) : value]));
}

function read(message: string): Frame[] {
  const frames = new Frames(unhex(message));
  const all: Frame[] = [];
  for (let frame = frames.next(); frame !== null; frame = frames.next()) all.push(frame);
  return all;
}

function violation(message: string): unknown {
  try {
    return read(message);
  } catch (error) {
    return error instanceof Violation ? error.code : error;
  }
}

function refusal(block: string): unknown {
  try {
    return parseHead(unhex(block));
  } catch (error) {
    return error instanceof HeadError ? { rule: error.rule, code: error.code } : error;
  }
}
