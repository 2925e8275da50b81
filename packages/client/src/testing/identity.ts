/** Identities with known keys. */
import type { CallerIdentity } from '../identity/key.js';
import { decodeBase64 } from '../protocol/base64.js';

/** From a PKCS #8 PEM and the 65-byte point. */
export async function importIdentity(pem: string, publicKey: Uint8Array<ArrayBuffer>): Promise<CallerIdentity> {
  const der = decodeBase64(pem.replace(/-----[^-]+-----|\s/g, ''));
  if (der === null) throw new Error('no PEM');
  const privateKey = await crypto.subtle.importKey('pkcs8', der, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
  return { publicKey, privateKey };
}
