/** The frames between a room's hub and its members, one in each channel message (`rooms.md`). */
import { isEvent, isMemberName } from './name.js';
import { BadFrame, fromUtf8, Reader, utf8, Writer } from './octets.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Of the channel that every member has, and of the one for what may be lost. */
export const LABEL = 'peerage-room';
export const FAST_LABEL = 'peerage-room-fast';
export const VERSION = 1;
/** Octets of a frame from a member, and of one from the hub, at most. */
export const MEMBER_MAX = 65_536;
export const HUB_MAX = 262_144;
/** Octets of what a member tells of itself, as JSON. */
export const METADATA_MAX = 16_384;
/** Receivers that a message names, at most. */
export const TARGETS_MAX = 1_024;
const TEXT_MAX = 512;
const EVENT_MAX = 256;
/** In the place of a number of receivers. */
const HUB_ALONE = 65_535;

/** What a message or an answer carries: JSON as it was written, or octets. */
export type Body = { readonly json: string } | { readonly bytes: Octets };

export type To = 'others' | 'hub' | readonly number[];

export type MemberFrame =
  | { readonly type: 'hello'; readonly token: Octets; readonly metadata: string; readonly epoch: Octets; readonly last: number }
  /** `ack`: the number that answers shall name. `event` is `null` for what has no name. */
  | { readonly type: 'emit'; readonly to: To; readonly ack: number | null; readonly event: string | null; readonly fast: boolean; readonly body: Body }
  | { readonly type: 'ack'; readonly to: number; readonly ack: number; readonly body: Body }
  | { readonly type: 'metadata'; readonly metadata: string }
  | { readonly type: 'leave' }
  | { readonly type: 'pong'; readonly octets: Octets }
  | { readonly type: 'got'; readonly seq: number };

/** One who is there, as the hub tells it. */
export interface Entry {
  readonly number: number;
  readonly name: string;
  readonly metadata: string;
  /** Milliseconds since 1970, by the hub's clock. */
  readonly joined: number;
}

/** `whole`: all that was missed follows; `missed`: some of it is gone. */
export type Resumed = 'new' | 'whole' | 'missed';
export type LeftReason = 'left' | 'lost' | 'kicked' | 'slow' | 'replaced' | 'protocol' | 'rate';
export type UnackedReason = 'unknown' | 'left' | 'dropped' | 'mute' | 'late';
export type RefusedCode = 'version' | 'name-taken' | 'full' | 'kicked' | 'slow' | 'protocol' | 'closed' | 'rate' | 'replaced';

/** Where a member's number may be 0, that is the server, or nobody. */
export type HubFrame =
  | {
      readonly type: 'welcome';
      readonly epoch: Octets;
      readonly you: number;
      readonly seq: number;
      readonly resumed: Resumed;
      /** Counted frames of this number that the hub has had. */
      readonly heard: number;
      readonly host: number;
      /** Members in all; those that are not here follow. Nobody when resumed whole: what changed follows. */
      readonly total: number;
      readonly members: readonly Entry[];
    }
  | { readonly type: 'members'; readonly members: readonly Entry[] }
  | { readonly type: 'joined'; readonly seq: number; readonly member: Entry }
  | { readonly type: 'left'; readonly seq: number; readonly member: number; readonly reason: LeftReason }
  | { readonly type: 'host'; readonly seq: number; readonly member: number }
  | { readonly type: 'metadata'; readonly seq: number; readonly member: number; readonly metadata: string }
  /** `seq` 0: what may be lost. */
  | { readonly type: 'message'; readonly seq: number; readonly from: number; readonly ack: number | null; readonly event: string | null; readonly body: Body }
  | { readonly type: 'ack'; readonly ack: number; readonly from: number; readonly body: Body }
  /** `from` 0: there will be none from anybody. */
  | { readonly type: 'unacked'; readonly ack: number; readonly from: number; readonly reason: UnackedReason }
  /** Of these the answers to a message to everybody are awaited. */
  | { readonly type: 'asked'; readonly ack: number; readonly members: readonly number[] }
  | { readonly type: 'heard'; readonly count: number }
  | { readonly type: 'ping'; readonly octets: Octets }
  | { readonly type: 'refused'; readonly code: RefusedCode };

const HELLO = 1;
const EMIT = 2;
const ACK = 3;
const METADATA = 4;
const LEAVE = 5;
const PONG = 6;
const GOT = 7;
const WELCOME = 129;
const JOINED = 130;
const LEFT = 131;
const HOST = 132;
const CHANGED = 133;
const MESSAGE = 134;
const ANSWER = 135;
const UNACKED = 136;
const PING = 137;
const REFUSED = 138;
const MEMBERS = 139;
const ASKED = 140;
const HEARD = 141;

const WANTS_ACK = 0x01;
const BYTES = 0x02;
const CHAT = 0x04;
const FAST = 0x08;

const RESUMED: readonly Resumed[] = ['new', 'whole', 'missed'];
/** By their numbers, from 1. */
const LEFT_REASONS: readonly LeftReason[] = ['left', 'lost', 'kicked', 'slow', 'replaced', 'protocol', 'rate'];
const UNACKED_REASONS: readonly UnackedReason[] = ['unknown', 'left', 'dropped', 'mute', 'late'];
const REFUSALS: readonly RefusedCode[] = ['version', 'name-taken', 'full', 'kicked', 'slow', 'protocol', 'closed', 'rate', 'replaced'];

