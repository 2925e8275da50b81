/**
 * The standard's `fetch` over a link: one device is all that it reaches. As the standard has it (WHATWG Fetch), but: nothing is cached; `redirect: 'manual'` gives
 * the redirect itself; `integrity` is refused; there is no status text, as with HTTP/2.
 */
import { type Code, PeerageError } from '../error.js';
import type { ExchangeResponse, Field, HttpLink } from './exchange.js';
import type { LinkSource } from './kept-link.js';
import { failure, peerResponse } from './peer-response.js';
import { originForm, requestFields, type RequestFacts } from './request-fields.js';
import { NOTHING, type Sending, Upload } from './upload.js';

/** Redirects that are followed at most (WHATWG Fetch section 4.4). */
const REDIRECTS_MAX = 20;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Nothing was done (`http.md` section 6): any request may be sent again. */
const NOTHING_DONE: ReadonlySet<Code> = new Set(['busy', 'unreachable']);
/** Something may have been done: only what changes nothing may be sent again. `lost` and `closed` are the link's words for `gone`. */
const MAYBE_DONE: ReadonlySet<Code> = new Set(['broken', 'timeout', 'gone', 'lost', 'closed']);
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What describes a body goes with it (WHATWG Fetch, "request-body-header name"). */
const BODY_FIELDS = ['content-encoding', 'content-language', 'content-location', 'content-type', 'content-length'];

/** `base`: the device's own address, against which URLs are resolved. */
export function peerFetch(source: LinkSource, base: URL): typeof fetch {
  return async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const request = standardRequest(input, init, base);
    // The request's own signal follows this one, but not on every platform for as long as it is needed.
    const signal = init?.signal !== undefined ? init.signal : input instanceof Request ? input.signal : null;
    signal?.throwIfAborted();
    try {
      return await new Fetching(source, base, request, signal).run(await Upload.of(request, init?.body));
    } catch (error) {
      throw failure(error, signal);
    }
  };
}

/** Runs `work` on a link, and once more on a link that may be another, if `http.md` section 6 permits. */
export async function onLink<T>(source: LinkSource, signal: AbortSignal | null, work: (link: HttpLink) => Promise<T>, mayRepeat: (code: Code) => boolean): Promise<T> {
  for (let first = true; ; first = false) {
    const link = await source.link(signal);
    try {
      return await work(link);
    } catch (error) {
      const code = PeerageError.codeOf(error);
      // It drains, or has no place for long: others are served better by another link.
      if (code === 'busy') source.leave(link);
      if (!first || signal?.aborted === true || !mayRepeat(code)) throw error;
    }
  }
}

/** Whether a request that failed so may be sent again; `body`: what was there to be sent. */
function isRepeatable(code: Code, method: string, body: Sending | null): boolean {
  if (body?.isBegun === true) return false;
  // A body is begun with its request: where it was not, the request never left.
  return NOTHING_DONE.has(code) || (MAYBE_DONE.has(code) && (body !== null || SAFE.has(method)));
}

class Fetching {
  readonly #source: LinkSource;
  readonly #base: URL;
  readonly #request: Request;
  readonly #signal: AbortSignal | null;

  constructor(source: LinkSource, base: URL, request: Request, signal: AbortSignal | null) {
    this.#source = source;
    this.#base = base;
    this.#request = request;
    this.#signal = signal;
  }

  async run(upload: Upload): Promise<Response> {
    const headers = new Headers(this.#request.headers);
    let { method } = this.#request;
    let url = new URL(this.#request.url);
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#exchange(url, method, headers, upload);
      const next = this.#redirect(answer, url);
      if (next === null) return peerResponse(answer, method, { url: withoutFragment(url), redirected: redirects > 0 }, this.#signal);
      answer.body.cancel();
      if (redirects === REDIRECTS_MAX) throw new TypeError(`more than ${REDIRECTS_MAX} redirects`);
      const { status } = answer;
      if (((status === 301 || status === 302) && method === 'POST') || (status === 303 && method !== 'GET' && method !== 'HEAD')) {
        method = 'GET';
        upload = NOTHING;
        for (const name of BODY_FIELDS) headers.delete(name);
      } else if (!upload.isRepeatable) throw new TypeError('a redirect asks for the body again, which can be sent only once');
      url = next;
    }
  }

  /** Where a redirect leads that is to be followed. */
  #redirect({ status, fields, body }: ExchangeResponse, url: URL): URL | null {
    const location = fields.find(([name]) => name === 'location')?.[1];
    if (!REDIRECTS.has(status) || location === undefined || this.#request.redirect === 'manual') return null;
    try {
      if (this.#request.redirect === 'error') throw new TypeError('the device redirects, which the request does not allow');
      const next = deviceUrl(location, url, this.#base);
      if (next.hash === '') next.hash = url.hash;
      return next;
    } catch (error) {
      body.cancel();
      throw error;
    }
  }

  async #exchange(url: URL, method: string, headers: Headers, upload: Upload): Promise<ExchangeResponse> {
    const fields = this.#fields(url, method, headers, upload.length);
    const signal = this.#signal;
    let body: Sending | null = null;
    try {
      return await onLink(
        this.#source,
        signal,
        (link) => link.exchange({ method, path: originForm(url), fields, body: (body = upload.open()), ...(signal && { signal }) }),
        (code) => isRepeatable(code, method, body),
      );
    } catch (error) {
      upload.cancel();
      throw error;
    }
  }

  #fields(url: URL, method: string, headers: Headers, length: number | null): readonly Field[] {
    const { cache, credentials } = this.#request;
    return deviceFields({ url, method, mode: 'cors', cache, credentials, fields: headers }, length);
  }
}

/** The fields of a request that the device's own page might have sent. */
export function deviceFields(facts: Pick<RequestFacts, 'url' | 'method' | 'mode' | 'cache' | 'credentials' | 'fields'>, length: number | null): readonly Field[] {
  const { languages = [], userAgent = '' } = globalThis.navigator ?? {};
  const unpacks = typeof DecompressionStream === 'function';
  return requestFields({ ...facts, reload: false, destination: '', referrer: '', languages, userAgent }, length).map(
    ([name, value]): Field => (name === 'accept-encoding' && !unpacks ? [name, 'identity'] : [name, value]),
  );
}

function standardRequest(input: RequestInfo | URL, init: RequestInit | undefined, base: URL): Request {
  const url = deviceUrl(input instanceof Request ? input.url : input, base, base);
  const request = new Request(input instanceof Request ? input : url, init);
  if (request.integrity !== '') throw new TypeError('integrity is not checked here: leave it out');
  if (request.cache === 'only-if-cached') throw new TypeError('nothing is cached');
  return request;
}

/** Throws a `TypeError` for what is not the device's. */
function deviceUrl(text: string | URL, relativeTo: URL, base: URL): URL {
  const url = new URL(text, relativeTo);
  if (url.origin !== base.origin) throw new TypeError(`${url.origin} is not the device, ${base.origin}: a link reaches no other`);
  // `http.md` section 9: these paths are no part of what the device shows.
  if (/^\/__peerage(\/|$)/.test(url.pathname)) throw new TypeError('paths below /__peerage are not the target’s');
  return url;
}

function withoutFragment(url: URL): string {
  const bare = new URL(url);
  bare.hash = '';
  return bare.href;
}
