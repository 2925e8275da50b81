/**
 * Stands in for `transport/link.ts` in the tests of the page: same face, but exchanges go by plain `fetch` to the test's own server, which
 * also decides how an attempt ends. Its address stands in the settings of the page's server.
 */
import { type Code, PeerageError } from '../../error.js';
import type { ExchangeRequest, ExchangeResponse } from '../../fetch/exchange.js';
import type { OpenLink, OpenLinkOptions, Path } from '../../transport/link.js';
import { fromStream, toStream } from '../../fetch/body.js';
import { openFakeSocket } from './fake-socket.js';

type Bytes = Uint8Array<ArrayBuffer>;

export async function openLink({ device, server, proof, onState, signal }: OpenLinkOptions): Promise<OpenLink> {
  const { far } = await settings(server, signal);
  // A browser opens six connections to one address; stalled exchanges would use them up.
  const base = (): string => far.replace('127.0.0.1', `127.0.0.${1 + Math.floor(Math.random() * 60)}`);
  const ask = async (step: string): Promise<void> => {
    const response = await fetch(`${base()}/link/${step}?proof=${proof === null ? '' : '1'}`, signal ? { signal } : {});
    const code = await response.text();
    if (code !== '') throw new PeerageError(code as Code, 'as the test wants it');
  };
  for (const step of ['signalling', 'calling', 'verifying', 'connecting'] as const) {
    onState?.(step);
    await ask(step);
  }
  onState?.('open');
  const end = new AbortController();
  const alive = fetch(`${base()}/link/alive`, { signal: end.signal });
  const closed = alive.then((response) => response.text()).then((code) => code as Code, () => 'lost' as Code);
  void closed.then(() => end.abort());
  return {
    exchange: (request) => exchange(base(), device, request, end.signal),
    openWebSocket: (request) => openFakeSocket(base(), request, end.signal),
    closed: Promise.race([closed, new Promise<Code>((resolve) => end.signal.addEventListener('abort', () => resolve('closed')))]),
    close: () => end.abort(),
    path: () => Promise.resolve(PATH),
    watch(listener) {
      listener(PATH);
      return () => {};
    },
  };
}

const PATH: Path = { route: 'direct', roundTrip: 12.3, sent: 0, received: 0, relayed: { sent: 0, received: 0 }, openedIn: 1 };

async function settings(server: URL, signal: AbortSignal | undefined): Promise<{ far: string }> {
  try {
    const response = await fetch(new URL('config.json', server), { cache: 'no-store', ...(signal && { signal }) });
    return (await response.json()) as { far: string };
  } catch (error) {
    throw new PeerageError('unreachable-server', 'the server gave no configuration', { cause: error });
  }
}

/** As many as a true link runs at once; a browser gives up beyond some thousand requests of one page. */
const AT_ONCE = 256;
let running = 0;
const waiting: (() => void)[] = [];

async function exchange(base: string, device: string, request: ExchangeRequest, end: AbortSignal): Promise<ExchangeResponse> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  const done = (): void => {
    running--;
    waiting.shift()?.();
  };
  try {
    const response = await begun(base, device, request, end);
    let over = false;
    const finish = (): void => {
      if (!over) done();
      over = true;
    };
    return {
      ...response,
      body: {
        async pull() {
          const piece = await response.body.pull().catch((error: unknown) => (finish(), Promise.reject(error as Error)));
          if (piece === null) finish();
          return piece;
        },
        cancel: () => (finish(), response.body.cancel()),
      },
    };
  } catch (error) {
    done();
    throw error;
  }
}

async function begun(base: string, device: string, { method, path, fields, body, signal }: ExchangeRequest, end: AbortSignal): Promise<ExchangeResponse> {
  try {
    const init: RequestInit = {
      method: 'POST',
      headers: { 'x-device': device, 'x-exchange': encodeURIComponent(JSON.stringify({ method, path, fields })) },
      signal: signal ? AbortSignal.any([signal, end]) : end,
    };
    if (body !== null) init.body = await new Response(toStream(body)).blob();
    const response = await fetch(`${base}/exchange`, init);
    const head = JSON.parse(decodeURIComponent(response.headers.get('x-head') ?? '')) as Pick<ExchangeResponse, 'status' | 'fields'>;
    const source = fromStream((response.body ?? new Blob([]).stream()) as ReadableStream<Bytes>);
    return {
      ...head,
      body: {
        pull: () => source.pull().catch(() => Promise.reject(new PeerageError('gone', 'the fake link broke'))),
        cancel: () => source.cancel(),
      },
    };
  } catch (error) {
    if (error instanceof PeerageError) throw error;
    throw new PeerageError('gone', 'the fake link broke', { cause: error });
  }
}
