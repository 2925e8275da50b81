/** What a link offers to whoever sends requests over it: one exchange at a time, bodies by pull. Pure types; no DOM. */
import type { Code } from '../error.js';
import type { Field } from '../protocol/http/field.js';

export type { Field };

/** A body read by pull: nothing is sent that nobody asked for. */
export interface Puller {
  /**
   * The next piece, never empty; `null` at the end. Rejects with `PeerageError` when the exchange breaks. One at a time.
   * A piece of a response is the only view of its buffer: whoever pulled it may transfer that.
   */
  pull(): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Stops the source. Idempotent, cheap, never throws. */
  cancel(): void;
}

export interface ExchangeRequest {
  readonly method: string;
  /** Origin-form: begins with `/`, may have a query, has no fragment. */
  readonly path: string;
  readonly fields: readonly Field[];
  readonly body: Puller | null;
  readonly signal?: AbortSignal;
}

export interface ExchangeResponse {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly body: Puller;
}

export interface SocketRequest {
  readonly path: string;
  /** `sec-websocket-protocol` among them, where subprotocols are offered. */
  readonly fields: readonly Field[];
  /** Gives up the opening; a socket that is open is ended by `close` and `cancel`. */
  readonly signal?: AbortSignal;
}

/** Text or octets, as WebSocket messages are. */
export type SocketMessage = string | Uint8Array<ArrayBuffer>;

/** What a message costs where messages wait, in octets: empty ones are not free. */
export function costOf(message: SocketMessage): number {
  return 64 + (typeof message === 'string' ? 2 * message.length : message.byteLength);
}

/** How the other side closed: 1005 where it stated no code (RFC 6455 section 7.1.5). */
export class SocketClose {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string) {
    this.code = code;
    this.reason = reason;
  }
}

/** A WebSocket of the device's target (`http.md` section 3), open. */
export interface LinkSocket {
  /** Of the 101; `sec-websocket-protocol` names the subprotocol. */
  readonly fields: readonly Field[];
  /**
   * The next message, or the close, and then the same close for ever. Rejects with `PeerageError` when the exchange breaks. One at a time. While nobody
   * receives, the other side may send no more than its window. A close is answered by the link itself.
   */
  receive(): Promise<SocketMessage | SocketClose>;
  /** Queues a message; resolves when all of it has been taken by the link, so that a sender who waits never queues more than one. In order. */
  send(message: SocketMessage): Promise<void>;
  /** Closes after what was sent. What comes until the other side's close is still received. Codes as in RFC 6455 section 7.4; none: no code. Idempotent. */
  close(code?: number, reason?: string): void;
  /** Breaks off at once. Idempotent, never throws. */
  cancel(): void;
}

/** An open, verified link on which any number of exchanges run at once. */
export interface HttpLink {
  exchange(request: ExchangeRequest): Promise<ExchangeResponse>;
  /**
   * Opens a WebSocket. Rejects with `PeerageError`: `unsupported` where the device answers none, `refused` where the target answered with another status
   * than 101 (the message names it), and the codes of exchanges.
   */
  openWebSocket(request: SocketRequest): Promise<LinkSocket>;
  /** Settles once, with the reason, when the link is gone. Never rejects. */
  readonly closed: Promise<Code>;
  close(): void;
}
