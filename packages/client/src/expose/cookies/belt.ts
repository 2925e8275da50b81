/**
 * The braces are that no cookie of an app gets into the browser's own store, from where it would go to the server with each file of this page. This is the
 * belt: what is there all the same, from a page that the shim could not run in or from an older release, is expired.
 */
export function expireOwnCookies(): void {
  for (const pair of document.cookie.split('; ')) if (pair !== '') expire(pair.slice(0, Math.max(0, pair.indexOf('='))));
  const store = (globalThis as { cookieStore?: EventTarget }).cookieStore;
  store?.addEventListener('change', (event) => {
    for (const { name } of (event as Event & { changed?: readonly { name?: string }[] }).changed ?? []) expire(name ?? '');
  });
}

/** A cookie does not say where it belongs to: every folder that this page is in is tried, with and without a domain. */
function expire(name: string): void {
  const folders = location.pathname.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'));
  const labels = location.hostname.split('.');
  const domains = labels.map((_, at) => `; Domain=${labels.slice(at).join('.')}`);
  for (const path of new Set(['/', ...folders, ...folders.map((each) => `${each}/`)])) {
    for (const domain of ['', ...domains]) document.cookie = `${name}=; Max-Age=0; Path=${path}; Secure${domain}`;
  }
}
