/**
 * Runs first in every HTML page of the app, and mends what a page in a frame behind a service worker would notice. Plain script, no
 * dependence on the shell: it must not fail where the app's page is framed once more, or sandboxed.
 */
import { keepCookies } from './shim/cookies.js';
import { divertDownloads } from './shim/downloads.js';
import { beTheTab } from './shim/tab.js';

keepCookies();
beTheTab();
divertDownloads();
