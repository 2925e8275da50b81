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

/** An open, verified link on which any number of exchanges run at once. */
export interface HttpLink {
  exchange(request: ExchangeRequest): Promise<ExchangeResponse>;
  /** Settles once, with the reason, when the link is gone. Never rejects. */
  readonly closed: Promise<Code>;
  close(): void;
}
