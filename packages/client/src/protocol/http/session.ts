/**
 * One end of a link: many HTTP exchanges on one ordered, reliable channel (`http.md`). Twin of the Rust crate's `http::Session`. It holds the send queues and
 * the receive buffers, all of them bounded, and decides whose turn it is; its shell moves messages and wakes those who wait:
 *
 * ```text
 * while the channel has room: send(session.pollTransmit())        until null
 * while (event = session.pollEvent()): wake or begin              closed: close the channel, stop
 * wait for: a message    -> session.handleMessage(message, now)
 *           a command    -> session.open / respond / write / read / reset ..., on behalf of some exchange
 *           the timeout  -> session.handleTimeout(now)
 * ```
 *
 * After every input or command drain both polls again, transmit first, and re-arm at `pollTimeout`. Times are milliseconds of any steady clock.
 * Nothing that a peer sends makes a session throw, hold more than 64 MiB of bodies, or slow another exchange of the link.
 */
import { PeerageError, type ResetCode } from '../../error.js';
import { Queue } from '../queue.js';
import { Writer } from './bytes.js';
import type { CloseReason, End, Event, Incoming } from './event.js';
import { Exchange, kindOf } from './exchange.js';
import type { Fields } from './field.js';
import { emitFrame, Frames, type Frame } from './frame.js';
import { HeadError } from './head-error.js';
import { parseHead, type Head, type Request } from './head.js';
import { DEFAULT_HELLO, type Hello } from './hello.js';
import { Fault, MALFORMED, WINDOW, type Pool } from './inbound.js';
import { Liveness } from './liveness.js';
import type { Framing } from './outbound.js';
import { Violation } from './violation.js';

type Octets = Uint8Array<ArrayBuffer>;

/** What all windows of a link grow by together, at most. */
export const GROWTH = 32 << 20;
/** Exchanges of both sides together: each may have a window of 64 KiB that nobody reads. */
export const EXCHANGES = 512;
/** Octets of unfinished head blocks on a link. */
export const HEADS = 4 << 20;
/** Control frames that may wait for a peer which causes them faster than it takes them. */
const CONTROL_MAX = 4096;
/** Octets of control frames in a message at most: so much less than the whole that a part of a head still fits. */
const CONTROL_SHARE = 8160;
/** The longest control frame: a hello with all its items. */
const CONTROL_FRAME_MAX = 64;
const ID_MAX = 2 ** 32 - 1;

/** Who made the channel: the caller's exchanges have odd ids. */
export type Role = 'caller' | 'callee';

/** What a session offers its peer. */
export interface Config {
  /** Live exchanges that the peer may have begun: 256 to 448, default 256. This side then begins at most 512 less that. */
  readonly exchanges?: number;
  /** Whether WebSocket exchanges are answered. Default no: RESET `unsupported`. */
  readonly websocket?: boolean;
  /** Whether TCP exchanges are answered. Default no: RESET `unsupported`. */
  readonly tcp?: boolean;
}

/** A frame that is not of an exchange's own line; it goes before those. */
type Control =
  | { readonly type: 'hello' | 'ping' | 'pong' }
  | { readonly type: 'credit'; readonly id: number }
  | { readonly type: 'reset'; readonly id: number; readonly code: ResetCode }
  | { readonly type: 'drain'; readonly highest: number };

export class Session {
  readonly #role: Role;
  /** Our hello. */
  readonly #own: Hello;
  /** The peer's hello. */
  #peer: Hello | null = null;
  readonly #exchanges = new Map<number, Exchange>();
  #ours = 0;
  #theirs = 0;
  /** The next id for an exchange of ours; `null` when they ran out. */
  #nextId: number | null;
  /** Highest id of ours that the peer has heard of. */
  #highestOurs = 0;
  /** Highest id that the peer has begun. */
  #highestTheirs = 0;
  readonly #pool: Pool = { left: GROWTH };
  /** Octets of unfinished head blocks. */
  #blocks = 0;
  readonly #control = new Queue<Control>();
  readonly #ready = new Queue<Exchange>();
  readonly #events = new Queue<Event>();
  readonly #message = new Writer();
  readonly #liveness: Liveness;
  #pings = 0n;
  #pong: Octets | null = null;
  #draining = false;
  #peerDraining = false;
  #closed: CloseReason | null = null;

