/** A device that answers calls as `identity.md` demands, or as an attacker would like it to. */
import { generateIdentity, sha256, sign, type CallerIdentity } from '../identity/key.js';
import { decodeBase64, encodeBase64 } from '../protocol/base64.js';
import { deviceIdFromDigest } from '../protocol/id.js';
import { emitStatement, parseStatement, type Offer, type Statement } from '../protocol/statement.js';
import { chromiumSdp } from './browser.js';

type Octets = Uint8Array<ArrayBuffer>;
type Json = Readonly<Record<string, unknown>>;

export class Answerer {
  readonly id: string;
  readonly certificate = crypto.getRandomValues(new Uint8Array(300));
  readonly #identity: CallerIdentity;

  private constructor(identity: CallerIdentity, id: string) {
    this.#identity = identity;
    this.id = id;
  }

  static async make(): Promise<Answerer> {
    const identity = await generateIdentity();
    return new Answerer(identity, deviceIdFromDigest(await sha256(identity.publicKey)));
  }

  fingerprint(): Promise<Octets> {
    return sha256(this.certificate);
  }

  /** The ANSWER to an OFFER as it came by the server. `sdp` alters the description after it was stated. */
  async answer(offer: Json, sdp: (text: string) => string = (text) => text): Promise<Json> {
    const { stated, reply } = await read(offer);
    const fingerprint = await this.fingerprint();
    const statement: Statement = {
      ...stated,
      context: 'answer',
      key: this.#identity.publicKey,
      fingerprint,
      from: stated.to,
      to: stated.from,
      reply,
    };
    return this.#frame(offer, { sdp: { type: 'answer', sdp: sdp(chromiumSdp(fingerprint, 'active')) } }, statement);
  }

  async stale(offer: Json, nonce: Octets): Promise<Json> {
    const { stated, reply } = await read(offer);
    const { from, to, connection, time } = stated;
    const statement: Statement = { context: 'refusal', key: this.#identity.publicKey, from: to, to: from, connection, code: 'stale', time, nonce, reply };
    return this.#frame(offer, {}, statement, { refusal: 'stale' });
  }

  refusal(offer: Json, code: string): Json {
    return frame(this.id, offer, { peerage: { refusal: code } });
  }

  async #frame(offer: Json, members: Json, statement: Statement, more: Json = {}): Promise<Json> {
    const bytes = emitStatement(statement);
    const peerage = { statement: encodeBase64(bytes), signature: encodeBase64(await sign(this.#identity, bytes)), ...more };
    return frame(this.id, offer, { ...members, peerage });
  }
}

/** The statement of an offer, and what answers repeat of it. */
export async function read(offer: Json): Promise<{ stated: Offer; reply: Octets }> {
  const peerage = (offer['payload'] as Json)['peerage'] as Readonly<Record<string, string>>;
  const bytes = decodeBase64(peerage['statement'] ?? '') ?? new Uint8Array(0);
  const stated = parseStatement(bytes);
  if (stated?.context !== 'offer') throw new Error('an offer without a statement');
  return { stated, reply: await sha256(bytes) };
}

function frame(src: string, offer: Json, members: Json): Json {
  const connectionId = (offer['payload'] as Json)['connectionId'];
  return { type: 'ANSWER', src, payload: { ...members, type: 'data', connectionId } };
}
