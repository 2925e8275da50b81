/** What a page uses: a device's `fetch` and `WebSocket` by its link. */
import { parseLink } from '../protocol/link-url.js';
import type { Path } from '../transport/link.js';
import type { Field, HttpLink } from './exchange.js';
import { GivenLink, KeptLink, type KeptLinkOptions, originOf } from './kept-link.js';
import { deviceFields, onLink, peerFetch } from './peer-fetch.js';
import { originForm } from './request-fields.js';
import { PeerWebSocket, webSocketUrl } from './web-socket.js';

export interface PeerOptions extends KeptLinkOptions {
  /** The device's address in URLs. Default: as browsers show it where a link is given, `https://device.invalid/` where an open link is. */
  readonly base?: string | URL;
  /** Closes everything, for good. */
  readonly signal?: AbortSignal;
}

/** A device, by its link. One connection serves everything; it is made at first use, and made anew at the next use after it was lost. */
export interface Peer {
  /** The standard's `fetch`; relative URLs are the device's. */
  readonly fetch: typeof fetch;
  /** As the constructor `WebSocket(url, protocols)`; relative URLs, and `http` ones, are fine. Throws a `SecurityError` (`DOMException`) for what is not the device's. */
  openWebSocket(url: string | URL, protocols?: string | readonly string[]): PeerWebSocket;
  /** What relative URLs are resolved against. */
  readonly url: string;
  /** The path that packets take now, and what went over it; `null` while there is no connection. `onRoute` of the options tells of changes. */
  path(): Promise<Path | null>;
  /** Ends the connection and all that runs over it. Nothing can be begun afterwards. */
  close(): void;
}

/** `link`: what `peerage expose` printed, or a link that is open. Throws `PeerageError` `bad-link`. Connects when it is first used. */
export function connectPeer(link: string | HttpLink, options: PeerOptions = {}): Peer {
  const parsed = typeof link === 'string' ? parseLink(link) : null;
  const base = new URL(options.base ?? (parsed === null ? 'https://device.invalid/' : originOf(parsed) + parsed.path));
  const source = parsed === null ? new GivenLink(link as HttpLink, options) : new KeptLink(parsed, options);
  const { signal } = options;
  if (signal?.aborted === true) source.close();
  signal?.addEventListener('abort', () => source.close(), { once: true });
  return {
    fetch: peerFetch(source, base),
    openWebSocket: (url, protocols) => {
      const asked = webSocketUrl(url, base);
      if (asked.host !== base.host) throw new DOMException(`${asked.host} is not the device, ${base.host}: a link reaches no other`, 'SecurityError');
      const open = (offered: readonly string[], given: AbortSignal) => {
        const url = new URL(originForm(asked), base);
        const fields: Field[] = offered.length === 0 ? [] : [['sec-websocket-protocol', offered.join(', ')]];
        const facts = { url, method: 'GET', mode: 'websocket', cache: 'no-store', credentials: 'include', fields };
        const opening = { path: originForm(url), fields: deviceFields(facts, null), signal: given };
        return onLink(source, given, (through) => through.openWebSocket(opening), (code) => code === 'busy' || code === 'unreachable' || code === 'gone');
      };
      return new PeerWebSocket(asked, protocols, open);
    },
    url: base.href,
    path: () => source.path(),
    close: () => source.close(),
  };
}

/** The `fetch` of `connectPeer`, alone. End it by `options.signal`. */
export function createPeerFetch(link: string | HttpLink, options: PeerOptions = {}): typeof fetch {
  return connectPeer(link, options).fetch;
}
