/** How a page of the app, or a worker of it, reaches the worker of the origin: the latter through its page, as browsers give it no way of its own. */
import type { SocketAsked } from '../messages.js';

/** Sends `port` along with what is asked. Rejects where there is no way. */
export type Way = (asked: SocketAsked, port: MessagePort) => Promise<void>;

/** The member of the first message to a worker that brings it its way; no message of an app has it. */
const BRIDGE = '__peerage-bridge';

/** Scripts that were loaded, and pages that were asked, are there sooner by far. */
const WAY_MS = 15_000;

/** Of a page. */
export const pageWay: Way = async (asked, port) => {
  const workers = navigator.serviceWorker;
  // After a forced reload a page has no controller until it is claimed; the worker is there all the same.
  const worker = workers.controller ?? (await workers.ready).active;
  worker?.postMessage(asked, [port]);
};

/** Gives the worker at the other end of `target` a way, which is ours. */
export function bridge(target: Pick<Worker, 'postMessage'>, way: Way): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data, ports }: MessageEvent<SocketAsked>) => {
    if (ports[0]) way(data, ports[0]).catch(() => {});
  };
  target.postMessage({ [BRIDGE]: true }, [port2]);
}

/** Of a worker: the last one that it was given. */
export function workerWay(): Way {
  let given: MessagePort | null = null;
  let arrived: () => void = () => {};
  const first = new Promise<void>((resolve) => (arrived = resolve));
  const hear = (event: MessageEvent<Record<string, unknown> | null>): void => {
    if (event.data?.[BRIDGE] !== true || !event.ports[0]) return;
    // The app has no part in this message. Our listener was there before its.
    event.stopImmediatePropagation();
    given = event.ports[0];
    arrived();
  };
  const listen = (target: EventTarget): void => target.addEventListener('message', hear as EventListener);
  if ('onconnect' in globalThis) addEventListener('connect', (event) => (event as MessageEvent).ports.forEach(listen));
  else listen(globalThis);
  return async (asked, port) => {
    let limit: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      limit = setTimeout(() => reject(new Error('no page of the app answers for this worker')), WAY_MS);
    });
    await Promise.race([first, late]).finally(() => clearTimeout(limit));
    given?.postMessage(asked, [port]);
  };
}
