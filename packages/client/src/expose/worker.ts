/**
 * The service worker of a device's origin: it answers navigations of the tab with the shell and everything else from the device,
 * through whichever tab has the link. It keeps nothing that it could not find again: a browser stops it at will.
 */
import { PeerageError } from '../error.js';
import { VERSION, type ToShell, type ToWorker } from './messages.js';
import { OWN_PATH, route } from './route.js';
import { shellFile, shellPage, storeShell, dropOldShells } from './worker/assets.js';
import { HttpCache } from './worker/cache.js';
import { forward } from './worker/forward.js';
import { Holders } from './worker/holders.js';
import { keep, keepable, permit, takeKept } from './worker/kept.js';
import { logIn } from './worker/login.js';
import { failurePage, questionPage, strangerPage } from './worker/pages.js';
import { passSocket } from './worker/sockets.js';

declare const self: ServiceWorkerGlobalScope;

const ORIGIN = self.location.origin;
const holders = new Holders(self.clients, self.navigator.locks);
const cache = new HttpCache();

self.addEventListener('install', (event) => {
  event.waitUntil(storeShell().then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(dropOldShells().then(() => self.clients.claim()));
});

self.addEventListener('message', (event) => {
  const said = event.data as ToWorker;
  const from = event.source;
  if (!(from instanceof Client)) return;
  switch (said?.type) {
    case 'hello':
      // After a forced reload a page has no worker until it is claimed again.
      event.waitUntil(self.clients.claim());
      from.postMessage({ type: 'welcome', version: VERSION } satisfies ToShell);
      return;
    case 'holder':
      if (said.version === VERSION) holders.announced(from, said.holder);
      return;
    case 'socket':
      if (event.ports[0]) event.waitUntil(passSocket(said, event.ports[0], holders));
      return;
    case 'ping':
  }
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const found = route(request, ORIGIN);
  switch (found.to) {
    case 'browser':
      return;
    case 'own':
      event.respondWith(own(request));
      return;
    case 'shell':
      event.respondWith(shellPage());
      return;
    case 'device':
      event.respondWith(fromDevice(request));
      return;
    case 'shell-then-device':
      event.respondWith(keepWhole(request).then((id) => (permit(id), shellPage())));
      return;
    case 'person':
      event.respondWith(keepWhole(request).then((id) => questionPage(request, `${OWN_PATH}kept/${id}`)));
      return;
    case 'nobody':
      event.respondWith(strangerPage(request));
  }
});

async function fromDevice(request: Request): Promise<Response> {
  const navigation = request.mode === 'navigate';
  try {
    const kept = navigation && request.method === 'GET' ? await takeKept(request.url) : null;
    return await forward(request, kept, holders, cache);
  } catch (error) {
    const code = PeerageError.codeOf(error);
    if (code === 'internal') console.error('peerage:', error);
    // To a script it is what a broken connection always is; EventSource comes back after this, and not after a 504.
    return navigation ? failurePage(code, request.method) : Response.error();
  }
}

async function keepWhole(request: Request): Promise<string> {
  return keep(keepable(request, await request.blob()));
}

/** What belongs to the page itself. A permission for a kept request is a link that only the person's own page knows. */
async function own(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const id = /^kept\/([0-9a-f-]{36})$/.exec(pathname.slice(OWN_PATH.length))?.[1];
  if (id !== undefined && request.mode === 'navigate') {
    return Response.redirect((await permit(id))?.url ?? '/', 303);
  }
  // Not by a navigation, which another site could cause.
  if (pathname.startsWith(`${OWN_PATH}login/`) && request.method === 'POST' && request.mode !== 'navigate') return logIn(request, pathname.slice(`${OWN_PATH}login/`.length), holders);
  return shellFile(request);
}
