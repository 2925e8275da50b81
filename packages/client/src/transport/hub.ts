/** A connection to a hub: the offer goes there by HTTP, the answer comes back whole, and everything else goes over data channels. */
import { RoomError } from '../rooms/error.js';
import { shortText } from './short-text.js';
import { unlessAborted } from './wait.js';

type Octets = Uint8Array<ArrayBuffer>;

/** How long a channel may take to say what waits in it when it is closed. */
export const CLOSE_WITHIN = 500;
/** The channel is filled up to here, in octets, and again when it is down to there. */
export const HIGH_WATER = 262_144;
export const LOW_WATER = 65_536;
const CANDIDATES_MAX = 32;
const JSON_TYPE = 'application/json';
const ANSWER_MAX = 262_144;
/** How long the goodbye by HTTP may take. */
const LEAVE_WITHIN = 1_000;

export interface WireOptions {
  /** Paths are relative to it: with a slash at the end. */
  readonly server: URL;
  readonly room: string;
  readonly id: string;
  /** The first is the one that counts. */
  readonly channels: readonly { readonly label: string; readonly init: RTCDataChannelInit }[];
  readonly iceServers: readonly RTCIceServer[];
  /** How long a connection that its ICE calls disconnected, after some seconds of silence, may take to heal by itself, in milliseconds. */
  readonly patience: number;
  /** Ends the attempt with its reason, a `RoomError`. An open connection does not mind it. */
  readonly signal: AbortSignal;
}

export interface WireEvents {
  onMessage(data: unknown, channel: number): void;
  /** Less waits in the first channel. */
  onLow(): void;
  /** Once, after the connection was open, unless it was closed here. */
  onBroken(): void;
  onState?(of: 'ice' | 'connection', state: string): void;
  /** The answer is there, the channel not yet open. */
  onAnswer?(peerId: string | null): void;
}

export interface Wire {
  /** `false`: not sent. */
  send(data: string | Octets, channel?: number): boolean;
  /** Octets that wait in a channel; `null` where it is not open. */
  buffered(channel?: number): number | null;
  status(): { readonly peerConnection: string; readonly iceConnection: string; readonly dataChannel: string };
  /** Says what waits, within half a second. */
  close(): Promise<void>;
  /** At once. */
  abandon(): void;
}

export type OpenWire = (options: WireOptions, events: WireEvents) => Promise<Wire>;

/** Resolves when the first channel is open. Rejects with a `RoomError`, and nothing is left then. */
export const openWire: OpenWire = async (options, events) => {
  if (typeof RTCPeerConnection !== 'function') throw new RoomError('unsupported', 'there is no WebRTC here');
  options.signal.throwIfAborted();
  const wire = new RtcWire(options, events);
  try {
    await wire.open();
    return wire;
  } catch (error) {
    wire.abandon();
    throw error;
  }
};

