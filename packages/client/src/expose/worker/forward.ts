/** One request, carried to the device by the tab that has the link. */
import { PeerageError } from '../../error.js';
import type { Field, Puller } from '../../fetch/exchange.js';
import { endingWhereItBreaks, fromStream, requestBody, toStream } from '../../fetch/body.js';
import { UnknownCoding } from '../../fetch/coding.js';
import { originForm, requestFields } from '../../fetch/request-fields.js';
import { planResponse } from '../headers.js';
import { insertAfterPrologue } from '../html-insert.js';
import { type Asked, withoutFragment } from '../http-cache.js';
import { statedLength } from '../length.js';
import { LOGIN_FIELD, VERSION } from '../messages.js';
import { permitScript } from '../policy.js';
import { insertBeforeScript } from '../script-insert.js';
import { wantedName, withWantedName } from '../download.js';
import { ask, type Answer, type ExchangeMessage } from './ask.js';
import { shimText, SHIM } from './assets.js';
import type { HttpCache, Keep } from './cache.js';
import type { Holders } from './holders.js';
import { keepable, type Kept } from './kept.js';
import { askToLogIn } from './login.js';
import { leavePage, shimTag } from './pages.js';

declare const self: ServiceWorkerGlobalScope;

/** Rejects with `PeerageError`. `kept`: what to send in the place of this navigation. */
export async function forward(request: Request, kept: Kept | null, holders: Holders, cache: HttpCache): Promise<Response> {
  const url = new URL(request.url);
  const method = kept?.method ?? request.method;
  const navigation = request.mode === 'navigate';
  const { body, length, whole } = await bodyOf(request, kept);
  const fields = requestFields(
    {
      url,
      method,
      mode: request.mode,
      destination: request.destination,
      cache: request.cache,
      credentials: request.credentials,
      reload: (request as Request & { readonly isReloadNavigation?: boolean }).isReloadNavigation ?? false,
      referrer: kept?.referrer ?? request.referrer,
      fields: kept?.fields ?? [...request.headers],
      languages: self.navigator.languages,
      userAgent: self.navigator.userAgent,
    },
    length ?? (body === null ? null : statedLength(request.headers)),
  );
  if (kept?.plain) fields.push([LOGIN_FIELD, 'none']);
  const send = (conditions: readonly Field[]): Promise<Answer> => {
    const message: ExchangeMessage = { type: 'exchange', version: VERSION, method, path: originForm(url), fields: [...fields, ...conditions], body: body !== null };
    return ask(holders, message, body, request.signal);
  };
  const asked: Asked = { url: withoutFragment(url), method, cache: request.cache, navigation, credentials: navigation ? 'include' : request.credentials, fields };
  const found = await cache.answer(asked, send);
  if (found === null) throw new PeerageError('refused', 'nothing is stored, and the request forbids to ask');
  const { answer, keep } = found;
  const failure = ofTheDevice(answer);
  if (failure !== null) {
    answer.body.cancel();
    throw new PeerageError(failure, 'the app on the device did not answer');
  }
  const again = request.destination === 'iframe' && whole !== null && !kept?.plain ? (kept ?? keepable(request, whole)) : null;
  const logIn = again && askToLogIn(answer, again);
  if (logIn) return logIn;
  const script = request.destination === 'worker' || request.destination === 'sharedworker';
  const response = respond(answer, url, method, navigation, keep);
  return script && response.ok ? withShim(response, url) : response;
}

/** Why the device answers in the place of its app, where a browser beside the app would have had no answer at all. */
function ofTheDevice({ status, fields }: Answer): 'unreachable' | 'broken' | 'timeout' | null {
  const code = status >= 500 ? fields.find(([name]) => name === 'peerage-error')?.[1] : undefined;
  return code === 'unreachable' || code === 'broken' || code === 'timeout' ? code : null;
}

/** `whole`: all of the body of a navigation, so that it can be sent again after a log-in; null where it is too long for that. */
async function bodyOf(request: Request, kept: Kept | null): Promise<{ body: Puller | null; length: number | null; whole: Blob | null }> {
  const method = kept?.method ?? request.method;
  if (method === 'GET' || method === 'HEAD') return { body: null, length: null, whole: new Blob() };
  if (kept !== null) return { body: fromStream(kept.body.stream()), length: kept.body.size, whole: kept.body };
  const { body, length } = await requestBody(request);
  if (body === null) return { body, length, whole: new Blob() };
  if (length === null || request.mode !== 'navigate') return { body, length, whole: null };
  const whole = await new Response(toStream(body)).blob();
  return { body: fromStream(whole.stream()), length, whole };
}

function respond(answer: Answer, url: URL, method: string, navigation: boolean, keep: Keep | null): Response {
  const leaving = navigation ? foreignTarget(answer, url) : null;
  if (leaving !== null) {
    answer.body.cancel();
    return leavePage(leaving);
  }
  const plan = planned(answer, method, navigation);
  const headers = new Headers();
  for (const [name, value] of plan.headers) headers.append(name, value);
  const name = navigation ? wantedName(url) : null;
  if (name !== null) withWantedName(headers, name);

  if (!plan.body) {
    answer.body.cancel();
    return new Response(null, { status: plan.status, headers });
  }
  // Chromium closes an `EventSource` for good when its stream breaks, and comes back when it ends.
  const events = answer.fields.some(([field, value]) => field === 'content-type' && value.startsWith('text/event-stream'));
  let stream = toStream(events ? endingWhereItBreaks(answer.body) : answer.body);
  for (const coding of plan.decode) stream = stream.pipeThrough(new DecompressionStream(coding));
  if (keep !== null) stream = toStream(keep(fromStream(stream)));
  if (plan.shim !== undefined) {
    const nonce = plan.shim ?? crypto.randomUUID();
    permitShim(headers, url, nonce);
    stream = stream.pipeThrough(insertAfterPrologue(new TextEncoder().encode(shimTag(nonce))));
  }
  return new Response(stream, { status: plan.status, headers });
}

/** The script of a worker, which no tag can come before. */
async function withShim(response: Response, url: URL): Promise<Response> {
  const headers = new Headers(response.headers);
  headers.delete('content-length');
  permitShim(headers, url, crypto.randomUUID());
  const stream = response.body?.pipeThrough(insertBeforeScript(await shimText(), SHIM)) ?? null;
  return new Response(stream, { status: response.status, headers });
}

function permitShim(headers: Headers, url: URL, nonce: string): void {
  const policies = headers.get('content-security-policy');
  if (policies !== null) headers.set('content-security-policy', permitScript(policies, url.origin + SHIM, nonce));
}

function planned(answer: Answer, method: string, navigation: boolean): ReturnType<typeof planResponse> {
  try {
    return planResponse(answer.status, answer.fields, method, navigation);
  } catch (error) {
    answer.body.cancel();
    if (error instanceof UnknownCoding) throw new PeerageError('broken', error.message);
    throw error;
  }
}

/** Where a redirect leads to, if that is another site: it is shown in the tab, as it may refuse to be framed. */
function foreignTarget({ status, fields }: Answer, url: URL): string | null {
  if (![301, 302, 303, 307, 308].includes(status)) return null;
  const location = fields.find(([name]) => name === 'location')?.[1];
  if (location === undefined || !URL.canParse(location, url)) return null;
  const target = new URL(location, url);
  const web = target.protocol === 'http:' || target.protocol === 'https:';
  return web && target.origin !== url.origin ? target.href : null;
}
