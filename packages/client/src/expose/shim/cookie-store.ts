/** `cookieStore` over the device's jar. Where the browser has none, there is none. */
import type { VisibleCookie } from '../../protocol/cookies/mirror.js';
import type { CookieHook } from '../cookies/hook.js';

/** As the standard has them; the types of the language lag behind. */
interface CookieInit {
  name: string;
  value: string;
  expires?: number | null;
  domain?: string | null;
  path?: string;
  sameSite?: string;
}
type Query = { name?: string; url?: string };
type Prototype = Record<'get' | 'getAll' | 'set' | 'delete', unknown>;

export function replaceCookieStore(jar: CookieHook, path: () => string): void {
  const { CookieStore, CookieChangeEvent, cookieStore } = globalThis as unknown as {
    CookieStore?: { prototype: Prototype };
    CookieChangeEvent?: new (type: string, init: { changed: VisibleCookie[]; deleted: { name: string }[] }) => Event;
    cookieStore?: EventTarget;
  };
  if (CookieStore === undefined || cookieStore === undefined) return;

  const find = (query: string | Query | undefined): VisibleCookie[] => {
    const { name, url } = typeof query === 'string' ? { name: query, url: undefined } : (query ?? {});
    if (url !== undefined && withoutFragment(new URL(url, document.baseURI)) !== withoutFragment(new URL(location.href))) throw new TypeError('the url must be that of the document');
    return jar.visible(path()).filter((cookie) => name === undefined || cookie.name === String(name).trim());
  };
  const { prototype } = CookieStore;
  prototype.get = async (query?: string | Query) => {
    if (query === undefined || (typeof query === 'object' && query.name === undefined && query.url === undefined)) throw new TypeError('a name or a url is needed');
    return find(query)[0] ?? null;
  };
  prototype.getAll = async (query?: string | Query) => find(query);
  prototype.set = async (given: string | CookieInit, value?: string) => jar.set(path(), line(typeof given === 'string' ? { name: given, value: String(value) } : given));
  prototype.delete = async (given: string | Omit<CookieInit, 'value'>) =>
    jar.set(path(), line({ ...(typeof given === 'string' ? { name: given } : given), value: '', expires: 0 }));

  if (CookieChangeEvent === undefined) return;
  let before = jar.visible(path());
  let due = false;
  const unwatch = jar.watch(() => {
    if (due) return;
    due = true;
    // A task of its own, as the standard has it: no handler of the app runs inside what caused the change.
    setTimeout(() => {
      due = false;
      const now = jar.visible(path());
      const changed = now.filter(({ name, value }) => !before.some((each) => each.name === name && each.value === value));
      const deleted = before.filter(({ name }) => !now.some((each) => each.name === name)).map(({ name }) => ({ name }));
      before = now;
      if (changed.length + deleted.length > 0) cookieStore.dispatchEvent(new CookieChangeEvent('change', { changed, deleted }));
    });
  });
  addEventListener('pagehide', unwatch);
}

/** What `document.cookie` would be given. Throws what `set` rejects with. */
function line({ name, value, expires, domain, path, sameSite }: CookieInit): string {
  const [key, content] = [String(name).trim(), String(value).trim()];
  if (/[;\0-\x08\x0a-\x1f\x7f]/.test(key + content) || key.includes('=')) throw new TypeError('name or value has a character that none may have');
  if (key === '' && (content === '' || content.includes('='))) throw new TypeError('a cookie without a name needs a value, without an equals sign');
  if (domain?.startsWith('.')) throw new TypeError('the domain must not begin with a dot');
  if (path !== undefined && !path.startsWith('/')) throw new TypeError('the path must begin with a slash');
  const attributes = [`${key}=${content}`, `Path=${path ?? '/'}`, 'Secure', `SameSite=${sameSite ?? 'strict'}`];
  if (domain !== undefined && domain !== null) attributes.push(`Domain=${domain}`);
  if (expires !== undefined && expires !== null) attributes.push(`Expires=${new Date(expires).toUTCString()}`);
  return attributes.join('; ');
}

function withoutFragment(url: URL): string {
  return url.href.replace(/#.*/, '');
}
