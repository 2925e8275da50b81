/** What is to be sent and waits: for a connection, or for a network that takes it. Bounded; nothing is dropped in silence. */
import { Queue } from '../protocol/queue.js';
import { Deferred } from './deferred.js';
import { RoomError } from './error.js';
import { HIGH_WATER, LOW_WATER } from './wire.js';

type Octets = Uint8Array<ArrayBuffer>;

export const WAITING_MAX = 1_000;
export const WAITING_OCTETS_MAX = 4 * 1024 * 1024;

/** What an outbox needs of a wire. */
export interface Sink {
  send(data: string | Octets): boolean;
  /** `null`: not open. */
  buffered(): number | null;
}

interface Item {
  readonly size: number;
  /** Made when it is sent, as numbers of members may be others by then; `null`: no longer wanted. */
  make(): string | Octets | null;
}

export class Outbox {
  #sink: Sink | null = null;
  readonly #waiting = new Queue<Item>();
  #octets = 0;
  #drained: Deferred<void> | null = null;

  /** Octets that wait, here and in the channel. */
  get buffered(): number {
    return this.#octets + (this.#sink?.buffered() ?? 0);
  }

  /** `size`: about how many octets it makes. Throws `overflow`. */
  add(size: number, make: Item['make']): void {
    if (this.#waiting.length === 0 && this.#send({ size, make })) return;
    if (this.#waiting.length >= WAITING_MAX || this.#octets + size > WAITING_OCTETS_MAX) throw new RoomError('overflow', 'too much waits to be sent');
    this.#waiting.push({ size, make });
    this.#octets += size;
  }

  open(sink: Sink): void {
    this.#sink = sink;
    this.flush();
  }

  /** What waits, waits on. */
  close(): void {
    this.#sink = null;
  }

  /** For when there is room, or something else made sending possible. */
  flush(): void {
    for (let item = this.#waiting.first(); item !== undefined && this.#send(item); item = this.#waiting.first()) {
      this.#waiting.shift();
      this.#octets -= item.size;
    }
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
    this.#sink = null;
    this.#waiting.clear();
    this.#octets = 0;
    this.#drained?.reject(error);
    this.#drained = null;
  }

  #isDrained(): boolean {
    const buffered = this.#sink?.buffered() ?? null;
    return this.#waiting.length === 0 && buffered !== null && buffered <= LOW_WATER;
  }

  #send(item: Item): boolean {
    const buffered = this.#sink?.buffered() ?? null;
    if (this.#sink === null || buffered === null || buffered > HIGH_WATER) return false;
    const data = item.make();
    return data === null || this.#sink.send(data);
  }
}
