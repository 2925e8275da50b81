/** Answers that are awaited. */
import type { UnackedReason } from '../protocol/room/frame.js';
import { Deferred } from '../transport/wait.js';
import { RoomError, type RoomCode } from './error.js';

/** As many as a hub remembers. */
export const ASKS_MAX = 256;

interface Ask {
  readonly deferred: Deferred<unknown, RoomError>;
  readonly timer: ReturnType<typeof setTimeout>;
  /** Several are asked: all of them have to answer, or to leave. */
  readonly several: boolean;
  /** Numbers of those who have not answered, with their ids; `null` until it is known who was asked. */
  expected: Map<number, string> | null;
  isSent: boolean;
  readonly answers: Map<string, unknown>;
}

const CODES: Readonly<Record<UnackedReason, RoomCode>> = { unknown: 'no-such-member', left: 'left', dropped: 'dropped', mute: 'mute', late: 'timeout' };
const MESSAGES: Readonly<Record<UnackedReason, string>> = {
  unknown: 'nobody of that id is in the room',
  left: 'who was asked left, or the question was lost with a connection',
  dropped: 'the server did not let the question pass',
  mute: 'who was asked is a client of PeerPyRTC, which cannot answer',
  late: 'there was no answer in time',
};

export class Asks {
  readonly #asks = new Map<number, Ask>();
  #next = 1;

  /** The number to ask under, and what becomes of it. */
  begin(several: boolean, ms: number): { readonly ack: number; readonly promise: Promise<unknown> } {
    if (this.#asks.size >= ASKS_MAX) throw new RoomError('overflow', 'too many answers are awaited');
    const ack = this.#next++;
    const deferred = new Deferred<unknown, RoomError>();
    const timer = setTimeout(() => this.#fail(ack, 'late'), ms);
    this.#asks.set(ack, { deferred, timer, several, expected: null, isSent: false, answers: new Map() });
    return { ack, promise: deferred.promise };
  }

  sent(ack: number): void {
    const ask = this.#asks.get(ack);
    if (ask !== undefined) ask.isSent = true;
  }

  /** The room is another: nobody answers what was asked before. */
  beginAnew(): void {
    for (const [ack, { isSent }] of this.#asks) if (isSent) this.#fail(ack, 'left');
  }

  /** These are asked. */
  asked(ack: number, who: ReadonlyMap<number, string>): void {
    const ask = this.#asks.get(ack);
    if (ask === undefined) return;
    ask.expected = new Map([...who].filter(([, id]) => !ask.answers.has(id)));
    this.#settle(ack, ask);
  }

  answered(ack: number, number: number, id: string | undefined, value: unknown): void {
    const ask = this.#asks.get(ack);
    const from = ask?.expected?.get(number) ?? id;
    if (ask === undefined || from === undefined || ask.answers.has(from)) return;
    if (!ask.several) return this.#end(ack, ask, () => ask.deferred.resolve(value));
    ask.answers.set(from, value);
    ask.expected?.delete(number);
    this.#settle(ack, ask);
  }

  /** `number` 0: nobody will answer. */
  unanswered(ack: number, number: number, reason: UnackedReason): void {
    const ask = this.#asks.get(ack);
    if (ask === undefined) return;
    if (!ask.several || number === 0) return this.#fail(ack, reason);
    ask.expected?.delete(number);
    this.#settle(ack, ask);
  }

  end(error: RoomError): void {
    for (const [ack, ask] of this.#asks) this.#end(ack, ask, () => ask.deferred.reject(error));
  }

  #settle(ack: number, ask: Ask): void {
    if (ask.several && ask.expected?.size === 0) this.#end(ack, ask, () => ask.deferred.resolve(ask.answers));
  }

  #fail(ack: number, reason: UnackedReason): void {
    const ask = this.#asks.get(ack);
    if (ask === undefined) return;
    const more = ask.several ? { answers: ask.answers } : {};
    this.#end(ack, ask, () => ask.deferred.reject(new RoomError(CODES[reason], MESSAGES[reason], more)));
  }

  #end(ack: number, ask: Ask, settle: () => void): void {
    clearTimeout(ask.timer);
    this.#asks.delete(ack);
    settle();
  }
}
