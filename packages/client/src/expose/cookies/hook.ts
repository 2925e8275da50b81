/** What the shim in the app's pages may call of the tab's cookies. */
import type { VisibleCookie } from '../../protocol/cookies/mirror.js';

export interface CookieHook {
  /** What a document at `path` sees. */
  visible(path: string): VisibleCookie[];
  /** `document.cookie = cookie` of a document at `path`. */
  set(path: string, cookie: string): void;
  /** Calls `changed` after every change, until the returned function is called. */
  watch(changed: () => void): () => void;
}

/** The property of the shell's window. */
export const COOKIE_HOOK = '__peerageCookies';

export type CookieWindow = Window & { [COOKIE_HOOK]?: CookieHook };
