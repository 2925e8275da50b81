/** A link that is there when it is asked for: opened at first use, opened anew when it was lost, one for all who ask. */
import { PeerageError } from '../error.js';
import { generateIdentity, type CallerIdentity } from '../identity/key.js';
import { proofFromSecret, type LinkProof } from '../identity/proof.js';
import { hasGrant, loadIdentity, saveGrant } from '../identity/store.js';
import type { Link } from '../protocol/link-url.js';
import { backoff } from '../transport/backoff.js';
import { openLink, type LinkState, type OpenLink, type OpenLinkOptions, type Path } from '../transport/link.js';
import type { Route } from '../transport/path.js';
import { unlessAborted } from '../transport/wait.js';
import type { HttpLink } from './exchange.js';

/** Where links come from. */
export interface LinkSource {
  /** The link, as soon as there is one. Rejects with `PeerageError`; every wait in it has an end, and `signal` ends it for this caller alone. */
  link(signal: AbortSignal | null): Promise<HttpLink>;
  /** This one begins nothing more: the next who asks needs another. */
  leave(link: HttpLink): void;
  close(): void;
}

export interface KeptLinkOptions {
  /** Who calls. Default: the key of this browser at this origin, kept in IndexedDB; where there is none, a new one that lives as long as this object. */
  readonly identity?: CallerIdentity;
  /** Default: those of the link's server, with credentials that it makes for each connection. */
  readonly iceServers?: readonly RTCIceServer[];
  /** `relay`: addresses of this machine stay unknown to the device, and without a relay there is no connection. Default `all`. */
  readonly iceTransportPolicy?: RTCIceTransportPolicy;
  /** Told at every step of every attempt. */
  readonly onState?: (state: LinkState) => void;
  /** Told how packets go as soon as it is known, when it changes while the connection lasts, and `null` when the connection is gone. */
  readonly onRoute?: (route: Route | null) => void;
}

type Attempt = (options: OpenLinkOptions) => Promise<HttpLink>;

/** Opens the link that a text names. */
export class KeptLink implements LinkSource {
  readonly #link: Link;
  readonly #options: KeptLinkOptions;
  readonly #attempt: Attempt;
  readonly #end = new AbortController();
  #open: Promise<HttpLink> | null = null;
  /** What `#open` last came to. */
  #current: HttpLink | null = null;
  /** That one, and those that were left and end what they have. */
  readonly #alive = new Set<HttpLink>();
  #identity: CallerIdentity | null = null;
  /** The device took the secret's proof, and so knows the identity. */
  #isKnown = false;
  /** Attempts that failed in a row, and when the last one did. */
  #failures = 0;
  #failedAt = 0;

  constructor(link: Link, options: KeptLinkOptions = {}, attempt: Attempt = openLink) {
    this.#link = link;
    this.#options = options;
    this.#attempt = attempt;
  }

