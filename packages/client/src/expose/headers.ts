/**
 * Fields between the browser and the device. A service worker neither sees all that the browser would send nor may it return all that
 * a target says; this is the whole mapping, pure, in both directions.
 */
import type { Field } from '../fetch/exchange.js';
import { OPT_IN, STATE_FIELD } from '../protocol/cookies/state.js';
import { LOGIN_FIELD } from './messages.js';

/** What the worker knows of a request besides its body. */
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
  'accept-encoding', 'connection', 'cookie', 'host', 'http2-settings', 'keep-alive', 'origin', 'proxy-authenticate', 'proxy-authorization',
  'proxy-connection', 'referer', 'te', 'trailer', 'transfer-encoding', 'upgrade',
]);

/**
 * The fields to send. All that the worker sees travels (`Accept`, `Content-Type`, `Range`, `If-*`, `Authorization`, the app's own),
 * and these are added, because the browser adds them only after the worker:
 *
 * | field | value |
 * | --- | --- |
 * | `accept-encoding` | what can be unpacked here; `identity` for a `Range`, whose offsets are those of the plain octets |
 * | `accept-language`, `user-agent` | the browser's |
 * | `cache-control` | for a reload, as browsers send it |
 * | `content-length` | where the body's length is known |
 * | `origin` | ours, for every method but GET and HEAD; the device puts the target's in its place |
 * | `referer` | the referrer if it is ours; the device puts the target's origin in the place of ours |
 * | `peerage-cookies` | `jar` where the request has credentials, as every navigation has: the cookies are the device's to add (`http.md` section 9) |
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
  if (bodyLength === null) fields.delete('content-length');
  else fields.set('content-length', String(bodyLength));
  if (facts.method !== 'GET' && facts.method !== 'HEAD') fields.set('origin', facts.url.origin);
  const referer = ownReferrer(facts.referrer, facts.url.origin);
  // The shell, which has the app's address, loads the app's first page: that page was referred to by nobody.
  const first = facts.mode === 'navigate' && facts.method === 'GET' && referer === facts.url.origin + originForm(facts.url);
  if (referer !== null && !first) fields.set('referer', referer);
  // Who loads a page once more has seen it.
  fields.set('sec-fetch-site', facts.mode === 'navigate' && referer === null && !facts.reload ? 'cross-site' : 'same-origin');
  fields.set('sec-fetch-mode', facts.mode);
  // The app's page is the whole page as far as the app is concerned, although it is shown in a frame.
  fields.set('sec-fetch-dest', facts.mode === 'navigate' ? 'document' : facts.destination || 'empty');
  if (facts.mode === 'navigate' || facts.credentials !== 'omit') fields.set(...OPT_IN);
  return [...fields];
}

/** `path` of a request on the wire: origin-form, no fragment. */
export function originForm(url: URL): string {
  return url.pathname + url.search;
}

/** What becomes of a response. */
export interface ResponsePlan {
  readonly status: number;
  readonly headers: readonly Field[];
  /** Codings to undo, the outermost first. */
  readonly decode: readonly ('gzip' | 'deflate')[];
  /** False where a `Response` must be made without a body: HEAD, 204, 205 and 304. */
  readonly body: boolean;
  /** The `nonce` for the shim's tag in HTML, or null where it needs none; undefined where no shim is inserted. */
  readonly shim: string | null | undefined;
}

/**
 * What concerns the whole origin, which the app shares with this page, and what is about the target's own connection. `set-cookie`: a
 * browser ignores it here anyhow. `refresh` stays.
 */
const NOT_RETURNED = new Set([
  'alt-svc', 'clear-site-data', 'service-worker-allowed', 'set-cookie', 'set-cookie2', 'strict-transport-security', 'public-key-pins', STATE_FIELD, LOGIN_FIELD,
]);

const NULL_BODY_STATUS = new Set([204, 205, 304]);

/** The coding is one that no `Accept-Encoding` of ours asked for. */
export class UnknownCoding extends Error {
  override readonly name = 'UnknownCoding';
}

/** Throws `UnknownCoding`. `navigation`: the response will be a document. */
export function planResponse(status: number, fields: readonly Field[], method: string, navigation: boolean): ResponsePlan {
  const body = method !== 'HEAD' && !NULL_BODY_STATUS.has(status);
  const decode = body ? codings(fields) : [];
  const csp = fields.filter(([name]) => name === 'content-security-policy').map(([, value]) => value);
  const html = body && navigation && isHtml(fields);
  // The length of what was received is not that of what is handed on.
  const lengthHolds = decode.length === 0 && !html;

  const headers: Field[] = [];
  for (const [name, value] of fields) {
    if (NOT_RETURNED.has(name)) continue;
    if (name === 'content-encoding') continue;
    if (name === 'content-length' && !lengthHolds) continue;
    if (name === 'x-frame-options') headers.push([name, 'SAMEORIGIN']);
    else if (name === 'content-security-policy') headers.push([name, framedByUs(value)]);
    else if (name === 'referrer-policy') headers.push([name, referrerForUs(value)]);
    else headers.push([name, value]);
  }
  // No app is meant to be shown by another site here, not even by another device's, which may count as the same site: it could lure clicks into it.
  if (navigation) headers.push(['content-security-policy', "frame-ancestors 'self'"]);
  return { status, headers, decode, body, shim: html ? scriptNonce(csp) : undefined };
}

/** Forbidding frames means other sites'. Ours is the one frame that the app is meant for. */
function framedByUs(policy: string): string {
  // One header may hold several policies, separated by commas.
  return policy.replace(/(^|[;,])(\s*)frame-ancestors\b[^;,]*/gi, "$1$2frame-ancestors 'self'");
}

/**
 * An app that withholds every referrer would withhold them from the worker too, which then could not tell its forms from those of other
 * sites. To others this policy gives as little.
 */
function referrerForUs(policy: string): string {
  return policy.replace(/\bno-referrer\b(?!-)/gi, 'same-origin');
}

/** A nonce of the app's own policy, so that the shim runs under it and nothing in the policy has to change. */
function scriptNonce(policies: readonly string[]): string | null {
  for (const policy of policies) {
    const script = /(?:^|[;,])\s*(?:script-src-elem|script-src)(?![\w-])([^;,]*)/i.exec(policy) ?? /(?:^|[;,])\s*default-src(?![\w-])([^;,]*)/i.exec(policy);
    const nonce = /'nonce-([A-Za-z0-9+/_=-]{1,256})'/.exec(script?.[1] ?? '');
    if (nonce?.[1] !== undefined) return nonce[1];
  }
  return null;
}

function isHtml(fields: readonly Field[]): boolean {
  const type = fields.find(([name]) => name === 'content-type')?.[1] ?? '';
  return /^text\/html\s*(;|$)/i.test(type) && !/charset\s*=\s*"?utf-?(16|32)/i.test(type);
}

function codings(fields: readonly Field[]): ('gzip' | 'deflate')[] {
  return fields
    .filter(([name]) => name === 'content-encoding')
    .flatMap(([, value]) => value.split(','))
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
    .map((coding) => {
      if (coding === 'gzip' || coding === 'x-gzip') return 'gzip' as const;
      if (coding === 'deflate') return 'deflate' as const;
      throw new UnknownCoding(`the target answered in the coding ${coding}, which was not asked for`);
    })
    .reverse();
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
