/** ECDSA P-256 with SHA-256 by WebCrypto, whose raw `r ‖ s` is the form that statements carry. Works in workers too. */

/** Who a caller is: a key that can be used and stored, not read. */
export interface CallerIdentity {
  /** The 65-byte uncompressed point. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly privateKey: CryptoKey;
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const ECDSA_SHA256 = { name: 'ECDSA', hash: 'SHA-256' } as const;

export async function generateIdentity(): Promise<CallerIdentity> {
  const pair = await crypto.subtle.generateKey(P256, false, ['sign', 'verify']);
  return { publicKey: new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)), privateKey: pair.privateKey };
}

/** 64 octets, `r ‖ s`. */
export async function sign(identity: CallerIdentity, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.sign(ECDSA_SHA256, identity.privateKey, bytes));
}

/** False also for a key that is no point of the curve. */
export async function verify(
  publicKey: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  try {
    // Some platforms import the compressed form as well: the protocol has the uncompressed one alone.
    if (publicKey.length !== 65 || publicKey[0] !== 4 || signature.length !== 64) return false;
    const key = await crypto.subtle.importKey('raw', publicKey, P256, false, ['verify']);
    return await crypto.subtle.verify(ECDSA_SHA256, key, signature, bytes);
  } catch {
    return false;
  }
}

export async function sha256(bytes: Uint8Array<ArrayBuffer> | ArrayBuffer): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}
