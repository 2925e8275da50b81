/**
 * One member of a room, seen from its own side: who is there, which messages are new, where to go on after another connection. Pure: frames and times come in,
 * happenings and frames come out. The twin of `proto::room::Member`.
 */
import { type Body, emitFrame, type Entry, type HubFrame, type LeftReason, parseFrame, type RefusedCode, type To, type UnackedReason } from './frame.js';
import { isReserved } from './name.js';
import { BadFrame } from './octets.js';

type Octets = Uint8Array<ArrayBuffer>;

/** What has been handed on is confirmed no later than this, in milliseconds, and no more often. */
export const GOT_EVERY = 1_000;
/** Counted frames that are kept until the hub has said that it has them, at most. It says so every 32. */
const UNHEARD_MAX = 256;
const UNHEARD_OCTETS_MAX = 4 * 1024 * 1024;
const NO_EPOCH = new Uint8Array(8);

/** An answer is wanted: these come back with it. */
export interface Wanted {
  readonly to: number;
  readonly ack: number;
  readonly epoch: Octets;
}

export type Happening =
  /** In, for the first time or again. What changed meanwhile is told before it. */
  | { readonly type: 'in' }
  /** What was said meanwhile is gone, at least in part. `isSameStay`: the hub still has what was said to it. */
  | { readonly type: 'missed'; readonly isSameStay: boolean }
  | { readonly type: 'joined'; readonly member: Entry }
  | { readonly type: 'left'; readonly member: Entry; readonly reason: LeftReason }
  | { readonly type: 'metadata'; readonly member: Entry }
  /** `null`: nobody. */
  | { readonly type: 'host'; readonly member: Entry | null }
  /** `from`: `null` for the server. `event`: `null` for what has no name. */
  | { readonly type: 'message'; readonly from: Entry | null; readonly event: string | null; readonly body: Body; readonly wanted: Wanted | null }
  | { readonly type: 'asked'; readonly ack: number; readonly members: readonly number[] }
  | { readonly type: 'answer'; readonly ack: number; readonly from: number; readonly body: Body }
  | { readonly type: 'unanswered'; readonly ack: number; readonly from: number; readonly reason: UnackedReason }
  /** The hub closes the connection, or broke the protocol. */
  | { readonly type: 'refused'; readonly code: RefusedCode }
  | { readonly type: 'send'; readonly frame: Octets }
  /** These went out before and were not heard: before anything new, in this order. */
  | { readonly type: 'again'; readonly frames: readonly Octets[] }
  /** There is room for more. */
  | { readonly type: 'heard' };

type Welcome = Extract<HubFrame, { type: 'welcome' }>;

export class Member {
  readonly #token: Octets;
  #metadata: string;
  #epoch: Octets = NO_EPOCH;
  #you = 0;
  #last = 0;
  #host = 0;
  /** In the order in which they came. */
  #members = new Map<number, Entry>();
  #isIn = false;
  /** A WELCOME whose list goes on. */
  #partial: { readonly welcome: Welcome; readonly entries: Entry[] } | null = null;
  /** Counted frames that went out and may not have been heard: those after the first `#heard` of this number. */
  #unheard: Octets[] = [];
  #unheardOctets = 0;
  #heard = 0;
  /** The last number that was confirmed, and when the next is to be. */
  #got = 0;
  #gotAt: number | null = null;

  /** `token`: 16 octets; `metadata`: JSON. */
  constructor(token: Octets, metadata: string) {
    this.#token = token;
    this.#metadata = metadata;
  }

  get isIn(): boolean {
    return this.#isIn;
  }

  get you(): Entry | null {
    return this.#members.get(this.#you) ?? null;
  }

  get members(): ReadonlyMap<number, Entry> {
    return this.#members;
  }

  get host(): Entry | null {
    return this.#members.get(this.#host) ?? null;
  }

  /** Whether more may be sent: what was not heard has to be kept. */
  get isFull(): boolean {
    return this.#unheard.length >= UNHEARD_MAX || this.#unheardOctets >= UNHEARD_OCTETS_MAX;
  }

  /** Every frame with a message that may not be lost, an answer or metadata goes through here, in the order in which they are sent. */
  keep(frame: Octets): Octets {
    this.#unheard.push(frame);
    this.#unheardOctets += frame.length;
    return frame;
  }

