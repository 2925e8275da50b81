/** The page's own files, kept at install: once the worker is there, the server is needed for making links and for nothing else. */
import { PeerageError } from '../../error.js';
import { OWN_PATH } from '../route.js';

/** SHA-256 of the files below in hexadecimal, set by the build: a new file makes a new worker, which stores the new files. */
declare const PEERAGE_FILES: Readonly<Record<'shell.html' | 'shell.css' | 'shell.js' | 'shim.js', string>>;

interface File {
  readonly digest: string;
  readonly type: string;
}

const PAGE = '/';
export const SHIM = `${OWN_PATH}shim.js`;
const FILES = new Map<string, File>([
  [PAGE, { digest: PEERAGE_FILES['shell.html'], type: 'text/html' }],
  [`${OWN_PATH}shell.css`, { digest: PEERAGE_FILES['shell.css'], type: 'text/css' }],
  [`${OWN_PATH}shell.js`, { digest: PEERAGE_FILES['shell.js'], type: 'text/javascript' }],
  [SHIM, { digest: PEERAGE_FILES['shim.js'], type: 'text/javascript' }],
]);

const PREFIX = 'peerage-shell-';
const CACHE = PREFIX + Array.from(FILES.values(), ({ digest }) => digest.slice(0, 8)).join('');

/** Fails, and with it the installation, unless every file came. */
export async function storeShell(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(Array.from(FILES.keys(), (path) => new Request(path, { cache: 'reload' })));
}

export async function dropOldShells(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
}

export async function shellPage(): Promise<Response> {
  return (await stored(PAGE)) ?? fetch(PAGE);
}

/** From the cache, else from the server; a path that neither knows is the server's to refuse. */
export async function shellFile(request: Request): Promise<Response> {
  return (await stored(new URL(request.url).pathname)) ?? fetch(request);
}

/** The shim, for scripts that cannot load it by themselves. */
export async function shimText(): Promise<string> {
  const found = (await stored(SHIM)) ?? (await fetch(SHIM));
  if (!found.ok) throw new PeerageError('internal', 'the shim is not there');
  return found.text();
}

/**
 * A stored file, if it is still what the build made. The app may write to the cache, as it has the same origin: what it wrote there must not become
 * the page that takes the next link's secret. So body and fields are both of this worker's own knowledge.
 */
async function stored(path: string): Promise<Response | null> {
  const file = FILES.get(path);
  const found = file && (await (await caches.open(CACHE)).match(path));
  if (!found) return null;
  const body = await found.arrayBuffer();
  if (hexadecimal(await crypto.subtle.digest('SHA-256', body)) !== file.digest) return null;
  return new Response(body, {
    headers: {
      'content-type': `${file.type}; charset=utf-8`,
      // The page states the rest of its policy itself.
      'content-security-policy': "frame-ancestors 'self'; form-action 'self'",
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
    },
  });
}

function hexadecimal(octets: ArrayBuffer): string {
  return Array.from(new Uint8Array(octets), (octet) => octet.toString(16).padStart(2, '0')).join('');
}
