/**
 * Runs first in every HTML page of the app, and mends what a page in a frame behind a service worker would notice. Plain script, no
 * dependence on the shell: it must not fail where the app's page is framed once more, or sandboxed.
 */
import { downloadAddress } from './download.js';
import { HOOKS, type ShellWindow } from './hooks.js';

/** The shell, if this is the app's own frame in it. */
function shell(): ShellWindow | null {
  try {
    return parent !== self && parent === top && parent.document.documentElement.dataset['peerage'] === 'shell' ? parent : null;
  } catch {
    return null;
  }
}

const above = shell();
if (above !== null) {
  // The app's page is the tab as far as the app is concerned: who opened it, and how it closes, is the shell's.
  Object.defineProperty(window, 'opener', { configurable: true, enumerable: true, get: () => above.opener as unknown, set() {} });
  window.close = () => above.close();

  // A new entry of the frame would not survive a reload of the tab: the tab gets it, the frame's is replaced (`history.ts`).
  const hooks = above[HOOKS];
  const { pushState, replaceState } = History.prototype;
  History.prototype.pushState = function (this: History, ...change: Parameters<History['pushState']>) {
    if (this === history && hooks !== undefined) hooks.push(() => replaceState.apply(this, change));
    else pushState.apply(this, change);
  };
  hooks?.arrived();
}

/** The address of a download that would go past the worker; null for all others. */
function download(anchor: HTMLAnchorElement | HTMLAreaElement): string | null {
  if (!anchor.hasAttribute('download') || !anchor.hasAttribute('href')) return null;
  const url = new URL(anchor.href, document.baseURI);
  return url.origin === location.origin && /^https?:$/.test(url.protocol) ? downloadAddress(url.href, anchor.download) : null;
}

/** Changes the link only for as long as the browser follows it: the app may look at it before and after. */
function divert(anchor: HTMLAnchorElement | HTMLAreaElement): (() => void) | null {
  const address = download(anchor);
  if (address === null) return null;
  const { href, name, target } = { href: anchor.getAttribute('href'), name: anchor.getAttribute('download'), target: anchor.getAttribute('target') };
  anchor.removeAttribute('download');
  // In another tab the shell would be shown first.
  anchor.removeAttribute('target');
  anchor.setAttribute('href', address);
  return () => {
    if (href !== null) anchor.setAttribute('href', href);
    if (name !== null) anchor.setAttribute('download', name);
    if (target !== null) anchor.setAttribute('target', target);
  };
}

function anchorOf(event: Event): HTMLAnchorElement | HTMLAreaElement | null {
  for (const node of event.composedPath()) if (node instanceof HTMLAnchorElement || node instanceof HTMLAreaElement) return node;
  return null;
}

addEventListener(
  'click',
  (event) => {
    const anchor = anchorOf(event);
    const restore = anchor && divert(anchor);
    if (restore) setTimeout(restore);
  },
  { capture: true },
);

// A link outside the document, as download helpers make them: its clicks pass no window.
const { click } = HTMLElement.prototype;
HTMLElement.prototype.click = function (this: HTMLElement) {
  const outside = (this instanceof HTMLAnchorElement || this instanceof HTMLAreaElement) && !this.isConnected;
  const restore = outside ? divert(this) : null;
  click.call(this);
  restore?.();
};
