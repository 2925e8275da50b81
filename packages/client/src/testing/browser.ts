/** The parts of a browser that links stand on, played by hand. */
import { formatFingerprint } from '../protocol/sdp.js';

type Octets = Uint8Array<ArrayBuffer>;
type Json = Readonly<Record<string, unknown>>;

export class FakeWebSocket {
  static all: FakeWebSocket[] = [];
  readonly url: URL;
  readonly sent: Json[] = [];
  isClosed = false;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(url: URL) {
    this.url = url;
    FakeWebSocket.all.push(this);
  }

  static get last(): FakeWebSocket {
    const last = FakeWebSocket.all.at(-1);
    if (last === undefined) throw new Error('no socket was opened');
    return last;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Json);
  }

  close(): void {
    this.isClosed = true;
  }

  /** The server says something. */
  says(frame: Json | string): void {
    this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
  }

  sentOf(type: string): Json[] {
    return this.sent.filter((frame) => frame['type'] === type);
  }
}

const CHROMIUM = 'v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n';

/** A description as Chromium writes it. */
export function chromiumSdp(fingerprint: Octets, setup: string): string {
  return (
    CHROMIUM +
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:hrFr\r\na=ice-pwd:8dTjCsK9bsEODckLB3kRIAS6\r\na=ice-options:trickle\r\n' +
    `a=fingerprint:sha-256 ${formatFingerprint(fingerprint)}\r\na=setup:${setup}\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n`
  );
}

export class FakeDataChannel extends EventTarget {
  binaryType = 'blob';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  readonly sent: Octets[] = [];

  send(octets: Octets): void {
    this.sent.push(octets.slice());
  }

  close(): void {
    this.dispatchEvent(new Event('close'));
  }
}

export class FakePeerConnection extends EventTarget {
  static all: FakePeerConnection[] = [];
  readonly fingerprint = crypto.getRandomValues(new Uint8Array(32));
  readonly channel = new FakeDataChannel();
  readonly added: Json[] = [];
  readonly ice = new EventTarget();
  config: Json;
  /** What it had been given when it began to gather; `null` before. */
  gatheredWith: Json | null = null;
  label = '';
  connectionState = 'new';
  iceConnectionState = 'new';
  remote: string | null = null;
  isClosed = false;
  /** DER of the certificate that the other side showed; `null` in a browser that does not tell. */
  certificate: Octets | null = new Uint8Array(0);
  stats: readonly Json[] = [];

  constructor(config: Json = {}) {
    super();
    this.config = config;
    FakePeerConnection.all.push(this);
  }

  static get last(): FakePeerConnection {
    const last = FakePeerConnection.all.at(-1);
    if (last === undefined) throw new Error('no connection was made');
    return last;
  }

  get sctp(): unknown {
    const shown = this.certificate === null ? {} : { getRemoteCertificates: () => [this.certificate?.buffer] };
    return { transport: { ...shown, iceTransport: this.ice } };
  }

  getConfiguration(): Json {
    return this.config;
  }

  setConfiguration(config: Json): void {
    this.config = config;
  }

  createDataChannel(label: string): FakeDataChannel {
    this.label = label;
    return this.channel;
  }

  async createOffer(): Promise<Json> {
    return { type: 'offer', sdp: chromiumSdp(this.fingerprint, 'actpass') };
  }

  async setLocalDescription(): Promise<void> {
    this.gatheredWith = this.config;
    this.gather('candidate:1 1 udp 2122260223 192.0.2.9 50000 typ host');
  }

  async setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    this.remote = sdp;
  }

  async addIceCandidate(candidate: Json): Promise<void> {
    this.added.push(candidate);
  }

  async getStats(): Promise<ReadonlyMap<unknown, Json>> {
    return new Map(this.stats.map((entry) => [entry['id'], entry]));
  }

  close(): void {
    this.isClosed = true;
  }

  gather(candidate: string): void {
    const event = new Event('icecandidate');
    const init = { candidate, sdpMid: '0', sdpMLineIndex: 0 };
    this.dispatchEvent(Object.assign(event, { candidate: { ...init, toJSON: () => init } }));
  }

  becomes(connectionState: string, iceConnectionState = connectionState): void {
    this.connectionState = connectionState;
    this.iceConnectionState = iceConnectionState;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  opens(): void {
    this.channel.dispatchEvent(new Event('open'));
  }
}
