import type { Puller } from '../../fetch/exchange.js';

/** A request's body for as long as it may still be needed a second time. */
export class Upload implements Puller {
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
