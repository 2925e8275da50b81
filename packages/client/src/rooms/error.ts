/** Why something about a room failed: a closed list, explained in `docs/rooms-client.md`. A program decides by the code; the message is for people. */
import type { RefusedCode } from '../protocol/room/frame.js';

export type RoomCode =
  /** No WebRTC here. */
  | 'unsupported'
  /** A name, a token or another option that cannot be. */
  | 'bad-option'
  /** By the caller's signal. */
  | 'aborted'
  /** No connection, or no answer, in time. */
  | 'timeout'
  /** The hub's server cannot be asked. */
  | 'unreachable-server'
  /** The server refuses the request, or has no rooms. */
  | 'refused'
  /** The hub has no place for another connection now. */
  | 'busy'
  /** Page and hub agreed to talk and no path between them was found. */
  | 'no-route'
  /** The connection broke, and there is no other attempt. */
  | 'lost'
  /** What the hub says when it closes a connection; `closed` also of a room that was left. */
  | RefusedCode
  /** The event is the room's own, or no name for one. */
  | 'reserved'
  | 'too-large'
  /** The data cannot be written as JSON. */
  | 'not-json'
  /** More waits than may. */
  | 'overflow'
  /** Why there is no answer: nobody has that id; who was asked left, or it was lost on the way; the server dropped it; a client of PeerPyRTC cannot answer. */
  | 'no-such-member'
  | 'left'
  | 'dropped'
  | 'mute';

/** The one error that rooms throw on purpose. */
export class RoomError extends Error {
  override readonly name = 'RoomError';
  readonly code: RoomCode;
  /** Of a `timeout` of `emitWithAck` to several: the answers that came, by id. */
  readonly answers: ReadonlyMap<string, unknown> | undefined;

  constructor(code: RoomCode, message: string, more: { readonly cause?: unknown; readonly answers?: ReadonlyMap<string, unknown> } = {}) {
    super(message, 'cause' in more ? { cause: more.cause } : undefined);
    this.code = code;
    this.answers = more.answers;
  }
}

/** Anything thrown as a `RoomError`. */
export function asRoomError(error: unknown): RoomError {
  return error instanceof RoomError ? error : new RoomError('lost', 'the connection could not be made', { cause: error });
}
