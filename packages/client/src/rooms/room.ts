/** A room as its members see it: `joinRoom`. */
import { type Body, emitFrame, type Entry, FAST_LABEL, LABEL, MEMBER_MAX, octetsOf, type RefusedCode, TARGETS_MAX, type To } from '../protocol/room/frame.js';
import { type Happening, Member, type Wanted } from '../protocol/room/member.js';
import { isEvent, isReserved } from '../protocol/room/name.js';
import { utf8 } from '../protocol/room/octets.js';
import { Asks } from './asks.js';
import { bodyOf, valueOf } from './body.js';
import { asRoomError, RoomError } from './error.js';
import { Handlers, report } from './handlers.js';
import { metadataOf, needTime, type Settings, settingsOf } from './options.js';
import { Outbox } from './outbox.js';
import { watchPage } from './page.js';
import type { AckOptions, AnyEvents, JoinRoomOptions, ListenOptions, Room, RoomMember, RoomState, SendOptions } from './types.js';
import { backoff, SETTLED_MS } from '../transport/backoff.js';
import { openWire, type OpenWire, postLeave, type Wire } from '../transport/hub.js';
import { Deferred } from '../transport/wait.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Octets that may wait in the channel for what may be lost: more would be late. */
const FAST_MAX = 16_384;
const ACK_WITHIN = 10_000;
/** A new connection costs little and loses nothing, and the hub holds a place without a word of it for ten seconds. */
const PATIENCE = 1_000;
/** After these there is no coming back. */
const FINAL: readonly string[] = ['version', 'name-taken', 'kicked', 'protocol', 'replaced', 'unsupported', 'bad-option'];
const REFUSALS: Readonly<Record<RefusedCode, string>> = {
  version: 'the hub speaks another version',
  'name-taken': 'somebody else has this id',
  full: 'the room is full',
  kicked: 'the server put this member out',
  slow: 'this member did not take what was sent to it',
  protocol: 'hub and member did not understand each other',
  closed: 'the hub closed the room',
  rate: 'this member said too much',
  replaced: 'another page took the id, with the same token',
};

/** For tests. */
export interface World {
  readonly open: OpenWire;
  /** In [0, 1). */
  random(): number;
  /** Milliseconds. */
  now(): number;
}

const WORLD: World = { open: openWire, random: Math.random, now: Date.now };

/** Resolves when the hub has said who is there; rejects with a `RoomError`. */
export async function joinRoom<Events extends object = AnyEvents, Metadata = unknown>(
  name: string,
  options: JoinRoomOptions<Metadata> = {},
): Promise<Room<Events, Metadata>> {
  return (await joinIn(WORLD, name, options)) as unknown as Room<Events, Metadata>;
}

/** @internal */
export async function joinIn(world: World, name: string, options: JoinRoomOptions): Promise<HubRoom> {
  const settings = settingsOf(name, options);
  if (settings.signal?.aborted) throw aborted(settings.signal);
  const room = new HubRoom(name, settings, world);
  await room.join();
  return room;
}

export class HubRoom {
  readonly name: string;
  readonly #settings: Settings;
  readonly #world: World;
  readonly #member: Member;
  readonly #handlers = new Handlers();
  readonly #asks = new Asks();
  readonly #outbox: Outbox;
  #state: RoomState | 'joining' = 'joining';
  #wire: Wire | null = null;
  /** Ends with the room. */
  readonly #over = new AbortController();
  /** Settled by the hub's first word on a connection. */
  #welcome: Deferred<void, RoomError> | null = null;
  /** What the hub said last before it closed. */
  #refusal: RoomError | null = null;
  /** What the hub has not heard of what was sent by a connection before. */
  #again: readonly Octets[] = [];
  #gotTimer: ReturnType<typeof setTimeout> | undefined;
  /** A greeting went out: the hub may have given us a place. */
  #hasGreeted = false;
  /** When we were let in last, and how often it was lost or failed since that lasted. */
  #since = 0;
  #failures = 0;
  /** Ends the pause before the next attempt. */
  #wake: (() => void) | null = null;
  #isHidden = false;
  /** Each member is one object for as long as it stays the same. */
  readonly #shown = new WeakMap<Entry, RoomMember>();
  #members: Map<string, RoomMember> | null = null;

