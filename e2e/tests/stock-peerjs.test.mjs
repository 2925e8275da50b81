// The stock PeerJS client, unmodified, in a real browser, against `peerage serve`: the current version and the last of the line before it.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { lastingPort, serve } from '../lib/peerage.mjs';
import { PATIENCE, shared, until, within } from '../lib/process.mjs';
import { VERSIONS, openPeer, stockPeer, stockSite } from '../lib/stock.mjs';

/** How long a browser may take to close the socket of a page that is gone. The server cannot know sooner. */
const GONE = 3_000;

for (const [version, client] of Object.entries(VERSIONS)) {
    suite(`pages with PeerJS ${version} at our server`, () => {
        const own = shared(after);
        let server, browser, site;
        before(async () => {
            [server, site, browser] = await Promise.all([serve(own), stockSite(own, client), launch(own)]);
        });
        const peer = (id, options) => stockPeer(browser, site, server, id, options);
        // The browser closes the socket of a page that is gone when it gets round to it.
        const freed = (page, id) => until(`${id} is free`, () => openPeer(page, server, id).catch((error) => {
            assert.match(error.message, /unavailable-id/);
            return null;
        }), { ms: GONE, every: 0 });
        const refused = (id, options, at = server) => stockPeer(browser, site, at, id, options).then(() => null, (error) => error.message.match(/Error: ([\s\S]*)/)?.[1]);

        test('an id from the server opens a peer, and no two are equal', async () => {
            const [a, b] = await Promise.all([peer(), peer()]);
            for (const { id } of [a, b]) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
            assert.notEqual(a.id, b.id);
        });

        test('an id of its own opens a peer, with all signs that PeerJS lets through', async () => {
            for (const id of ['ada', 'Ada_L-1843 x']) assert.equal((await peer(id)).id, id);
        });

        test('an id in use is refused with unavailable-id, and its holder keeps it', async () => {
            const { page, id } = await peer('taken');
            assert.match(await refused(id), /^unavailable-id: ID "taken" is taken/);
            assert.equal(await page.evaluate(() => peer.open), true);
        });

        test('an id that PeerJS itself does not let through never gets to us', async () => {
            assert.match(await refused('-?-'), /^invalid-id: ID "-\?-" is invalid/);
        });

        test('a wrong key is a server-error, whoever chose the id', async () => {
            assert.match(await refused('keyless', { key: 'wrong' }), /^server-error: Invalid key provided/);
            // Of what failed before the socket, 1.5.5 keeps the type only.
            assert.match(await refused(undefined, { key: 'wrong' }), /^server-error: /);
        });

        test('where no server is, a peer with an id ends in network, one without in server-error', async () => {
            const nowhere = { port: await lastingPort() };
            assert.match(await refused('lost', {}, nowhere), /^network: Lost connection to server/);
            assert.match(await refused(undefined, {}, nowhere), /^server-error: /);
        });

        for (const serialization of ['binary', 'json', 'raw']) {
            test(`two pages exchange data, serialization ${serialization}`, async () => {
                const [a, b] = await Promise.all([peer(`a-${serialization}`), peer(`b-${serialization}`)]);
                await a.page.evaluate(([id, serialization]) => join(id, { serialization, metadata: { from: 'a' } }), [b.id, serialization]);
                await a.page.evaluate((text) => connection.send(text), serialization === 'raw' ? 'hello' : { hello: [1, 2, 3] });
                const arrived = await b.page.evaluate(async () => {
                    const connection = await incoming(0);
                    const [data] = await received(connection, 1);
                    connection.send('and back');
                    return { data, metadata: connection.metadata, peer: connection.peer };
                });
                assert.deepEqual(arrived, { data: serialization === 'raw' ? 'hello' : { hello: [1, 2, 3] }, metadata: { from: 'a' }, peer: a.id });
                assert.deepEqual(await a.page.evaluate(() => received(connection, 1)), ['and back']);
            });
        }

        test('a close on one page is seen on the other', async () => {
            const [a, b] = await Promise.all([peer(), peer()]);
            await a.page.evaluate((id) => join(id), b.id);
            const ended = b.page.evaluate(async () => { await (await incoming(0)).ended; return true; });
            await a.page.evaluate(() => connection.close());
            assert.equal(await ended, true);
        });

        test('a call to nobody ends in peer-unavailable when its time is over, and the caller stays open', async () => {
            const { page } = await peer();
            const { message, open, ms } = await page.evaluate(async () => {
                const started = performance.now();
                const message = await join('nobody-is-here').then(() => null, (error) => error.message);
                return { message, open: peer.open, ms: performance.now() - started };
            });
            assert.match(message, /^peer-unavailable: Could not connect to peer nobody-is-here/);
            assert.equal(open, true);
            assert.ok(ms >= 5_000, `told after ${ms} ms`);
        });

        test('a call to a peer that comes a moment later connects', async () => {
            const page = await browser.tab();
            // There already: an offer waits for five seconds.
            const second = await browser.tab(site.url);
            const offered = new Promise((resolve) => {
                page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => payload.includes('"OFFER"') && resolve()));
            });
            await page.goto(site.url);
            await openPeer(page, server);
            const joined = page.evaluate(() => join('late-comer'));
            await within(PATIENCE, offered, 'no offer was sent');
            await openPeer(second, server, 'late-comer');
            assert.ok(await joined);
            assert.deepEqual(await page.evaluate(() => errors), []);
        });

        test('the list of peers is refused with server-error, unless the owner allows it', async () => {
            const { page } = await peer();
            const failure = await page.evaluate(() => listed().then(() => null, (error) => error.message));
            assert.match(failure, /^server-error: /);
        });

        test('a server with a path, a key and discovery lists who is there', async () => {
            const other = await serve(own, '--path', '/myapp', '--key', 'lovelace', '--allow_discovery');
            const options = { path: '/myapp', key: 'lovelace' };
            const a = await stockPeer(browser, site, other, 'a-listed', options);
            const b = await stockPeer(browser, site, other, undefined, options);
            assert.deepEqual(await b.page.evaluate(() => listed()), [a.id, b.id]);
            await a.page.evaluate((id) => join(id), b.id);
        });

        test('a peer that disconnects keeps its connection, is not found by others, and comes back under its id', async () => {
            const [a, b] = await Promise.all([peer('comes-back'), peer()]);
            await b.page.evaluate((id) => join(id), a.id);
            await a.page.evaluate(() => { const gone = once('disconnected'); peer.disconnect(); return gone; });
            await b.page.evaluate(() => connection.send('still there?'));
            assert.deepEqual(await a.page.evaluate(async () => received(await incoming(0), 1)), ['still there?']);
            assert.equal(await a.page.evaluate(() => reopened()), a.id);
            const c = await peer();
            assert.ok(await c.page.evaluate((id) => join(id), a.id));
            assert.deepEqual(await a.page.evaluate(() => errors), []);
        });

        test('an id is free for another token as soon as its tab is closed', async () => {
            const { page, id } = await peer('short-lived');
            const other = await browser.tab(site.url);
            await page.close();
            assert.equal(await freed(other, id), id);
        });

        test('a page that is reloaded opens again under its id, with a new token', async () => {
            const { page, id } = await peer('reloaded');
            await page.reload();
            assert.equal(await freed(page, id), id);
            const b = await peer();
            assert.ok(await b.page.evaluate((id) => join(id), id));
        });

        test('a server that is killed and comes back: connections live on, and reconnect finds all under their ids', async () => {
            const port = await lastingPort();
            const mortal = await serve(own, '--port', `${port}`);
            const [a, b] = await Promise.all(['a', 'b'].map((id) => stockPeer(browser, site, mortal, `${id}-survives`)));
            await a.page.evaluate((id) => join(id), b.id);
            for (const { page } of [a, b]) await page.evaluate(() => { window.lost = once('disconnected'); });
            await mortal.proc.kill();
            for (const { page } of [a, b]) await page.evaluate(() => lost);
            for (const { page } of [a, b]) assert.deepEqual(await page.evaluate(() => errors), ['network']);

            // Without any server.
            await a.page.evaluate(() => connection.send('there'));
            const echoed = await b.page.evaluate(async () => {
                const [text] = await received(await incoming(0), 1);
                connections[0].send(`${text} and back`);
                return text;
            });
            assert.equal(echoed, 'there');
            assert.deepEqual(await a.page.evaluate(() => received(connection, 1)), ['there and back']);
            assert.match(await a.page.evaluate(() => new Promise((resolve) => {
                peer.once('error', (error) => resolve(error.type));
                peer.reconnect();
            })), /^network$/);

            await serve(own, '--port', `${port}`);
            for (const { page, id } of [a, b]) assert.equal(await page.evaluate(() => reopened()), id);
            await b.page.evaluate((id) => join(id), a.id);
            await b.page.evaluate(() => connection.send('by way of the new one'));
            const told = await a.page.evaluate(async () => {
                const connection = await incoming(1);
                return { peer: connection.peer, data: await received(connection, 1) };
            });
            assert.deepEqual(told, { peer: b.id, data: ['by way of the new one'] });
            // The old connection is none of the server's business.
            await a.page.evaluate(() => connection.send('the old one'));
            assert.deepEqual(await b.page.evaluate(() => received(connections[0], 2)), ['there', 'the old one']);
        });
    });
}
