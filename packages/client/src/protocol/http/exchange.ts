/** One exchange: two directions and what they have to do with each other. Twin of `http/exchange.rs`. */
import type { End } from './event.js';
import { contentLength, type Fields } from './field.js';
import type { Request } from './head.js';
import { Fault, Inbound, MALFORMED } from './inbound.js';
import { Outbound, outOfOrder, wrongLength } from './outbound.js';

/** `head`: HTTP whose response has no body. */
export type Kind = 'http' | 'head' | 'websocket' | 'tcp';

/** Interim heads of an exchange at most. */
const INTERIMS_MAX = 8;

/** What a response's status says about what follows. */
interface Follows {
  /** No body: END stands on the head. */
  readonly nothing: boolean;
  /** WebSocket messages. */
  readonly messages: boolean;
  /** The octets that `content-length` promises. */
  readonly body: number | null;
}

export function kindOf(request: Request): Kind {
  return request.kind === 'http' && request.method === 'HEAD' ? 'head' : request.kind;
}

export class Exchange {
  readonly id: number;
  /** This side began it: it is the requester. */
  readonly ours: boolean;
  kind: Kind;
  /** The shell knows of it. */
  announced: boolean;
  readonly inbound = new Inbound();
  readonly outbound: Outbound;

  constructor(id: number, ours: boolean, kind: Kind, credit: number) {
    this.id = id;
    this.ours = ours;
    this.kind = kind;
    this.announced = ours;
    this.outbound = new Outbound(credit);
  }

  /** An exchange that this side begins. Throws `PeerageError`. */
  static begin(id: number, request: Request, end: boolean, credit: number): Exchange {
    const exchange = new Exchange(id, true, kindOf(request), credit);
    const out = exchange.outbound;
    out.messages = exchange.kind === 'websocket';
    out.body = requestBody(request);
    if (end && out.body !== null && out.body > 0) throw wrongLength();
    out.head(request, end);
    out.phase = end ? 'ended' : 'body';
    return exchange;
  }

  /** The peer's request arrived. */
  requested(request: Request, end: boolean): Fault | null {
    this.kind = kindOf(request);
    this.inbound.phase = 'body';
    this.inbound.messages = this.kind === 'websocket';
    this.inbound.body = requestBody(request);
    const fault = end ? this.inbound.endWithHead() : null;
    this.announced = fault === null;
    return fault;
  }

  /** An interim response arrived. */
  informed(end: boolean): Fault | null {
    this.inbound.interims++;
    if (end) return MALFORMED;
    return this.inbound.interims > INTERIMS_MAX ? new Fault('too-large') : null;
  }

  /** The response arrived. */
  responded(status: number, fields: Fields, end: boolean): Fault | null {
    const follows = this.#follows(status, fields);
    if (follows === null || (follows.nothing && !end)) return MALFORMED;
    this.inbound.phase = 'body';
    this.inbound.messages = follows.messages;
    this.inbound.body = follows.body;
    return end ? this.inbound.endWithHead() : null;
  }

  /** Trailers arrived. `true`: there is something to read after there was nothing. */
  trailed(fields: Fields, end: boolean): boolean | Fault {
    if (!end || this.inbound.phase !== 'body' || this.inbound.messages || this.kind === 'tcp') return MALFORMED;
    return this.inbound.end({ type: 'trailers', fields });
  }

  /** Sends an interim response. */
  inform(status: number, fields: Fields): void {
    this.#checkMayRespond();
    if (++this.inbound.interims > INTERIMS_MAX) throw outOfOrder('eight interim responses were sent');
    this.outbound.head({ kind: 'interim', status, fields }, false);
  }

  /** Sends the response. END is set where there can be no body, whatever `end` says. */
  respond(status: number, fields: Fields, end: boolean): void {
    this.#checkMayRespond();
    const follows = this.#follows(status, fields);
    if (follows === null) throw outOfOrder('101 is for WebSockets');
    const ended = end || follows.nothing;
    if (ended && follows.body !== null && follows.body > 0) throw wrongLength();
    this.outbound.head({ kind: 'response', status, fields }, ended);
    this.outbound.messages = follows.messages;
    this.outbound.body = follows.body;
    this.outbound.phase = ended ? 'ended' : 'body';
  }

  finish(end: End): void {
    if (this.kind === 'tcp' && end.type === 'trailers') throw outOfOrder('a TCP stream has no trailers');
    this.outbound.finish(end);
  }

  #checkMayRespond(): void {
    if (this.ours) throw outOfOrder('the peer responds to this exchange');
    if (this.outbound.phase !== 'head') throw outOfOrder('the response head was sent');
  }

  /** `null`: this status is not for this kind. */
  #follows(status: number, fields: Fields): Follows | null {
    const messages = status === 101;
    if (messages && this.kind !== 'websocket') return null;
    const nothing = this.kind === 'head' || status === 204 || status === 304;
    const unmeasured = messages || status === 304 || this.kind === 'head';
    return { nothing, messages, body: unmeasured ? null : contentLength(fields) };
  }
}

function requestBody(request: Request): number | null {
  return request.kind === 'http' ? contentLength(request.fields) : null;
}
