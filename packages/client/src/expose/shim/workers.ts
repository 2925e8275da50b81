/**
 * Brings the shim into the app's workers. Scripts of this origin get it from the origin's worker, as pages do; scripts from a `blob:` get it here.
 * Both need a way out, which only their page has.
 */
import { bridge, type Way } from './way.js';

/** The whole shim as a function, which the build puts around it: so that it can put itself into another script. */
declare const peerageShim: () => void;

/** Browsers have resolved the address of a worker by the time its constructor returns; others may not. */
const REVOKED_MS = 10_000;

export function helpWorkers(way: Way): void {
  const blobs = rememberBlobs();
  replace('Worker', (construct, address, options) => {
    const copy = blobs.withShim(address);
    if (copy !== null) {
      const worker = constructed(construct, copy, options);
      setTimeout(() => URL.revokeObjectURL(copy), REVOKED_MS);
      if (worker === null) return construct(address, options);
      bridge(worker as Worker, way);
      return worker;
    }
    const worker = construct(address, options) as Worker;
    if (isOwnScript(address)) bridge(worker, way);
    return worker;
  });
  replace('SharedWorker', (construct, address, options) => {
    const worker = construct(address, options) as SharedWorker;
    if (isOwnScript(address)) bridge(worker.port, way);
    return worker;
  });
}

type Construct = (address: unknown, options: unknown) => object;

function replace(name: 'Worker' | 'SharedWorker', make: (construct: Construct, address: unknown, options: unknown) => object): void {
  const native = (globalThis as Record<string, unknown>)[name] as (new (...given: unknown[]) => object) | undefined;
  if (native === undefined) return;
  const helped = new Proxy(native, {
    construct: (target, given: unknown[], newTarget: typeof native) =>
      given.length === 0
        ? Reflect.construct(target, given, newTarget)
        : make((...changed) => Reflect.construct(target, [...changed, ...given.slice(2)], newTarget) as object, given[0], given[1]),
  });
  Object.defineProperty(globalThis, name, { configurable: true, enumerable: false, writable: true, value: helped });
  Object.defineProperty(native.prototype, 'constructor', { configurable: true, enumerable: false, writable: true, value: helped });
}

/** Null where a policy of the app (trusted types) wants its own address and no other. */
function constructed(construct: Construct, address: string, options: unknown): object | null {
  try {
    return construct(address, options);
  } catch {
    return null;
  }
}

/** What is behind the addresses that this page gave to blobs: a worker is constructed at once, when no script can be read any more. */
function rememberBlobs(): { withShim(address: unknown): string | null } {
  const known = new Map<string, Blob>();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = new Proxy(createObjectURL, {
    apply(target, self, given: [Blob | MediaSource]) {
      const address = Reflect.apply(target, self, given) as string;
      if (given[0] instanceof Blob) known.set(address, given[0]);
      return address;
    },
  });
  URL.revokeObjectURL = new Proxy(revokeObjectURL, {
    apply(target, self, given: [string]) {
      known.delete(String(given[0]));
      Reflect.apply(target, self, given);
    },
  });
  return {
    withShim(address) {
      const blob = known.get(String(address).replace(/#.*/, ''));
      // On the first line, so that the lines of the app's own script keep their numbers.
      return blob === undefined ? null : createObjectURL.call(URL, new Blob([`(${String(peerageShim)})();`, blob], { type: blob.type }));
    },
  };
}

function isOwnScript(address: unknown): boolean {
  const base = typeof document === 'undefined' ? location.href : document.baseURI;
  if (!URL.canParse(String(address), base)) return false;
  const url = new URL(String(address), base);
  return /^https?:$/.test(url.protocol) && url.origin === origin;
}
