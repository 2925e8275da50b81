/**
 * Runs first in every HTML page of the app, and in its workers, and mends what they would notice of a frame behind a service worker. Plain script, no
 * dependence on the shell: it must not fail where the app's page is framed once more, or sandboxed.
 */
import { keepCookies } from './shim/cookies.js';
import { divertDownloads } from './shim/downloads.js';
import { frameObjects } from './shim/objects.js';
import { sendWhenParting } from './shim/parting.js';
import { helpRequests } from './shim/requests.js';
import { nameSendersByTheirTab } from './shim/senders.js';
import { carrySockets } from './shim/sockets.js';
import { beTheTab } from './shim/tab.js';
import { pageWay, workerWay } from './shim/way.js';
import { helpWorkers } from './shim/workers.js';

/** Once for each page or worker: a script may bring it along again. */
const HERE = Symbol.for('peerage-shim');

if (!(HERE in globalThis)) {
  Object.defineProperty(globalThis, HERE, { value: true });
  const inPage = typeof document !== 'undefined';
  if (inPage) {
    keepCookies();
    beTheTab();
    divertDownloads();
    nameSendersByTheirTab();
    frameObjects();
    sendWhenParting();
  }
  const way = inPage ? pageWay : workerWay();
  carrySockets(way);
  helpRequests();
  helpWorkers(way);
}
