/** A device's end of a channel: a session of the same kind, with everything it hears kept. */
import type { Channel } from '../fetch/http-link.js';
import { joined } from '../fetch/running.js';
import type { Event } from '../protocol/http/event.js';
import { Session, type Config } from '../protocol/http/session.js';

type Octets = Uint8Array<ArrayBuffer>;

/** The caller's end: what it sends waits until `flush`, as in a channel whose network is slow. */
export class FakeChannel implements Channel {
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  isClosed = false;
  /** Sent, not delivered. */
  readonly sent: Octets[] = [];
  readonly #listeners = new Map<string, ((event: MessageEvent<unknown>) => void)[]>();

  send(octets: Octets): void {
    if (this.isClosed) throw new DOMException('closed', 'InvalidStateError');
    this.sent.push(octets.slice());
    this.bufferedAmount += octets.length;
  }

  close(): void {
    this.isClosed = true;
  }

  addEventListener(type: string, listener: (event: MessageEvent<unknown>) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  /** Everything sent has left. */
  flush(): Octets[] {
    const sent = this.sent.splice(0);
    const wasHigh = this.bufferedAmount > this.bufferedAmountLowThreshold;
    this.bufferedAmount = 0;
    if (wasHigh) this.emit('bufferedamountlow');
    return sent;
  }

  emit(type: string, data?: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) listener({ data } as MessageEvent<unknown>);
  }
}

export class FakeDevice {
  readonly channel = new FakeChannel();
  readonly session: Session;
  readonly events: Event[] = [];
  /** Largest backlog that the caller gave its channel. */
  mostBuffered = 0;
  /** Octets of messages that the caller was given. */
  delivered = 0;

  constructor(config: Config = {}) {
    this.session = new Session('callee', config, 0);
  }

  /** Carries messages both ways until nothing moves, promises included. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      idle = this.#carry() ? 0 : idle + 1;
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    }
  }

  /** The exchange that was begun under this path. */
  opened(path: string): number {
    const event = this.events.find((event) => event.type === 'opened' && event.request.kind !== 'tcp' && event.request.path === path);
    if (event?.type !== 'opened') throw new Error(`nobody asked for ${path}`);
    return event.id;
  }

  /** All that was read of an exchange now. */
  read(id: number): Octets {
    const pieces: Octets[] = [];
    for (let incoming = this.session.read(id, Infinity); incoming?.type === 'data'; incoming = this.session.read(id, Infinity)) pieces.push(incoming.bytes);
    return joined(pieces);
  }

  #carry(): boolean {
    this.mostBuffered = Math.max(this.mostBuffered, this.channel.bufferedAmount);
    const up = this.channel.flush();
    for (const message of up) this.session.handleMessage(message, 0);
    let moved = up.length > 0;
    for (let message = this.session.pollTransmit(); message !== null; message = this.session.pollTransmit()) {
      this.delivered += message.length;
      this.channel.emit('message', message.slice().buffer);
      moved = true;
    }
    for (let event = this.session.pollEvent(); event !== null; event = this.session.pollEvent()) this.events.push(event);
    return moved;
  }
}