  /** The first message of a connection. */
  handleOpened(): Octets {
    this.#isIn = false;
    this.#partial = null;
    return emitFrame({ type: 'hello', token: this.#token, metadata: this.#metadata, epoch: this.#epoch, last: this.#last });
  }

  handleClosed(): void {
    this.#isIn = false;
    this.#partial = null;
    this.#gotAt = null;
  }

  /** What follows from a message of the channel, in its order. `isFast`: of the one for what may be lost, which is no reason to end anything. */
  handleMessage(message: Octets, isFast: boolean, now: number): readonly Happening[] {
    let frame: HubFrame | null;
    try {
      frame = parseFrame(message);
      if (isFast && (frame?.type !== 'message' || frame.seq !== 0)) return [];
    } catch (error) {
      if (error instanceof BadFrame) return isFast ? [] : [{ type: 'refused', code: error.code === 'version' ? 'version' : 'protocol' }];
      throw error;
    }
    if (frame === null) return [];
    const happenings = this.#take(frame);
    if (this.#last > this.#got) this.#gotAt ??= now + GOT_EVERY;
    return happenings;
  }

  /** When `handleTimeout` has something to do. */
  pollTimeout(): number | null {
    return this.#isIn ? this.#gotAt : null;
  }

  handleTimeout(now: number): Octets | null {
    if (!this.#isIn || this.#gotAt === null || now < this.#gotAt) return null;
    this.#gotAt = null;
    this.#got = this.#last;
    return emitFrame({ type: 'got', seq: this.#last });
  }

  /** The next greeting says it. A frame has to say it as well, also while there is no connection: what was said before and is said again then would have the last word. */
  setMetadata(metadata: string): void {
    this.#metadata = metadata;
    const you = this.you;
    if (you !== null) this.#members.set(you.number, { ...you, metadata });
  }

  /** Numbers of those of these that are there, oneself left out; `null` where that is nobody. */
  numbersOf(names: readonly string[]): To | null {
    const numbers: number[] = [];
    for (const { number, name } of this.#members.values()) if (number !== this.#you && names.includes(name)) numbers.push(number);
    return numbers.length === 0 ? null : numbers;
  }

  /** `null` for a question of another life of the room, or while one is not in it. */
  answer(wanted: Wanted, body: Body): Octets | null {
    if (!this.#isIn || !isSame(wanted.epoch, this.#epoch)) return null;
    return emitFrame({ type: 'ack', to: wanted.to, ack: wanted.ack, body });
  }

  #take(frame: HubFrame): readonly Happening[] {
    switch (frame.type) {
      case 'welcome':
        return this.#isIn || this.#partial !== null ? [] : this.#welcomed(frame);
      case 'members': {
        const partial = this.#partial;
        if (partial === null) return [];
        partial.entries.push(...frame.members);
        return this.#listed(partial.welcome, partial.entries);
      }
      case 'ping':
        return [{ type: 'send', frame: emitFrame({ type: 'pong', octets: frame.octets }) }];
      case 'refused':
        return [{ type: 'refused', code: frame.code }];
      case 'ack':
        return [{ type: 'answer', ack: frame.ack, from: frame.from, body: frame.body }];
      case 'unacked':
        return [{ type: 'unanswered', ack: frame.ack, from: frame.from, reason: frame.reason }];
      case 'asked':
        return [{ type: 'asked', ack: frame.ack, members: frame.members }];
      case 'heard':
        return this.#forget(frame.count) ? [{ type: 'heard' }] : [{ type: 'refused', code: 'protocol' }];
      default:
        return this.#ordered(frame);
    }
  }

  /** What has a place in the room's order: each once, and nothing from who is not there. */
  #ordered(frame: Extract<HubFrame, { seq: number }>): readonly Happening[] {
    if (!this.#isIn || frame.type === 'welcome') return [];
    const isFast = frame.type === 'message' && frame.seq === 0;
    if (!isFast) {
      if (frame.seq <= this.#last) return [];
      this.#last = frame.seq;
    }
    switch (frame.type) {
      case 'joined': {
        const { member } = frame;
        const isKnown = this.#members.delete(member.number);
        this.#members.set(member.number, member);
        if (isKnown) return [];
        return [{ type: 'joined', member }];
      }
      case 'left': {
        const member = this.#members.get(frame.member);
        if (member === undefined || member.number === this.#you) return [];
        this.#members.delete(member.number);
        return [{ type: 'left', member, reason: frame.reason }];
      }
      case 'host':
        return this.#hosted(frame.member);
      case 'metadata': {
        const before = this.#members.get(frame.member);
        if (before === undefined || before.number === this.#you) return [];
        const member = { ...before, metadata: frame.metadata };
        this.#members.set(member.number, member);
        return [{ type: 'metadata', member }];
      }
      case 'message': {
        const from = this.#members.get(frame.from) ?? null;
        if ((from === null && frame.from !== 0) || frame.from === this.#you) return [];
        if (frame.event !== null && isReserved(frame.event)) return [];
        const wanted = frame.ack === null ? null : { to: frame.from, ack: frame.ack, epoch: this.#epoch };
        return [{ type: 'message', from, event: frame.event, body: frame.body, wanted }];
      }
    }
  }

  #welcomed(welcome: Welcome): readonly Happening[] {
    if (welcome.resumed !== 'whole') return this.#listed(welcome, [...welcome.members]);
    // What changed follows, message by message: the list is as it was.
    if (!isSame(welcome.epoch, this.#epoch) || welcome.you !== this.#you || !this.#forget(welcome.heard)) return [{ type: 'refused', code: 'protocol' }];
    this.#isIn = true;
    return [...this.#again(), { type: 'in' }];
  }

  /** The hub has this many of the counted frames. `false` where it cannot. */
  #forget(heard: number): boolean {
    const count = heard - this.#heard;
    if (count < 0 || count > this.#unheard.length) return false;
    for (const frame of this.#unheard.splice(0, count)) this.#unheardOctets -= frame.length;
    this.#heard = heard;
    return true;
  }

  #again(): readonly Happening[] {
    return this.#unheard.length === 0 ? [] : [{ type: 'again', frames: [...this.#unheard] }];
  }

  #listed(welcome: Welcome, entries: Entry[]): readonly Happening[] {
    if (entries.length < welcome.total) {
      this.#partial = { welcome, entries };
      return [];
    }
    this.#partial = null;
    const before = this.#you === 0 ? null : this.#members;
    const isSameLife = isSame(welcome.epoch, this.#epoch);
    const isSameStay = isSameLife && welcome.resumed !== 'new' && welcome.you === this.#you;
    if (!isSameStay) {
      // It is not known who heard what was said before.
      this.#unheard = [];
      this.#unheardOctets = 0;
      this.#heard = welcome.heard;
    } else if (!this.#forget(welcome.heard)) return [{ type: 'refused', code: 'protocol' }];
    // Of this member the list may say what it said of itself before.
    const all = new Map(entries.map((entry) => [entry.number, entry.number === welcome.you ? { ...entry, metadata: this.#metadata } : entry]));
    const happenings: Happening[] = before === null ? [] : [{ type: 'missed', isSameStay }, ...changes(before, all, isSameLife, this.#you, welcome.you)];
    const hostBefore = this.host?.name;
    this.#epoch = welcome.epoch;
    this.#you = welcome.you;
    this.#last = welcome.seq;
    this.#got = welcome.seq;
    this.#members = all;
    this.#host = welcome.host;
    this.#isIn = true;
    if (before !== null && this.host?.name !== hostBefore) happenings.push({ type: 'host', member: this.host });
    happenings.push(...this.#again(), { type: 'in' });
    return happenings;
  }

  #hosted(number: number): readonly Happening[] {
    if (number === this.#host) return [];
    this.#host = number;
    return [{ type: 'host', member: this.host }];
  }
}

/** What is to be told of two lists, oneself left out. Within one life of the room a number is a stay of somebody's; between two, the name must do. */
function changes(before: ReadonlyMap<number, Entry>, after: ReadonlyMap<number, Entry>, isSameLife: boolean, youBefore: number, you: number): Happening[] {
  const key = ({ number, name }: Entry): string | number => (isSameLife ? number : name);
  const [old, now] = [before, after].map((list) => new Map([...list.values()].map((entry) => [key(entry), entry]))) as [Map<unknown, Entry>, Map<unknown, Entry>];
  const told: Happening[] = [];
  for (const [at, member] of old) if (!now.has(at) && member.number !== youBefore) told.push({ type: 'left', member, reason: 'lost' });
  for (const [at, member] of now) {
    if (member.number === you) continue;
    const was = old.get(at);
    if (was === undefined) told.push({ type: 'joined', member });
    else if (was.metadata !== member.metadata) told.push({ type: 'metadata', member });
  }
  return told;
}

function isSame(a: Octets, b: Octets): boolean {
  return a.length === b.length && a.every((octet, at) => octet === b[at]);
}
