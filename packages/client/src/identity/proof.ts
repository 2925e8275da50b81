/** Proof of a link's secret (`identity.md` section 1): the names and keys derived from it. Works in workers too. */
import { PeerageError } from '../error.js';
import { isSecret } from '../protocol/id.js';

/** What a first visit is proven with. Can be stored and sent to workers; the secret cannot be got out of it. */
export interface LinkProof {
  /** 8 octets that name the link without revealing it. */
  readonly kid: Uint8Array<ArrayBuffer>;
  /** HMAC-SHA256 key for one device, not extractable. */
  readonly key: CryptoKey;
}

const KID_BITS = 64;
const MAC_KEY_BITS = 256;

/** Throws `bad-link` when `secret` is not 26 base32 characters. */
export async function proofFromSecret(secret: string, device: string): Promise<LinkProof> {
  if (!isSecret(secret)) throw new PeerageError('bad-link', 'a secret is 26 characters of a-z and 2-7');
  const text = new TextEncoder();
  const ikm = await crypto.subtle.importKey('raw', text.encode(secret), 'HKDF', false, ['deriveBits', 'deriveKey']);
  const hkdf = (info: string) => ({ name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: text.encode(info) });
  const [kid, key] = await Promise.all([
    crypto.subtle.deriveBits(hkdf('peerage/1 kid'), ikm, KID_BITS),
    crypto.subtle.deriveKey(hkdf(`peerage/1 mac\0${device}`), ikm, { name: 'HMAC', hash: 'SHA-256', length: MAC_KEY_BITS }, false, ['sign']),
  ]);
  return { kid: new Uint8Array(kid), key };
}

/** HMAC-SHA256 over exactly a statement's bytes: 32 octets. */
export async function mac(proof: LinkProof, statement: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.sign('HMAC', proof.key, statement));
}
