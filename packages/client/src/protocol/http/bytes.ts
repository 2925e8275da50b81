/** Cursors over bytes: big-endian numbers, and texts as `u16 BE length ‖ octets`. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** `null` when too little is left; so do the others. */
  u8(): number | null {
    return this.left < 1 ? null : (this.#bytes[this.#at++] ?? 0);
  }

  u16(): number | null {
    if (this.left < 2) return null;
    return ((this.u8() ?? 0) << 8) | (this.u8() ?? 0);
  }

  u32(): number | null {
    if (this.left < 4) return null;
    return (this.u16() ?? 0) * 65_536 + (this.u16() ?? 0);
  }

  /** Octets become the characters of the same numbers, as in the browser's `ByteString`. */
  text(): string | null {
    const length = this.u16();
    if (length === null || length > this.left) return null;
    let text = '';
    for (const end = this.#at + length; this.#at < end; ) text += String.fromCharCode(this.#bytes[this.#at++] ?? 0);
    return text;
  }
}

/** Grows as it is written to. */
export class Writer {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.u8(value >>> 8);
    this.u8(value & 255);
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value & 65_535);
  }

  put(octets: Uint8Array): void {
    this.#reserve(octets.length);
    this.#bytes.set(octets, this.#length);
    this.#length += octets.length;
  }

  /** At most 65,535 characters, each below 256. */
  text(text: string): void {
    this.u16(text.length);
    this.#reserve(text.length);
    for (let at = 0; at < text.length; at++) this.#bytes[this.#length++] = text.charCodeAt(at);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    larger.set(this.bytes);
    this.#bytes = larger;
  }
}
