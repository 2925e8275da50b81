/** Tells the worker the length of long bodies (`length.ts`), and lets no request go past it. */
import { MEASURED } from '../../fetch/body.js';
import { knownLength, LENGTH } from '../length.js';
import { isOwn } from './own.js';

/**
 * Requests that were opened to this origin, and whether synchronously: such a one goes past the worker, so the server of the page would learn the app's path and
 * answer in the app's place. It fails, as where there is no network. To answer it is impossible: its page waits in the very thread that has the link.
 */
const own = new WeakMap<XMLHttpRequest, 'asynchronous' | 'synchronous'>();

export function helpRequests(): void {
  const { fetch } = globalThis;
  globalThis.fetch = function (input, init) {
    const long = init?.body != null && isOwn(input instanceof Request ? input.url : input) ? longBody(init.body) : null;
    if (init === undefined || long === null) return fetch.call(globalThis, input, init);
    const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
    headers.set(LENGTH, String(long.length));
    return fetch.call(globalThis, input, Object.assign(Object.create(init) as RequestInit, { body: long.body, headers }));
  };

  if (typeof XMLHttpRequest === 'undefined') return;
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (this: XMLHttpRequest, ...given: unknown[]): void {
    Reflect.apply(open, this, given);
    // Left out means asynchronous; `undefined` does not (XMLHttpRequest standard, section 3.5.1).
    if (isOwn(given[1])) own.set(this, given.length > 2 && !given[2] ? 'synchronous' : 'asynchronous');
    else own.delete(this);
  } as typeof open;
  XMLHttpRequest.prototype.send = function (this: XMLHttpRequest, body?: Document | XMLHttpRequestBodyInit | null): void {
    if (own.get(this) === 'synchronous') throw new DOMException('a synchronous request cannot go over the link', 'NetworkError');
    const long = own.has(this) ? longBody(body) : null;
    if (long !== null) this.setRequestHeader(LENGTH, String(long.length));
    send.call(this, long === null ? body : (long.body as XMLHttpRequestBodyInit));
  };
}

/** Null for what the worker measures itself. */
function longBody(body: unknown): ReturnType<typeof knownLength> {
  const known = knownLength(body);
  return known !== null && known.length > MEASURED ? known : null;
}
