/** The fields of a request, as a browser would send them to the device if it could: pure. */
import { OPT_IN } from '../protocol/cookies/state.js';
import type { Field } from './exchange.js';

/** What is known of a request besides its body. */
export interface RequestFacts {
  readonly url: URL;
  readonly method: string;
  readonly mode: string;
  readonly destination: string;
  readonly cache: string;
  /** As in the Fetch standard: `omit`, `same-origin` or `include`. */
  readonly credentials: string;
  /** The browser loads the page once more. */
  readonly reload: boolean;
  /** A URL, or empty when withheld. */
  readonly referrer: string;
  readonly fields: Iterable<Field>;
  readonly languages: readonly string[];
  readonly userAgent: string;
}

/** Never sent: fields of one hop (`http.md` section 4), those decided here, and cookies, of which the browser's own are not the app's. */
const NOT_SENT = new Set([
  'accept-encoding', 'connection', 'cookie', 'host', 'http2-settings', 'keep-alive', 'origin', 'peerage-length', 'proxy-authenticate', 'proxy-authorization',
  'proxy-connection', 'referer', 'te', 'trailer', 'transfer-encoding', 'upgrade',
]);

/**
 * The fields to send. All that is given travels (`Accept`, `Content-Type`, `Range`, `If-*`, `Authorization`, the app's own),
 * and these are added, because the browser would add them only later, or not at all:
 *
 * | field | value |
 * | --- | --- |
 * | `accept-encoding` | what can be unpacked here; `identity` for a `Range`, whose offsets are those of the plain octets |
 * | `accept-language`, `user-agent` | the browser's |
 * | `cache-control` | for a reload, as browsers send it |
 * | `content-length` | where the body's length is known |
 * | `origin` | ours, for every method but GET and HEAD, and for WebSockets; the device puts the target's in its place |
 * | `referer` | the referrer if it is ours; the device puts the target's origin in the place of ours |
 * | `peerage-cookies` | `jar` where the request has credentials, as every navigation has that no other site is known to have caused: the cookies are the device's to add (`http.md` section 9) |
 * | `sec-fetch-*` | `same-origin`, or `cross-site` for a navigation of which it is not known that the app caused it: `SameSite` cookies depend on it |
 */
export function requestFields(facts: RequestFacts, bodyLength: number | null): Field[] {
  const fields = new Map<string, string>();
  for (const [name, value] of facts.fields) {
    if (!NOT_SENT.has(name) && !name.startsWith('sec-fetch-') && !name.startsWith('peerage-')) fields.set(name, value);
  }
  const missing = (name: string, value: string): void => {
    if (!fields.has(name) && value !== '') fields.set(name, value);
  };
  missing('accept', '*/*');
  missing('accept-language', acceptLanguage(facts.languages));
  missing('user-agent', facts.userAgent);
  if (facts.cache === 'reload' || facts.cache === 'no-store') {
    missing('cache-control', 'no-cache');
    missing('pragma', 'no-cache');
  } else if (facts.cache === 'no-cache') missing('cache-control', 'max-age=0');

  fields.set('accept-encoding', fields.has('range') ? 'identity' : 'gzip, deflate');
  // Browsers state that there is nothing for POST and PUT alone.
  const nothing = bodyLength === 0 && facts.method !== 'POST' && facts.method !== 'PUT' && !fields.has('content-type');
  if (bodyLength === null || nothing) fields.delete('content-length');
  else fields.set('content-length', String(bodyLength));
  if ((facts.method !== 'GET' && facts.method !== 'HEAD') || facts.mode === 'websocket') fields.set('origin', facts.url.origin);
  const referer = ownReferrer(facts.referrer, facts.url.origin);
  // The shell, which has the app's address, loads the app's first page: that page was referred to by nobody.
  const first = facts.mode === 'navigate' && facts.method === 'GET' && referer === facts.url.origin + originForm(facts.url);
  if (referer !== null && !first) fields.set('referer', referer);
  // Who loads a page once more has seen it.
  const unknown = facts.mode === 'navigate' && referer === null && !facts.reload;
  // Whoever caused it, a person was asked before more than a page is requested (`route.ts`), and the device refuses that to other sites.
  const followed = facts.method === 'GET' || facts.method === 'HEAD';
  fields.set('sec-fetch-site', unknown ? (followed ? 'cross-site' : 'none') : 'same-origin');
  fields.set('sec-fetch-mode', facts.mode);
  // The app's page is the whole page as far as the app is concerned, although it is shown in a frame.
  fields.set('sec-fetch-dest', facts.mode === 'navigate' ? 'document' : facts.destination || 'empty');
  // A frame that another site led here is none that the person looks at: no `Lax` cookie goes to such.
  const led = URL.canParse(facts.referrer) && referer === null;
  if (facts.mode === 'navigate' ? !led : facts.credentials !== 'omit') fields.set(...OPT_IN);
  return [...fields];
}

/** `path` of a request on the wire: origin-form, no fragment. */
export function originForm(url: URL): string {
  return url.pathname + url.search;
}

/** `en-GB,en;q=0.9`, as browsers write it. */
function acceptLanguage(languages: readonly string[]): string {
  return languages.slice(0, 10).map((language, at) => (at === 0 ? language : `${language};q=${((10 - at) / 10).toFixed(1)}`)).join(',');
}

function ownReferrer(referrer: string, origin: string): string | null {
  if (!URL.canParse(referrer)) return null;
  const url = new URL(referrer);
  return url.origin === origin ? origin + originForm(url) : null;
}
