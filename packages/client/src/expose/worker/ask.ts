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

/** A tab that closes takes nothing any more, and is known to be gone a moment later. Each of these is another tab's turn. */
const TURNS = 3;

/** The tab that had the link went, as it seems without having seen the exchange. */
class NotTaken extends PeerageError {}

/**
 * Waits for the head of the answer. Asks once more where that can do no harm: over the new link, or by the tab that has it now. Rejects with `PeerageError`.
 */
export async function ask(holders: Holders, message: ExchangeMessage, body: Puller | null, signal: AbortSignal): Promise<Answer> {
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
  // Finding it, or waiting for another try, takes time: the page may have given up, and perhaps asked anew.
  if (signal.aborted) throw new PeerageError('cancelled', 'the page gave up');
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