  constructor(name: string, settings: Settings, world: World) {
    this.name = name;
    this.#settings = settings;
    this.#world = world;
    this.#outbox = new Outbox(world.now);
    this.#member = new Member(settings.tokenOctets, settings.metadata);
  }

  get id(): string {
    return this.#settings.id;
  }

  get token(): string {
    return this.#settings.token;
  }

  get state(): RoomState {
    return this.#state === 'joining' ? 'reconnecting' : this.#state;
  }

  get members(): ReadonlyMap<string, RoomMember> {
    this.#members ??= new Map([...this.#member.members.values()].map((entry) => [entry.name, this.#show(entry)]));
    return this.#members;
  }

  get host(): string | null {
    return this.#member.host?.name ?? null;
  }

  get isHost(): boolean {
    return this.host === this.id;
  }

  get buffered(): number {
    return this.#outbox.buffered;
  }

  /** The first time. */
  async join(): Promise<void> {
    const { signal } = this.#settings;
    const abort = (): void => this.#end(signal === undefined ? null : aborted(signal));
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await this.#attempt();
    } catch (error) {
      signal?.removeEventListener('abort', abort);
      this.#end(asRoomError(error));
      // Otherwise the hub may hold a place for nobody.
      if (this.#hasGreeted && this.#refusal === null) void this.#postLeave();
      throw signal?.aborted ? aborted(signal) : asRoomError(error);
    }
    signal?.removeEventListener('abort', abort);
    const leave = (): void => void this.leave();
    signal?.addEventListener('abort', leave, { once: true });
    const unwatch = watchPage({ onHide: () => this.#hide(), onShow: () => this.#shownAgain(), onWake: () => this.#woken() });
    this.#over.signal.addEventListener('abort', () => {
      unwatch();
      signal?.removeEventListener('abort', leave);
    });
  }

  on(event: string, handler: (...given: never[]) => unknown, { signal }: ListenOptions = {}): () => void {
    return this.#handlers.add(event, handler, false, signal);
  }

  once(event: string, handler: (...given: never[]) => unknown, { signal }: ListenOptions = {}): () => void {
    return this.#handlers.add(event, handler, true, signal);
  }

  off(event: string, handler?: (...given: never[]) => unknown): void {
    this.#handlers.remove(event, handler);
  }

  emit(event: string, data?: unknown, options: SendOptions = {}): void {
    this.#say(named(event), bodyOf(data), options);
  }

  broadcast(event: string, data?: unknown): void {
    this.#say(named(event), bodyOf(data), {});
  }

  send(value?: unknown, options: SendOptions = {}): void {
    this.#say(null, bodyOf(value), options);
  }

  async emitWithAck(event: string, data?: unknown, { to, timeout = ACK_WITHIN }: AckOptions<string | readonly string[] | undefined> = {}): Promise<unknown> {
    const [name, body] = [named(event), bodyOf(data)];
    needTime(timeout);
    this.#needOpen();
    const { ack, promise } = this.#asks.begin(typeof to !== 'string', timeout);
    try {
      this.#say(name, body, { to }, ack);
    } catch (error) {
      this.#asks.unanswered(ack, 0, 'dropped');
      throw error;
    }
    return promise;
  }

  setMetadata(metadata: unknown): void {
    const json = metadataOf(metadata);
    this.#needOpen();
    const frame = emitFrame({ type: 'metadata', metadata: json });
    this.#outbox.add(frame.length, () => this.#member.keep(frame));
    this.#member.setMetadata(json);
    this.#members = null;
    const you = this.#member.you;
    if (you !== null) this.#handlers.call('metadata', [this.#show(you)]);
  }

  drain(): Promise<void> {
    return this.#state === 'closed' ? Promise.reject(closed()) : this.#outbox.drain();
  }

