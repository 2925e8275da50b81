/** One room, over one connection to its server. */
import { utf8 } from '../protocol/room/octets.js';
import { asRoomError, RoomError } from '../rooms/error.js';
import { report } from '../rooms/handlers.js';
import { serverOf } from '../rooms/options.js';
import { Outbox } from '../rooms/outbox.js';
import { watchPage } from '../rooms/page.js';
import { openWire, type OpenWire, postLeave, type Wire } from '../transport/hub.js';
import { chat, hear, type Heard, type RoomPeer, system, UNKNOWN } from './peerpyrtc-messages.js';
import { RoomPeers } from './peerpyrtc-peers.js';

/** What servers take of one message, old ones too, in octets. */
const MESSAGE_MAX = 65_536;
/** Messages said meanwhile are lost with a connection: it may take its time to heal. A server of Peerage waits for ten seconds in all. */
const PATIENCE = 3_000;
const LABEL = 'chat';

export interface WebRTCConnectionOptions {
  /** Default `peer-` and random characters. */
  readonly peerId?: string | undefined;
  /** Writes to the console what happens. */
  readonly debug?: boolean | undefined;
  /** In a row. Default 3. */
  readonly maxReconnectAttempts?: number | undefined;
  /** Milliseconds before each. Default 2,000. */
  readonly reconnectDelay?: number | undefined;
  /** URL before `/offer`. Default: the page's origin. */
  readonly server?: string | URL | undefined;
  /** Default: none. */
  readonly iceServers?: readonly RTCIceServer[] | undefined;
  /** Milliseconds that one attempt to connect may take. Default 15,000. */
  readonly timeout?: number | undefined;
}

export interface ConnectionStatus {
  readonly peerConnection: string;
  readonly iceConnection: string;
  readonly dataChannel: string;
  readonly isFullyConnected: boolean;
}

/** @internal What the room manager hears beside the page. */
export interface Hooks {
  onOpen?(): void;
  onLost?(): void;
  onError?(error: unknown): void;
  onEvent?(sender: string, data: unknown, event: string): void;
}

/** @internal */
export const HOOKS = Symbol('hooks');
/** @internal For tests. */
export const WORLD: { open: OpenWire } = { open: openWire };

export class WebRTCConnection {
  /** The channel is open, for the first time or again. */
  onOpen: (() => void) | null = null;
  /** It is over: by `closeConnection`, or as reconnecting was of no use. Once. */
  onClose: (() => void) | null = null;
  onError: ((error: unknown) => void) | null = null;
  /** `event` only where somebody sent one. */
  onMessage: ((sender: string, message: any, event?: string) => void) | null = null;
  onStatusChange: ((status: string) => void) | null = null;
  onPeerJoined: ((peer: RoomPeer) => void) | null = null;
  onPeerLeft: ((peer: RoomPeer) => void) | null = null;
  onRoomUpdate: ((peers: RoomPeer[]) => void) | null = null;

  readonly room: string;
  readonly #options: WebRTCConnectionOptions;
  #peerId: string;
  /** @internal */
  readonly [HOOKS]: Hooks = {};
  #wire: Wire | null = null;
  readonly #outbox = new Outbox(Date.now);
  #peers: RoomPeers | null = null;
  /** From `connect` to the end. */
  #life: AbortController | null = null;
  /** What `connect` waits for, in this life. */
  #connecting: Promise<void> | null = null;
  /** The goodbye of a life before: the next one would be meant by it. */
  #leaving: Promise<void> = Promise.resolve();
  #wasClosed = false;
  #wake: (() => void) | null = null;
  #states = { peerConnection: 'closed', iceConnection: 'closed' };

  constructor(room: string, options: WebRTCConnectionOptions = {}) {
    this.room = room;
    this.#options = options;
    this.#peerId = options.peerId ?? `peer-${Math.random().toString(36).slice(2, 11)}`;
  }

