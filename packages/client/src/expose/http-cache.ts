/**
 * What a private cache may do (RFC 9111), and what Fetch's cache modes ask of it: decisions only. Answers of a service worker never enter the browser's own
 * HTTP cache, so without this every file of an app would cross the link again with each page.
 */
import CachePolicy from 'http-cache-semantics';
import type { Field } from '../fetch/exchange.js';
import { LOGIN_FIELD } from './messages.js';

/** What the cache knows of a request. */
export interface Asked {
  readonly url: string;
  readonly method: string;
  /** As in Fetch: `default`, `no-store`, `reload`, `no-cache`, `force-cache`, `only-if-cached`. */
  readonly cache: string;
  readonly navigation: boolean;
  readonly credentials: string;
  /** As they will be sent. */
  readonly fields: readonly Field[];
}

/** What is stored beside a body. JSON. */
export interface Stored {
  readonly policy: CachePolicy.CachePolicyObject;
  readonly fields: readonly Field[];
  /** Is asked about before each use: who may see it depends on what the worker does not see. */
  readonly careful: boolean;
}

export interface Part {
  /** Whether a stored answer may be used: not at all, after the device was asked, while it is fresh, in any case. */
  readonly read: 'never' | 'checked' | 'fresh' | 'any';
  readonly write: boolean;
  readonly network: boolean;
}

/** The part that the cache has in a request. */
export function partOf({ method, cache, navigation, credentials, fields }: Asked): Part {
  const network = cache !== 'only-if-cached';
  const own = fields.some(([name]) => OWN_CONDITIONS.has(name));
  // With and without cookies one address can have two answers; the store has room for one.
  if (method !== 'GET' || own || credentials === 'omit' || cache === 'no-store') return { read: 'never', write: false, network };
  if (cache === 'reload') return { read: 'never', write: true, network };
  if (cache === 'no-cache') return { read: 'checked', write: true, network };
  if (cache === 'force-cache' || !network) return { read: 'any', write: true, network };
  // A reload of the tab looks like any other navigation from here, and who has just logged out must not find the page there as it was.
  const checked = navigation || fields.some(([name]) => name === 'authorization');
  return { read: checked ? 'checked' : 'fresh', write: true, network };
}

/** The app asks for a part, or for what it does not know yet: that is between it and the device. */
const OWN_CONDITIONS = new Set(['range', 'if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'if-range']);

/** What to store of an answer; null: nothing. */
export function storable(asked: Asked, status: number, fields: readonly Field[]): Stored | null {
  const type = valueOf(fields, 'content-type') ?? '';
  const vary = valueOf(fields, 'vary') ?? '';
  if (asked.method !== 'GET' || status !== 200 || vary.includes('*') || type.startsWith('text/event-stream')) return null;
  const coded = valueOf(fields, 'content-encoding') !== null;
  const kept = fields.filter(([name]) => name !== LOGIN_FIELD && !(coded && (name === 'content-encoding' || name === 'content-length')));
  const policy = policyOf(asked, kept);
  // What would be fetched whole in any case only takes up room.
  const useful = policy.timeToLive() > 0 || valueOf(fields, 'etag') !== null || valueOf(fields, 'last-modified') !== null;
  if (!policy.storable() || !useful) return null;
  const careful = /(^|[\s,])(cookie|authorization)([\s,]|$)/i.test(vary) || valueOf(asked.fields, 'authorization') !== null || valueOf(fields, LOGIN_FIELD) !== null;
  return { policy: policy.toObject(), fields: kept, careful };
}

/** Whether a stored answer is the one to this request, as far as `Vary` goes. */
export function matches({ policy, fields }: Stored, asked: Asked): boolean {
  const names = (valueOf(fields, 'vary') ?? '').toLowerCase().split(',').map((name) => name.trim());
  return names.every((name) => name === '' || policy.reqh?.[name] === requestOf(asked).headers[name]);
}

export function isFresh({ policy, careful }: Stored, asked: Asked): boolean {
  return !careful && CachePolicy.fromObject(policy).satisfiesWithoutRevalidation(requestOf(asked));
}

/** The fields that ask whether it is still so. */
export function conditionsOf({ policy }: Stored, asked: Asked): Field[] {
  const { 'if-none-match': etag, 'if-modified-since': date } = CachePolicy.fromObject(policy).revalidationHeaders(requestOf(asked));
  const conditions: Field[] = [];
  if (typeof etag === 'string') conditions.push(['if-none-match', etag]);
  if (typeof date === 'string') conditions.push(['if-modified-since', date]);
  return conditions;
}

/** It is still so: the stored answer with what the 304 says anew (RFC 9111 3.2). */
export function renewed(stored: Stored, asked: Asked, fields: readonly Field[]): Stored {
  const news = fields.filter(([name]) => !OF_THE_BODY.has(name));
  const names = new Set(news.map(([name]) => name));
  const merged = [...stored.fields.filter(([name]) => !names.has(name)), ...news];
  return { ...stored, policy: policyOf(asked, merged).toObject(), fields: merged };
}

/** Whether the renewal is worth writing down: otherwise the next use asks again all the same. */
export function isWorthRenewing({ policy }: Stored): boolean {
  return CachePolicy.fromObject(policy).timeToLive() > 0;
}

const OF_THE_BODY = new Set(['content-encoding', 'content-length', 'content-md5', 'content-range', 'content-type']);

/** The addresses whose stored answers a request makes wrong (RFC 9111 4.4). */
export function outdated({ method, url }: Asked, status: number, fields: readonly Field[]): string[] {
  if (SAFE.has(method) || status >= 400) return [];
  const others = ['location', 'content-location'].map((name) => valueOf(fields, name)).filter((value) => value !== null && URL.canParse(value, url));
  return [url, ...others.map((value) => withoutFragment(new URL(value ?? '', url))).filter((other) => new URL(other).origin === new URL(url).origin)];
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** The app wants its stored answers gone. */
export function clearsCache(fields: readonly Field[]): boolean {
  return /"(cache|\*)"/.test(valueOf(fields, 'clear-site-data') ?? '');
}

export function withoutFragment(url: URL): string {
  return url.href.replace(/#.*/, '');
}

function policyOf(asked: Asked, fields: readonly Field[]): CachePolicy {
  const headers = headersOf(fields);
  // The library asks before each use where this stands. The word forbids only what is not fresh, which is not used here unless the app insists.
  const control = headers['cache-control']?.replace(/(^|,)\s*(must|proxy)-revalidate\s*(?=,|$)/gi, '');
  if (control !== undefined) headers['cache-control'] = control;
  return new CachePolicy(requestOf(asked), { status: 200, headers }, { shared: false });
}

/** Without what must not be written to disk: answers that depend on it are asked about before each use. */
function requestOf({ url, method, fields }: Asked): CachePolicy.HttpRequest {
  return { url, method, headers: headersOf(fields.filter(([name]) => name !== 'authorization')) };
}

function headersOf(fields: readonly Field[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of fields) headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  return headers;
}

function valueOf(fields: readonly Field[], name: string): string | null {
  const values = fields.filter(([each]) => each === name).map(([, value]) => value);
  return values.length === 0 ? null : values.join(', ');
}
