/** The browser's WebRTC connection to a device: one ordered, reliable channel, a description that is built here and not taken from the wire. */
import { PeerageError } from '../error.js';
import { sha256 } from '../identity/key.js';
import { areEqual } from '../identity/caller.js';
import { emitSdp, formatFingerprint, parseSdp, type DataDescription } from '../protocol/sdp.js';
import type { CandidatePayload } from '../protocol/signal.js';
import { type PathStats, pathStats, relayOf, type Stats, transportOf } from './path.js';
import { Deferred } from './wait.js';

type Octets = Uint8Array<ArrayBuffer>;
type Candidate = CandidatePayload['candidate'];

/** A connection that its ICE calls disconnected may heal by itself; longer than this it is given up. */
const DISCONNECTED_MAX = 15_000;
/** Candidates of the other side that are taken at most. */
const CANDIDATES_MAX = 64;
/** Messages that are kept unread until the certificate has been checked, at most: a true peer sends one. */
const EARLY_MAX = 16;
/** Browsers answer twice with the same statistics within 50 ms: what is asked later sees the change. */
const STATS_AGE = 100;

export class Connection {
  readonly #channel: RTCDataChannel;
  readonly #pc: RTCPeerConnection;
  #offer: RTCSessionDescriptionInit = { type: 'offer' };
  readonly #opened = new Deferred<void>();
  readonly #broken = new Deferred<void>();
  /** Ours, until the other side has proven itself: addresses are not for strangers. */
  #held: RTCIceCandidate[] | null = [];
  /** Theirs, until there is a description to add them to. */
  #early: Candidate[] | null = [];
  #candidates = 0;
  /** Where the other side said that it is reached through a relay. */
  readonly #relays = new Set<string>();
  readonly #unread: unknown[] = [];
  readonly #keep = ({ data }: MessageEvent<unknown>) => void (this.#unread.length < EARLY_MAX && this.#unread.push(data));
  #release: ((candidate: RTCIceCandidate) => void) | null = null;
  #disconnected: ReturnType<typeof setTimeout> | undefined;

  /** `given`: what is the owner's own to say. */
  constructor(label: string, given: RTCConfiguration) {
    this.#pc = new RTCPeerConnection(given);
    this.#channel = this.#pc.createDataChannel(label, { ordered: true });
    this.#channel.binaryType = 'arraybuffer';
    this.#channel.addEventListener('open', () => this.#opened.resolve());
    this.#channel.addEventListener('message', this.#keep);
    this.#pc.addEventListener('icecandidate', ({ candidate }) => this.#gathered(candidate));
    this.#pc.addEventListener('connectionstatechange', () => this.#changed());
  }

  /** Resolves when the channel is open; rejects with `no-route` or `wrong-device` when there is no way left to it. Bound the wait. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Resolves when the path to the other side is lost for good. */
  get broken(): Promise<void> {
    return this.#broken.promise;
  }

  /** Our description, without candidates, and the fingerprint in it. It may be sent; nothing is gathered yet. */
  async offer(): Promise<{ readonly sdp: string; readonly fingerprint: Octets }> {
    const offer = await this.#pc.createOffer();
    const sdp = offer.sdp ?? '';
    const description = parseSdp(sdp);
    if (description === null || description.candidates.length > 0) throw new PeerageError('unsupported', 'this browser describes connections in an unknown way');
    this.#offer = offer;
    return { sdp, fingerprint: description.fingerprint };
  }

  /** Gathering begins, after the offer, and its candidates are held back. `iceServers` take the place of those given before. */
  async gather(iceServers: readonly RTCIceServer[] | null): Promise<void> {
    if (iceServers !== null) this.#use(iceServers);
    await this.#pc.setLocalDescription(this.#offer);
  }

