/** Opens a verified link to a device: who answers is believed by its key alone, never by what the server says (`identity.md` sections 4 to 6). */
import { PeerageError, type Code } from '../error.js';
import type { ExchangeRequest, ExchangeResponse, HttpLink, LinkSocket, SocketRequest } from '../fetch/exchange.js';
import { ChannelHttpLink } from '../fetch/http-link.js';
import { SentOffer, type FalseAnswer, type Verdict } from '../identity/caller.js';
import type { CallerIdentity } from '../identity/key.js';
import type { LinkProof } from '../identity/proof.js';
import { isDeviceId } from '../protocol/id.js';
import type { DataDescription } from '../protocol/sdp.js';
import { emitCandidate, parseAnswer, parseCandidate, type Frame, type OfferPayload } from '../protocol/signal.js';
import { Connection } from './connection.js';
import { configuredIceServers, ICE_WITHIN, mintedIceServers } from './ice-servers.js';
import type { PathStats } from './path.js';
import { randomText, Signalling } from './signalling.js';
import { Deferred, within } from './wait.js';

/** How far an attempt has come. */
export type LinkState = 'signalling' | 'calling' | 'verifying' | 'connecting' | 'open';

export interface OpenLinkOptions {
  /** The device id to call. */
  readonly device: string;
  /** Base of the PeerJS server, as `ws://host/__peerage/`: the socket is at `peerjs` below it. */
  readonly server: URL;
  readonly identity: CallerIdentity;
  /** For a first visit; `null` when the device already knows the identity's key. */
  readonly proof: LinkProof | null;
  /** Default: the server is asked for its own, with credentials for this connection, and for what its owner lists where it has none. */
  readonly iceServers?: readonly RTCIceServer[];
  /** `relay`: addresses of this machine stay unknown to the device, and without a relay there is no link. Default `all`. */
  readonly iceTransportPolicy?: RTCIceTransportPolicy;
  readonly onState?: (state: LinkState) => void;
  /** Ends the attempt with `cancelled`. Once the link is open it has no effect: `close()` it. */
  readonly signal?: AbortSignal;
}

/** The path of a link, as the browser counts it. */
export interface Path extends PathStats {
  /** Milliseconds from the beginning of the attempt until the link was open. */
  readonly openedIn: number;
}

/** A link that is open: the device proved its key, and its certificate is the one that key vouches for. */
export interface OpenLink extends HttpLink {
  /** The path that packets take now. Rejects when the link is gone. */
  path(): Promise<Path>;
  /** Calls at once, every 5 s, and soon after the path changed, until the link is gone or the returned function is called. */
  watch(listener: (path: Path) => void): () => void;
}

const LABEL = 'peerage-http';
/** Time for the server to say OPEN, with as many sockets as that takes. */
const SERVER_WITHIN = 15_000;
/** Time for a true answer: servers expire a call to an absent device after 5 to 6 s, a sleepy device may take a few. */
const ANSWER_WITHIN = 15_000;
/** Time for ICE, DTLS and SCTP: ICE itself gives up after about 20 s. */
const CONNECT_WITHIN = 30_000;
const CERTIFICATE_WITHIN = 5_000;
/** The server is left so long after the link opened: late candidates may find a better path. */
const LINGER = 10_000;
/** How often a path that is watched is looked at. */
const LOOK_EVERY = 5_000;
/** Answers that are judged at the same time at most: each costs a signature check, and anyone may send some. */
const JUDGED_AT_ONCE = 8;

/** Rejects with `PeerageError`; every wait inside is bounded. */
export async function openLink(options: OpenLinkOptions): Promise<OpenLink> {
  if (typeof RTCPeerConnection === 'undefined') throw new PeerageError('unsupported', 'this browser has no WebRTC');
  if (globalThis.crypto?.subtle === undefined) throw new PeerageError('unsupported', 'this page has no WebCrypto: open it by https, or on the machine itself');
  if (!isDeviceId(options.device)) throw new PeerageError('bad-link', 'a device id is 52 characters of a-z and 2-7');
  let attempt: Attempt | undefined;
  try {
    attempt = new Attempt(options);
    return await attempt.run();
  } catch (error) {
    attempt?.abandon();
    if (error instanceof PeerageError) throw error;
    throw new PeerageError('internal', 'the browser refused a step of the connection', { cause: error });
  }
}

class Attempt {
  readonly #options: OpenLinkOptions;
  readonly #connection: Connection;
  readonly #signalling: Signalling;
  /** Rejects when the attempt is over from outside: cancelled, or turned away by the server. */
  readonly #stopped = new Deferred<never>();
  readonly #cancel = () => this.#stopped.reject(new PeerageError('cancelled', 'the attempt was cancelled'));
  readonly #end = new AbortController();
  readonly #since = performance.now();
  /** What the server's owner lists for everyone. */
  readonly #configured: Promise<readonly RTCIceServer[]>;
  #calling: { readonly offer: SentOffer; readonly verdict: Deferred<Verdict>; isAnswered: boolean } | null = null;
  #judging = 0;
  /** Why the last answer that was not believed was not. */
  #doubt: FalseAnswer | null = null;

