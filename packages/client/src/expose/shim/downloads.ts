/** Sends `<a download>` through the worker (`download.ts`). */
import { downloadAddress } from '../download.js';

export function divertDownloads(): void {
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
