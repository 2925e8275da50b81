/** One request, carried to the device by the tab that has the link. */
import { type Code, PeerageError } from '../../error.js';
import type { Field, Puller } from '../../fetch/exchange.js';
import { endingWhereItBreaks, fromStream, measured, toStream } from '../body.js';
import { originForm, planResponse, requestFields, UnknownCoding } from '../headers.js';
import { insertAfterPrologue } from '../html-insert.js';
import { type HolderSays, type ReaderSays, type ToShell, VERSION } from '../messages.js';
import { permitScript } from '../policy.js';
import { PortPuller, serveBody } from '../pull-port.js';
import { repeatIn } from '../repeat.js';
import { insertBeforeScript } from '../script-insert.js';
import { wantedName, withWantedName } from '../download.js';
import { shimText, SHIM } from './assets.js';
import type { Holders } from './holders.js';
import type { Kept } from './kept.js';
import { leavePage, shimTag } from './pages.js';
import { Upload } from './upload.js';

declare const self: ServiceWorkerGlobalScope;

/**
 * How long the holder may take to say that it has the request. It says so at once unless its page is busy: the app runs in the same
 * thread. From then on the link's own liveness and the holder's lock bound the wait.
 */
const TAKEN_MS = 15_000;

/** Rejects with `PeerageError`. `kept`: what to send in the place of this navigation. */
export async function forward(request: Request, kept: Kept | null, holders: Holders): Promise<Response> {
  const url = new URL(request.url);
  const method = kept?.method ?? request.method;
  const navigation = request.mode === 'navigate';
  const { body, length } = await requestBody(request, kept);
  const fields = requestFields(
    {
      url,
      method,
      mode: request.mode,
      destination: request.destination,
      cache: request.cache,
      referrer: kept?.referrer ?? request.referrer,
      fields: kept?.fields ?? [...request.headers],
      languages: self.navigator.languages,
      userAgent: self.navigator.userAgent,
    },
    length,
  );
  const message: ExchangeMessage = { type: 'exchange', version: VERSION, method, path: originForm(url), fields, body: body !== null };

  const answer = await askTwice(holders, message, body, request.signal);
  const script = request.destination === 'worker' || request.destination === 'sharedworker';
  const response = respond(answer, url, method, navigation);
  return script && response.ok ? withShim(response, url) : response;
}

type ExchangeMessage = Extract<ToShell, { type: 'exchange' }>;

interface Answer {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly body: PortPuller;
}

async function requestBody(request: Request, kept: Kept | null): Promise<{ body: Puller | null; length: number | null }> {
  if (kept !== null) return { body: fromStream(kept.body.stream()), length: kept.body.size };
  if (request.method === 'GET' || request.method === 'HEAD') return { body: null, length: null };
  // What is sent while its page goes must be had before the page is gone; browsers bound it at 64 KiB.
  if ('body' in Request.prototype && !request.keepalive) {
    // No body at all has a length too: without one, many targets answer a POST with 411.
    if (request.body === null) return { body: null, length: request.method === 'OPTIONS' ? null : 0 };
    return measured(fromStream(request.body as ReadableStream<Uint8Array<ArrayBuffer>>));
  }
  const blob = await (request as Request).blob();
  return { body: blob.size === 0 ? null : fromStream(blob.stream()), length: blob.size };
}

/** A tab that closes takes nothing any more, and is known to be gone a moment later. Each of these is another tab's turn. */
const TURNS = 3;

/** The tab that had the link went, as it seems without having seen the exchange. */
class NotTaken extends PeerageError {}

/** Once more, where that can do no harm: over the new link, or by the tab that has it now. */
async function askTwice(holders: Holders, message: ExchangeMessage, body: Puller | null, signal: AbortSignal): Promise<Answer> {
  const upload = body && new Upload(body);
  for (let tries = 0, turns = 0; ; ) {
    try {
      return await askOnce(holders, message, upload, signal);
    } catch (error) {
      const pause = repeatIn(PeerageError.codeOf(error), message.method, upload === null ? 'none' : upload.begun ? 'begun' : 'untouched');
      const again = error instanceof NotTaken ? turns++ < TURNS : tries++ === 0;
      if (pause === null || !again || signal.aborted) {
        body?.cancel();
        throw error;
      }
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/** Hands the exchange to the holder and waits for the head of its answer. */
async function askOnce(holders: Holders, message: ExchangeMessage, body: Upload | null, signal: AbortSignal): Promise<Answer> {
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
    let taken = false;
    const fail = (code: Code, why: string, kind = PeerageError): void => {
      settle();
      port.postMessage({ type: 'cancel' } satisfies ReaderSays);
      port.close();
      reject(new kind(code, why));
    };
    const aborted = (): void => fail('cancelled', 'the page gave up');
    const untaken = setTimeout(() => fail('timeout', 'the tab that has the link does not react'), TAKEN_MS);
    const forget = holder.onDeath(() => queueMicrotask(() => fail('gone', 'the tab that had the link is gone', taken ? PeerageError : NotTaken)));
    signal.addEventListener('abort', aborted);
    port.onmessage = ({ data }: MessageEvent<HolderSays>) => {
      switch (data.type) {
        case 'taken':
          taken = true;
          clearTimeout(untaken);
          return;
        case 'failed':
          fail(data.code, 'the device was not reached');
          return;
        case 'head': {
          settle();
          body?.answered();
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

function respond(answer: Answer, url: URL, method: string, navigation: boolean): Response {
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
