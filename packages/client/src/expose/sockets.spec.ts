import { beforeEach, describe, expect, it, vi } from 'vitest';
import { PeerageError } from '../error.js';
import { type HttpLink, type LinkSocket, SocketClose, type SocketMessage, type SocketRequest } from '../fetch/exchange.js';
import { Deaths } from './deaths.js';
import { SOCKET_WINDOW } from './messages.js';
import { PortSockets } from './shim/port-socket.js';
import { Sockets } from './sockets.js';

/** Locks that are freed by hand. */
class Locks {
  readonly #held = new Set<string>();
  readonly #waiting = new Map<string, (() => unknown)[]>();

  request(name: string, ...rest: unknown[]): Promise<unknown> {
    const granted = rest.at(-1) as () => unknown;
    if (rest.length === 1) {
      this.#held.add(name);
      return Promise.resolve(granted());
    }
    if (!this.#held.has(name)) return Promise.resolve(granted());
    this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), granted]);
    return new Promise(() => {});
  }

  hold(name: string): void {
    this.#held.add(name);
  }

  free(prefix: string): void {
    for (const name of [...this.#held].filter((each) => each.startsWith(prefix))) {
      this.#held.delete(name);
      for (const granted of this.#waiting.get(name) ?? []) granted();
      this.#waiting.delete(name);
    }
  }
}

/** The link's end of a socket, played by the test. */
class Far implements LinkSocket {
  readonly fields = [['sec-websocket-protocol', 'a']] as const;
  readonly arrived: (SocketMessage | SocketClose | PeerageError)[] = [];
  readonly taken: SocketMessage[] = [];
  received = 0;
  ended = '';
  room = Infinity;
  #wake: () => void = () => {};

  come(...what: (SocketMessage | SocketClose | PeerageError)[]): void {
    this.arrived.push(...what);
    this.#wake();
  }

  async receive(): Promise<SocketMessage | SocketClose> {
    while (this.arrived.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    const got = this.arrived.shift();
    if (got instanceof PeerageError || got === undefined) throw got ?? new Error('nothing');
    this.received++;
    return got;
  }

  send(message: SocketMessage): Promise<void> {
    if (this.taken.length >= this.room) return new Promise(() => {});
    this.taken.push(message);
    return Promise.resolve();
  }

  close(code?: number, reason?: string): void {
    this.ended = `closed ${code} ${reason}`;
  }

  cancel(): void {
    this.ended ||= 'cancelled';
    this.come(new PeerageError('cancelled', 'cancelled'));
  }
}

let locks: Locks;
let far: Far;
let asked: SocketRequest | null;
let open: () => void;
let pages: PortSockets;

beforeEach(() => {
  locks = new Locks();
  locks.hold('peerage/holder/h');
  far = new Far();
  asked = null;
  vi.stubGlobal('navigator', { locks });
  const gate = new Promise<void>((resolve) => (open = resolve));
  const link = { openWebSocket: (request: SocketRequest) => ((asked = request), gate.then(() => far)) } as unknown as HttpLink;
  const holder = new Sockets(() => Promise.resolve(link), new Deaths(locks as unknown as LockManager));
  pages = new PortSockets(async ({ version, path, page }, port) => {
    port.postMessage({ type: 'passed', holder: 'h' });
    holder.begin({ type: 'socket', version, path, fields: [], page }, port);
  });
  return () => vi.unstubAllGlobals();
});

async function opened(): Promise<LinkSocket> {
  open();
  return pages.open({ path: '/ws', fields: [] });
}

const until = (condition: () => boolean): Promise<void> => vi.waitFor(() => expect(condition()).toBe(true));

describe('a WebSocket through a port', () => {
  it('carries_messages_and_the_close_both_ways', async () => {
    const near = await opened();
    expect(asked).toMatchObject({ path: '/ws' });
    expect(near.fields).toEqual([['sec-websocket-protocol', 'a']]);
    far.come('text', Uint8Array.of(1, 2).subarray(1), '');
    expect([await near.receive(), await near.receive(), await near.receive()]).toEqual(['text', Uint8Array.of(2), '']);
    await near.send('a');
    await near.send(Uint8Array.of(7));
    expect(far.taken).toEqual(['a', Uint8Array.of(7)]);
    near.close(3000, 'enough');
    await until(() => far.ended === 'closed 3000 enough');
    far.come(new SocketClose(3000, 'enough'));
    expect(await near.receive()).toEqual(new SocketClose(3000, 'enough'));
    expect(await near.receive()).toEqual(new SocketClose(3000, 'enough'));
  });

  it('reads_no_more_from_the_link_than_its_page_has_room_for', async () => {
    const near = await opened();
    const message = new Uint8Array(16 * 1024);
    for (let n = 0; n < 100; n++) far.come(message.slice());
    await new Promise((resolve) => setTimeout(resolve, 50));
    const most = Math.ceil(SOCKET_WINDOW / message.length);
    expect(far.received).toBeLessThanOrEqual(most);
    for (let n = 0; n < 100; n++) await near.receive();
    expect(far.received).toBe(100);
    // Empty messages are not free.
    for (let n = 0; n < 10_000; n++) far.come('');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(far.received).toBeLessThan(100 + SOCKET_WINDOW / 64 + 1);
  });

  it('says_that_a_message_was_sent_when_the_link_has_it', async () => {
    const near = await opened();
    far.room = 1;
    await near.send('a');
    let sent = false;
    void near.send('b').then(() => (sent = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sent).toBe(false);
  });

  it('breaks_with_the_link_with_its_holder_and_with_its_page', async () => {
    const broken = await opened();
    far.come(new PeerageError('gone', 'lost'));
    await expect(broken.receive()).rejects.toMatchObject({ code: 'gone' });
    await expect(broken.send('x')).rejects.toMatchObject({ code: 'gone' });

    far = new Far();
    const left = await opened();
    const sending = expect(left.send('x').then(() => left.receive())).rejects.toMatchObject({ code: 'gone' });
    locks.free('peerage/holder');
    await sending;

    locks.hold('peerage/holder/h');
    const kept = await opened();
    locks.free('peerage/page');
    await until(() => far.ended === 'cancelled');
    void kept;
  });

  it('is_given_up_while_it_opens', async () => {
    const abort = new AbortController();
    const failed = expect(pages.open({ path: '/ws', fields: [], signal: abort.signal })).rejects.toMatchObject({ code: 'cancelled' });
    await until(() => asked !== null);
    abort.abort();
    await failed;
    await until(() => asked?.signal?.aborted === true);
    open();
    await until(() => far.ended === 'cancelled');
  });

  it('is_tried_once_more_when_the_holder_goes_before_it_is_open', async () => {
    const opening = pages.open({ path: '/ws', fields: [] });
    await until(() => asked !== null);
    asked = null;
    locks.free('peerage/holder');
    locks.hold('peerage/holder/h');
    await until(() => asked !== null);
    open();
    await opening;
  });
});
