/** Bodies as `Puller` and as the standard's streams. */
import type { Puller } from './exchange.js';

type Bytes = Uint8Array<ArrayBuffer>;

/** Pulls only when read: the stream keeps nothing ready. */
export function toStream(source: Puller): ReadableStream<Bytes> {
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const piece = await source.pull();
        if (piece === null) controller.close();
        else controller.enqueue(piece);
      },
      cancel() {
        source.cancel();
      },
    },
    { highWaterMark: 0 },
  );
}

export function fromStream(stream: ReadableStream<Bytes>): Puller {
  const reader = stream.getReader();
  return {
    async pull() {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return null;
        if (value.byteLength > 0) return value;
      }
    },
    cancel() {
      reader.cancel().catch(() => {});
    },
  };
}

/** A body whose breaking off looks like its end. */
export function endingWhereItBreaks(source: Puller): Puller {
  return { pull: () => source.pull().catch(() => null), cancel: () => source.cancel() };
}

/** The body of a request, and its length where that could be found out. */
export async function requestBody(request: Request): Promise<{ body: Puller | null; length: number | null }> {
  if (request.method === 'GET' || request.method === 'HEAD') return { body: null, length: null };
  // What is sent while its page goes must be had before the page is gone; browsers bound it at 64 KiB.
  if ('body' in Request.prototype && !request.keepalive) {
    // No body at all has a length too: without one, many targets answer a POST with 411.
    if (request.body === null) return { body: null, length: request.method === 'OPTIONS' ? null : 0 };
    return measured(fromStream(request.body as ReadableStream<Bytes>));
  }
  const blob = await (request as Request).blob();
  return { body: blob.size === 0 ? null : fromStream(blob.stream()), length: blob.size };
}

/** A request body of up to this many octets is read before it is sent, so that its length can be stated. */
export const MEASURED = 1024 * 1024;
/** A body that comes this slowly is being made while it is sent: then its first octets count more than its length. */
const MEASURED_FOR_MS = 500;

/**
 * Finds out the length of a short body. A worker never sees `Content-Length`, yet many targets refuse a body without one; a longer one
 * goes without, as to keep it would cost memory without bound.
 */
export async function measured(source: Puller): Promise<{ readonly body: Puller; readonly length: number | null }> {
  const read: Bytes[] = [];
  let length = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), MEASURED_FOR_MS);
  });
  let pending: Promise<Bytes | null> | null = null;
  let ended = false;
  while (length <= MEASURED) {
    pending = source.pull();
    const piece = await Promise.race([pending, late]);
    if (piece === 'late') break;
    pending = null;
    if (piece === null) {
      ended = true;
      break;
    }
    read.push(piece);
    length += piece.byteLength;
  }
  clearTimeout(timer);
  // Its outcome, failure included, belongs to the pull that hands it on.
  pending?.catch(() => {});
  const body: Puller = {
    async pull() {
      const next = read.shift();
      if (next !== undefined) return next;
      if (ended) return null;
      const underWay = pending ?? source.pull();
      pending = null;
      return underWay;
    },
    cancel() {
      read.length = 0;
      source.cancel();
    },
  };
  return { body, length: ended ? length : null };
}
