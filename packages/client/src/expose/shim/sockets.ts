/**
 * WebSockets of the app's own host go over the link; those of others stay the browser's. A service worker sees neither. The browser's constructor and
 * prototype stay the ones that everybody finds and extends; they only tell the two kinds apart.
 */
import { PeerWebSocket } from '../../fetch/web-socket.js';
import { PortSockets } from './port-socket.js';
import type { Way } from './way.js';

export function carrySockets(way: Way): void {
  const native = globalThis.WebSocket as typeof WebSocket | undefined;
  // A page without an origin (a sandboxed frame) has no way to the link, and no locks either.
  if (native === undefined || origin === 'null') return;
  const sockets = new PortSockets(way);
  const carried = new WeakSet<object>();

  const constructor = new Proxy(native, {
    construct(target, given: unknown[], newTarget) {
      const url = given.length === 0 ? null : ownAddress(String(given[0]));
      if (url === null) return Reflect.construct(target, given, newTarget) as WebSocket;
      const open = (protocols: readonly string[], signal: AbortSignal) =>
        sockets.open({ path: url.pathname + url.search, fields: protocols.length === 0 ? [] : [['sec-websocket-protocol', protocols.join(', ')]], signal });
      const socket = Reflect.construct(PeerWebSocket, [given[0], given[1], open, base()], newTarget) as WebSocket;
      carried.add(socket);
      return socket;
    },
  });
  Object.defineProperty(globalThis, 'WebSocket', { configurable: true, enumerable: false, writable: true, value: constructor });

  const ours = Object.getOwnPropertyDescriptors(PeerWebSocket.prototype) as Record<string, PropertyDescriptor>;
  for (const [name, theirs] of Object.entries(Object.getOwnPropertyDescriptors(native.prototype) as Record<string, PropertyDescriptor>)) {
    const own = ours[name];
    if (name === 'constructor' || own === undefined) continue;
    const both = { ...theirs };
    for (const role of ['value', 'get', 'set'] as const) {
      if (typeof theirs[role] !== 'function') continue;
      both[role] = new Proxy(theirs[role] as () => unknown, {
        apply: (target, self: unknown, given) => Reflect.apply(typeof self === 'object' && self !== null && carried.has(self) ? (own[role] as () => unknown) : target, self, given),
      });
    }
    Object.defineProperty(native.prototype, name, both);
  }
  Object.defineProperty(native.prototype, 'constructor', { configurable: true, enumerable: false, writable: true, value: constructor });
}

/** The address, if it is one of the app's own host: by whichever of the four schemes, as the page's own says nothing about the link. */
function ownAddress(address: string): URL | null {
  if (!URL.canParse(address, base())) return null;
  const url = new URL(address, base());
  return /^(wss?|https?):$/.test(url.protocol) && url.host === new URL(origin).host ? url : null;
}

function base(): string {
  return typeof document === 'undefined' ? location.href : document.baseURI;
}
