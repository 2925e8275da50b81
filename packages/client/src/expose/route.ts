/**
 * Who answers a request that reached the service worker. One pure table, because it is also the defence against
 * requests that another site's page caused: whatever is not plainly ours to forward stays here.
 */

/** Everything under this path belongs to the server that serves the page; nothing under it ever reaches the device. */
export const OWN_PATH = '/__peerage/';

/** What the worker sees of a request. `referrer` as in the Fetch standard: a URL, or empty when withheld. */
export interface Arrival {
  readonly url: string;
  readonly method: string;
  readonly mode: string;
  readonly destination: string;
  readonly referrer: string;
}

export type Route =
  /** Another origin's: left to the browser. */
  | { readonly to: 'browser' }
  /** The page's own files: from the cache made at install, else from the server. */
  | { readonly to: 'own' }
  /** The shell, which then shows the app at this address in its frame. */
  | { readonly to: 'shell' }
  | { readonly to: 'device' }
  /** The request is kept and the shell is shown; its frame then asks for the same address and gets the kept request's answer. */
  | { readonly to: 'shell-then-device' }
  /** Nobody can tell who caused it: the request is kept until the person has decided. */
  | { readonly to: 'person' }
  /** Another site's page caused it. */
  | { readonly to: 'nobody' };

/**
 * Decides by this table (`origin` is the page's own):
 *
 * | | referrer ours | referrer withheld | referrer foreign |
 * | --- | --- | --- | --- |
 * | navigation of the tab, GET | shell | shell | shell |
 * | navigation of the tab, other | shell, then device | person | nobody |
 * | navigation of a frame, GET | device | device | device |
 * | navigation of a frame, other | device | person | nobody |
 * | anything else | device | device (only our own pages are clients of this worker) | nobody |
 */
export function route(arrival: Arrival, origin: string): Route {
  const url = new URL(arrival.url);
  if (url.origin !== origin) return { to: 'browser' };
  if (isOwnPath(url.pathname)) return { to: 'own' };

  const cause = causeOf(arrival.referrer, origin);
  if (arrival.mode !== 'navigate') return cause === 'foreign' ? { to: 'nobody' } : { to: 'device' };

  const wholeTab = arrival.destination === 'document';
  if (arrival.method === 'GET') return { to: wholeTab ? 'shell' : 'device' };
  if (cause === 'foreign') return { to: 'nobody' };
  if (cause === 'withheld') return { to: 'person' };
  return { to: wholeTab ? 'shell-then-device' : 'device' };
}

export function isOwnPath(pathname: string): boolean {
  return pathname === OWN_PATH.slice(0, -1) || pathname.startsWith(OWN_PATH);
}

function causeOf(referrer: string, origin: string): 'ours' | 'withheld' | 'foreign' {
  if (referrer === '' || referrer === 'about:client') return 'withheld';
  return URL.canParse(referrer) && new URL(referrer).origin === origin ? 'ours' : 'foreign';
}
