/**
 * The shell: the page of the tab. It gets the service worker in place, takes the secret out of the address and begins anew without it, has the
 * link or finds the tab that has it, and then shows the app in a frame.
 */
import { PeerageError } from '../error.js';
import type { HttpLink } from '../fetch/exchange.js';
import { proofFromSecret } from '../identity/proof.js';
import { hasGrant, loadIdentity, saveGrant } from '../identity/store.js';
import { isDeviceId } from '../protocol/id.js';
import { openLink } from '../transport/link.js';
import { type Arrived, arrived, looksDamaged } from './arrival.js';
import { expireOwnCookies } from './cookies/belt.js';
import { COOKIE_HOOK, type CookieWindow } from './cookies/hook.js';
import { SharedCookies } from './cookies/shared.js';
import { Deaths } from './deaths.js';
import { Exchanges } from './exchanges.js';
import { AppHistory } from './history.js';
import { Holder } from './holder.js';
import { HOOKS, type ShellWindow } from './hooks.js';
import { GOSSIP, type Gossip, HTTP_CACHE, type LinkStatus, type ToShell, VERSION } from './messages.js';
import { Mirror } from './mirror.js';
import { addPending, dropPending, lastPending } from './pending.js';
import { passMessagesOn } from './popups.js';
import { tellWorker, workerReady } from './registration.js';
import { awaitLink, takeLink } from './role.js';
import { OWN_PATH } from './route.js';
import { Sockets } from './sockets.js';
import { obstacle, panel } from './states.js';
import { View } from './view.js';
import { Visit } from './visit.js';
import { onWake } from './wake.js';

/** A tab that is asked every so often and does not answer twice is not able to have the link. */
const ASK_MS = 5_000;

const device = location.hostname.split('.')[0] ?? '';
const gossip = new BroadcastChannel(GOSSIP);
const view = new View(device, retry);
const cookies = new SharedCookies(location.hostname);
const visit = new Visit(cookies);
let holder: Holder | null = null;
let status: LinkStatus = { is: 'connecting', step: 'starting' };
let workerIsReady = false;
let cookiesKnown = false;
let app: AppHistory | null = null;
/** Questions to the tab that has the link since its last answer. */
let unanswered = 0;

function start(): void {
  const hindrance = obstacle({
    secure: isSecureContext && 'subtle' in crypto,
    serviceWorker: 'serviceWorker' in navigator && 'locks' in navigator,
    webRtc: 'RTCPeerConnection' in globalThis,
    device: isDeviceId(device),
    framed: top !== self,
  });
  if (hindrance !== null) {
    view.show(hindrance);
    return;
  }
  expireOwnCookies();
  if (ledByAnother()) history.replaceState(FOREIGN, '');
  listen();
  heard(status);
  const link = arrived(location.href);
  if (link !== null) {
    void leaveSecretBehind(link).catch(workerFailed);
    return;
  }
  void awaitLink(navigator.locks, hold).catch(fault);
  // A forced reload passes the worker by, although there is one: then nothing stored is wanted.
  const forced = navigator.serviceWorker.controller === null;
  void workerReady().then(async () => {
    if (forced) await caches.delete(HTTP_CACHE);
    workerIsReady = true;
    showApp();
  }).catch(workerFailed);
  void cookies.ready.then(() => {
    cookiesKnown = true;
    showApp();
  });
}

/**
 * A document remembers the address it was loaded by, whatever its address is now: in its navigation timing, and in `navigation.activation`. The app
 * shares this origin and could read both, so it is shown by a document that never had the secret.
 */
async function leaveSecretBehind(link: Arrived): Promise<void> {
  // The secret stays in the address until the worker is there: an address without it, loaded again before, would reach the server.
  await Promise.all([workerReady(), prove(link)]);
  cleanAddress();
  location.reload();
}

/** The secret becomes a proof that cannot be read. */
async function prove(link: Arrived | null): Promise<void> {
  if (link === null) return;
  await addPending(await proofFromSecret(link.secret, device));
  retry();
}

function cleanAddress(): void {
  const link = arrived(location.href);
  if (link !== null) history.replaceState(history.state, '', link.address);
}

/** The tab's entry, until the app is there: what led here was not the app. It outlives the reloads of the beginning, which say nothing about that. */
const FOREIGN = { foreign: true };

/** Whether it is unknown, or known to be otherwise, that the app or the person's own wish to see its page again led here. */
function ledByAnother(): boolean {
  if ((history.state as { foreign?: boolean } | null)?.foreign === true) return true;
  const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  if (navigation?.type === 'reload' || navigation?.type === 'back_forward') return false;
  return !URL.canParse(document.referrer) || new URL(document.referrer).origin !== location.origin;
}

