// The stock PeerJS client in real browsers with the native peer (`crates/peer/examples/echo.rs`) on the other end.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as chromium from '../lib/browser.mjs';
import * as firefox from '../lib/firefox.mjs';
import { ECHO, serve } from '../lib/peerage.mjs';
import { shared, start } from '../lib/process.mjs';
import { stockPeer, stockSite } from '../lib/stock.mjs';

const BROWSERS = { Chromium: chromium, 'Firefox ESR': firefox };

for (const [name, { launch }] of Object.entries(BROWSERS)) suite(`a stock PeerJS page in ${name} and the native peer`, () => {
    const own = shared(after);
    let server, browser, site;
    before(async () => {
        server = await serve(own);
        site = await stockSite(own);
        browser = await launch(own);
    });

    /** The echo example, waiting for calls: `{ proc, id }`. */
    async function echo(t, ...args) {
        const proc = start(t, 'echo', ECHO, [server.url, randomUUID(), ...args]);
        const [, id] = await proc.printed(/^ready (\S+)$/m);
        return { proc, id };
    }

    test('raw text and bytes up to 256 KiB come back as they went', async (t) => {
        const native = await echo(t);
        const { page } = await stockPeer(browser, site, server);
        await page.evaluate((id) => join(id, { serialization: 'raw', reliable: true }), native.id);
        const back = await page.evaluate(async () => {
            const sizes = [1, 1_200, 16_384, 65_536, 262_144];
            connection.send('tëxt ✓');
            for (const size of sizes) connection.send(new Uint8Array(size).map((_, n) => (n * 31 + size) % 251));
            const [text, ...rest] = await received(connection, 1 + sizes.length);
            const bytes = await Promise.all(rest.map(async (data) => new Uint8Array(data instanceof Blob ? await data.arrayBuffer() : data)));
            return { text, same: bytes.map((data, i) => data.length === sizes[i] && data.every((byte, n) => byte === (n * 31 + sizes[i]) % 251)) };
        });
        assert.deepEqual(back, { text: 'tëxt ✓', same: [true, true, true, true, true] });
    });

    test('json comes back as it went', async (t) => {
        const native = await echo(t);
        const { page } = await stockPeer(browser, site, server);
        await page.evaluate((id) => join(id, { serialization: 'json' }), native.id);
        const sent = { list: [1, 2.5, null, true], text: 'tëxt ✓', deep: { er: {} } };
        await page.evaluate((value) => connection.send(value), sent);
        assert.deepEqual(await page.evaluate(() => received(connection, 1)), [sent]);
    });

    for (const serialization of ['raw', 'json']) {
        test(`the native peer calls the page, serialization ${serialization}`, async (t) => {
            const { page, id } = await stockPeer(browser, site, server);
            const native = echo(t, '--call', id, '--serialization', serialization);
            const back = page.evaluate(async () => {
                const connection = await incoming(0);
                await new Promise((resolve) => connection.open ? resolve() : connection.on('open', resolve));
                connection.send('from the page');
                return { data: await received(connection, 2), serialization: connection.serialization };
            });
            await native;
            assert.deepEqual(await back, { data: ['hello', 'from the page'], serialization });
        });
    }

    test('an idle connection outlives the 30 s after which silence would end it', async (t) => {
        const native = await echo(t);
        const { page } = await stockPeer(browser, site, server);
        await page.evaluate((id) => join(id, { serialization: 'raw' }), native.id);
        // The time itself is what is tested.
        await sleep(40_000);
        await page.evaluate(() => connection.send('still here'));
        assert.deepEqual(await page.evaluate(() => received(connection, 1)), ['still here']);
    });

    test('the native peer notices that the page closes', async (t) => {
        const native = await echo(t);
        const { page } = await stockPeer(browser, site, server);
        await page.evaluate((id) => join(id, { serialization: 'raw' }), native.id);
        await native.proc.printed(/^open/m);
        await page.evaluate(() => connection.close());
        await native.proc.printed(/^closed/m);
    });

    test('the native peer notices that the page is gone', async (t) => {
        const native = await echo(t);
        const { page } = await stockPeer(browser, site, server);
        await page.evaluate((id) => join(id, { serialization: 'raw' }), native.id);
        await native.proc.printed(/^open/m);
        await page.close();
        await native.proc.printed(/^closed/m, { ms: 60_000 });
    });

    test('the page notices that the native peer closes', async (t) => {
        const native = await echo(t);
        const { page } = await stockPeer(browser, site, server);
        await page.evaluate((id) => join(id, { serialization: 'raw' }), native.id);
        const ended = await page.evaluate(async () => { connection.send('close'); await connection.ended; return true; });
        assert.equal(ended, true);
        await native.proc.printed(/^closed/m);
    });
});
