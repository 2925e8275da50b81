/**
 * A synchronous `XMLHttpRequest` goes past the service worker: the server of the page would learn the app's path, and answer in the app's place. It fails
 * instead, as where there is no network. To answer it is impossible: its page waits in the very thread that has the link.
 */
export function refuseSynchronousRequests(): void {
  const { open, send } = XMLHttpRequest.prototype;
  const past = new WeakSet<XMLHttpRequest>();
  XMLHttpRequest.prototype.open = function (this: XMLHttpRequest, method: string, url: string | URL, ...rest: [boolean?, string?, string?]) {
    // Left out means asynchronous; `undefined` does not (XMLHttpRequest standard, section 3.5.1).
    const synchronous = rest.length > 0 && !rest[0];
    if (synchronous && isOurs(url)) past.add(this);
    else past.delete(this);
    open.apply(this, [method, url, ...rest] as unknown as Parameters<typeof open>);
  };
  XMLHttpRequest.prototype.send = function (this: XMLHttpRequest, ...body) {
    if (past.has(this)) throw new DOMException('a synchronous request cannot go over the link', 'NetworkError');
    send.apply(this, body);
  };
}

function isOurs(url: string | URL): boolean {
  const base = typeof document === 'undefined' ? location.href : document.baseURI;
  return URL.canParse(url, base) && new URL(url, base).origin === location.origin;
}
