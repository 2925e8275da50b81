/** The caller's side of `identity.md`: makes the statement of an offer, and tells a true answer from a false one. Twin of `identity/caller.rs`. */
import { decodeBase64, encodeBase64 } from '../protocol/base64.js';
import { deviceIdFromDigest } from '../protocol/id.js';
import { parseSdp, type DataDescription } from '../protocol/sdp.js';
import type { AnswerPayload, PeerageMember } from '../protocol/signal.js';
import { emitStatement, parseStatement, type Offer, type Statement } from '../protocol/statement.js';
import { sha256, sign, verify, type CallerIdentity } from './key.js';
import { mac, type LinkProof } from './proof.js';

type Octets = Uint8Array<ArrayBuffer>;

/** What an offer is about. */
export interface Call {
  /** The device id that is called. */
  readonly device: string;
  /** The caller's id at the server. */
  readonly from: string;
  /** The connection id; a second try has another. */
  readonly connection: string;
  readonly label: string;
  /** SHA-256 of the caller's DTLS certificate. */
  readonly fingerprint: Octets;
  /** On a second try: the nonce that the device asked for. */
  readonly retry?: Octets;
}

/** What a device says to an offer. */
export type Verdict =
  /** It accepts: its description, whose fingerprint is the stated one. */
  | { readonly type: 'accepted'; readonly description: DataDescription }
  /** It refuses. Only `stale` is signed: any other code may be the server's, which could as well have dropped the offer. */
  | { readonly type: 'refused'; readonly code: RefusalCode }
  /** It knows the caller, but not that the offer is new: one more try with this nonce and another connection id. */
  | { readonly type: 'try-again'; readonly nonce: Octets }
  /** Not from the called device, or not to this offer. It does not end the attempt: the true answer may follow. */
  | { readonly type: 'false'; readonly why: FalseAnswer };

export type RefusalCode = 'malformed' | 'denied' | 'stale' | 'busy';

export type FalseAnswer =
  | 'sender'
  | 'unsigned'
  | 'wrong-key'
  | 'mismatch'
  | 'replayed'
  | 'signature'
  | 'description'
  | 'fingerprint';

/** An offer that was made, and what is known of its answer. */
export class SentOffer {
  /** What the OFFER carries as `peerage`. */
  readonly member: PeerageMember;
  readonly #offer: Offer;
  readonly #digest: Octets;

  private constructor(member: PeerageMember, offer: Offer, digest: Octets) {
    this.member = member;
    this.#offer = offer;
    this.#digest = digest;
  }

  /** Makes and signs the statement of an offer at `now` (milliseconds since 1970); `proof` is the link's on a first visit, `null` on later ones. */
  static async make(identity: CallerIdentity, call: Call, proof: LinkProof | null, now: number): Promise<SentOffer> {
    const offer: Offer = {
      context: 'offer',
      key: identity.publicKey,
      fingerprint: call.fingerprint,
      from: call.from,
      to: call.device,
      connection: call.connection,
      label: call.label,
      kid: proof?.kid ?? new Uint8Array(0),
      time: BigInt(Math.max(0, Math.trunc(now))),
      nonce: crypto.getRandomValues(new Uint8Array(16)),
      reply: call.retry ?? new Uint8Array(0),
    };
    const statement = emitStatement(offer);
    const [signature, digest, proven] = await Promise.all([
      sign(identity, statement),
      sha256(statement),
      proof === null ? null : mac(proof, statement),
    ]);
    const member = {
      statement: encodeBase64(statement),
      signature: encodeBase64(signature),
      ...(proven !== null && { mac: encodeBase64(proven) }),
    };
    return new SentOffer(member, offer, digest);
  }

  get connection(): string {
    return this.#offer.connection;
  }

  /** Judges an ANSWER that came from `src`, as the server says. Never rejects. */
  async verify(src: string | null, answer: AnswerPayload): Promise<Verdict> {
    if (src !== this.#offer.to) return isFalse('sender');
    if (answer.connectionId !== this.#offer.connection) return isFalse('mismatch');
    const { statement, signature, refusal } = answer.peerage ?? {};
    if (refusal !== undefined && refusal !== 'stale') return { type: 'refused', code: refusalCode(refusal) };
    const bytes = statement === undefined ? null : decodeBase64(statement);
    const proof = signature === undefined ? null : decodeBase64(signature);
    const stated = bytes === null ? null : parseStatement(bytes);
    if (bytes === null || proof === null || stated === null) return isFalse('unsigned');
    // A refusal's statement is no answer, and the reverse, whatever the member around it says.
    if (stated.context !== (refusal === undefined ? 'answer' : 'refusal')) return isFalse('unsigned');
    const why = await this.#doubt(stated, bytes, proof);
    if (why !== null) return isFalse(why);
    if (stated.context === 'answer') return this.#accepted(stated.fingerprint, answer.sdp);
    // A second try is the last one.
    return this.#offer.reply.length > 0 ? { type: 'refused', code: 'stale' } : { type: 'try-again', nonce: stated.nonce };
  }

  /** `null`: the statement is the called device's, about this offer. */
  async #doubt(stated: Statement, bytes: Octets, signature: Octets): Promise<FalseAnswer | null> {
    const offer = this.#offer;
    if (stated.context !== 'answer' && stated.context !== 'refusal') return 'unsigned';
    if (deviceIdFromDigest(await sha256(stated.key)) !== offer.to) return 'wrong-key';
    if (stated.from !== offer.to || stated.to !== offer.from || stated.connection !== offer.connection) return 'mismatch';
    if (stated.context === 'refusal' && stated.code !== 'stale') return 'mismatch';
    if (stated.context === 'answer' && (stated.label !== offer.label || !areEqual(stated.kid, offer.kid))) return 'mismatch';
    if (!areEqual(stated.reply, this.#digest)) return 'replayed';
    return (await verify(stated.key, signature, bytes)) ? null : 'signature';
  }

  #accepted(stated: Octets, sdp: string | null): Verdict {
    const description = sdp === null ? null : parseSdp(sdp);
    if (description === null || description.setup === 'actpass') return isFalse('description');
    return areEqual(description.fingerprint, stated) ? { type: 'accepted', description } : isFalse('fingerprint');
  }
}

/** Not in constant time: what is compared here is public. */
export function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((octet, index) => octet === b[index]);
}

/** A code that is not in the list counts as `denied`, so that a later one does not hang a caller. */
function refusalCode(text: string): RefusalCode {
  return text === 'malformed' || text === 'busy' ? text : 'denied';
}

function isFalse(why: FalseAnswer): Verdict {
  return { type: 'false', why };
}