class RtcWire implements Wire {
  readonly #options: WireOptions;
  readonly #events: WireEvents;
  readonly #pc: RTCPeerConnection;
  readonly #channels: readonly RTCDataChannel[];
  /** Ours that wait for the answer; `null` when they are sent as they come, or not at all any more. */
  #candidates: RTCIceCandidate[] | null = [];
  #sent = 0;
  #opened: { resolve(): void; reject(error: RoomError): void } | null = null;
  #isOpen = false;
  #isOver = false;
  #disconnected: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WireOptions, events: WireEvents) {
    this.#options = options;
    this.#events = events;
    try {
      this.#pc = new RTCPeerConnection({ iceServers: [...options.iceServers] });
    } catch (error) {
      throw new RoomError('bad-option', 'the ICE servers are none', { cause: error });
    }
    this.#channels = options.channels.map(({ label, init }, at) => {
      const channel = this.#pc.createDataChannel(label, init);
      channel.binaryType = 'arraybuffer';
      channel.addEventListener('message', ({ data }) => this.#isOver || events.onMessage(data, at));
      return channel;
    });
    const [first] = this.#channels;
    if (first === undefined) throw new RoomError('bad-option', 'a connection without channels');
    first.bufferedAmountLowThreshold = LOW_WATER;
    first.addEventListener('bufferedamountlow', () => this.#isOver || events.onLow());
    first.addEventListener('open', () => this.#open());
    first.addEventListener('close', () => this.#break(new RoomError('lost', 'the hub closed the connection')));
    this.#pc.addEventListener('icecandidate', ({ candidate }) => this.#gathered(candidate));
    this.#pc.addEventListener('connectionstatechange', () => this.#changed());
    this.#pc.addEventListener('iceconnectionstatechange', () => this.#isOver || events.onState?.('ice', this.#pc.iceConnectionState));
  }

  async open(): Promise<void> {
    const { server, room, id, signal } = this.#options;
    const opened = new Promise<void>((resolve, reject) => (this.#opened = { resolve, reject }));
    opened.catch(() => undefined);
    const offer = await this.#step(this.#pc.createOffer());
    await this.#step(this.#pc.setLocalDescription(offer));
    const said = await post(new URL('offer', server), { room, peer_id: id, offer: { sdp: offer.sdp, type: 'offer' } }, signal);
    const { answer, peer_id } = (said ?? {}) as { answer?: unknown; peer_id?: unknown };
    const { sdp, type } = (answer ?? {}) as { sdp?: unknown; type?: unknown };
    if (typeof sdp !== 'string' || type !== 'answer') throw new RoomError('refused', 'the server gave no answer to the offer');
    try {
      await this.#step(this.#pc.setRemoteDescription({ sdp, type }));
    } catch (error) {
      throw error instanceof RoomError ? error : new RoomError('refused', 'the server’s answer cannot be used', { cause: error });
    }
    this.#events.onAnswer?.(typeof peer_id === 'string' && peer_id !== '' ? peer_id : null);
    const waiting = this.#candidates ?? [];
    this.#candidates = null;
    for (const candidate of waiting) this.#tell(candidate);
    await this.#step(opened);
  }

  send(data: string | Octets, channel = 0): boolean {
    const to = this.#channels[channel];
    if (this.#isOver || to?.readyState !== 'open') return false;
    try {
      to.send(data as string);
      return true;
    } catch {
      return false;
    }
  }

  buffered(channel = 0): number | null {
    const of = this.#channels[channel];
    return !this.#isOver && of?.readyState === 'open' ? of.bufferedAmount : null;
  }

  status(): { readonly peerConnection: string; readonly iceConnection: string; readonly dataChannel: string } {
    return { peerConnection: this.#pc.connectionState, iceConnection: this.#pc.iceConnectionState, dataChannel: this.#channels[0]?.readyState ?? 'closed' };
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    const [first] = this.#channels;
    if (first?.readyState === 'open') {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_WITHIN);
        first.addEventListener('close', () => {
          clearTimeout(timer);
          resolve();
        });
        first.close();
      });
    }
    this.abandon();
  }

  abandon(): void {
    this.#isOver = true;
    clearTimeout(this.#disconnected);
    this.#pc.close();
  }

  async #step<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#options;
    return unlessAborted(work, signal, () => signal.reason);
  }

  #open(): void {
    this.#isOpen = true;
    this.#opened?.resolve();
  }

  #changed(): void {
    if (this.#isOver) return;
    const state = this.#pc.connectionState;
    this.#events.onState?.('connection', state);
    clearTimeout(this.#disconnected);
    const gone = new RoomError(this.#isOpen ? 'lost' : 'no-route', this.#isOpen ? 'the path to the hub broke' : 'no path to the hub was found');
    if (state === 'disconnected') this.#disconnected = setTimeout(() => this.#break(gone), this.#options.patience);
    else if (state === 'failed' || state === 'closed') this.#break(gone);
  }

  #break(error: RoomError): void {
    if (this.#isOver) return;
    if (!this.#isOpen) return this.#opened?.reject(error);
    this.abandon();
    this.#events.onBroken();
  }

  #gathered(candidate: RTCIceCandidate | null): void {
    if (candidate === null || candidate.candidate === '') return;
    if (this.#candidates !== null) this.#candidates.push(candidate);
    else this.#tell(candidate);
  }

  /** The hub knows us by our checks as well: what it is not told is no loss, and nothing at all once there is a way. */
  #tell(candidate: RTCIceCandidate): void {
    if (this.#isOpen || this.#isOver || ++this.#sent > CANDIDATES_MAX) return;
    const { server, room, id, signal } = this.#options;
    post(new URL('candidate', server), { room, peer_id: id, candidate: candidate.toJSON() }, signal).catch(() => undefined);
  }
}

/** Goodbye by HTTP, also by a page that goes. `token`: proves it for a member that has one. Never rejects, and takes a second at most. */
export async function postLeave(server: URL, room: string, id: string, token?: string): Promise<void> {
  // To another origin JSON has to be asked for first, and a page that goes has no time to wait for that; a hub minds no type.
  const { location } = globalThis as { location?: { origin?: string } };
  const type = location?.origin === server.origin ? JSON_TYPE : 'text/plain';
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), LEAVE_WITHIN);
  await post(new URL('leave', server), { room, peer_id: id, token }, late.signal, { keepalive: true, headers: { 'content-type': type } }).catch(() => undefined);
  clearTimeout(timer);
}

/** Rejects with a `RoomError`, or with the signal's reason. */
async function post(url: URL, body: unknown, signal: AbortSignal, more: RequestInit = {}): Promise<unknown> {
  try {
    const given: RequestInit = { method: 'POST', headers: { 'content-type': JSON_TYPE }, credentials: 'same-origin', cache: 'no-store' };
    const response = await fetch(url, { ...given, ...more, body: JSON.stringify(body), signal });
    if (!response.ok) {
      await response.body?.cancel();
      const { status } = response;
      throw new RoomError(status === 503 || status === 429 ? 'busy' : 'refused', status === 404 ? 'there are no rooms at this server (status 404)' : `the server refused (status ${status})`);
    }
    const text = await shortText(response, ANSWER_MAX);
    if (text === null) throw new RoomError('refused', 'the server’s answer is too long');
    return JSON.parse(text) as unknown;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof RoomError) throw error;
    if (error instanceof SyntaxError) throw new RoomError('refused', 'the server’s answer is no JSON');
    throw new RoomError('unreachable-server', 'the server cannot be reached', { cause: error });
  }
}
