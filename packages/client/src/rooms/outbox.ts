/** What is to be sent and waits: for a connection, or for a network that takes it. Bounded; nothing is dropped in silence. */
import { Queue } from '../protocol/queue.js';
import { Deferred } from '../transport/wait.js';
import { RoomError } from './error.js';
import { HIGH_WATER, LOW_WATER } from '../transport/hub.js';

type Octets = Uint8Array<ArrayBuffer>;

/** A hub takes 500 messages at once and 200 a second, and closes on who says more. A network may bunch them, so these are somewhat less. */
const BURST = 400;
const PER_SECOND = 180;
/** Left to what may not be lost. */
const RESERVE = 50;
export const WAITING_MAX = 1_000;
export const WAITING_OCTETS_MAX = 4 * 1024 * 1024;

/** What an outbox needs of a wire. */
export interface Sink {
  send(data: string | Octets): boolean;
  /** `null`: not open. */
  buffered(): number | null;
  /** No more before it says so. */
  isFull?(): boolean;
}

interface Item {
  readonly size: number;
  /** Made when it is sent, as numbers of members may be others by then; `null`: no longer wanted. */
  make(): string | Octets | null;
}

export class Outbox {
  readonly #now: () => number;
  /** Messages that may be sent now, as of then. */
  #tokens = BURST;
  #at: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What is sent once more, before all that waits. */
  #again: (string | Octets)[] = [];
  #sink: Sink | null = null;
  readonly #waiting = new Queue<Item>();
  #octets = 0;
  #drained: Deferred<void, RoomError> | null = null;

  /** `now`: milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
    this.#at = now();
  }

  /** Octets that wait, here and in the channel. */
  get buffered(): number {
    return this.#octets + (this.#sink?.buffered() ?? 0);
  }

  /** `size`: about how many octets it makes. Throws `overflow`. */
  add(size: number, make: Item['make']): void {
    if (this.#waiting.length === 0 && this.#again.length === 0 && this.#send(make)) return;
    if (this.#waiting.length >= WAITING_MAX || this.#octets + size > WAITING_OCTETS_MAX) throw new RoomError('overflow', 'too much waits to be sent');
    this.#waiting.push({ size, make });
    this.#octets += size;
    this.#arm();
  }

  /** Whether one that may be lost can go now; it is counted then. */
  spend(): boolean {
    this.#refill();
    if (this.#tokens < RESERVE) return false;
    this.#tokens--;
    return true;
  }

  /** `again`: goes first. */
  open(sink: Sink, again: readonly (string | Octets)[] = []): void {
    this.#sink = sink;
    this.#again = [...again];
    this.flush();
  }

  /** What waits, waits on. */
  close(): void {
    this.#sink = null;
    this.#again = [];
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** For when there is room, or something else made sending possible. */
  flush(): void {
    for (let data = this.#again[0]; data !== undefined && this.#send(() => data ?? null, true); data = this.#again[0]) this.#again.shift();
    if (this.#again.length === 0) {
      for (let item = this.#waiting.first(); item !== undefined && this.#send(item.make); item = this.#waiting.first()) {
        this.#waiting.shift();
        this.#octets -= item.size;
      }
    }
    this.#arm();
    if (this.#isDrained()) {
      this.#drained?.resolve();
      this.#drained = null;
    }
  }

  /** Resolves when little waits. */
  drain(): Promise<void> {
    if (this.#isDrained()) return Promise.resolve();
    this.#drained ??= new Deferred();
    return this.#drained.promise;
  }

  end(error: RoomError): void {
    this.close();
    this.#waiting.clear();
    this.#octets = 0;
    this.#drained?.reject(error);
    this.#drained = null;
  }

  #isDrained(): boolean {
    const buffered = this.#sink?.buffered() ?? null;
    return this.#waiting.length === 0 && this.#again.length === 0 && buffered !== null && buffered <= LOW_WATER;
  }

  /** `isAgain`: it is kept already, so it needs no room to be kept in. */
  #send(make: Item['make'], isAgain = false): boolean {
    const buffered = this.#sink?.buffered() ?? null;
    if (this.#sink === null || buffered === null || buffered > HIGH_WATER || (!isAgain && this.#sink.isFull?.())) return false;
    this.#refill();
    if (this.#tokens < 1) return false;
    const data = make();
    if (data === null) return true;
    if (!this.#sink.send(data)) return false;
    this.#tokens--;
    return true;
  }

  #refill(): void {
    const now = this.#now();
    this.#tokens = Math.min(BURST, this.#tokens + (Math.max(0, now - this.#at) * PER_SECOND) / 1_000);
    this.#at = now;
  }

  /** What waits for nothing but its time has it. */
  #arm(): void {
    if (this.#timer !== undefined || this.#sink === null || this.#tokens >= 1 || this.#waiting.length + this.#again.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, Math.ceil(((1 - this.#tokens) * 1_000) / PER_SECOND));
  }
}