  async leave(): Promise<void> {
    if (this.#state === 'closed') return;
    const wire = this.#wire;
    const isHeard = this.#sayGoodbye();
    this.#wire = null;
    this.#end(null);
    await Promise.all([wire?.close(), isHeard ? null : this.#postLeave()]);
  }

  /** On the channel. Whether the hub hears it, as far as is known here. */
  #sayGoodbye(): boolean {
    const wire = this.#wire;
    return wire?.send(emitFrame({ type: 'leave' })) === true && this.#member.isIn && wire.status().peerConnection === 'connected';
  }

  // -------------------------------------------------------------------------------------------------------------- saying

  #needOpen(): void {
    if (this.#state === 'closed') throw closed();
  }

  #say(event: string | null, body: Body, { to, unreliable = false }: SendOptions, ack: number | null = null): void {
    this.#needOpen();
    const names = to === undefined || to === 'server' ? null : typeof to === 'string' ? [to] : to;
    if (names !== null && names.length > TARGETS_MAX) throw new RoomError('too-large', 'a message names 1,024 receivers at most');
    const size = 24 + 8 * (names?.length ?? 0) + utf8(event ?? '').length + octetsOf(body).length;
    if (size > MEMBER_MAX) throw new RoomError('too-large', 'a message has 64 KiB at most');
    const isFast = unreliable && ack === null && this.#settings.unreliable;
    const make = (): Octets | null => {
      const receivers: To | null = names !== null ? this.#member.numbersOf(names) : to === 'server' ? 'hub' : 'others';
      if (ack !== null) this.#asking(ack, receivers, typeof to === 'string');
      return receivers === null ? null : emitFrame({ type: 'emit', to: receivers, ack, event, fast: isFast, body });
    };
    const kept = (): Octets | null => {
      const frame = make();
      return frame === null || isFast ? frame : this.#member.keep(frame);
    };
    if (isFast) {
      const buffered = this.#member.isIn ? (this.#wire?.buffered(1) ?? null) : null;
      if (!this.#member.isIn || (buffered !== null && buffered > FAST_MAX) || !this.#outbox.spend()) return;
      const frame = make();
      if (frame === null || this.#wire?.send(frame, 1)) return;
    }
    this.#outbox.add(size, kept);
  }

  /** Who is asked, as far as it is known here. */
  #asking(ack: number, receivers: To | null, one: boolean): void {
    this.#asks.sent(ack);
    if (receivers === null && one) this.#asks.unanswered(ack, 0, 'unknown');
    else if (receivers !== 'others') this.#asks.asked(ack, this.#namesOf(receivers === 'hub' ? [] : (receivers ?? []), receivers === 'hub'));
  }

  #namesOf(numbers: readonly number[], hub = false): ReadonlyMap<number, string> {
    const names = new Map<number, string>(hub ? [[0, 'server']] : []);
    for (const number of numbers) {
      const entry = this.#member.members.get(number);
      if (entry !== undefined) names.set(number, entry.name);
    }
    return names;
  }

  // ---------------------------------------------------------------------------------------------------------- connecting

  /** One connection, until the hub has let us in. Rejects with a `RoomError`. */
  async #attempt(): Promise<void> {
    const { server, id, iceServers, timeout, unreliable } = this.#settings;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new RoomError('timeout', 'the hub did not let us in in time')), timeout);
    const signal = AbortSignal.any([this.#over.signal, late.signal]);
    const welcome = new Deferred<void, RoomError>();
    this.#welcome = welcome;
    this.#refusal = null;
    let wire: Wire | null = null;
    const isCurrent = (): boolean => wire !== null && wire === this.#wire;
    try {
      wire = await this.#world.open(
        {
          server,
          room: this.name,
          id,
          channels: [{ label: LABEL, init: { ordered: true } }, ...(unreliable ? [{ label: FAST_LABEL, init: { ordered: false, maxRetransmits: 0 } }] : [])],
          iceServers,
          patience: PATIENCE,
          signal,
        },
        {
          onMessage: (data, channel) => isCurrent() && this.#received(data, channel !== 0),
          onLow: () => isCurrent() && this.#outbox.flush(),
          onBroken: () => isCurrent() && this.#broken(),
        },
      );
      signal.throwIfAborted();
      this.#wire = wire;
      signal.addEventListener('abort', () => welcome.reject(asRoomError(signal.reason)));
      if (!wire.send(this.#member.handleOpened())) throw new RoomError('lost', 'the connection to the hub broke');
      this.#hasGreeted = true;
      await welcome.promise;
    } catch (error) {
      if (wire === this.#wire) this.#wire = null;
      wire?.abandon();
      this.#member.handleClosed();
      throw asRoomError(error);
    } finally {
      clearTimeout(timer);
      this.#welcome = null;
    }
  }

  #broken(): void {
    const error = this.#refusal ?? new RoomError('lost', 'the connection to the hub broke');
    this.#drop();
    if (this.#welcome !== null) this.#welcome.reject(error);
    else this.#lost(error);
  }

  /** There is no connection any more. */
  #drop(): void {
    this.#wire?.abandon();
    this.#wire = null;
    this.#outbox.close();
    this.#member.handleClosed();
    clearTimeout(this.#gotTimer);
    this.#gotTimer = undefined;
  }

  #lost(error: RoomError): void {
    if (this.#state !== 'joined') return;
    if (FINAL.includes(error.code) || this.#settings.attempts === 0) return this.#end(error);
    if (this.#world.now() - this.#since >= SETTLED_MS) this.#failures = 0;
    this.#become('reconnecting');
    void this.#reconnect(error);
  }

  /** Never rejects. */
  async #reconnect(error: RoomError): Promise<void> {
    const { attempts, delay, maxDelay } = this.#settings;
    for (let tried = 0; this.#state === 'reconnecting'; tried++) {
      if (tried >= attempts) return this.#end(error);
      await this.#pause(backoff(++this.#failures, this.#world.random(), delay, maxDelay));
      if (this.#state !== 'reconnecting') return;
      try {
        return await this.#attempt();
      } catch (thrown) {
        error = asRoomError(thrown);
        if (this.#over.signal.aborted) return;
        if (FINAL.includes(error.code)) return this.#end(error);
        this.#handlers.call('error', [error]);
      }
    }
  }

  /** Shorter when the page wakes; as long as it is hidden for good, without end. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#isHidden ? undefined : setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  // ------------------------------------------------------------------------------------------------------------- hearing

  #received(data: unknown, isFast: boolean): void {
    // Texts are not of this protocol.
    if (typeof data === 'string') return;
    for (const happening of this.#member.handleMessage(new Uint8Array(data as ArrayBuffer), isFast, this.#world.now())) {
      if (this.#state === 'closed') return;
      this.#happened(happening);
    }
    this.#armGot();
  }

  #happened(happening: Happening): void {
    switch (happening.type) {
      case 'in':
        this.#members = null;
        this.#since = this.#world.now();
        this.#become('joined');
        this.#welcome?.resolve();
        return this.#openOutbox();
      case 'missed':
        this.#members = null;
        if (!happening.isSameStay) this.#asks.beginAnew();
        return this.#handlers.call('missed', []);
      case 'joined':
      case 'metadata':
        this.#members = null;
        return this.#handlers.call(happening.type, [this.#show(happening.member)]);
      case 'left':
        this.#members = null;
        return this.#handlers.call('left', [this.#show(happening.member), happening.reason]);
      case 'host':
        return this.#handlers.call('host', [happening.member?.name ?? null]);
      case 'message':
        return this.#message(happening.event ?? 'message', valueOf(happening.body), happening.from?.name ?? 'server', happening.wanted);
      case 'asked':
        return this.#asks.asked(happening.ack, this.#namesOf(happening.members));
      case 'answer':
        return this.#asks.answered(happening.ack, happening.from, this.#namesOf([happening.from], true).get(happening.from), valueOf(happening.body));
      case 'unanswered':
        return this.#asks.unanswered(happening.ack, happening.from, happening.reason);
      case 'refused':
        this.#refusal = new RoomError(happening.code, REFUSALS[happening.code]);
        return this.#broken();
      case 'send':
        this.#wire?.send(happening.frame);
        return;
      case 'again':
        this.#again = happening.frames;
        return;
      case 'heard':
        this.#outbox.flush();
    }
  }

  /** What is sent is kept until the hub has heard it: whether the channel took it does not matter. */
  #openOutbox(): void {
    const wire = this.#wire;
    if (wire === null) return;
    const send = (data: string | Octets): boolean => {
      wire.send(data);
      return true;
    };
    this.#outbox.open({ send, buffered: () => wire.buffered(), isFull: () => this.#member.isFull }, this.#again);
    this.#again = [];
  }

  #message(event: string, value: unknown, from: string, wanted: Wanted | null): void {
    if (wanted === null) return this.#handlers.call(event, [value, from, undefined]);
    let isAnswered = false;
    const ack = (reply?: unknown): void => {
      if (isAnswered) return;
      const body = bodyOf(reply);
      if (octetsOf(body).length + 24 > MEMBER_MAX) throw new RoomError('too-large', 'an answer has 64 KiB at most');
      if (this.#state !== 'closed') {
        this.#outbox.add(octetsOf(body).length + 24, () => {
          const frame = this.#member.answer(wanted, body);
          return frame === null ? null : this.#member.keep(frame);
        });
      }
      isAnswered = true;
    };
    const answer = (reply: unknown): void => {
      if (reply !== undefined) ack(reply);
    };
    this.#handlers.call(event, [value, from, ack], (returned) => {
      if (typeof (returned as { then?: unknown } | null | undefined)?.then === 'function') (returned as Promise<unknown>).then(answer).catch(report);
      else answer(returned);
    });
  }

  /** What was handed on is confirmed, so that the hub can forget it. */
  #armGot(): void {
    const at = this.#member.pollTimeout();
    if (at === null || this.#gotTimer !== undefined) return;
    this.#gotTimer = setTimeout(() => {
      this.#gotTimer = undefined;
      const frame = this.#member.handleTimeout(this.#world.now());
      if (frame !== null) this.#wire?.send(frame);
      this.#armGot();
    }, Math.max(0, at - this.#world.now()));
  }

  #show(entry: Entry): RoomMember {
    const shown = this.#shown.get(entry) ?? { id: entry.name, metadata: JSON.parse(entry.metadata) as unknown, joinedAt: entry.joined };
    this.#shown.set(entry, shown);
    return shown;
  }

