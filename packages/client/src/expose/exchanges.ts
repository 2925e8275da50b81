/** The holder's side of exchanges: runs on the link what the worker asks for. */
import { PeerageError } from '../error.js';
import type { HttpLink } from '../fetch/exchange.js';
import type { HolderSays, ReaderSays, ToShell } from './messages.js';
import { PortPuller, serveBody } from './pull-port.js';

/** Well below the 30 s after which a browser may stop a worker that hears of nothing. */
const PING_MS = 10_000;

export class Exchanges {
  readonly #link: () => Promise<HttpLink>;
  readonly #ping: () => void;
  #running = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** `ping` keeps the worker running; it is called while exchanges are. */
  constructor(link: () => Promise<HttpLink>, ping: () => void) {
    this.#link = link;
    this.#ping = ping;
  }

  /** `answers` for the answer, `bodies` where the request body is. */
  begin(asked: Extract<ToShell, { type: 'exchange' }>, answers: MessagePort, bodies: MessagePort | undefined): void {
    say(answers, { type: 'taken' });
    const done = this.#begun();
    const given = new AbortController();
    answers.onmessage = ({ data }: MessageEvent<ReaderSays>) => {
      if (data.type === 'cancel') given.abort();
    };
    const body = bodies === undefined ? null : new PortPuller(bodies);
    void this.#run(asked, body, given.signal).then(
      (response) => {
        if (given.signal.aborted) {
          response.body.cancel();
          done();
          return;
        }
        say(answers, { type: 'head', status: response.status, fields: response.fields });
        serveBody(answers, response.body, done);
      },
      (error: unknown) => {
        body?.cancel();
        const code = PeerageError.codeOf(error);
        if (code === 'internal') console.error('peerage:', error);
        say(answers, { type: 'failed', code });
        answers.close();
        done();
      },
    );
  }

  async #run(asked: Extract<ToShell, { type: 'exchange' }>, body: PortPuller | null, signal: AbortSignal) {
    const link = await this.#link();
    if (signal.aborted) throw new PeerageError('cancelled', 'given up before it was sent');
    const { method, path, fields } = asked;
    return link.exchange({ method, path, fields, body, signal });
  }

  #begun(): () => void {
    if (this.#running++ === 0) this.#timer = setInterval(this.#ping, PING_MS);
    return () => {
      if (--this.#running === 0) clearInterval(this.#timer);
    };
  }
}

function say(port: MessagePort, said: HolderSays): void {
  port.postMessage(said);
}
