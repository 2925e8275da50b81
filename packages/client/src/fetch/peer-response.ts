/** A `Response` of a device, as `fetch` gives it. */
import { PeerageError } from '../error.js';
import { toStream } from './body.js';
import { codings, hasBody, UnknownCoding } from './coding.js';
import type { ExchangeResponse, Puller } from './exchange.js';

/** What no script is shown: the cookies are in the device's jar (`http.md` section 9). */
const NOT_SHOWN = new Set(['peerage-cookie', 'set-cookie', 'set-cookie2']);

/** What the constructor of `Response` has no argument for. */
interface Facts {
  readonly url: string;
  readonly redirected: boolean;
}

/** Throws `PeerageError` for a coding that nobody asked for; the body is cancelled then. */
export function peerResponse(answer: ExchangeResponse, method: string, facts: Facts, signal: AbortSignal | null): Response {
  const headers = new Headers();
  for (const [name, value] of answer.fields) if (!NOT_SHOWN.has(name)) headers.append(name, value);
  const { status } = answer;
  if (!hasBody(method, status)) {
    answer.body.cancel();
    return described(new Response(null, { status, headers }), facts);
  }
  let stream = toStream(failing(answer.body, signal));
  try {
    for (const coding of codings(answer.fields)) stream = stream.pipeThrough(new DecompressionStream(coding));
  } catch (error) {
    answer.body.cancel();
    if (error instanceof UnknownCoding) throw new PeerageError('broken', error.message);
    throw error;
  }
  return described(new Response(stream, { status, headers }), facts);
}

/** What `fetch` rejects with: the signal's reason, or a `TypeError` whose `cause` says what happened. */
export function failure(error: unknown, signal: AbortSignal | null): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (!(error instanceof PeerageError)) return error;
  return new TypeError(`the device was not reached: ${error.message}`, { cause: error });
}

function failing(body: Puller, signal: AbortSignal | null): Puller {
  return {
    pull: () =>
      body.pull().catch((error: unknown) => {
        throw failure(error, signal);
      }),
    cancel: () => body.cancel(),
  };
}

function described(response: Response, facts: Facts): Response {
  const clone = (): Response => described(Response.prototype.clone.call(response), facts);
  return Object.defineProperties(response, {
    url: { value: facts.url, configurable: true },
    redirected: { value: facts.redirected, configurable: true },
    type: { value: 'basic', configurable: true },
    clone: { value: clone, configurable: true },
  });
}
