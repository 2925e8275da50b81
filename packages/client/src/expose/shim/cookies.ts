/** Puts the cookies of the device's jar in the place of the browser's own: for `document.cookie`, and for `cookieStore` where there is one. */
import { COOKIE_HOOK, type CookieHook, type CookieWindow } from '../cookies/hook.js';
import { replaceCookieStore } from './cookie-store.js';

export function keepCookies(): void {
  // In a sandbox without an origin there are no cookies; the browser says so itself.
  if (origin === 'null') return;
  const jar = jarOfTab();
  const native = Object.getOwnPropertyDescriptor(Document.prototype, 'cookie');
  Object.defineProperty(Document.prototype, 'cookie', {
    configurable: true,
    enumerable: true,
    get(this: Document): unknown {
      // For what is no document, the browser's own error.
      if (!(this instanceof Document)) return native?.get?.call(this) as unknown;
      const path = pathOf(this);
      return path === null ? '' : (jar?.visible(path) ?? []).map(({ name, value }) => (name === '' ? value : `${name}=${value}`)).join('; ');
    },
    set(this: Document, line: unknown) {
      const path = pathOf(this);
      if (path !== null) jar?.set(path, String(line));
    },
  });
  if (jar !== null) replaceCookieStore(jar, () => pathOf(document) ?? '/');
}

/** Of the tab's shell, in every frame of the app's origin. Without it there are no cookies: the browser's own would go to the server. */
function jarOfTab(): CookieHook | null {
  try {
    return (top as CookieWindow | null)?.[COOKIE_HOOK] ?? null;
  } catch {
    return null;
  }
}

/** Whose cookies a document has: a frame without an address those of the page around it. Null: a document that is shown nowhere has none. */
function pathOf(of: Document): string | null {
  for (let view = of.defaultView as Window | null; view !== null; view = view.parent === view ? null : view.parent) {
    const { protocol, pathname } = view.location;
    if (protocol === 'http:' || protocol === 'https:') return pathname;
  }
  return null;
}