  /** Applies a verified description and lets our candidates go, from now on as they come. */
  async accept(description: DataDescription, release: (candidate: RTCIceCandidate) => void): Promise<void> {
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: emitSdp(description, description.fingerprint, description.setup) });
    this.#release = release;
    for (const candidate of this.#held ?? []) release(candidate);
    this.#held = null;
    const early = this.#early ?? [];
    this.#early = null;
    for (const candidate of early) this.#apply(candidate);
    for (const candidate of description.candidates) this.add({ candidate, sdpMid: description.mid, sdpMLineIndex: 0 });
  }

  /** A candidate of the other side's; one that the browser cannot use is no loss. */
  add(candidate: Candidate): void {
    if (++this.#candidates > CANDIDATES_MAX) return;
    const relay = relayOf(candidate.candidate);
    if (relay !== null) this.#relays.add(relay);
    if (this.#early !== null) this.#early.push(candidate);
    else this.#apply(candidate);
  }

  /**
   * Whether the certificate of the handshake is the one with this fingerprint. The browser has compared it with the description before; this is a second look. `true`
   * where the browser shows it in no way (Firefox), and its own comparison is all there is.
   */
  async hasCertificate(fingerprint: Octets): Promise<boolean> {
    const [der] = this.#pc.sctp?.transport.getRemoteCertificates?.() ?? [];
    if (der !== undefined) return areEqual(await sha256(der), fingerprint);
    const stats = await this.#stats();
    const certificate = stats.get(String(transportOf(stats)?.['remoteCertificateId']));
    return certificate === undefined || String(certificate['fingerprint']).toUpperCase() === formatFingerprint(fingerprint);
  }

  /** The open channel, and what came on it so far and nobody has read. */
  take(): { readonly channel: RTCDataChannel; readonly unread: readonly unknown[] } {
    this.#channel.removeEventListener('message', this.#keep);
    return { channel: this.#channel, unread: this.#unread.splice(0) };
  }

  /** The path in use, as the browser counts it now. */
  async path(): Promise<PathStats> {
    return pathStats(await this.#stats(), this.#relays);
  }

  /** Calls soon after another path came into use, where the browser tells (Firefox does not), until the returned function is called. */
  onPath(changed: () => void): () => void {
    // Absent from the standard's types, and from some browsers.
    const ice = this.#pc.sctp?.transport.iceTransport as EventTarget | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const later = (): void => {
      clearTimeout(timer);
      timer = setTimeout(changed, STATS_AGE);
    };
    ice?.addEventListener('selectedcandidatepairchange', later);
    return () => {
      clearTimeout(timer);
      ice?.removeEventListener('selectedcandidatepairchange', later);
    };
  }

  close(): void {
    clearTimeout(this.#disconnected);
    this.#pc.close();
  }

  /** Servers that the browser cannot take are no loss: there are paths without. */
  #use(iceServers: readonly RTCIceServer[]): void {
    try {
      this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers: [...iceServers] });
    } catch {
      // What it says may repeat what it was given.
    }
  }

  #apply(candidate: Candidate): void {
    this.#pc.addIceCandidate(candidate).catch(() => undefined);
  }

  #gathered(candidate: RTCIceCandidate | null): void {
    if (candidate === null || candidate.candidate === '') return;
    if (this.#release !== null) this.#release(candidate);
    else this.#held?.push(candidate);
  }

  #changed(): void {
    const state = this.#pc.connectionState;
    clearTimeout(this.#disconnected);
    if (state === 'disconnected') this.#disconnected = setTimeout(() => this.#broken.resolve(), DISCONNECTED_MAX);
    if (state !== 'failed') return;
    // With a path that works, what failed is the handshake upon it: another certificate than the stated one.
    const hasPath = ['connected', 'completed'].includes(this.#pc.iceConnectionState);
    this.#opened.reject(
      hasPath
        ? new PeerageError('wrong-device', 'who answers on the path to the device has another certificate than the device stated')
        : new PeerageError('no-route', 'no path to the device was found'),
    );
    this.#broken.resolve();
  }

  /** Statistics as plain records: the standard's types leave out what browsers have. */
  async #stats(): Promise<Stats> {
    const stats = new Map<string, Readonly<Record<string, unknown>>>();
    (await this.#pc.getStats()).forEach((value: Readonly<Record<string, unknown>>, id) => stats.set(id, value));
    return stats;
  }
}
