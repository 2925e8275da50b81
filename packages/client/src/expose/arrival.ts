/** What the address says when a tab arrives: a link's secret, and where to begin in the app. */
import { splitFragment } from '../protocol/link-url.js';
import { isOwnPath } from './route.js';

export interface Arrived {
  readonly secret: string;
  /** Where the app begins: of this origin, and never the page's own path. */
  readonly address: string;
}

/** Null where the fragment is none of a link: then it is the app's own. */
export function arrived(href: string): Arrived | null {
  const here = new URL(href);
  const parts = splitFragment(here.hash);
  return parts && { secret: parts.secret, address: addressInApp(parts.path, here.origin) };
}

/** Whether the fragment looks like a link's that lost a part. It may also be one of the app's own. */
export function looksDamaged(href: string): boolean {
  const { hash } = new URL(href);
  return /^#1\.[a-z2-7]*(\/|$)/i.test(hash) && splitFragment(hash) === null;
}

/** The path comes from whoever made the link: `//elsewhere` and `/\elsewhere` would be other sites. */
function addressInApp(path: string, origin: string): string {
  if (!URL.canParse(path, origin)) return '/';
  const url = new URL(path, origin);
  return url.origin === origin && !isOwnPath(url.pathname) ? url.pathname + url.search + url.hash : '/';
}
