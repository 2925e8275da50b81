/** Cursors over the octets of a frame (`rooms.md`): QUIC's integers (RFC 9000 section 16) up to 2^53 - 1, texts in UTF-8 after their length. */

type Octets = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export type FrameFault = 'length' | 'too-long' | 'integer' | 'text' | 'json' | 'name' | 'flags' | 'value' | 'version';

/** Octets that are no frame. */
export class BadFrame extends Error {
  override readonly name = 'BadFrame';
  readonly code: FrameFault;

  constructor(code: FrameFault) {
    super(`a frame of the room’s hub is none: ${code}`);
    this.code = code;
  }
}

export function utf8(text: string): Octets {
  return encoder.encode(text) as Octets;
}

/** Throws `BadFrame`. */
export function fromUtf8(octets: Octets): string {
  try {
    return decoder.decode(octets);
  } catch {
    throw new BadFrame('text');
  }
}

/** Octets that an integer takes. */
function sizeOf(value: number): number {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x4000_0000 ? 4 : 8;
}

/** Each of its methods throws `BadFrame` when the octets are not that. What it gives are views of the message. */
export class Reader {
  readonly #octets: Octets;
  #at = 0;

  constructor(octets: Octets) {
    this.#octets = octets;
  }

  u8(): number {
    return this.take(1)[0] ?? 0;
  }

  /** In the shortest form, as every integer is. */
  integer(): number {
    const size = 1 << ((this.#octets[this.#at] ?? 0) >> 6);
    let value = 0;
    for (const [at, octet] of this.take(size).entries()) value = value * 256 + (at === 0 ? octet & 0x3f : octet);
    if (!Number.isSafeInteger(value) || sizeOf(value) !== size) throw new BadFrame('integer');
    return value;
  }

  /** The number of a member. */
  member(): number {
    const number = this.integer();
    if (number === 0) throw new BadFrame('value');
    return number;
  }

  text(most: number): string {
    const length = this.integer();
    if (length > this.#left) throw new BadFrame('length');
    if (length > most) throw new BadFrame('too-long');
    return fromUtf8(this.take(length));
  }

  take(length: number): Octets {
    if (length > this.#left) throw new BadFrame('length');
    this.#at += length;
    return this.#octets.subarray(this.#at - length, this.#at);
  }

  rest(): Octets {
    return this.take(this.#left);
  }

  end(): void {
    if (this.#left > 0) throw new BadFrame('length');
  }

  get #left(): number {
    return this.#octets.length - this.#at;
  }
}

/** Gathers parts; `octets` joins them. */
export class Writer {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  u8(value: number): this {
    return this.put(Uint8Array.of(value));
  }

  integer(value: number): this {
    const octets = new Uint8Array(sizeOf(value));
    for (let at = octets.length - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 256)) octets[at] = rest % 256;
    octets[0] = (octets[0] ?? 0) | (Math.log2(octets.length) << 6);
    return this.put(octets);
  }

  text(text: string): this {
    const octets = utf8(text);
    return this.integer(octets.length).put(octets);
  }

  put(octets: Uint8Array): this {
    this.#parts.push(octets);
    this.#length += octets.length;
    return this;
  }

  octets(): Octets {
    const whole = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}