  /** A session on a channel that has just opened. Its hello is the first message of `pollTransmit`. */
  constructor(role: Role, config: Config, now: number) {
    const exchanges = Math.min(448, Math.max(256, config.exchanges ?? 256));
    this.#role = role;
    this.#own = { ...DEFAULT_HELLO, exchanges, websocket: config.websocket ?? false, tcp: config.tcp ?? false };
    this.#nextId = role === 'caller' ? 1 : 2;
    this.#liveness = new Liveness(now);
    this.#control.push({ type: 'hello' });
  }

  /** Why the session is closed, if it is. */
  get closed(): CloseReason | null {
    return this.#closed;
  }

  /** The peer's hello, once it has come. */
  get peer(): Hello | null {
    return this.#peer;
  }

  /** How many exchanges are live, of both sides. */
  get live(): number {
    return this.#exchanges.size;
  }

  /** How many exchanges may be begun now. */
  get openings(): number {
    if (this.#closed !== null || this.isDraining || this.#nextId === null) return 0;
    const peer = (this.#peer ?? DEFAULT_HELLO).exchanges;
    return Math.max(0, Math.min(peer, EXCHANGES - this.#own.exchanges) - this.#ours);
  }

  /** Whether one of the sides begins nothing more. */
  get isDraining(): boolean {
    return this.#draining || this.#peerDraining;
  }

  /** The next thing to tell. Drain it to `null` after every input, command and `pollTransmit`. */
  pollEvent(): Event | null {
    return this.#events.shift() ?? null;
  }

  /** When `handleTimeout` is due; changes with every input and command. */
  pollTimeout(): number | null {
    return this.#closed === null && this.#exchanges.size > 0 ? this.#liveness.deadline : null;
  }

  /** Time has passed. Early and late calls are harmless. */
  handleTimeout(now: number): void {
    if (this.pollTimeout() === null) return;
    const due = this.#liveness.expire(now);
    if (due === 'close') return this.close('silent');
    if (due !== 'ping') return;
    this.#pings++;
    this.#control.push({ type: 'ping' });
  }

  /** Ends the session: every exchange is `gone`, then comes the event `closed`. Only the first reason counts. */
  close(reason: CloseReason): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    for (const exchange of this.#ascending()) {
      if (exchange.announced) this.#events.push({ type: 'reset', id: exchange.id, code: 'gone', byPeer: false });
    }
    this.#exchanges.clear();
    this.#control.clear();
    this.#ready.clear();
    this.#events.push({ type: 'closed', reason });
  }

  /**
   * Begins an exchange; `end`: there is no body. It may begin before the peer's hello has come. Throws `PeerageError`, and has sent nothing then: `closed`;
   * `busy` while one of the sides drains or as many exchanges are live as the peer accepts; `unsupported`; `malformed`, `too-large` for a wrong head.
   */
  open(request: Request, end: boolean, now: number): number {
    if (this.#closed !== null) throw new PeerageError('closed', 'the link is closed');
    const id = this.#nextId;
    if (id === null || this.isDraining) throw new PeerageError('busy', 'the link is draining');
    const peer = this.#peer ?? DEFAULT_HELLO;
    const kind = kindOf(request);
    if ((kind === 'websocket' && !peer.websocket) || (kind === 'tcp' && !peer.tcp)) {
      throw new PeerageError('unsupported', `the other end does not answer exchanges of kind ${kind}`);
    }
    if (this.openings === 0) throw new PeerageError('busy', 'too many exchanges are live');
    const exchange = Exchange.begin(id, request, end, peer.window);
    this.#insert(exchange, now);
    this.#nextId = id + 2 > ID_MAX ? null : id + 2;
    if (this.#nextId === null) this.drain();
    this.#lineUp(exchange);
    return id;
  }

  /** Sends an interim response (102 to 199), at most eight of them. Throws `PeerageError`, as the following do: `gone` when the exchange is over. */
  inform(id: number, status: number, fields: Fields): void {
    const exchange = this.#exchange(id);
    exchange.inform(status, fields);
    this.#lineUp(exchange);
  }

  /** Responds to an exchange of the peer's; `end`: there is no body. Answers to HEAD, 204 and 304 end in any case. */
  respond(id: number, status: number, fields: Fields, end: boolean): void {
    const exchange = this.#exchange(id);
    exchange.respond(status, fields, end);
    this.#lineUp(exchange);
  }

  /**
   * Queues octets to be sent: takes from `bytes` what there is room for, without copying: they must not change until sent. Gives back what is left, `null` when
   * that is nothing; call again with it at the event `writable`.
   */
  write(id: number, bytes: Octets, framing: Framing): Octets | null {
    const exchange = this.#exchange(id);
    const left = exchange.outbound.write(bytes, framing);
    this.#lineUp(exchange);
    return left;
  }

  /** Octets that `write` takes now: up to `SEND_QUEUE`, 0 where nothing can be written. */
  writable(id: number): number {
    return this.#exchanges.get(id)?.outbound.room ?? 0;
  }

  /** Ends this side's direction. */
  finish(id: number, end: End): void {
    const exchange = this.#exchange(id);
    exchange.finish(end);
    this.#lineUp(exchange);
  }

  /** Takes the next piece, of at most `max` octets, and so lets the peer send more. `null`: nothing has come; wait for `readable`. */
  read(id: number, max: number): Incoming | null {
    const exchange = this.#exchange(id);
    const { inbound } = exchange;
    if (inbound.discarded) throw gone();
    const read = inbound.read(Math.max(1, max));
    if (read === null) {
      if (inbound.isDone) throw gone();
      return null;
    }
    if (inbound.taken(read.cost, this.#pool)) this.#control.push({ type: 'credit', id });
    this.#settle(exchange);
    return read.incoming;
  }

  /**
   * Nobody reads this exchange any more. On an exchange of ours this is a reset `cancelled`; on one of the peer's, the rest of its request is thrown away, and
   * when the response has ended first the peer is told so.
   */
  discard(id: number): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return;
    if (exchange.ours && exchange.inbound.phase !== 'ended') return this.reset(id, 'cancelled');
    exchange.inbound.discard();
    this.#settle(exchange);
  }

  /** Breaks an exchange off at once; what was queued for it is freed. Unknown ids are ignored, and no event follows. */
  reset(id: number, code: ResetCode): void {
    const exchange = this.#remove(id);
    if (exchange !== undefined && (!exchange.ours || exchange.outbound.begun)) this.#control.push({ type: 'reset', id, code });
  }

  /** Begins nothing more, serves nothing more than what is live, and closes (`drained`) when that is over. */
  drain(): void {
    if (this.#closed !== null || this.#draining) return;
    this.#draining = true;
    this.#control.push({ type: 'drain', highest: this.#highestTheirs });
  }

  // What goes to the peer, and in which order (section 8).

  /**
   * The next message for the channel, at most 16,384 octets; the same memory is used for the next one. Call it only while the channel has room: what is not
   * asked for stays in queues that are bounded. Events may follow.
   */
  pollTransmit(): Octets | null {
    if (this.#closed !== null) return null;
    this.#message.clear();
    this.#putControl();
    this.#putTurns();
    if (this.#message.length > 0) return this.#message.bytes;
    if (this.#draining && this.#exchanges.size === 0) this.close('drained');
    return null;
  }

  #putControl(): void {
    while (this.#message.length + CONTROL_FRAME_MAX <= CONTROL_SHARE) {
      const control = this.#control.shift();
      if (control === undefined) return;
      const frame = this.#controlFrame(control);
      if (frame !== null) emitFrame(frame, this.#message);
    }
  }

  #controlFrame(control: Control): Frame | null {
    switch (control.type) {
      case 'hello':
        return { type: 'hello', hello: this.#own };
      case 'credit': {
        const octets = this.#exchanges.get(control.id)?.inbound.takeGrant() ?? 0;
        return octets === 0 ? null : { type: 'credit', id: control.id, octets };
      }
      case 'ping': {
        const octets = new Uint8Array(8);
        new DataView(octets.buffer).setBigUint64(0, this.#pings);
        return { type: 'ping', octets };
      }
      case 'pong': {
        const octets = this.#pong;
        this.#pong = null;
        return octets === null ? null : { type: 'pong', octets };
      }
      case 'reset':
      case 'drain':
        return control;
    }
  }

  #putTurns(): void {
    for (let exchange = this.#ready.first(); exchange !== undefined; exchange = this.#ready.first()) {
      const out = exchange.outbound;
      if (!out.turn(exchange.id, this.#message)) return;
      this.#ready.shift();
      if (out.isReady) this.#ready.push(exchange);
      else out.inLine = false;
      if (exchange.ours && out.begun) this.#highestOurs = Math.max(this.#highestOurs, exchange.id);
      if (out.takeWritable()) this.#events.push({ type: 'writable', id: exchange.id });
      this.#settle(exchange);
    }
  }

  // What arrives from the peer.

  /** A channel message arrived; it belongs to the session from now on. A violation shows as the event `closed`. */
  handleMessage(message: Octets, now: number): void {
    if (this.#closed !== null) return;
    this.#liveness.heard(now);
    try {
      const frames = new Frames(message);
      for (let frame = frames.next(); frame !== null; frame = frames.next()) this.#handleFrame(frame, now);
      if (this.#control.length > CONTROL_MAX) throw new Violation('protocol', 'the peer causes frames and does not take them');
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.close(error.code);
    }
  }

  #handleFrame(frame: Frame, now: number): void {
    if (frame.type === 'hello') {
      if (this.#peer !== null) throw new Violation('hello', 'a second one');
      return this.#handleHello(frame.hello);
    }
    if (this.#peer === null) throw new Violation('hello', 'a frame before it');
    switch (frame.type) {
      case 'head':
        return this.#handleHead(frame, now);
      case 'data':
        return this.#handleData(frame);
      case 'credit':
        return this.#handleCredit(frame.id, frame.octets);
      case 'reset':
        return this.#handleReset(frame.id, frame.code);
      case 'drain':
        return this.#handleDrain(frame.highest);
      case 'ping':
        if (this.#pong === null) this.#control.push({ type: 'pong' });
        this.#pong = frame.octets;
        return;
      case 'pong':
        return;
    }
  }

  #handleHello(hello: Hello): void {
    this.#peer = hello;
    this.#events.push({ type: 'hello', hello });
    if (hello.window === WINDOW) return;
    for (const exchange of this.#ascending()) {
      // Nothing was granted yet, so this cannot exceed the limit.
      exchange.outbound.grant(hello.window - WINDOW);
      this.#lineUp(exchange);
    }
  }

  #handleHead(frame: Frame & { type: 'head' }, now: number): void {
    const { id } = frame;
    if (!this.#isOurs(id) && id > this.#highestTheirs) {
      this.#highestTheirs = id;
      if (this.#draining) return;
      if (this.#theirs >= this.#own.exchanges) return this.#control.push({ type: 'reset', id, code: 'busy' });
      this.#insert(new Exchange(id, false, 'http', (this.#peer ?? DEFAULT_HELLO).window), now);
    }
    const exchange = this.#find(id);
    if (exchange === null) return;
    const held = exchange.inbound.blockHeld;
    const block = exchange.inbound.head(frame.block, frame.more, HEADS - this.#blocks);
    this.#blocks += exchange.inbound.blockHeld - held;
    if (block instanceof Fault) this.#fail(exchange, block);
    else if (block !== null) this.#handleBlock(exchange, block, frame.end);
  }

  #handleBlock(exchange: Exchange, block: Octets, end: boolean): void {
    let head: Head;
    try {
      head = parseHead(block);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      // A kind of request that a later version may know.
      const later = error.rule === 'kind' && !exchange.ours && exchange.inbound.phase === 'head' && (block[0] ?? 0) < 16;
      return this.#fail(exchange, new Fault(later ? 'unsupported' : error.code));
    }
    const fault = this.#handleParsed(exchange, head, end);
    if (fault !== null) this.#fail(exchange, fault);
    else this.#settle(exchange);
  }

  #handleParsed(exchange: Exchange, head: Head, end: boolean): Fault | null {
    const { id, ours, inbound } = exchange;
    const tell = (fault: Fault | null, event: Event): Fault | null => {
      if (fault === null) this.#events.push(event);
      return fault;
    };
    switch (head.kind) {
      case 'http':
      case 'websocket':
      case 'tcp':
        if (ours || inbound.phase !== 'head') return MALFORMED;
        if ((head.kind === 'websocket' && !this.#own.websocket) || (head.kind === 'tcp' && !this.#own.tcp)) return new Fault('unsupported');
        return tell(exchange.requested(head, end), { type: 'opened', id, request: head, end });
      case 'interim':
        if (!ours || inbound.phase !== 'head') return MALFORMED;
        return tell(exchange.informed(end), { type: 'interim', id, status: head.status, fields: head.fields });
      case 'response':
        if (!ours || inbound.phase !== 'head') return MALFORMED;
        return tell(exchange.responded(head.status, head.fields, end), { type: 'response', id, status: head.status, fields: head.fields, end });
      case 'trailers': {
        if (inbound.phase !== 'body') return MALFORMED;
        const readable = exchange.trailed(head.fields, end);
        if (readable instanceof Fault) return readable;
        if (readable) this.#events.push({ type: 'readable', id });
        return null;
      }
    }
  }

  #handleData({ id, bytes, end, fin, text }: Frame & { type: 'data' }): void {
    const exchange = this.#find(id);
    if (exchange === null) return;
    const readable = exchange.inbound.data(bytes, end, fin, text);
    if (readable instanceof Fault) return this.#fail(exchange, readable);
    if (readable) this.#events.push({ type: 'readable', id });
    this.#settle(exchange);
  }

  #handleCredit(id: number, octets: number): void {
    const exchange = this.#find(id);
    if (exchange === null) return;
    if (!exchange.outbound.isDone && !exchange.outbound.grant(octets)) throw new Violation('flow', 'more than 2^31 - 1 granted');
    this.#lineUp(exchange);
  }

  #handleReset(id: number, code: ResetCode): void {
    const exchange = this.#find(id);
    if (exchange === null) return;
    if (code !== 'none' || !exchange.ours || exchange.inbound.phase !== 'ended') return this.#forget(exchange, code, true);
    exchange.outbound.stop();
    this.#events.push({ type: 'stopped', id });
    this.#settle(exchange);
  }

  #handleDrain(highest: number): void {
    if (this.#peerDraining) throw new Violation('protocol', 'a second DRAIN');
    if ((highest !== 0 && !this.#isOurs(highest)) || highest > this.#highestOurs) {
      throw new Violation('protocol', 'DRAIN with an id that was never begun');
    }
    this.#peerDraining = true;
    for (const exchange of this.#ascending()) {
      if (exchange.ours && exchange.id > highest) this.#forget(exchange, 'busy', true);
    }
    this.#events.push({ type: 'draining' });
  }

  /** The exchange of a frame; `null` if it has ended, and the frame was under way. */
  #find(id: number): Exchange | null {
    if (id > (this.#isOurs(id) ? this.#highestOurs : this.#highestTheirs)) {
      throw new Violation('protocol', 'a frame of an exchange that was never begun');
    }
    return this.#exchanges.get(id) ?? null;
  }

  #isOurs(id: number): boolean {
    return (id % 2 === 1) === (this.#role === 'caller');
  }

  /** The peer broke a rule on this exchange, or on the link. */
  #fail(exchange: Exchange, { code }: Fault): void {
    if (code === 'flow') throw new Violation('flow', 'more than was granted');
    this.#control.push({ type: 'reset', id: exchange.id, code });
    this.#forget(exchange, code, false);
  }

  #forget(exchange: Exchange, code: ResetCode, byPeer: boolean): void {
    this.#remove(exchange.id);
    if (exchange.announced) this.#events.push({ type: 'reset', id: exchange.id, code, byPeer });
  }

  // The table of exchanges.

  #exchange(id: number): Exchange {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) throw gone();
    return exchange;
  }

  /** All exchanges by id, for the rare events that concern them all. */
  #ascending(): Exchange[] {
    return [...this.#exchanges.values()].sort((a, b) => a.id - b.id);
  }

  #insert(exchange: Exchange, now: number): void {
    if (this.#exchanges.size === 0) this.#liveness.heard(now);
    if (exchange.ours) this.#ours++;
    else this.#theirs++;
    this.#exchanges.set(exchange.id, exchange);
  }

  /** Frees all that an exchange holds. */
  #remove(id: number): Exchange | undefined {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return undefined;
    this.#exchanges.delete(id);
    if (exchange.ours) this.#ours--;
    else this.#theirs--;
    this.#pool.left += exchange.inbound.grown;
    this.#blocks -= exchange.inbound.blockHeld;
    if (exchange.outbound.inLine) this.#ready.remove(exchange);
    return exchange;
  }

  /** Lets an exchange take its turn, if it has something to send. */
  #lineUp(exchange: Exchange): void {
    const out = exchange.outbound;
    if (out.inLine || !out.isReady) return;
    out.inLine = true;
    this.#ready.push(exchange);
  }

  /** Lets go of an exchange that is over. */
  #settle(exchange: Exchange): void {
    const { id, inbound, outbound } = exchange;
    if (!outbound.isDone || !this.#exchanges.has(id)) return;
    const unwanted = inbound.discarded && inbound.phase !== 'ended';
    if (!unwanted && !inbound.isDone) return;
    this.#remove(id);
    if (unwanted) this.#control.push({ type: 'reset', id, code: 'none' });
    this.#events.push({ type: 'ended', id });
  }
}

function gone(): PeerageError {
  return new PeerageError('gone', 'the exchange is over');
}
