/** A room's hub, played by hand: what members said is read, what it says is written, and connections open, break and fill up as a test says. */
import type { Body, Entry, HubFrame, MemberFrame } from '../protocol/room/frame.js';
import { fromUtf8, Reader, utf8, Writer } from '../protocol/room/octets.js';
import { RoomError } from '../rooms/error.js';
import type { OpenWire, Wire, WireEvents, WireOptions } from '../transport/hub.js';

type Octets = Uint8Array<ArrayBuffer>;

export const EPOCH = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

export class FakeHub {
  /** All attempts, the first one first. */
  readonly wires: FakeWire[] = [];
  /** What becomes of attempts; `null`: the test answers. */
  next: (() => Promise<void>) | null = () => Promise.resolve();

  readonly open: OpenWire = async (options, events) => {
    const wire = new FakeWire(options, events);
    this.wires.push(wire);
    await new Promise<void>((resolve, reject) => {
      options.signal.addEventListener('abort', () => reject(options.signal.reason as Error));
      wire.opens = resolve;
      wire.fails = reject;
      this.next?.().then(resolve, reject);
    });
    return wire;
  };

  get last(): FakeWire {
    const last = this.wires.at(-1);
    if (last === undefined) throw new Error('nobody connected');
    return last;
  }
}

export class FakeWire implements Wire {
  readonly options: WireOptions;
  readonly #events: WireEvents;
  opens: () => void = () => undefined;
  fails: (error: RoomError) => void = () => undefined;
  readonly sent: { readonly data: string | Octets; readonly channel: number }[] = [];
  /** Octets that wait, by channel; `null`: not open. */
  waiting: (number | null)[] = [0, 0];
  peerConnection = 'connected';
  isOpen = true;
  /** It was closed with what it had to say. */
  isClosed = false;

  constructor(options: WireOptions, events: WireEvents) {
    this.options = options;
    this.#events = events;
  }

  send(data: string | Octets, channel = 0): boolean {
    if (this.buffered(channel) === null) return false;
    this.sent.push({ data, channel });
    return true;
  }

  buffered(channel = 0): number | null {
    return this.isOpen ? (this.waiting[channel] ?? null) : null;
  }

  status(): ReturnType<Wire['status']> {
    return { peerConnection: this.peerConnection, iceConnection: this.peerConnection, dataChannel: this.isOpen ? 'open' : 'closed' };
  }

  async close(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.isClosed = true;
  }

  abandon(): void {
    this.isOpen = false;
  }

  /** Frames that came on the first channel, or another. */
  said(channel = 0): MemberFrame[] {
    return this.sent.flatMap((one) => (one.channel === channel && typeof one.data !== 'string' ? [parseMemberFrame(one.data)] : []));
  }

  /** Those of one type, `got` left out of nothing. */
  saidOf<T extends MemberFrame['type']>(type: T): Extract<MemberFrame, { type: T }>[] {
    return this.said().filter((frame): frame is Extract<MemberFrame, { type: T }> => frame.type === type);
  }

  texts(): string[] {
    return this.sent.flatMap(({ data }) => (typeof data === 'string' ? [data] : []));
  }

  says(...frames: (HubFrame | Octets | string)[]): void {
    for (const frame of frames) this.saysOn(0, frame);
  }

  saysOn(channel: number, frame: HubFrame | Octets | string): void {
    this.#events.onMessage(typeof frame === 'string' ? frame : (frame instanceof Uint8Array ? frame : emitHubFrame(frame)).slice().buffer, channel);
  }

  welcomes(you: number, members: readonly Entry[], more: Partial<Extract<HubFrame, { type: 'welcome' }>> = {}): void {
    this.says({ type: 'welcome', epoch: EPOCH, you, seq: 10, resumed: 'new', heard: 0, host: members[0]?.number ?? 0, total: members.length, members, ...more });
  }

  /** Less waits now. */
  takes(): void {
    this.waiting = [0, 0];
    this.#events.onLow();
  }

  breaks(): void {
    this.isOpen = false;
    this.#events.onBroken();
  }

  becomes(of: 'ice' | 'connection', state: string): void {
    this.#events.onState?.(of, state);
  }

  answers(peerId: string | null = null): void {
    this.#events.onAnswer?.(peerId);
  }
}

export function entry(number: number, name: string, metadata: unknown = {}): Entry {
  return { number, name, metadata: JSON.stringify(metadata), joined: 1_795_000_000_000 + number };
}

