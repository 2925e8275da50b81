/** RFC 4648 section 4 base64, with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** `null` for what is not exactly the text that `encodeBase64` writes: one byte string has one text. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | null {
  // `atob` alone would skip white space and forgive missing padding.
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return encodeBase64(bytes) === text ? bytes : null;
}
