/** Silence, in milliseconds, after which a side with live exchanges sends PING. */
export const PING_AFTER = 10_000;
/** Silence after which it closes the link. */
export const CLOSE_AFTER = 30_000;

/** Counts steps of silence rather than comparing times: after a machine slept, the peer still gets two PINGs and 20 s to answer. */
export class Liveness {
  #deadline: number;
  #steps = 0;

  constructor(now: number) {
    this.#deadline = now + PING_AFTER;
  }

  get deadline(): number {
    return this.#deadline;
  }

  /** A message arrived, or an idle link got work. */
  heard(now: number): void {
    this.#deadline = now + PING_AFTER;
    this.#steps = 0;
  }

  /** What an expired deadline asks for. */
  expire(now: number): 'ping' | 'close' | null {
    if (now < this.#deadline) return null;
    this.#deadline = now + PING_AFTER;
    this.#steps++;
    return PING_AFTER * this.#steps < CLOSE_AFTER ? 'ping' : 'close';
  }
}
