/**
 * STUN and TURN servers for pages with the stock PeerJS client, of the server where the page's peer has its id. PeerJS 1.4 and 1.5 hand `options.config` to every
 * `RTCPeerConnection`: that is where they go. Until they are there, what the server said is kept from PeerJS, so that no connection is made without them.
 */
import { PeerageError } from '../error.js';
import { mintedIceServers } from '../transport/ice-servers.js';
import { Deferred } from '../transport/wait.js';

/** What is needed of PeerJS's `Peer`. */
export interface StockPeer {
  readonly id: string | null | undefined;
  readonly open: boolean;
  readonly destroyed: boolean;
  /** Those that PeerJS made of what it was given. */
  readonly options: {
    readonly host?: string;
    readonly port?: number;
    readonly path?: string;
    readonly key?: string;
    readonly token?: string;
    readonly secure?: boolean;
    config?: RTCConfiguration;
  };
  on(event: 'open' | 'disconnected' | 'close', listener: () => void): unknown;
}

export interface UseIceServersOptions {
  /** Told each time that new servers are in place, with all that connections now get. */
  readonly onServers?: (iceServers: readonly RTCIceServer[]) => void;
  /** Told each time that the server gave none. Default: a line in the console. */
  readonly onError?: (error: PeerageError) => void;
}

/**
 * Gives every connection of `peer` the ICE servers of its own signalling server, with credentials that are renewed before they expire and whenever the peer opens
 * anew. The page's own servers stay in front of them; PeerJS's default ones, which belong to others, go. Call it straight after `new Peer(…)`: the peer then opens
 * when they are in place, two seconds late at most.
 *
 * Resolves with what connections get, as soon as it is in place. Where the server gives none, what the page had stays, and the promise rejects with `PeerageError`:
 * `unsupported` by a server that does not know the question, `denied`, `busy`, `timeout`, `malformed`, `unreachable-server`, or `closed` for a peer that ended
 * before. A promise that nobody waits for is no error.
 */
export function useIceServers(peer: StockPeer, options: UseIceServersOptions = {}): Promise<readonly RTCIceServer[]> {
  return new Keeper(peer, options).ready;
}

/** Of the time that credentials are good: when others are asked for (`ice.md` section 1). */
const RENEW_AT = 0.5;
/** After a failure that may pass, in milliseconds, and at the earliest after an answer. */
const AGAIN = 60_000;
/** A page's timers hold no more than 24 days. */
const TIMER_MAX = 2_073_600_000;
/** Messages of the server that are kept from PeerJS at most: then it gets them without waiting any longer. */
const HELD_MAX = 256;

/** What PeerJS 1.4 and 1.5 use where a page says nothing. */
const DEFAULTS = ['stun:stun.l.google.com:19302', 'turn:eu-0.turn.peerjs.com:3478', 'turn:us-0.turn.peerjs.com:3478'];

type Handle = (this: unknown, message: unknown) => void;

class Keeper {
  readonly #peer: StockPeer;
  readonly #options: UseIceServersOptions;
  readonly #ready = new Deferred<readonly RTCIceServer[]>();
  /** What the page itself gave. */
  #own: readonly RTCIceServer[] = [];
  /** What was put in place last: anything else found there is the page's. */
  #placed: readonly RTCIceServer[] | null = null;
  /** Ends what is done for the socket that there is now. */
  #end = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(peer: StockPeer, options: UseIceServersOptions) {
    this.#peer = peer;
    this.#options = options;
    peer.on('disconnected', () => this.#left());
    peer.on('close', () => {
      this.#left();
      this.#ready.reject(new PeerageError('closed', 'the peer was closed before it had ICE servers'));
    });
    if (peer.destroyed) this.#ready.reject(new PeerageError('closed', 'the peer is closed'));
    else if (!this.#hold()) peer.on('open', () => void this.#renew());
    if (peer.open) void this.#renew();
  }

  get ready(): Promise<readonly RTCIceServer[]> {
    return this.#ready.promise;
  }

  /** Stands before what PeerJS does with the server's messages. `false` where it is built otherwise than those that are known. */
  #hold(): boolean {
    const peer = this.#peer as { _handleMessage?: Handle };
    const handle = peer._handleMessage;
    if (typeof handle !== 'function') return false;
    let held: unknown[] | null = null;
    const pass = (end: AbortSignal): void => {
      const messages = held ?? [];
      held = null;
      // Each on its own, as they come from a socket: one that PeerJS stumbles over stops no other.
      for (const message of messages) queueMicrotask(() => end.aborted || handle.call(peer, message));
    };
    peer._handleMessage = (message) => {
      if (held !== null) {
        if (held.push(message) >= HELD_MAX) pass(this.#end.signal);
      } else if ((message as { type?: unknown } | null)?.type === 'OPEN') {
        held = [message];
        const end = this.#end.signal;
        void this.#renew().then(() => end.aborted || pass(end));
        end.addEventListener('abort', () => (held = null));
      } else handle.call(peer, message);
    };
    return true;
  }

  /** The socket is gone, and with it the id and all that it said and nobody has read. */
  #left(): void {
    clearTimeout(this.#timer);
    this.#end.abort();
    this.#end = new AbortController();
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    clearTimeout(this.#timer);
    const { signal } = this.#end;
    try {
      const { url, token } = question(this.#peer);
      const { iceServers, ttl } = await mintedIceServers(url, token, signal);
      if (signal.aborted) return;
      this.#place(iceServers);
      this.#arm(Math.min(TIMER_MAX, Math.max(AGAIN, ttl * 1000 * RENEW_AT)));
    } catch (thrown) {
      if (signal.aborted) return;
      const error = thrown instanceof PeerageError ? thrown : new PeerageError('unsupported', 'this is no peer of PeerJS 1.4 or 1.5');
      this.#fail(error);
      if (error.code !== 'unsupported') this.#arm(AGAIN);
    }
  }

  /** A server that has nothing to offer changes nothing. */
  #place(iceServers: readonly RTCIceServer[]): void {
    const { config } = this.#peer.options;
    const found = config?.iceServers ?? [];
    if (found !== this.#placed) this.#own = isDefault(found) ? [] : found;
    if (iceServers.length > 0) {
      const all = [...this.#own, ...iceServers];
      // Another object: PeerJS's default one is all peers'.
      this.#peer.options.config = { ...config, iceServers: all };
      this.#placed = all;
    }
    const now = this.#peer.options.config?.iceServers ?? [];
    this.#ready.resolve(now);
    const { onServers } = this.#options;
    // The page's own faults are the page's, and hold up nothing here.
    if (onServers !== undefined) queueMicrotask(() => onServers(now));
  }

  #fail(error: PeerageError): void {
    this.#ready.reject(error);
    const { onError } = this.#options;
    if (onError !== undefined) queueMicrotask(() => onError(error));
    else console.warn(`peerage: the peer goes on without ICE servers of its server: ${error.message}`);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => void this.#renew(), ms);
  }
}

/** As PeerJS makes its own questions to the server. */
function question({ id, options }: StockPeer): { readonly url: URL; readonly token: string } {
  const { secure, host, port, path = '/', key = 'peerjs', token } = options;
  if (!id || token === undefined) throw new PeerageError('unsupported', 'this peer has no id or no token');
  const url = new URL(`${secure === true ? 'https' : 'http'}://${host}:${port}${path}${key}/ice`);
  url.search = new URLSearchParams({ id }).toString();
  return { url, token };
}

function isDefault(iceServers: readonly RTCIceServer[]): boolean {
  return iceServers.flatMap(({ urls }) => urls).join() === DEFAULTS.join();
}
