/** What a session tells its shell, and what is read from it. Twin of the Rust crate's `http/event.rs`. */
import type { ResetCode } from '../../error.js';
import type { Fields } from './field.js';
import type { Request } from './head.js';
import type { Hello } from './hello.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Why a session is over. */
export type CloseReason =
  /** The peer broke the protocol. */
  | 'protocol'
  | 'flow'
  | 'hello'
  /** Nothing arrived for 30 s although exchanges were live. */
  | 'silent'
  /** This side drained and its last exchange is over. */
  | 'drained'
  /** The channel closed beneath the session. */
  | 'lost';

/** Something that happened on the link. After `ended` or `reset` an exchange's id is never heard of again. */
export type Event =
  | { readonly type: 'hello'; readonly hello: Hello }
  /** The peer began an exchange; `end`: there is no body to read. */
  | { readonly type: 'opened'; readonly id: number; readonly request: Request; readonly end: boolean }
  /** An interim response (1xx) to an exchange of ours. */
  | { readonly type: 'interim'; readonly id: number; readonly status: number; readonly fields: Fields }
  /** The response to an exchange of ours; `end`: there is no body to read. */
  | { readonly type: 'response'; readonly id: number; readonly status: number; readonly fields: Fields; readonly end: boolean }
  /** `read` has something after it had nothing. */
  | { readonly type: 'readable'; readonly id: number }
  /** `write` takes octets again after it had refused some. */
  | { readonly type: 'writable'; readonly id: number }
  /** The peer does not need the rest of what we send; what it sent is complete and remains to be read. */
  | { readonly type: 'stopped'; readonly id: number }
  /** Both directions ended well and everything was read. */
  | { readonly type: 'ended'; readonly id: number }
  /** The exchange broke off, nothing of it is left to be read. `byPeer`: it said so; else this side found a fault, or the link closed. */
  | { readonly type: 'reset'; readonly id: number; readonly code: ResetCode; readonly byPeer: boolean }
  /** The peer drains: new requests need another link. */
  | { readonly type: 'draining' }
  /** The session is over: close the channel. The last event. */
  | { readonly type: 'closed'; readonly reason: CloseReason };

/** What `read` takes from an exchange. */
export type Incoming =
  /** Octets of a body, stream or WebSocket message; empty only for the end of an empty message. The only view of their buffer, if they were not split by `max`. */
  | { readonly type: 'data'; readonly bytes: Octets; readonly fin: boolean; readonly text: boolean }
  /** The last that is read of an exchange. */
  | { readonly type: 'end'; readonly end: End };

/** How a direction of an exchange ends. */
export type End =
  | { readonly type: 'plain' }
  /** Trailers follow the body. */
  | { readonly type: 'trailers'; readonly fields: Fields }
  /** A WebSocket closes: empty, or `u16 BE close code ‖ reason` in 2 to 125 octets (RFC 6455 section 5.5.1). */
  | { readonly type: 'close'; readonly payload: Octets };

export const PLAIN: End = { type: 'plain' };
