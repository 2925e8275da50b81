/**
 * `PeerFetch` as apps of the first peerfetch and of ambianic-ui know it: the same methods and results, over a link. Where those waited for each other, polled and
 * stuck, requests here run at once and each of them ends.
 */
import { PeerageError } from '../error.js';
import type { HttpLink } from '../fetch/exchange.js';
import { connectPeer, type Peer, type PeerOptions } from '../fetch/peer.js';

/** How long a request may take, with all of its answer, in milliseconds. */
export const REQUEST_WITHIN = 20_000;

/** Values of a query, in any of the forms that the old clients were given them in. */
export type Params = ReadonlyMap<string, unknown> | URLSearchParams | Readonly<Record<string, unknown>>;

export interface PeerFetchConfig {
  /** Appended to the URL's own query. */
  readonly params?: Params | undefined;
}

export interface PeerFetchRequest extends PeerFetchConfig {
  /** A path, or the absolute URL that the device knows itself by: its host is ignored, for a link has one target. */
  readonly url: string;
  /** Default `GET`. */
  readonly method?: string | undefined;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as `text/plain`, where there is no `json`. */
  readonly data?: string | undefined;
}

export interface PeerFetchResult {
  readonly header: {
    readonly status: number;
    /** `None` where the device says nothing, as it was. */
    readonly 'content-type': string;
    /** Octets of `content`. */
    readonly 'content-length': number;
  };
  /** `undefined` for status 204. */
  readonly content: ArrayBuffer | undefined;
  readonly receivedAll: true;
}

export class PeerFetch {
  readonly #options: PeerOptions;
  #peer: Peer | null;

  /** With a link at once, as text or open; or with options, and `connect` later. */
  constructor(given: string | HttpLink | PeerOptions = {}) {
    const isLink = typeof given === 'string' || 'exchange' in given;
    this.#options = isLink ? {} : given;
    this.#peer = isLink ? connectPeer(given) : null;
  }

  /** Leaves the device before, if any, and takes this link. Resolves when the device has answered, whatever it says; rejects when it cannot be reached. */
  async connect(link: string): Promise<void> {
    this.disconnect();
    this.#peer = connectPeer(link, this.#options);
    await this.#fetch('/', { method: 'HEAD' });
  }

  disconnect(): void {
    this.#peer?.close();
    this.#peer = null;
  }

  get(url: string, config: PeerFetchConfig = {}): Promise<PeerFetchResult> {
    return this.request({ ...config, url, method: 'GET' });
  }

  /** `data`: an object is sent as JSON, a text as it is. */
  put(url: string, data?: unknown, config: PeerFetchConfig = {}): Promise<PeerFetchResult> {
    return this.request({ ...config, url, method: 'PUT', ...(typeof data === 'string' ? { data } : { json: data }) });
  }

  post(url: string, json?: unknown, data?: string, config: PeerFetchConfig = {}): Promise<PeerFetchResult> {
    return this.request({ ...config, url, method: 'POST', json, data });
  }

  fetch(url: string, { method, ...config }: PeerFetchConfig & { readonly method?: string } = {}): Promise<PeerFetchResult> {
    return this.request({ ...config, url, method });
  }

  /** Rejects as `fetch` does, and with `PeerageError` `timeout` after 20 s. */
  async request({ url, method = 'GET', params, json, data }: PeerFetchRequest): Promise<PeerFetchResult> {
    const init: RequestInit = { method };
    // In the old clients' order: JSON goes before text.
    if (json !== undefined && json !== null) {
      init.body = JSON.stringify(json);
      init.headers = { 'content-type': 'application/json' };
    } else if (data !== undefined) init.body = data;
    const response = await this.#fetch(pathOf(url, params), init);
    return {
      header: {
        status: response.status,
        'content-type': response.headers.get('content-type') ?? 'None',
        'content-length': response.content.byteLength,
      },
      content: response.status === 204 ? undefined : response.content,
      receivedAll: true,
    };
  }

  /** What an answer's JSON says; `{}` where there is no content. */
  jsonify(content: ArrayBuffer | undefined): unknown {
    return content === undefined || content.byteLength === 0 ? {} : JSON.parse(this.textDecode(content));
  }

  textDecode(content: ArrayBuffer | undefined): string {
    return new TextDecoder().decode(content);
  }

  async #fetch(path: string, init: RequestInit): Promise<{ status: number; headers: Headers; content: ArrayBuffer }> {
    if (this.#peer === null) throw new PeerageError('closed', 'not connected: call connect with a link first');
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new PeerageError('timeout', `no whole answer within ${REQUEST_WITHIN / 1000} s`)), REQUEST_WITHIN);
    try {
      const response = await this.#peer.fetch(path, { ...init, signal: late.signal });
      return { status: response.status, headers: response.headers, content: await response.arrayBuffer() };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Path and query at the one target of the link. */
function pathOf(url: string, params: Params | undefined): string {
  const { pathname, search } = new URL(url, 'http://device.invalid/');
  const query = new URLSearchParams(search);
  const entries = params === undefined ? [] : Symbol.iterator in params ? [...(params as Iterable<[string, unknown]>)] : Object.entries(params);
  if (entries.length === 0) return pathname + search;
  for (const [name, value] of entries) query.append(name, String(value));
  return `${pathname}?${query.toString()}`;
}