function listen(): void {
  gossip.onmessage = ({ data }: MessageEvent<Gossip>) => {
    if (data.type === 'status') {
      unanswered = 0;
      if (holder === null) heard(data.status);
    } else if (data.type === 'ask') {
      if (holder !== null) tell({ type: 'status', status });
    } else holder?.retry();
  };
  const link = (): Promise<HttpLink> => holder?.link() ?? Promise.reject(new PeerageError('gone', 'another tab has the link now'));
  const exchanges = new Exchanges(link, () => tellWorker({ type: 'ping', version: VERSION }));
  let leaving = false;
  const sockets = new Sockets(link, new Deaths(navigator.locks));
  navigator.serviceWorker.addEventListener('message', ({ data, ports }: MessageEvent<ToShell>) => {
    // What a tab takes that is being closed is lost; what it leaves is another's at once.
    if (data.version !== VERSION || leaving) return;
    if (data.type === 'who') announce();
    else if (data.type === 'exchange' && ports[0]) exchanges.begin(data, ports[0], ports[1]);
    else if (data.type === 'socket' && ports[0]) sockets.begin(data, ports[0]);
    else if (data.type === 'log-in') visit.logIn(data.realm, data.path, data.name, data.password);
  });
  navigator.serviceWorker.addEventListener('controllerchange', announce);
  navigator.serviceWorker.startMessages();

  onWake(wake);
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && question());
  setInterval(question, ASK_MS);
  question();
  // A link opened in this very tab changes no more than the fragment. The app must not follow there: this listener comes before its.
  addEventListener('popstate', () => {
    const link = arrived(location.href);
    cleanAddress();
    void prove(link).catch(fault);
  });
  addEventListener('pagehide', () => {
    leaving = true;
    holder?.close();
  });
  addEventListener('pageshow', (event) => event.persisted && location.reload());
}

/** A tab without the link asks the one that has it; where that one is stuck, this one takes over. */
function question(): void {
  if (holder !== null || document.visibilityState !== 'visible') return;
  if (unanswered >= 2) {
    unanswered = 0;
    takeLink(navigator.locks);
    return;
  }
  unanswered++;
  tell({ type: 'ask' });
}

let name = '';
function announce(): void {
  if (holder !== null) tellWorker({ type: 'holder', version: VERSION, holder: name });
}

async function hold(given: string, end: AbortSignal): Promise<void> {
  const own = new Holder({
    async call(proof, onState, signal) {
      const server = new URL(OWN_PATH, location.href);
      const identity = await loadIdentity();
      return visit.over(await openLink({ device, server, identity, proof, onState, signal }));
    },
    pending: lastPending,
    drop: dropPending,
    granted: () => hasGrant(device),
    saveGrant: () => saveGrant(device),
    onStatus: (now) => {
      if (holder !== own) return;
      heard(now);
      tell({ type: 'status', status: now });
    },
  });
  holder = own;
  name = given;
  announce();
  end.addEventListener('abort', () => own.close());
  await own.run();
  if (holder !== own) return;
  holder = null;
  cookies.lead(null);
}

function heard(now: LinkStatus): void {
  status = now;
  view.status(now.is === 'no-link' && looksDamaged(location.href) ? { is: 'failed', code: 'bad-link' } : now);
  showApp();
}

/** As soon as there is a link, a worker that asks for it, and what scripts may read of the cookies. */
function showApp(): void {
  if (app !== null || !workerIsReady || !cookiesKnown || status.is !== 'open') return;
  const frame = document.createElement('iframe');
  // Random: a name that others know could be the target of their links and forms.
  frame.name = crypto.randomUUID();
  frame.title = 'The app';
  frame.allow = 'autoplay; camera; clipboard-read; clipboard-write; display-capture; fullscreen; gamepad; geolocation; microphone; midi; picture-in-picture; screen-wake-lock; xr-spatial-tracking';
  const mirror = new Mirror(document.querySelector<HTMLLinkElement>('link[rel=icon]') ?? document.createElement('link'));
  app = new AppHistory(frame, (document) => mirror.follow(document));
  (globalThis as unknown as ShellWindow)[HOOKS] = app;
  (globalThis as unknown as CookieWindow)[COOKIE_HOOK] = cookies;
  passMessagesOn(frame);
  document.body.prepend(frame);
  app.begin(location.href, ledByAnother());
  frame.focus();
  view.appShown();
  view.status(status);
}

function retry(): void {
  holder?.retry();
  tell({ type: 'retry' });
}

/** The network, or the person, is back: nothing that was begun before need be waited for. */
function wake(moved: boolean): void {
  holder?.woke(moved);
  if (holder === null && status.is === 'waiting') retry();
}

function tell(said: Gossip): void {
  gossip.postMessage(said);
}

function workerFailed(error: unknown): void {
  console.error('peerage:', error);
  const hindrance = panel({ is: 'failed', code: 'unreachable-server' });
  if (hindrance !== null) view.show({ ...hindrance, text: 'This page could not be prepared, because a part of it did not come.', action: null });
}

function fault(error: unknown): void {
  console.error('peerage:', error);
  heard({ is: 'failed', code: PeerageError.codeOf(error) });
}

start();