  get peerId(): string {
    return this.#peerId;
  }

  /** Resolves when the channel is open. Rejects, after `onError`, where that does not come about. */
  connect(): Promise<void> {
    if (this.isConnected()) return Promise.resolve();
    return this.#connecting ?? this.#connects(() => this.#begin());
  }

  /** Resolves when the goodbye is said, within two seconds. */
  async closeConnection(): Promise<void> {
    const life = this.#life;
    if (life === null) return this.#leaving;
    const wire = this.#wire;
    this.#wire = null;
    this.#leaving = this.#sayGoodbye(wire);
    this.#end(new RoomError('closed', 'the connection was closed'));
    return this.#leaving;
  }

  /** `false`, after a warning and `onError`, where there is no connection or the message is too large. */
  sendMessage(message: unknown): boolean {
    if (this.#isMissing()) return false;
    return this.#say(() => chat(this.#peerId, message));
  }

  /** Waits for the connection where there is none. `false` without an event, after the end, and where too much waits. */
  emit(event: string, data?: unknown): boolean {
    return this.#event('EVENT', event, data);
  }

  broadcast(event: string, data?: unknown): boolean {
    return this.#event('BROADCAST', event, data);
  }

  /** Says this as it is. */
  sendRawJSON(value: unknown): boolean {
    if (this.#isMissing()) return false;
    return this.#say(() => JSON.stringify(value));
  }

  isConnected(): boolean {
    return this.#wire?.buffered() != null;
  }

  getConnectionStatus(): ConnectionStatus {
    const states = this.#wire?.status() ?? { ...this.#states, dataChannel: this.#connecting === null ? 'closed' : 'connecting' };
    return { ...states, isFullyConnected: this.isConnected() };
  }

  getRoomPeers(): RoomPeer[] {
    return this.#peers?.list() ?? [];
  }

  /** Oneself included. */
  getPeerCount(): number {
    return this.#peers?.size ?? 0;
  }

  isRoomHost(): boolean {
    return this.#peers?.host === this.#peerId;
  }

  /** Makes the connection anew, `maxReconnectAttempts` times at most. It is called when a connection is lost; a page need not. */
  async handleDisconnection(): Promise<void> {
    const life = this.#life;
    if (life === null) return;
    this.#wire?.abandon();
    this.#wire = null;
    this.#outbox.close();
    await (this.#connecting ?? this.#connects(() => this.#reconnect(life))).catch(() => undefined);
  }

  // ---------------------------------------------------------------------------------------------------------- connecting

  #connects(begin: () => Promise<void>): Promise<void> {
    let follow: (work: Promise<void>) => void = () => undefined;
    const connecting = new Promise<void>((resolve) => (follow = resolve)).finally(() => {
      if (this.#connecting === connecting) this.#connecting = null;
    });
    // Before it begins: a page that is told of it, and connects again, waits for it.
    this.#connecting = connecting;
    follow(begin());
    return connecting;
  }

  async #begin(): Promise<void> {
    const life = new AbortController();
    this.#life = life;
    this.#wasClosed = false;
    await this.#leaving;
    try {
      await this.#attempt(life);
    } catch (error) {
      // Otherwise it was closed, which ends it in its own way.
      if (this.#life === life) {
        this.#life = null;
        this.#outbox.end(asRoomError(error));
        this.#fail(error);
      }
      throw error;
    }
    const unwatch = watchPage({ onHide: () => this.#hide(), onShow: () => this.#wake?.(), onWake: () => this.#woken() });
    life.signal.addEventListener('abort', unwatch);
  }

  async #attempt(life: AbortController): Promise<void> {
    const { server, iceServers = [], timeout = 15_000 } = this.#options;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new RoomError('timeout', 'there was no connection in time')), timeout);
    const signal = AbortSignal.any([life.signal, late.signal]);
    let wire: Wire | null = null;
    const isCurrent = (): boolean => wire !== null && wire === this.#wire;
    try {
      signal.throwIfAborted();
      wire = await WORLD.open(
        { server: serverOf(server), room: this.room, id: this.#peerId, channels: [{ label: LABEL, init: { ordered: true } }], iceServers, patience: PATIENCE, signal },
        {
          onMessage: (data) => isCurrent() && this.#heard(hear(data)),
          onLow: () => isCurrent() && this.#outbox.flush(),
          onBroken: () => isCurrent() && this.#lost(),
          onState: (of, state) => {
            this.#states = { ...this.#states, [of === 'ice' ? 'iceConnection' : 'peerConnection']: state };
            if (this.#life === life) this.#status(`${of === 'ice' ? 'ICE' : 'Connection'}: ${state}`);
          },
          onAnswer: (peerId) => {
            if (peerId !== null) this.#peerId = peerId;
            this.#status('Waiting for connection...');
          },
        },
      );
      if (signal.aborted) {
        wire.abandon();
        signal.throwIfAborted();
      }
    } catch (error) {
      throw asRoomError(error);
    } finally {
      clearTimeout(timer);
    }
    this.#wire = wire;
    const now = Date.now();
    const { userAgent = 'unknown' } = (globalThis as { navigator?: { userAgent?: string } }).navigator ?? {};
    const about = { userAgent, timestamp: now };
    this.#peers = new RoomPeers(this.#peerId, about, now);
    wire.send(system('PEER_JOIN', about, this.#peerId, now));
    this.#outbox.open(wire);
    this.#call(this[HOOKS].onOpen);
    this.#call(this.onOpen);
  }

  #lost(): void {
    const life = this.#life;
    this.#wire = null;
    this.#outbox.close();
    if (life === null) return;
    this.#call(this[HOOKS].onLost);
    const { maxReconnectAttempts = 3 } = this.#options;
    if (maxReconnectAttempts > 0) void this.handleDisconnection();
    else this.#end(new RoomError('lost', 'the connection was lost'));
  }

  async #reconnect(life: AbortController): Promise<void> {
    const { maxReconnectAttempts = 3, reconnectDelay = 2_000 } = this.#options;
    let last: unknown = new RoomError('lost', 'the connection was lost');
    for (let attempt = 1; attempt <= maxReconnectAttempts; attempt++) {
      this.#status(`Reconnecting: Attempt ${attempt}`);
      await this.#pause(reconnectDelay, life.signal);
      life.signal.throwIfAborted();
      try {
        return await this.#attempt(life);
      } catch (error) {
        life.signal.throwIfAborted();
        last = error;
        this.#fail(error);
      }
    }
    this.#end(asRoomError(last));
    throw last;
  }

  /** Shorter when the page wakes. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    let wake = (): void => undefined;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener('abort', wake);
    });
    signal.removeEventListener('abort', wake);
    if (this.#wake === wake) this.#wake = null;
  }

  /** Once for each life. */
  #end(error: RoomError): void {
    const life = this.#life;
    if (life === null) return;
    this.#life = null;
    // A next one does not wait for what was begun in this one.
    this.#connecting = null;
    this.#wasClosed = true;
    this.#wire?.abandon();
    this.#wire = null;
    this.#peers = null;
    this.#outbox.end(error);
    life.abort(error);
    this.#call(this[HOOKS].onLost);
    this.#call(this.onClose);
  }

  async #sayGoodbye(wire: Wire | null): Promise<void> {
    wire?.send(system('PEER_LEAVE', {}, this.#peerId, Date.now()));
    // What is said on the channel first: an old server that hears of it by HTTP first tells nobody.
    await wire?.close();
    await this.#postLeave();
  }

  #postLeave(): Promise<void> {
    return postLeave(serverOf(this.#options.server), this.room, this.#peerId);
  }

  // --------------------------------------------------------------------------------------------------------------- page

  #hide(): void {
    const wire = this.#wire;
    this.#wire = null;
    if (this.#life === null) return;
    wire?.send(system('PEER_LEAVE', {}, this.#peerId, Date.now()));
    void wire?.close();
    void this.#postLeave();
    // Frozen from here on; a page that comes back from the cache goes on from here.
    if (wire !== null) this.#lost();
  }

  #woken(): void {
    this.#wake?.();
    if (this.#wire?.status().peerConnection !== 'disconnected') return;
    this.#wire.abandon();
    this.#lost();
  }

  // -------------------------------------------------------------------------------------------------- saying and hearing

  #event(action: string, event: string, data: unknown): boolean {
    if (!event || this.#wasClosed) {
      console.warn(event ? 'peerpyrtc: the connection is closed' : 'peerpyrtc: an event needs a name');
      return false;
    }
    return this.#say(() => system(action, { event, data }, this.#peerId, Date.now()));
  }

  #isMissing(): boolean {
    if (this.isConnected()) return false;
    console.warn('peerpyrtc: not connected, nothing is sent');
    this.#fail(new RoomError(this.#wasClosed ? 'closed' : 'lost', 'not connected'));
    return true;
  }

  #say(make: () => string): boolean {
    try {
      const text = make();
      const size = utf8(text).length;
      if (size > MESSAGE_MAX) throw new RoomError('too-large', 'a message has 64 KiB at most');
      this.#outbox.add(size, () => text);
      return true;
    } catch (error) {
      this.#fail(error instanceof RoomError ? error : new RoomError('not-json', 'the data cannot be written as JSON', { cause: error }));
      return false;
    }
  }

  #heard(heard: Heard): void {
    const peers = this.#peers;
    if (peers === null) return;
    const now = Date.now();
    switch (heard.type) {
      case 'joined': {
        const peer = peers.joined(heard.id, heard.about, now);
        if (peer === null) return;
        this.#call(this.onPeerJoined, peer);
        this.#update();
        if (!peers.serverDecides) this.#tellState(heard.id);
        return;
      }
      case 'left': {
        const peer = peers.left(heard.id);
        if (peer === null) return;
        this.#call(this.onPeerLeft, peer);
        return this.#update();
      }
      case 'state':
        peers.state(heard.from, heard.peers, heard.hostId, now);
        return this.#update();
      case 'host':
        if (peers.hosted(heard.from, heard.id)) this.#update();
        return;
      case 'message': {
        // A hub that knows its members signs what it says: this was one of them.
        const from = heard.isUnsigned && peers.serverDecides ? UNKNOWN : heard.from;
        peers.seen(from, now);
        if (heard.event === undefined) return this.#call(this.onMessage, from, heard.value);
        this.#call(this[HOOKS].onEvent, from, heard.value, heard.event);
        return this.#call(this.onMessage, from, heard.value, heard.event);
      }
      case 'nothing':
    }
  }

  /** At an old server nobody else tells a newcomer who is there. */
  #tellState(to: string): void {
    const peers = this.getRoomPeers().map(({ isHost: _, ...peer }) => peer);
    this.#wire?.send(system('ROOM_STATE', { peers, hostId: this.#peers?.host ?? null }, this.#peerId, Date.now(), to));
  }

  #update(): void {
    this.#call(this.onRoomUpdate, this.getRoomPeers());
  }

  #status(text: string): void {
    if (this.#options.debug) console.log(`peerpyrtc ${this.room}: ${text}`);
    this.#call(this.onStatusChange, text);
  }

  #fail(error: unknown): void {
    if (this.#options.debug) console.log(`peerpyrtc ${this.room}:`, error);
    this.#call(this[HOOKS].onError, error);
    this.#call(this.onError, error);
  }

  /** A callback that throws harms nothing here. */
  #call<Given extends unknown[]>(callback: ((...given: Given) => void) | null | undefined, ...given: Given): void {
    try {
      callback?.call(this, ...given);
    } catch (error) {
      report(error);
    }
  }
}
