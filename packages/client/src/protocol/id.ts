import { decodeBase32, encodeBase32 } from './base32.js';

/** Octets of UTF-8 that a peer id, connection id, token or label may have (`identity.md` section 3). */
export const MAX_TEXT = 512;

const DEVICE_ID_CHARACTERS = 52;

/** Whether `text` has the form of a device id: 52 base32 characters whose 4 padding bits are zero. */
export function isDeviceId(text: string): boolean {
  return text.length === DEVICE_ID_CHARACTERS && decodeBase32(text) !== null;
}

/** The device id of a key, from the SHA-256 of its 65-byte uncompressed point. */
export function deviceIdFromHash(hash: Uint8Array): string {
  return encodeBase32(hash);
}
