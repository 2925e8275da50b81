/**
 * Stands in for `transport/link.ts` in the tests of the page: same face, but exchanges go by plain `fetch` to the test's own server, which
 * also decides how an attempt ends. Its address comes as the first ICE server.
 */
import { type Code, PeerageError } from '../../error.js';
import type { ExchangeRequest, ExchangeResponse } from '../../fetch/exchange.js';
import type { OpenLink, OpenLinkOptions } from '../../transport/link.js';
import { fromStream, toStream } from '../../fetch/body.js';
import { openFakeSocket } from './fake-socket.js';

type Bytes = Uint8Array<ArrayBuffer>;

export async function openLink({ device, iceServers, proof, onState, signal }: OpenLinkOptions): Promise<OpenLink> {
  // A browser opens six connections to one address; stalled exchanges would use them up.
  const base = (): string => String(iceServers[0]?.urls).replace('127.0.0.1', `127.0.0.${1 + Math.floor(Math.random() * 60)}`);
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
    route: () => Promise.resolve('direct'),
    roundTrip: () => Promise.resolve(12.3),
    received: () => Promise.resolve(0),
  };
}

async function exchange(base: string, device: string, { method, path, fields, body, signal }: ExchangeRequest, end: AbortSignal): Promise<ExchangeResponse> {
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
