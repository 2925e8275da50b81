/** A request's body, as often as it can be sent. */
import type { Puller } from './exchange.js';
import { fromStream, requestBody } from './body.js';

type Bytes = Uint8Array<ArrayBuffer>;

export class Upload {
  /** Stated as `content-length`; `null`: not known beforehand, or nothing to state. */
  readonly length: number | null;
  readonly #held: Blob | null;
  /** A body that can be sent once. */
  readonly #once: Puller | null;

  constructor(length: number | null, held: Blob | null, once: Puller | null) {
    this.length = length;
    this.#held = held;
    this.#once = once;
  }

  /** `given`: what the body was made of, if known. */
  static async of(request: Request, given: BodyInit | null | undefined): Promise<Upload> {
    if (request.method === 'GET' || request.method === 'HEAD') return NOTHING;
    if (given instanceof Blob) return new Upload(given.size, given, null);
    if (isHeld(given)) {
      const blob = await request.blob();
      return new Upload(blob.size, blob, null);
    }
    const { body, length } = await requestBody(request);
    if (body === null || length === null) return new Upload(length, null, body);
    // Short enough to have been read: then it can be sent again.
    const blob = await whole(body);
    return new Upload(blob.size, blob, null);
  }

  /** Whether it can be sent after it was begun. */
  get isRepeatable(): boolean {
    return this.#once === null;
  }

  /** `null`: there is no body. */
  open(): Sending | null {
    if (this.#held !== null && this.#held.size > 0) return new Sending(fromStream(this.#held.stream()));
    return this.#once === null ? null : new Sending(this.#once);
  }

  cancel(): void {
    this.#once?.cancel();
  }
}

/** One attempt to send a body. Its source is left alone until something is wanted of it. */
export class Sending implements Puller {
  isBegun = false;
  readonly #source: Puller;

  constructor(source: Puller) {
    this.#source = source;
  }

  pull(): Promise<Bytes | null> {
    this.isBegun = true;
    return this.#source.pull();
  }

  cancel(): void {
    if (this.isBegun) this.#source.cancel();
  }
}

export const NOTHING = new Upload(null, null, null);

/** Whether it is in memory already. */
function isHeld(given: BodyInit | null | undefined): boolean {
  return typeof given === 'string' || given instanceof URLSearchParams || given instanceof ArrayBuffer || ArrayBuffer.isView(given);
}

async function whole(body: Puller): Promise<Blob> {
  const pieces: Bytes[] = [];
  for (let piece = await body.pull(); piece !== null; piece = await body.pull()) pieces.push(piece);
  return new Blob(pieces);
}