  link(signal: AbortSignal | null): Promise<HttpLink> {
    if (this.#end.signal.aborted) return Promise.reject(closed());
    this.#open ??= this.#begin();
    return signal === null ? this.#open : unlessAborted(this.#open, signal, closed);
  }

  leave(link: HttpLink): void {
    if (this.#current === link) this.#open = null;
  }

  close(): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    for (const link of this.#alive) link.close();
  }

  /** Of the link that is there now; `null` while there is none. */
  path(): Promise<Path | null> {
    return pathOf(this.#current);
  }

  #begin(): Promise<HttpLink> {
    const open = this.#connect();
    const forget = (): void => {
      if (this.#open === open) this.#open = null;
    };
    open.then(
      (link) => {
        this.#failures = 0;
        this.#current = link;
        this.#alive.add(link);
        if (this.#options.onRoute !== undefined) tellRoute(link, this.#options.onRoute);
        void link.closed.then(() => {
          this.#alive.delete(link);
          if (this.#current === link) this.#current = null;
          forget();
        });
        if (this.#end.signal.aborted) link.close();
      },
      () => {
        this.#failures++;
        this.#failedAt = performance.now();
        forget();
      },
    );
    return open;
  }

  async #connect(): Promise<HttpLink> {
    await this.#pause();
    const { device, secret } = this.#link;
    const identity = await this.#caller();
    const proof = secret === null || this.#isKnown ? null : await proofFromSecret(secret, device);
    try {
      return await this.#call(identity, proof);
    } catch (error) {
      if (PeerageError.codeOf(error) !== 'denied') throw error;
      // This link lets nobody in any more, but an earlier visit may have; or the device has forgotten the visit, and the link still holds.
      if (proof !== null && (this.#options.identity !== undefined || (await granted(device)))) return this.#call(identity, null);
      if (proof === null && secret !== null) return this.#call(identity, await proofFromSecret(secret, device));
      throw error;
    }
  }

  async #call(identity: CallerIdentity, proof: LinkProof | null): Promise<HttpLink> {
    const { iceServers, iceTransportPolicy, onState } = this.#options;
    const { signal } = this.#end;
    const server = new URL('/__peerage/', originOf(this.#link));
    const given = { ...(iceServers && { iceServers }), ...(iceTransportPolicy && { iceTransportPolicy }), ...(onState && { onState }) };
    const link = await this.#attempt({ device: this.#link.device, server, identity, proof, signal, ...given });
    this.#isKnown = true;
    if (proof !== null && this.#options.identity === undefined) await saveGrant(this.#link.device).catch(() => undefined);
    return link;
  }

  async #caller(): Promise<CallerIdentity> {
    // No IndexedDB, or none that this page may use: then a key for as long as the page lives.
    return (this.#identity ??= this.#options.identity ?? (await loadIdentity().catch(generateIdentity)));
  }

  /** An app that asks every second does not call an absent device every second. */
  async #pause(): Promise<void> {
    if (this.#failures === 0) return;
    const left = this.#failedAt + backoff(this.#failures, Math.random()) - performance.now();
    if (left > 0) await unlessAborted(new Promise<void>((resolve) => setTimeout(resolve, left)), this.#end.signal, closed);
  }
}

/** A link that somebody else made: when it is gone there is no other. */
export class GivenLink implements LinkSource {
  readonly #link: HttpLink;

  constructor(link: HttpLink, { onRoute }: Pick<KeptLinkOptions, 'onRoute'> = {}) {
    this.#link = link;
    if (onRoute !== undefined) tellRoute(link, onRoute);
  }

  link(): Promise<HttpLink> {
    return Promise.resolve(this.#link);
  }

  leave(): void {}

  close(): void {
    this.#link.close();
  }

  path(): Promise<Path | null> {
    return pathOf(this.#link);
  }
}

/** The origin under which a browser shows the device. */
export function originOf({ secure, device, domain, port }: Link): string {
  return `${secure ? 'https' : 'http'}://${device}.${domain}${port === null ? '' : `:${port}`}`;
}

/** The path of a link that tells; `null` for one that somebody made otherwise, and for one that is gone. */
async function pathOf(link: HttpLink | null): Promise<Path | null> {
  return link !== null && 'path' in link ? (link as OpenLink).path().catch(() => null) : null;
}

/** Tells of every change of a link's route, until the link is gone. */
function tellRoute(link: HttpLink, onRoute: (route: Route | null) => void): void {
  let last: Route | null = null;
  const tell = (route: Route | null): void => {
    if (route === last) return;
    last = route;
    onRoute(route);
  };
  if ('watch' in link) (link as OpenLink).watch(({ route }) => tell(route));
  void link.closed.then(() => tell(null));
}

async function granted(device: string): Promise<boolean> {
  return hasGrant(device).catch(() => false);
}

function closed(): PeerageError {
  return new PeerageError('cancelled', 'the request was given up, or its connection closed');
}