export function message(seq: number, from: number, event: string | null, data: unknown, ack: number | null = null): HubFrame {
  return { type: 'message', seq, from, ack, event, body: data instanceof Uint8Array ? { bytes: data as Octets } : { json: JSON.stringify(data) } };
}

const RESUMED = ['new', 'whole', 'missed'];
const LEFT = ['left', 'lost', 'kicked', 'slow', 'replaced', 'protocol', 'rate'];
const UNACKED = ['unknown', 'left', 'dropped', 'mute', 'late'];

/** As the hub writes it. */
export function emitHubFrame(frame: HubFrame): Octets {
  const to = new Writer();
  const entries = (members: readonly Entry[]): Writer => {
    to.integer(members.length);
    for (const { number, name, metadata, joined } of members) to.integer(number).text(name).text(metadata).integer(joined);
    return to;
  };
  const flag = (body: Body): number => ('bytes' in body ? 2 : 0);
  const octets = (body: Body): Octets => ('bytes' in body ? body.bytes : utf8(body.json));
  switch (frame.type) {
    case 'welcome':
      to.u8(129).u8(1).put(frame.epoch).integer(frame.you).integer(frame.seq).u8(RESUMED.indexOf(frame.resumed)).integer(frame.heard).integer(frame.host).integer(frame.total);
      return entries(frame.members).octets();
    case 'members':
      to.u8(139);
      return entries(frame.members).octets();
    case 'joined':
      return to.u8(130).integer(frame.seq).integer(frame.member.number).text(frame.member.name).text(frame.member.metadata).integer(frame.member.joined).octets();
    case 'left':
      return to.u8(131).integer(frame.seq).integer(frame.member).u8(LEFT.indexOf(frame.reason) + 1).octets();
    case 'host':
      return to.u8(132).integer(frame.seq).integer(frame.member).octets();
    case 'metadata':
      return to.u8(133).integer(frame.seq).integer(frame.member).text(frame.metadata).octets();
    case 'message':
      to.u8(134).integer(frame.seq).integer(frame.from);
      to.u8((frame.ack === null ? 0 : 1) | flag(frame.body) | (frame.event === null ? 4 : 0) | (frame.seq === 0 ? 8 : 0));
      if (frame.ack !== null) to.integer(frame.ack);
      return to.text(frame.event ?? '').put(octets(frame.body)).octets();
    case 'ack':
      return to.u8(135).integer(frame.ack).integer(frame.from).u8(flag(frame.body)).put(octets(frame.body)).octets();
    case 'unacked':
      return to.u8(136).integer(frame.ack).integer(frame.from).u8(UNACKED.indexOf(frame.reason) + 1).octets();
    case 'asked':
      to.u8(140).integer(frame.ack).integer(frame.members.length);
      for (const number of frame.members) to.integer(number);
      return to.octets();
    case 'heard':
      return to.u8(141).integer(frame.count).octets();
    case 'ping':
      return to.u8(137).put(frame.octets).octets();
    case 'refused':
      return to.u8(138).put(utf8(frame.code)).octets();
  }
}

/** As the hub reads it. */
export function parseMemberFrame(octets: Octets): MemberFrame {
  const from = new Reader(octets);
  const body = (flags: number): Body => (flags & 2 ? { bytes: from.rest() } : { json: fromUtf8(from.rest()) });
  const type = from.u8();
  switch (type) {
    case 1:
      if (from.u8() !== 1) throw new Error('another version');
      return { type: 'hello', token: from.take(16), metadata: from.text(16_384), epoch: from.take(8), last: from.integer() };
    case 2: {
      const flags = from.u8();
      const count = from.integer();
      const to = count === 65_535 ? 'hub' : count === 0 ? 'others' : Array.from({ length: count }, () => from.member());
      const ack = flags & 1 ? from.integer() : null;
      const event = from.text(256);
      return { type: 'emit', to, ack, event: flags & 4 ? null : event, fast: (flags & 8) !== 0, body: body(flags) };
    }
    case 3:
      return { type: 'ack', to: from.member(), ack: from.integer(), body: body(from.u8()) };
    case 4:
      return { type: 'metadata', metadata: from.text(16_384) };
    case 5:
      return { type: 'leave' };
    case 6:
      return { type: 'pong', octets: from.take(8) };
    case 7:
      return { type: 'got', seq: from.integer() };
    default:
      throw new Error(`a frame of type ${type}`);
  }
}