/** The caller keeps within the limits above. */
export function emitFrame(frame: MemberFrame): Octets {
  const to = new Writer();
  switch (frame.type) {
    case 'hello':
      return to.u8(HELLO).u8(VERSION).put(frame.token).text(frame.metadata).put(frame.epoch).integer(frame.last).octets();
    case 'emit':
      to.u8(EMIT).u8((frame.ack === null ? 0 : WANTS_ACK) | (frame.event === null ? CHAT : 0) | (frame.fast ? FAST : 0) | bodyFlag(frame.body));
      if (frame.to === 'hub') to.integer(HUB_ALONE);
      else if (frame.to === 'others') to.integer(0);
      else for (const number of [frame.to.length, ...frame.to]) to.integer(number);
      if (frame.ack !== null) to.integer(frame.ack);
      return to.text(frame.event ?? '').put(octetsOf(frame.body)).octets();
    case 'ack':
      return to.u8(ACK).integer(frame.to).integer(frame.ack).u8(bodyFlag(frame.body)).put(octetsOf(frame.body)).octets();
    case 'metadata':
      return to.u8(METADATA).text(frame.metadata).octets();
    case 'leave':
      return to.u8(LEAVE).octets();
    case 'pong':
      return to.u8(PONG).put(frame.octets).octets();
    case 'got':
      return to.u8(GOT).integer(frame.seq).octets();
  }
}

/** `null`: a type that this version does not know. Throws `BadFrame`. */
export function parseFrame(message: Octets): HubFrame | null {
  if (message.length > HUB_MAX) throw new BadFrame('too-long');
  const from = new Reader(message);
  const frame = parse(from.u8(), from);
  if (frame !== null) from.end();
  return frame;
}

function parse(type: number, from: Reader): HubFrame | null {
  switch (type) {
    case WELCOME: {
      if (from.u8() !== VERSION) throw new BadFrame('version');
      const [epoch, you, seq, resumed] = [from.take(8).slice(), from.member(), from.integer(), RESUMED[from.u8()]];
      if (resumed === undefined) throw new BadFrame('value');
      return { type: 'welcome', epoch, you, seq, resumed, heard: from.integer(), host: from.integer(), total: from.integer(), members: entries(from) };
    }
    case MEMBERS:
      return { type: 'members', members: entries(from) };
    case JOINED:
      return { type: 'joined', seq: from.integer(), member: entry(from) };
    // What a later version may have to say is taken for the most general.
    case LEFT:
      return { type: 'left', seq: from.integer(), member: from.member(), reason: LEFT_REASONS[from.u8() - 1] ?? 'lost' };
    case HOST:
      return { type: 'host', seq: from.integer(), member: from.integer() };
    case CHANGED:
      return { type: 'metadata', seq: from.integer(), member: from.member(), metadata: metadata(from) };
    case MESSAGE: {
      const [seq, sender, flags] = [from.integer(), from.integer(), from.u8()];
      const isFast = (flags & FAST) !== 0;
      if (flags > 15 || (isFast && flags & WANTS_ACK) || isFast !== (seq === 0)) throw new BadFrame('flags');
      const ack = flags & WANTS_ACK ? from.integer() : null;
      const text = from.text(EVENT_MAX);
      const body = bodyOf(flags, from);
      if (isEvent(text) === ((flags & CHAT) !== 0)) throw new BadFrame('flags');
      return { type: 'message', seq, from: sender, ack, event: text === '' ? null : text, body };
    }
    case ANSWER: {
      const [ack, sender, flags] = [from.integer(), from.integer(), from.u8()];
      if (flags & ~BYTES) throw new BadFrame('flags');
      return { type: 'ack', ack, from: sender, body: bodyOf(flags, from) };
    }
    case UNACKED:
      return { type: 'unacked', ack: from.integer(), from: from.integer(), reason: UNACKED_REASONS[from.u8() - 1] ?? 'left' };
    case ASKED: {
      const ack = from.integer();
      const members: number[] = [];
      for (let count = from.integer(); count > 0; count--) members.push(from.member());
      return { type: 'asked', ack, members };
    }
    case HEARD:
      return { type: 'heard', count: from.integer() };
    case PING:
      return { type: 'ping', octets: from.take(8) };
    case REFUSED: {
      const text = fromUtf8(from.rest());
      return { type: 'refused', code: REFUSALS.find((code) => code === text) ?? 'closed' };
    }
    default:
      return null;
  }
}

function entries(from: Reader): Entry[] {
  const all: Entry[] = [];
  for (let count = from.integer(); count > 0; count--) all.push(entry(from));
  return all;
}

function entry(from: Reader): Entry {
  const [number, name] = [from.member(), from.text(TEXT_MAX)];
  if (!isMemberName(name)) throw new BadFrame('name');
  return { number, name, metadata: metadata(from), joined: from.integer() };
}

function metadata(from: Reader): string {
  return json(from.text(METADATA_MAX));
}

function bodyFlag(body: Body): number {
  return 'bytes' in body ? BYTES : 0;
}

export function octetsOf(body: Body): Octets {
  return 'bytes' in body ? body.bytes : utf8(body.json);
}

function bodyOf(flags: number, from: Reader): Body {
  const octets = from.rest();
  return flags & BYTES ? { bytes: octets } : { json: json(fromUtf8(octets)) };
}

/** The hub looks before it passes something on; who reads it, reads it once more. */
function json(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    throw new BadFrame('json');
  }
  return text;
}
