/** A device whose target answers: requests come whole, answers go in pieces, and everything moves by itself until `stop`. */
import type { Field } from '../fetch/exchange.js';
import { joined } from '../fetch/running.js';
import type { Request } from '../protocol/http/head.js';
import { STREAM } from '../protocol/http/outbound.js';
import type { Config } from '../protocol/http/session.js';
import { FakeDevice } from './device.js';

type Octets = Uint8Array<ArrayBuffer>;

export interface Asked {
  readonly id: number;
  readonly kind: Request['kind'];
  readonly method: string;
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Octets;
}

export interface Answer {
  readonly status?: number;
  readonly fields?: readonly Field[];
  readonly body?: Octets | string;
  /** More of the body follows, by the test's own doing. */
  readonly open?: boolean;
}

/** `null`: the test does the rest. */
export type Handler = (asked: Asked) => Answer | null;

export class FakeTarget {
  readonly device: FakeDevice;
  readonly asked: Asked[] = [];
  #handler: Handler;
  #seen = 0;
  readonly #bodies = new Map<number, { request: Request; pieces: Octets[] }>();
  #isStopped = false;

  constructor(handler: Handler, config: Config = {}) {
    this.device = new FakeDevice(config);
    this.#handler = handler;
    void this.#run();
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      // First of all, so that whoever made this can put a link to it.
      await new Promise<void>((resolve) => setImmediate(resolve));
      await this.device.settle();
      this.#look();
    }
  }

  #look(): void {
    const { events, session } = this.device;
    for (; this.#seen < events.length; this.#seen++) {
      const event = events[this.#seen];
      if (event?.type === 'opened') {
        this.#bodies.set(event.id, { request: event.request, pieces: [] });
        if (event.end || event.request.kind === 'websocket') this.#answer(event.id);
      } else if (event?.type === 'reset') this.#bodies.delete(event.id);
    }
    for (const [id, { pieces }] of this.#bodies) {
      for (let got = session.read(id, Infinity); got !== null; got = session.read(id, Infinity)) {
        if (got.type === 'data') pieces.push(got.bytes);
        else {
          this.#answer(id);
          break;
        }
      }
    }
  }

  #answer(id: number): void {
    const { request, pieces = [] } = this.#bodies.get(id) ?? {};
    this.#bodies.delete(id);
    if (request === undefined || request.kind === 'tcp') return;
    const method = request.kind === 'http' ? request.method : 'GET';
    const asked = { id, kind: request.kind, method, path: request.path, fields: Object.fromEntries(request.fields), body: joined(pieces) };
    this.asked.push(asked);
    const answer = this.#handler(asked);
    if (answer === null) return;
    const given = method === 'HEAD' ? '' : answer.body;
    const body = typeof given === 'string' ? new TextEncoder().encode(given) : (given ?? new Uint8Array(0));
    const { session } = this.device;
    session.respond(id, answer.status ?? 200, answer.fields ?? [], body.length === 0 && answer.open !== true);
    if (body.length > 0 && session.write(id, body, STREAM) !== null) throw new Error('a body of at most one send queue, please');
    if (body.length > 0 && answer.open !== true) session.finish(id, { type: 'plain' });
  }
}

declare function setImmediate(then: () => void): void;
