/** One request, carried to the device by the tab that has the link. */
import { type Code, PeerageError } from '../../error.js';
import type { Field, Puller } from '../../fetch/exchange.js';
import { endingWhereItBreaks, fromStream, measured, toStream } from '../body.js';
import { type Asked, withoutFragment } from '../http-cache.js';
import { originForm, planResponse, requestFields, UnknownCoding } from '../headers.js';
import { insertAfterPrologue } from '../html-insert.js';
import { type HolderSays, LOGIN_FIELD, type ReaderSays, type ToShell, VERSION } from '../messages.js';
import { PortPuller, serveBody } from '../pull-port.js';
import { wantedName, withWantedName } from '../download.js';
import type { HttpCache, Keep } from './cache.js';
import type { Holders } from './holders.js';
import { keepable, type Kept } from './kept.js';
import { askToLogIn } from './login.js';
import { leavePage, shimTag } from './pages.js';

declare const self: ServiceWorkerGlobalScope;

/**
 * How long the holder may take to say that it has the request. It says so at once unless its page is busy: the app runs in the same
 * thread. From then on the link's own liveness and the holder's lock bound the wait.
 */
const TAKEN_MS = 15_000;

/** These end an exchange without the target's having a part in it; a request that changes nothing may be sent again. */
const WORTH_ANOTHER_TRY: ReadonlySet<Code> = new Set(['gone', 'lost', 'closed']);

/** Rejects with `PeerageError`. `kept`: what to send in the place of this navigation. */
export async function forward(request: Request, kept: Kept | null, holders: Holders, cache: HttpCache): Promise<Response> {
  const url = new URL(request.url);
  const method = kept?.method ?? request.method;
  const navigation = request.mode === 'navigate';
  const { body, length, whole } = await requestBody(request, kept);
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
    length,
  );
  if (kept?.plain) fields.push([LOGIN_FIELD, 'none']);
  const send = async (conditions: readonly Field[]): Promise<Answer> => {
    const message: ExchangeMessage = { type: 'exchange', version: VERSION, method, path: originForm(url), fields: [...fields, ...conditions], body: body !== null };
    try {
      return await ask(holders, message, body, request.signal);
    } catch (error) {
      const repeatable = body === null && (method === 'GET' || method === 'HEAD');
      if (!repeatable || request.signal.aborted || !WORTH_ANOTHER_TRY.has(PeerageError.codeOf(error))) throw error;
      return ask(holders, message, null, request.signal);
    }
  };
  const asked: Asked = { url: withoutFragment(url), method, cache: request.cache, navigation, credentials: navigation ? 'include' : request.credentials, fields };
  const found = await cache.answer(asked, send);
  if (found === null) throw new PeerageError('refused', 'nothing is stored, and the request forbids to ask');
  const { answer, keep } = found;
  const again = request.destination === 'iframe' && whole !== null && !kept?.plain ? (kept ?? keepable(request, whole)) : null;
  return (again && askToLogIn(answer, again)) ?? respond(answer, url, method, navigation, keep);
}

type ExchangeMessage = Extract<ToShell, { type: 'exchange' }>;

interface Answer {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly body: Puller;
}

/** `whole`: all of the body of a navigation, so that it can be sent again after a log-in; null where it is too long for that. */
async function requestBody(request: Request, kept: Kept | null): Promise<{ body: Puller | null; length: number | null; whole: Blob | null }> {
  const method = kept?.method ?? request.method;
  if (method === 'GET' || method === 'HEAD') return { body: null, length: null, whole: new Blob() };
  if (kept !== null) return { body: fromStream(kept.body.stream()), length: kept.body.size, whole: kept.body };
  if ('body' in Request.prototype) {
    // No body at all has a length too: without one, many targets answer a POST with 411.
    if (request.body === null) return { body: null, length: request.method === 'OPTIONS' ? null : 0, whole: new Blob() };
    const { body, length } = await measured(fromStream(request.body as ReadableStream<Uint8Array<ArrayBuffer>>));
    if (length === null || request.mode !== 'navigate') return { body, length, whole: null };
    const whole = await new Response(toStream(body)).blob();
    return { body: fromStream(whole.stream()), length, whole };
  }
  const whole = await (request as Request).blob();
  return { body: whole.size === 0 ? null : fromStream(whole.stream()), length: whole.size, whole };
}

/** Hands the exchange to the holder and waits for the head of its answer. */
async function ask(holders: Holders, message: ExchangeMessage, body: Puller | null, signal: AbortSignal): Promise<Answer> {
  const holder = await holders.find();
  const answers = new MessageChannel();
  const ports = [answers.port2];
  if (body !== null) {
    const bodies = new MessageChannel();
    serveBody(bodies.port1, body);
    ports.push(bodies.port2);
  }
  const port = answers.port1;
  return new Promise<Answer>((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(untaken);
      forget();
      signal.removeEventListener('abort', aborted);
    };
    const fail = (code: Code, why: string): void => {
      settle();
      port.postMessage({ type: 'cancel' } satisfies ReaderSays);
      port.close();
      body?.cancel();
      reject(new PeerageError(code, why));
    };
    const aborted = (): void => fail('cancelled', 'the page gave up');
    const untaken = setTimeout(() => fail('timeout', 'the tab that has the link does not react'), TAKEN_MS);
    const forget = holder.onDeath(() => queueMicrotask(() => fail('gone', 'the tab that had the link is gone')));
    signal.addEventListener('abort', aborted);
    port.onmessage = ({ data }: MessageEvent<HolderSays>) => {
      switch (data.type) {
        case 'taken':
          clearTimeout(untaken);
          return;
        case 'failed':
          fail(data.code, 'the device was not reached');
          return;
        case 'head': {
          settle();
          const end = (): void => {
            unwatch();
            signal.removeEventListener('abort', cancel);
          };
          const puller = new PortPuller(port, end);
          const cancel = (): void => puller.cancel();
          const unwatch = holder.onDeath(() => puller.fail('gone'));
          signal.addEventListener('abort', cancel);
          resolve({ status: data.status, fields: data.fields, body: puller });
        }
      }
    };
    holder.client.postMessage(message, ports);
  });
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
  if (plan.shim !== undefined) stream = stream.pipeThrough(insertAfterPrologue(new TextEncoder().encode(shimTag(plan.shim))));
  return new Response(stream, { status: plan.status, headers });
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
