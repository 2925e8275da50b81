/**
 * What a page sends while it goes. Chromium loses such requests of a frame that has a service worker: on a busy machine some never come to the worker.
 * The shell stays, and sends them in the page's place.
 */
import { shell } from './above.js';
import { isOwn } from './own.js';

export function sendWhenParting(): void {
  if (shell === null) return;
  const { navigator: stays } = shell;
  const outliving = shell.fetch.bind(shell);
  let going = false;
  // Before the app's own listeners.
  addEventListener('pagehide', () => (going = true));
  addEventListener('pageshow', () => (going = false));

  const { fetch } = globalThis;
  globalThis.fetch = function (input, init) {
    const request = input instanceof Request ? input : null;
    const keepalive = init?.keepalive ?? request?.keepalive ?? false;
    if (!going || !keepalive || !isOwn(request?.url ?? input)) return fetch.call(globalThis, input, init);
    return outliving(request ?? resolved(input), Object.assign(Object.create(init ?? null) as RequestInit, { referrer: init?.referrer ?? referrerOf(request) }));
  };

  const { sendBeacon } = Navigator.prototype;
  Navigator.prototype.sendBeacon = function (this: Navigator, url, data) {
    return going && isOwn(url) ? stays.sendBeacon(resolved(url), data) : sendBeacon.call(this, url, data);
  };
}

function resolved(address: unknown): URL {
  return new URL(String(address), document.baseURI);
}

/** The page's own, where it names none: to the shell's `fetch` it would be the shell. */
function referrerOf(request: Request | null): string {
  return request === null || request.referrer === 'about:client' ? location.href : request.referrer;
}
