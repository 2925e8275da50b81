/** Tells the worker the length of long bodies (`length.ts`). */
import { MEASURED } from '../../fetch/body.js';
import { knownLength, LENGTH } from '../length.js';

/** Requests of the app that may be changed: open, and to this origin. */
const own = new WeakSet<XMLHttpRequest>();

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
    if (isOwn(given[1])) own.add(this);
    else own.delete(this);
  } as typeof open;
  XMLHttpRequest.prototype.send = function (this: XMLHttpRequest, body?: Document | XMLHttpRequestBodyInit | null): void {
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

function isOwn(address: unknown): boolean {
  const base = typeof document === 'undefined' ? location.href : document.baseURI;
  return URL.canParse(String(address), base) && new URL(String(address), base).origin === origin;
}
