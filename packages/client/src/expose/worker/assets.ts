/** The page's own files, kept at install: once the worker is there, the server is needed for making links and for nothing else. */
import { OWN_PATH } from '../route.js';

/** A digest of the files below, set by the build: a new one makes a new worker, which stores the new files. */
declare const PEERAGE_BUILD: string;

const PREFIX = 'peerage-shell-';
const CACHE = PREFIX + PEERAGE_BUILD;
const PAGE = '/';
const FILES = ['shell.css', 'shell.js', 'shim.js'].map((file) => OWN_PATH + file);

/** Fails, and with it the installation, unless every file came. */
export async function storeShell(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll([PAGE, ...FILES].map((file) => new Request(file, { cache: 'reload' })));
}

export async function dropOldShells(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
}

export async function shellPage(): Promise<Response> {
  const cache = await caches.open(CACHE);
  return (await cache.match(PAGE)) ?? fetch(PAGE);
}

/** From the cache, else from the server; a path that neither knows is the server's to refuse. */
export async function shellFile(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
}