  // ------------------------------------------------------------------------------------------------------- page, and end

  /** The page goes, perhaps for good: others know at once. */
  #hide(): void {
    if (this.#state === 'closed' || this.#isHidden) return;
    this.#isHidden = true;
    this.#sayGoodbye();
    void this.#postLeave();
    if (this.#state !== 'joined') return;
    // Closed with what it has to say, not at once.
    void this.#wire?.close();
    this.#wire = null;
    this.#drop();
    this.#lost(new RoomError('lost', 'the page went'));
  }

  #shownAgain(): void {
    this.#isHidden = false;
    this.#wake?.();
  }

  #woken(): void {
    if (this.#isHidden) return;
    this.#wake?.();
    // What broke while nobody looked need not be waited for.
    if (this.#wire !== null && this.#welcome === null && this.#wire.status().peerConnection === 'disconnected') this.#broken();
  }

  #postLeave(): Promise<void> {
    return postLeave(this.#settings.server, this.name, this.id, this.token);
  }

  #become(state: RoomState): void {
    if (this.#state === state) return;
    const isFirst = this.#state === 'joining';
    this.#state = state;
    if (!isFirst) this.#handlers.call('state', [state]);
  }

  /** `null`: as the application wants it. */
  #end(error: RoomError | null): void {
    if (this.#state === 'closed') return;
    this.#drop();
    const why = error ?? closed();
    this.#become('closed');
    this.#over.abort(why);
    this.#welcome?.reject(why);
    this.#wake?.();
    this.#asks.end(why);
    this.#outbox.end(why);
    this.#handlers.call('closed', [error]);
    this.#handlers.clear();
  }
}

function named(event: string): string {
  if (typeof event !== 'string' || !isEvent(event)) throw new RoomError('reserved', 'an event’s name has 1 to 256 octets');
  if (isReserved(event)) throw new RoomError('reserved', `${event} is an event of the room’s own`);
  return event;
}

function closed(): RoomError {
  return new RoomError('closed', 'the room was left');
}

function aborted(signal: AbortSignal): RoomError {
  return new RoomError('aborted', 'the signal was aborted', { cause: signal.reason });
}
