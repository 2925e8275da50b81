/** What becomes of a target's answer in the page: a service worker may not return all that a target says. The whole mapping, pure. */
import { type Coding, codings, hasBody } from '../fetch/coding.js';
import type { Field } from '../fetch/exchange.js';
import { STATE_FIELD } from '../protocol/cookies/state.js';
import { LOGIN_FIELD } from './messages.js';

/** What becomes of a response. */
export interface ResponsePlan {
  readonly status: number;
  readonly headers: readonly Field[];
  /** Codings to undo, the outermost first. */
  readonly decode: readonly Coding[];
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

/** Throws `UnknownCoding`. `navigation`: the response will be a document. */
export function planResponse(status: number, fields: readonly Field[], method: string, navigation: boolean): ResponsePlan {
  const body = hasBody(method, status);
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
  // What `<object>` and `<embed>` ask for goes past the worker, to the server of the page: the browser does not ask, and the shim shows it (`shim/objects.ts`).
  if (navigation) headers.push(['content-security-policy', "frame-ancestors 'self'; object-src data: blob:" + (csp.some(isSandbox) ? NO_REQUESTS : '')]);
  return { status, headers, decode, body, shim: html ? scriptNonce(csp) : undefined };
}

/** A document without an origin has no worker: whatever it asked for would reach the server of the page, path and all. */
const NO_REQUESTS = "; default-src data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'none'";

function isSandbox(policy: string): boolean {
  return policy.split(/[;,]/).some((directive) => /^\s*sandbox(\s|$)/i.test(directive) && !/\sallow-same-origin(\s|$)/i.test(directive));
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
