/** One exchange, run by the tab that has the link. */
import { type Code, PeerageError } from '../../error.js';
import type { Field, Puller } from '../../fetch/exchange.js';
import type { HolderSays, ReaderSays, ToShell } from '../messages.js';
import { PortPuller, serveBody } from '../pull-port.js';
import { repeatIn } from '../repeat.js';
import type { Holders } from './holders.js';

/**
 * How long the holder may take to say that it has the request. It says so at once unless its page is busy: the app runs in the same
 * thread. From then on the link's own liveness and the holder's lock bound the wait.
 */
const TAKEN_MS = 15_000;

export type ExchangeMessage = Extract<ToShell, { type: 'exchange' }>;

export interface Answer {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly body: Puller;
}

/**
 * Waits for the head of the answer. Asks once more where that can do no harm: over the new link, or by the tab that has it now. Rejects with `PeerageError`.
 */
export async function ask(holders: Holders, message: ExchangeMessage, body: Puller | null, signal: AbortSignal): Promise<Answer> {
  const upload = body && new Upload(body);
  const once = () => askOnce(holders, message, upload, signal);
  try {
    return await once().catch(async (error: unknown) => {
      const pause = repeatIn(PeerageError.codeOf(error), message.method, upload === null ? 'none' : upload.begun ? 'begun' : 'untouched');
      if (pause === null || signal.aborted) throw error;
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      return once();
    });
  } catch (error) {
    body?.cancel();
    throw error;
  }
}

/** A request's body for as long as it may still be needed a second time. */
class Upload implements Puller {
  readonly #source: Puller;
  #begun = false;
  #answered = false;
  #unwanted = false;

  constructor(source: Puller) {
    this.#source = source;
  }

  get begun(): boolean {
    return this.#begun;
  }

  pull(): Promise<Uint8Array<ArrayBuffer> | null> {
    this.#begun = true;
    return this.#source.pull();
  }

  cancel(): void {
    this.#unwanted = true;
    if (this.#begun || this.#answered) this.#source.cancel();
  }

  /** There is an answer: whether the rest is wanted is now its sender's to say. */
  answered(): void {
    this.#answered = true;
    if (this.#unwanted) this.#source.cancel();
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
    const fail = (code: Code, why: string): void => {
      settle();
      port.postMessage({ type: 'cancel' } satisfies ReaderSays);
      port.close();
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