  constructor(options: OpenLinkOptions) {
    this.#options = options;
    if (options.signal?.aborted === true) this.#cancel();
    options.signal?.addEventListener('abort', this.#cancel, { once: true });
    const { iceServers, iceTransportPolicy } = options;
    this.#connection = new Connection(LABEL, { ...(iceServers && { iceServers: [...iceServers] }), ...(iceTransportPolicy && { iceTransportPolicy }) });
    this.#signalling = new Signalling(options.server, {
      onFrame: (frame) => this.#handle(frame),
      onRefused: (error) => this.#stopped.reject(error),
    });
    this.#configured = iceServers === undefined ? this.#readConfig() : Promise.resolve([]);
  }

  async run(): Promise<OpenLink> {
    this.#tell('signalling');
    const iceServers = this.#iceServers();
    const { sdp, fingerprint } = await this.#or(this.#connection.offer());
    // Beside the call: candidates are of use only when it was answered.
    const gathering = iceServers.then((servers) => this.#connection.gather(servers));
    gathering.catch(() => undefined);
    await this.#wait(SERVER_WITHIN, this.#signalling.opened, () => ['unreachable-server', 'the signalling server does not answer']);
    this.#tell('calling');
    const description = await this.#call(sdp, fingerprint);
    this.#tell('connecting');
    await this.#or(gathering);
    await this.#or(this.#connection.accept(description, (candidate) => this.#sendCandidate(candidate)));
    await this.#wait(CONNECT_WITHIN, this.#connection.opened, () => ['no-route', 'no path to the device was found in time']);
    await this.#check(description);
    this.#end.abort();
    const link = new VerifiedLink(this.#connection, performance.now() - this.#since);
    const leave = setTimeout(() => this.#signalling.close(), LINGER);
    void link.closed.then(() => {
      clearTimeout(leave);
      this.#signalling.close();
    });
    this.#options.signal?.removeEventListener('abort', this.#cancel);
    this.#tell('open');
    return link;
  }

  abandon(): void {
    this.#options.signal?.removeEventListener('abort', this.#cancel);
    this.#end.abort();
    this.#signalling.close();
    this.#connection.close();
  }

  /** Where the server cannot be reached, nothing else need be waited for. */
  async #readConfig(): Promise<readonly RTCIceServer[]> {
    const server = new URL(this.#options.server);
    server.protocol = server.protocol.replace(/^ws/, 'http');
    try {
      return await configuredIceServers(server, this.#end.signal);
    } catch (error) {
      if (!this.#signalling.isOpen) this.#stopped.reject(error as PeerageError);
      return [];
    }
  }

  /**
   * `null` for those of the owner, which the browser has. Else the server's, as soon as it has let us in. Never rejects, and takes no longer than it may: a server
   * that has none, or says none in time, is one without.
   */
  async #iceServers(): Promise<readonly RTCIceServer[] | null> {
    if (this.#options.iceServers !== undefined) return null;
    await this.#signalling.opened;
    const ask = async (): Promise<readonly RTCIceServer[]> => {
      const { url, token } = this.#signalling.ice;
      const minted = await mintedIceServers(url, token, this.#end.signal).catch(() => null);
      return minted?.iceServers ?? (await this.#configured);
    };
    return within(ICE_WITHIN, ask(), () => ['timeout', 'no ICE servers in time']).catch(() => []);
  }

  /** Calls until the device is believed; a device that does not know how old the call is asks for a second one. */
  async #call(sdp: string, fingerprint: Uint8Array<ArrayBuffer>): Promise<DataDescription> {
    for (let retry: Uint8Array<ArrayBuffer> | undefined; ; ) {
      const verdict = await this.#try(sdp, fingerprint, retry);
      if (verdict.type === 'accepted') return verdict.description;
      if (verdict.type === 'refused') throw refused(verdict.code);
      if (verdict.type === 'try-again') retry = verdict.nonce;
    }
  }

  async #try(sdp: string, fingerprint: Uint8Array<ArrayBuffer>, retry: Uint8Array<ArrayBuffer> | undefined): Promise<Verdict> {
    const { device, identity, proof } = this.#options;
    const connection = `dc_${randomText()}`;
    const call = { device, from: this.#signalling.id, connection, label: LABEL, fingerprint, ...(retry !== undefined && { retry }) };
    const offer = await this.#or(SentOffer.make(identity, call, proof, Date.now()));
    const verdict = new Deferred<Verdict>();
    this.#calling = { offer, verdict, isAnswered: false };
    const payload: OfferPayload = {
      sdp: { sdp, type: 'offer' },
      type: 'data',
      connectionId: connection,
      label: LABEL,
      reliable: true,
      serialization: 'raw',
      peerage: offer.member,
    };
    this.#signalling.send('OFFER', device, payload);
    return this.#wait(ANSWER_WITHIN, verdict.promise, () =>
      this.#doubt === null
        ? ['no-answer', 'the device was called and did not answer in time']
        : ['wrong-device', `someone else answers under the device's id (${this.#doubt})`],
    );
  }

  /** The second look at the certificate, before a message is read or sent. */
  async #check({ fingerprint }: DataDescription): Promise<void> {
    const certain = this.#connection.hasCertificate(fingerprint);
    if (await this.#wait(CERTIFICATE_WITHIN, certain, () => ['no-route', 'the connection broke while it was checked'])) return;
    throw new PeerageError('wrong-device', 'the certificate of the connection is not the one that the device stated');
  }

  #handle(frame: Frame): void {
    if (frame.kind === 'ANSWER') {
      void this.#judge(frame);
      return;
    }
    if (frame.src !== this.#options.device || this.#calling === null) return;
    const { offer, verdict } = this.#calling;
    if (frame.kind === 'CANDIDATE') {
      const payload = parseCandidate(frame.payload);
      if (payload?.connectionId === offer.connection) this.#connection.add(payload.candidate);
      return;
    }
    // EXPIRE and LEAVE, which name no connection: without effect once the device has answered.
    verdict.reject(
      this.#doubt === null
        ? new PeerageError('peer-unavailable', 'the device is not connected to the server')
        : new PeerageError('wrong-device', `someone else answered under the device's id (${this.#doubt})`),
    );
  }

  async #judge(frame: Frame): Promise<void> {
    const answer = parseAnswer(frame.payload);
    const calling = this.#calling;
    if (answer === null || calling === null || calling.isAnswered || this.#judging >= JUDGED_AT_ONCE) return;
    this.#judging++;
    this.#tell('verifying');
    const verdict = await calling.offer.verify(frame.src, answer);
    this.#judging--;
    if (verdict.type !== 'false') {
      calling.isAnswered = true;
      calling.verdict.resolve(verdict);
    } else if (answer.connectionId === calling.offer.connection) {
      // One to an earlier connection id is a late answer, nobody else's.
      this.#doubt = verdict.why;
    }
  }

  #sendCandidate(candidate: RTCIceCandidate): void {
    const connectionId = this.#calling?.offer.connection ?? '';
    this.#signalling.send('CANDIDATE', this.#options.device, emitCandidate(candidate.toJSON(), connectionId));
  }

  #tell(state: LinkState): void {
    this.#options.onState?.(state);
  }

  /** `work`, unless the attempt is stopped before. */
  #or<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#stopped.promise]);
  }

  #wait<T>(ms: number, work: Promise<T>, late: () => readonly [code: Code, message: string]): Promise<T> {
    return within(ms, this.#or(work), late);
  }
}

class VerifiedLink implements OpenLink {
  readonly #connection: Connection;
  readonly #http: ChannelHttpLink;

  readonly #openedIn: number;

  constructor(connection: Connection, openedIn: number) {
    const { channel, unread } = connection.take();
    this.#connection = connection;
    this.#openedIn = openedIn;
    this.#http = new ChannelHttpLink(channel, unread);
    void connection.broken.then(() => this.#http.close('lost'));
    void this.closed.then(() => connection.close());
  }

  get closed(): Promise<Code> {
    return this.#http.closed;
  }

  exchange(request: ExchangeRequest): Promise<ExchangeResponse> {
    return this.#http.exchange(request);
  }

  openWebSocket(request: SocketRequest): Promise<LinkSocket> {
    return this.#http.openWebSocket(request);
  }

  async path(): Promise<Path> {
    return { ...(await this.#connection.path()), openedIn: this.#openedIn };
  }

  watch(listener: (path: Path) => void): () => void {
    let isOver = false;
    const look = async (): Promise<void> => {
      const path = await this.path().catch(() => null);
      if (path !== null && !isOver) listener(path);
    };
    const timer = setInterval(() => void look(), LOOK_EVERY);
    const unlisten = this.#connection.onPath(() => void look());
    const end = (): void => {
      isOver = true;
      clearInterval(timer);
      unlisten();
    };
    void this.closed.then(end);
    void look();
    return end;
  }

  close(): void {
    this.#http.close();
  }
}

function refused(code: 'malformed' | 'denied' | 'stale' | 'busy'): PeerageError {
  const why = {
    malformed: 'the device does not understand this client: one of the two needs an update',
    denied: 'the device does not accept this link, or does not know this browser',
    stale: "the device took the proof for an old one: compare this machine's clock",
    busy: 'the device has no room for another connection: try again later',
  };
  return new PeerageError(code, why[code]);
}
