/** Gets the service worker in place, of the same version as this page. */
import { type ToShell, type ToWorker, VERSION } from './messages.js';
import { OWN_PATH } from './route.js';

/** Installing fetches a few small files; a page that waits longer than this has lost its server. */
const INSTALL_MS = 20_000;
const WELCOME_MS = 5_000;
const RELOADED = 'peerage-reloaded';

/** Resolves when a worker of this version answers for the page; rejects when none can be had. May reload the page. */
export async function workerReady(): Promise<void> {
  const workers = navigator.serviceWorker;
  const registered = workers.register(`${OWN_PATH}worker.js`, { scope: '/', updateViaCache: 'none' });
  // A worker that is there is enough. Registering it again waits behind the browser's own look for an update, which a server that is away holds up.
  if (workers.controller === null) await within(INSTALL_MS, registered, 'the service worker was not installed');
  else registered.catch(() => {});
  const registration = await within(INSTALL_MS, workers.ready, 'the service worker was not installed');
  const { active } = registration;
  const version = await welcome(active);
  if (version !== VERSION) return newer(registration);
  if (workers.controller === null) await within(INSTALL_MS, changed(workers), 'the service worker does not answer for this page');
  sessionStorage.removeItem(RELOADED);
}

export function tellWorker(said: ToWorker): void {
  navigator.serviceWorker.controller?.postMessage(said);
}

/** The version that the worker speaks. A message starts it if it does not run. */
function welcome(worker: ServiceWorker | null): Promise<number> {
  const workers = navigator.serviceWorker;
  let hear: (event: MessageEvent<ToShell>) => void = () => {};
  const answer = new Promise<number>((resolve) => {
    hear = ({ data }) => data.type === 'welcome' && resolve(data.version);
    workers.addEventListener('message', hear);
    workers.startMessages();
    worker?.postMessage({ type: 'hello', version: VERSION } satisfies ToWorker);
  });
  return within(WELCOME_MS, answer, 'the service worker does not answer').finally(() => workers.removeEventListener('message', hear));
}

/** Page and worker are of different releases: the newest of both comes with an update and one reload. */
async function newer(registration: ServiceWorkerRegistration): Promise<never> {
  if (sessionStorage.getItem(RELOADED) !== null) throw new Error('page and service worker are of different releases');
  sessionStorage.setItem(RELOADED, '1');
  const replaced = changed(navigator.serviceWorker);
  await registration.update();
  if (registration.installing ?? registration.waiting) await within(INSTALL_MS, replaced, 'the new service worker did not start');
  location.reload();
  return new Promise<never>(() => {});
}

function changed(workers: ServiceWorkerContainer): Promise<void> {
  return new Promise((resolve) => workers.addEventListener('controllerchange', () => resolve(), { once: true }));
}

function within<T>(ms: number, promise: Promise<T>, why: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(why)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
