/** One HTTP exchange under way: its response, the response's body, and the request's upload. */
import { PeerageError } from '../error.js';
import { PLAIN } from '../protocol/http/event.js';
import type { Field } from '../protocol/http/field.js';
import { STREAM } from '../protocol/http/outbound.js';
import type { Session } from '../protocol/http/session.js';
import type { ExchangeResponse, Puller } from './exchange.js';
import { joined, Running } from './running.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Octets of one pulled piece at most: what has arrived is joined up to this, so that whoever passes pieces on does so seldom. */
const PIECE_MAX = 256 * 1024;

export class LinkRequest extends Running implements Puller {
  readonly response: Promise<ExchangeResponse>;
  readonly #body: Puller | null;
  #resolve!: (response: ExchangeResponse) => void;
  #reject!: (error: PeerageError) => void;
  /** The reader has had everything. */
  #isRead = false;

  constructor(id: number, session: Session, body: Puller | null, drive: () => void) {
    super(id, session, drive);
    this.#body = body;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  async pull(): Promise<Octets | null> {
    for (;;) {
      if (this.error !== null) throw this.error;
      if (this.#isRead) return null;
      const piece = this.#take();
      if (piece !== null) return piece;
      if (!this.#isRead) await this.arrival();
    }
  }

  cancel(): void {
    if (!this.#isRead) this.abort();
  }

  /** Sends the request's body, as fast as credit and channel allow. */
  async upload(body: Puller): Promise<void> {
    this.isWriting = true;
    try {
      for (let piece = await body.pull(); this.isWriting && piece !== null; piece = await body.pull()) await this.write(piece, STREAM);
      if (!this.isWriting) return;
      this.session.finish(this.id, PLAIN);
    } catch (error) {
      if (!this.isWriting) return;
      this.session.reset(this.id, 'cancelled');
      this.broke(error instanceof PeerageError ? error : new PeerageError('cancelled', "the request's body broke off", { cause: error }));
    }
    this.drive();
  }

  override responded(status: number, fields: readonly Field[], end: boolean): void {
    this.#isRead = end;
    this.#resolve({ status, fields, body: this });
  }

  override stopped(): void {
    this.#body?.cancel();
    super.stopped();
  }

  override broke(error: PeerageError): void {
    this.#reject(error);
    super.broke(error);
  }

  /** What has arrived, as one piece; `null` when that is nothing. */
  #take(): Octets | null {
    const pieces: Octets[] = [];
    let length = 0;
    while (length < PIECE_MAX) {
      const incoming = this.session.read(this.id, PIECE_MAX);
      if (incoming?.type === 'end') this.#isRead = true;
      if (incoming?.type !== 'data') break;
      pieces.push(incoming.bytes);
      length += incoming.bytes.length;
    }
    this.drive();
    return length === 0 ? null : joined(pieces);
  }
}
