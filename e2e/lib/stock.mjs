// Pages with the stock PeerJS client from its package, unmodified.

import { join } from 'node:path';
import { ROOT } from './peerage.mjs';
import { files } from './sites.mjs';

/** A site whose only page has `window.Peer`. */
export function stockSite(owner) {
    return files(owner, {
        '/': join(ROOT, 'e2e', 'pages', 'stock.html'),
        '/peerjs.js': join(ROOT, 'e2e', 'node_modules', 'peerjs', 'dist', 'peerjs.min.js'),
    });
}

/** A tab with `window.peer` open under `id` (or one from the server), and its id. */
export async function stockPeer(browser, site, server, id) {
    const page = await browser.tab(site.url);
    const opened = await page.evaluate(([id, port]) => window.open_peer(id, port), [id ?? null, server.port]);
    return { page, id: opened };
}

/** Makes a stock page an old client (`pages/old-client.js`). */
export function oldClient(page) {
    return page.addScriptTag({ path: join(ROOT, 'e2e', 'pages', 'old-client.js') });
}

/** Connects a stock page to a device as the old UI did: what it returns asks, and `.pings(n)` waits for n pings to be answered. */
export async function oldFetch(page, id) {
    await oldClient(page);
    await page.evaluate((id) => window.connect_old(id), id);
    const ask = (request) => page.evaluate((request) => window.ask_old(request), request);
    return Object.assign(ask, { pings: (count) => page.evaluate((count) => window.pings_old(count), count) });
}
