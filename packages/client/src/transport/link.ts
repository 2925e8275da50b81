/** Opens a verified link to a device. */
import { PeerageError } from '../error.js';
import type { HttpLink } from '../fetch/exchange.js';
import type { CallerIdentity } from '../identity/key.js';
import type { LinkProof } from '../identity/proof.js';

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
  readonly iceServers: readonly RTCIceServer[];
  readonly onState?: (state: LinkState) => void;
  /** Ends the attempt with `cancelled`. Once the link is open it has no effect: `close()` it. */
  readonly signal?: AbortSignal;
}

/** A link that is open: the device proved its key, and its certificate is the one that key vouches for. */
export interface OpenLink extends HttpLink {
  /** Whether packets now go straight to the device or through a relay. */
  route(): Promise<'direct' | 'relayed'>;
  /** Milliseconds, as measured by ICE; `null` when the browser has no figure. */
  roundTrip(): Promise<number | null>;
}

/** Rejects with `PeerageError`; every wait inside is bounded (at most about a minute in all). */
export async function openLink(_options: OpenLinkOptions): Promise<OpenLink> {
  throw new PeerageError('internal', 'not written yet');
}
