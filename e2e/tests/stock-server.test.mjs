// The stock PeerJS client, unmodified, in a real browser, against `peerage serve`.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { serve } from '../lib/peerage.mjs';
import { shared } from '../lib/process.mjs';
import { stockPeer, stockSite } from '../lib/stock.mjs';

suite('stock PeerJS pages at our server', () => {
    const own = shared(after);
    let server, browser, site;
    before(async () => {
        server = await serve(own);
        site = await stockSite(own);
        browser = await launch(own);
    });

    test('an id from the server opens a peer', async () => {
        const { id } = await stockPeer(browser, site, server);
        assert.match(id, /^[0-9a-f-]{36}$/);
    });

    for (const serialization of ['binary', 'json', 'raw']) {
        test(`two pages exchange data, serialization ${serialization}`, async () => {
            const a = await stockPeer(browser, site, server, `a-${serialization}`);
            const b = await stockPeer(browser, site, server, `b-${serialization}`);
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
        const a = await stockPeer(browser, site, server);
        const b = await stockPeer(browser, site, server);
        await a.page.evaluate((id) => join(id), b.id);
        const ended = b.page.evaluate(async () => { await (await incoming(0)).ended; return true; });
        await a.page.evaluate(() => connection.close());
        assert.equal(await ended, true);
    });

    test('a call to nobody ends in peer-unavailable', async () => {
        const { page } = await stockPeer(browser, site, server);
        const failure = await page.evaluate(() => join('nobody-is-here').then(() => null, (error) => error.message));
        assert.match(failure, /^peer-unavailable: Could not connect to peer nobody-is-here/);
    });

    test('a call to a peer that comes a moment later connects', async () => {
        const { page } = await stockPeer(browser, site, server);
        const joined = page.evaluate(() => join('late-comer'));
        const late = await stockPeer(browser, site, server, 'late-comer');
        assert.ok(await joined);
        await late.page.close();
    });

    test('an id in use is refused with unavailable-id', async () => {
        const { id } = await stockPeer(browser, site, server, 'taken');
        await assert.rejects(stockPeer(browser, site, server, id), /unavailable-id/);
    });

    test('an id is free again when its page is closed', async () => {
        const { page, id } = await stockPeer(browser, site, server, 'short-lived');
        await page.close();
        // The browser closes the socket when it gets round to it: the server knows no sooner.
        for (;;) {
            const again = await stockPeer(browser, site, server, id).catch((error) => error);
            if (!(again instanceof Error)) break;
            assert.match(again.message, /unavailable-id/);
        }
    });
});
