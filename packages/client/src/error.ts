/**
 * Why something failed: a closed list, the same words as in `docs/protocol/identity.md` section 9 and `http.md` section 6.
 * A program decides by the code; the message is for people.
 */
export type Code = LinkCode | ResetCode;

/** Why there is no link, or no longer one. */
export type LinkCode =
  /** The text is not a link. */
  | 'bad-link'
  /** This browser, or this page (plain http, not on this machine), has no WebRTC or no WebCrypto. */
  | 'unsupported'
  /** The signalling server cannot be reached, or turned us away. */
  | 'unreachable-server'
  /** The server knows nobody under the device's id, or the device left. */
  | 'peer-unavailable'
  /** The device was called and did not answer in time. */
  | 'no-answer'
  /** The link is unknown, expired or revoked, or this browser is not known to the device. */
  | 'denied'
  /** The device takes our proof for old or repeated, also after the second try. */
  | 'stale'
  /** The device has no room for another connection, or (as a RESET) for another exchange. */
  | 'busy'
  /** Someone else answers under the device's id. */
  | 'wrong-device'
  /** Both ends agreed to talk and no path between them was found. */
  | 'no-route'
  /** The link was closed, by us or by the device. */
  | 'closed'
  /** The device fell silent, or the path to it broke. */
  | 'lost'
  /** The other end breaks the protocol (`http.md` sections 1 to 3). */
  | 'protocol'
  /** The other end sent more than it was granted. */
  | 'flow'
  /** The other end's hello cannot be accepted. */
  | 'hello';

/** How an exchange can end early: the RESET codes (`http.md` section 6). */
export type ResetCode =
  | 'none'
  | 'cancelled'
  | 'refused'
  | 'malformed'
  | 'too-large'
  | 'busy'
  | 'unreachable'
  | 'broken'
  | 'timeout'
  | 'unsupported'
  | 'gone'
  | 'internal';

/** The one error that this package throws on purpose. */
export class PeerageError extends Error {
  override readonly name = 'PeerageError';
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** The code of anything thrown; what is not ours is `internal`. */
  static codeOf(error: unknown): Code {
    return error instanceof PeerageError ? error.code : 'internal';
  }
}
