// Pages with the stock PeerJS client from its package, unmodified.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT } from './peerage.mjs';
import { files } from './sites.mjs';

const { build } = createRequire(join(ROOT, 'packages', 'client', 'package.json'))('esbuild');

/** The versions under test, each by the name of its package here. */
export const VERSIONS = { '1.5.5': 'peerjs', '1.4.7': 'peerjs-1-4-7' };

/** A site whose only page has `window.Peer`, of one of these packages. */
export function stockSite(owner, client = 'peerjs') {
    return site(owner, join(ROOT, 'e2e', 'node_modules', client, 'dist', 'peerjs.min.js'));
}

/** The same, where `window.Peer` is the package's `MsgPackPeer`; that is in no file for pages, so it is bundled as an app would do it. */
export async function msgPackSite(owner) {
    const outfile = join(ROOT, 'e2e', 'out', 'msgpack-peer.js');
    await build({
        stdin: { contents: "import { MsgPackPeer } from 'peerjs'; window.Peer = MsgPackPeer;", resolveDir: join(ROOT, 'e2e') },
        bundle: true, format: 'iife', outfile, logLevel: 'error',
    });
    return site(owner, outfile);
}

function site(owner, client) {
    const page = (name) => join(ROOT, 'e2e', 'pages', name);
    return files(owner, { '/': page('stock.html'), '/peerjs.js': client, '/values.js': page('values.js') });
}

/** A tab with `window.peer` open under `id` (or one from the server), and its id; `options` are PeerJS's own. */
export async function stockPeer(browser, site, server, id, options) {
    const page = await browser.tab(site.url);
    return { page, id: await openPeer(page, server, id, options) };
}

/** The same in a page that is there already. */
export function openPeer(page, server, id, options) {
    return page.evaluate(([id, port, options]) => window.open_peer(id, port, options), [id ?? null, server.port, options]);
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
