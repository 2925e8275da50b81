// The main job, on real input: the generated documentation of this workspace behind a plain web server, exposed, and used through the link.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { expose, ROOT, serve } from '../lib/peerage.mjs';
import { shared, until, within } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';
import { app, shown, visit, words } from '../lib/shell.mjs';
import { staticSite } from '../lib/sites.mjs';

const DOCS = process.env.PEERAGE_DOCS ?? join(ROOT, 'target', 'doc');
const START = '/peerage_proto/index.html';

suite('documentation through a link', () => {
    const own = shared(after);
    let server, way, site, device, browser;
    before(async () => {
        assert.ok(existsSync(join(DOCS, 'peerage_proto')), `no documentation in ${DOCS}: ./check e2e makes it`);
        assert.ok(readdirSync(DOCS, { recursive: true }).length > 2_000, 'the documentation has thousands of files');
        server = await serve(own);
        // The server sits behind something that writes down what it is asked; nothing is changed.
        way = await relay(own, server);
        site = await staticSite(own, DOCS);
        device = await expose(own, site.url, { server: way.url });
        browser = await launch(own);
    });
    afterEach(() => browser.closeTabs());

    const to = (path) => device.link + path;
    const heading = (frame) => frame.locator('h1').first().innerText();

    test('the link shows the app, and the secret is gone from the address bar before the app runs', async () => {
        const page = await browser.tab();
        const seen = [];
        // What the app's own scripts could read of the address, the first time any of them runs.
        await page.exposeFunction('report_address', (text) => void seen.push(text));
        await page.addInitScript(() => {
            if (self === top) return;
            const { performance, navigation, document, location, history } = top;
            window.report_address(JSON.stringify([
                location.href, document.URL, document.referrer, history.state, self.location.href, self.document.referrer,
                performance.getEntries().map((entry) => entry.name), navigation.entries().map((entry) => entry.url), navigation.activation?.entry.url, navigation.activation?.from?.url,
            ]));
        });
        await page.goto(to(START));
        const frame = await shown(page);
        assert.match(await heading(frame), /peerage_proto/);
        assert.equal(new URL(page.url()).pathname, START);
        assert.equal(new URL(page.url()).hash, '');
        const secret = device.link.match(/#1\.([a-z2-7]{26})/)[1];
        assert.ok(seen.length > 0);
        for (const text of seen) assert.ok(!text.includes(secret), `the app could read the secret: ${text}`);
        assert.ok(!(await page.evaluate(() => JSON.stringify([history.state, { ...localStorage }, { ...sessionStorage }]))).includes(secret));
        mkdirSync(join(ROOT, 'e2e', 'out'), { recursive: true });
        await page.setViewportSize({ width: 1100, height: 700 });
        await page.screenshot({ path: join(ROOT, 'e2e', 'out', 'first-link.png') });
    });

    test('styles, scripts and fonts of the app are loaded', async () => {
        const page = await visit(browser, to(START));
        const frame = await app(page);
        const loaded = await frame.evaluate(async () => {
            await document.fonts.ready;
            return {
                sheets: [...document.styleSheets].filter((sheet) => sheet.cssRules.length > 0).length,
                fonts: [...document.fonts].filter((font) => font.status === 'loaded').length,
                broken: [...document.images].filter((image) => image.complete && image.naturalWidth === 0).length,
                failed: performance.getEntriesByType('resource').filter((entry) => entry.responseStatus >= 400).map((entry) => entry.name),
                themed: getComputedStyle(document.body).fontFamily,
            };
        });
        assert.ok(loaded.sheets >= 2, JSON.stringify(loaded));
        assert.ok(loaded.fonts >= 1, JSON.stringify(loaded));
        assert.equal(loaded.broken, 0);
        assert.deepEqual(loaded.failed, []);
        assert.match(loaded.themed, /Source Serif/);
    });

    test('links are followed, the address bar goes along, back and forward work, also after a reload', async () => {
        const page = await visit(browser, to(START));
        const at = (path) => until(`the address bar at ${path}`, async () => new URL(page.url()).pathname === path && new URL((await app(page)).url()).pathname === path);
        const frame = await app(page);
        await frame.locator('a.mod', { hasText: 'wire' }).first().click();
        await at('/peerage_proto/wire/index.html');
        await (await app(page)).locator('#main-content a.mod').first().click();
        const third = await until('a third page', () => {
            const { pathname } = new URL(page.url());
            return pathname !== '/peerage_proto/wire/index.html' && pathname;
        });
        await at(third);
        await page.goBack();
        await at('/peerage_proto/wire/index.html');
        await page.reload();
        await shown(page);
        await at('/peerage_proto/wire/index.html');
        await page.goBack();
        await at(START);
        assert.match(await heading(await app(page)), /peerage_proto/);
        await page.goForward();
        await at('/peerage_proto/wire/index.html');
    });

    test('the search of the documentation finds and opens what was typed', async () => {
        const page = await visit(browser, to(START));
        await search(page, 'Link');
    });

    test('a deep link opens in a new tab, without the secret, over the connection that is there', async () => {
        const first = await visit(browser, to(START));
        const calls = () => way.frames.filter(({ frame }) => frame.type === 'OFFER').length;
        const before = calls();
        const second = await browser.tab(`${new URL(device.link).origin}/peerage_proto/wire/index.html?deep=1#modules`);
        const frame = await shown(second);
        assert.equal(new URL(frame.url()).pathname + new URL(frame.url()).search + new URL(frame.url()).hash, '/peerage_proto/wire/index.html?deep=1#modules');
        assert.equal(calls(), before, 'the second tab made no call of its own');
    });

    test('with the server frozen, new pages, the search and new tabs go on', async () => {
        const page = await visit(browser, to(START));
        server.proc.freeze();
        try {
            const frame = await app(page);
            await frame.locator('a.mod', { hasText: 'wire' }).first().click();
            await until('the page behind the link', async () => /wire/.test(await heading(await app(page))));
            await search(page, 'Session');
            const second = await browser.tab(`${new URL(device.link).origin}/peerage_peer/index.html`);
            assert.match(await heading(await shown(second)), /peerage_peer/);
        } finally {
            server.proc.thaw();
        }
    });

    test('the page connects again by itself when the device process is killed and started again', async () => {
        const page = await visit(browser, to(START));
        await device.proc.kill();
        await until('the page says that the connection is gone', async () => !/^(Direct|Relayed|Connected)\b/m.test(await words(page)));
        const again = await expose(own, site.url, { server: way.url, state: device.state });
        assert.equal(again.link, device.link, 'the same state prints the same link');
        device = again;
        await shown(page, 60_000);
        const frame = await app(page);
        const status = await within(10_000, frame.evaluate(() => fetch('/peerage_peer/index.html').then((response) => response.status)), 'a request over the new connection');
        assert.equal(status, 200);
    });

    test('the server was asked for the shell, its own files and the signalling socket, and never for anything of the app', () => {
        const foreign = way.requests.filter((line) => line.startsWith(device.device)).filter((line) => !/ GET \/(__peerage\/([a-z.]+|ice\?id=[a-z2-7]{26}))?$/.test(line));
        assert.deepEqual(foreign, []);
    });

    /** Types into the documentation's search and opens the struct of that name. */
    async function search(page, word) {
        const frame = await app(page);
        await frame.locator('body').press('s');
        await frame.locator('input.search-input').fill(word);
        await frame.locator('a.result-struct', { has: frame.getByText(word, { exact: true }) }).first().click({ timeout: 20_000 });
        await until('the page that was found', async () => (await heading(await app(page))).includes(`Struct ${word}`));
    }
});
