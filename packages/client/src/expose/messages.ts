/**
 * Everything that the parts of the page say to each other: shell pages, the service worker, and shells among themselves.
 *
 * The worker and an open page may be of different releases for a while. `hello` and `welcome` never change their shape; each names
 * the version its sender speaks, and a page that meets a worker of another version fetches the new one and reloads once. All
 * other messages are of the one version and are dropped when it differs.
 */
import type { Code } from '../error.js';
import type { Field, SocketMessage } from '../fetch/exchange.js';

/** Raise it with every change of a message below. */
export const VERSION = 3;

/** From a shell to the worker, by `ServiceWorker.postMessage`. */
export type ToWorker =
  /** Asks who is there; answered by `welcome` to the sender. */
  | { readonly type: 'hello'; readonly version: number }
  /** The sender has the link. Its death frees the lock `holderLock(holder)`, which it held before it said this. */
  | { readonly type: 'holder'; readonly version: number; readonly holder: string }
  /** Keeps the worker running while exchanges do: a browser may stop a worker that hears of nothing for 30 s. */
  | { readonly type: 'ping'; readonly version: number }
  | SocketAsked;

/**
 * From a page of the app, or from a worker of it through its page: a WebSocket to `path`. `ports[0]` goes on to the tab that has the link, and
 * then carries `SocketSays` and `SocketAsks` past this worker. `page` is the lock that the asking page or worker holds as long as it lives.
 */
export interface SocketAsked {
  readonly type: 'socket';
  readonly version: number;
  readonly path: string;
  readonly protocols: readonly string[];
  readonly page: string;
}

/** From the worker to a shell, by `Client.postMessage`. */
export type ToShell =
  | { readonly type: 'welcome'; readonly version: number }
  /** Whoever has the link answers with `holder`: a worker that was stopped has forgotten it. */
  | { readonly type: 'who'; readonly version: number }
  /**
   * Run this exchange. Ports come along: `ports[0]` for the answer (`HolderSays`, then the response body as pulled) and, where
   * `body` is true, `ports[1]` where the request body can be pulled.
   */
  | {
      readonly type: 'exchange';
      readonly version: number;
      readonly method: string;
      readonly path: string;
      readonly fields: readonly Field[];
      readonly body: boolean;
    }
  /** Open this WebSocket. `ports[0]` is the asking page's. */
  | { readonly type: 'socket'; readonly version: number; readonly path: string; readonly fields: readonly Field[]; readonly page: string }
  /** A person logs in to what asked for `realm` at `path`. */
  | { readonly type: 'log-in'; readonly version: number; readonly realm: string; readonly path: string; readonly name: string; readonly password: string };

/**
 * Among the fields of an exchange, between worker and holder and never further: on a request `none` for no password, whatever is known; on an answer `given`
 * where a password went with the request, and `refused` where it is wrong.
 */
export const LOGIN_FIELD = 'peerage-login';

/** On `ports[0]` of an exchange, before the body: `taken` at once, then one of the others. */
export type HolderSays =
  | { readonly type: 'taken' }
  | { readonly type: 'head'; readonly status: number; readonly fields: readonly Field[] }
  | { readonly type: 'failed'; readonly code: Code };

/** On a port with a body, from its reader: one `pull` at a time, each answered by one `BodySays`. */
export type ReaderSays = { readonly type: 'pull' } | { readonly type: 'cancel' };

/** On a port with a body, to its reader. The buffer of a piece is transferred, not copied. */
export type BodySays =
  | { readonly type: 'piece'; readonly data: ArrayBuffer }
  | { readonly type: 'end' }
  | { readonly type: 'broken'; readonly code: Code };

/** On the port of a WebSocket, to the page. */
export type SocketSays =
  /** From the worker: the port is on its way to this holder. */
  | { readonly type: 'passed'; readonly holder: string }
  /** From the holder, at once. */
  | { readonly type: 'taken' }
  | { readonly type: 'open'; readonly fields: readonly Field[] }
  | { readonly type: 'message'; readonly data: SocketMessage }
  /** One for each `send`, in order: the link has taken all of it. */
  | { readonly type: 'sent' }
  /** The last one, where the target closed. */
  | { readonly type: 'closed'; readonly code: number; readonly reason: string }
  /** The last one, in all other cases. */
  | { readonly type: 'failed'; readonly code: Code };

/** On the port of a WebSocket, from the page. */
export type SocketAsks =
  /** So much more may be said by `message`, on top of `SOCKET_WINDOW`: its reader took as much. */
  | { readonly type: 'read'; readonly cost: number }
  | { readonly type: 'send'; readonly data: SocketMessage }
  | { readonly type: 'close'; readonly code: number | undefined; readonly reason: string }
  | { readonly type: 'cancel' };

/** What a page may leave unread before the holder stops reading the link for it; the message that crosses this still comes. */
export const SOCKET_WINDOW = 256 * 1024;

/** How the link stands, as the holder tells the other tabs of the origin. */
export type LinkStatus =
  | { readonly is: 'connecting'; readonly step: 'starting' | 'signalling' | 'calling' | 'verifying' | 'connecting' }
  | { readonly is: 'open'; readonly route: 'direct' | 'relayed' | null; readonly roundTrip: number | null }
  /** Another attempt follows by itself: at `at` (milliseconds as of `Date.now`), or earlier when someone asks. */
  | { readonly is: 'waiting'; readonly code: Code; readonly at: number }
  /** No attempt follows unless someone asks. */
  | { readonly is: 'failed'; readonly code: Code }
  /** This browser was never here with a link that holds a secret. */
  | { readonly is: 'no-link' };

/** Among the shells of one origin, over the `BroadcastChannel` of that name. */
export const GOSSIP = `peerage/${VERSION}`;
export type Gossip =
  /** How does the link stand? The holder answers with `status`. */
  | { readonly type: 'ask' }
  | { readonly type: 'status'; readonly status: LinkStatus }
  /** Someone wants the next attempt now. A new proof may have been stored (`pending.ts`). */
  | { readonly type: 'retry' };

/** Held by the shell that has, or makes, the origin's one link. */
export const LINK_LOCK = 'peerage/link';

/** Held by that shell for as long as it lives: whoever is granted it knows that the holder is gone. */
export function holderLock(holder: string): string {
  return `peerage/holder/${holder}`;
}

/** Held by a page or worker that has WebSockets, for as long as it lives: its end shows in nothing else. */
export function pageLock(page: string): string {
  return `peerage/page/${page}`;
}

/** The app's HTTP cache in Cache Storage: the worker's, which a shell may empty. */
export const HTTP_CACHE = 'peerage-http';
