/** Names on the wire: device ids and secrets (`identity.md` section 1). */
import { decodeBase32, encodeBase32 } from './base32.js';

/** Octets of UTF-8 that a peer id, connection id, token or label may have (`identity.md` section 3). */
export const MAX_ID = 512;

const DEVICE_ID_LEN = 52;
const SECRET_LEN = 26;

/** Whether `text` has the form of a device id: 52 base32 characters whose 4 unused bits are zero. */
export function isDeviceId(text: string): boolean {
  return text.length === DEVICE_ID_LEN && decodeBase32(text) !== null;
}

/** The id that belongs to the SHA-256 of a public key's uncompressed point. */
export function deviceIdFromDigest(digest: Uint8Array): string {
  return encodeBase32(digest);
}

/** Whether `text` has the form of a secret: 26 base32 characters, 130 bits, none unused. */
export function isSecret(text: string): boolean {
  return text.length === SECRET_LEN && /^[a-z2-7]*$/.test(text);
}
