// The example of a page of one's own: another origin than the device's, no service worker, by script tag and by bundler.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { expose, ROOT, serve } from '../lib/peerage.mjs';
import { shared, start, until } from '../lib/process.mjs';

const EXAMPLE = join(ROOT, 'examples', 'embed');

suite('a page of another origin', () => {
    const own = shared(after);
    let server, camera, device, site, browser;
    before(async () => {
        assert.ok(existsSync(join(EXAMPLE, 'node_modules', 'peerage', 'dist', 'index.js')), './check e2e builds the client and installs the example');
        const run = (file) => start(own, file, process.execPath, [file, '0'], { cwd: EXAMPLE });
        server = await serve(own);
        [camera] = await run('device.mjs').printed(/http:\/\/127\.0\.0\.1:\d+/);
        device = await expose(own, camera, { server: server.url });
        [site] = await run('serve.mjs').printed(/http:\/\/127\.0\.0\.1:\d+/);
        browser = await launch(own);
    });
    afterEach(() => browser.closeTabs());

    /** The page, connected to the device: its link comes in the fragment, as in a bookmark. */
    const open = async (file, link = device.link) => browser.tab(`${site}/${file}#${link}`);
    const shown = (page, count) => until(`${count} images of the timeline`, () => page.evaluate((count) => {
        const images = [...document.querySelectorAll('#timeline img')];
        return images.length === count && images.every((image) => image.complete && image.naturalWidth === 640);
    }, count));
    const frame = (page) => page.evaluate(() => Number(document.querySelector('#count').textContent) || 0);

    for (const [how, file] of [['by script tag', 'index.html'], ['by bundler', 'bundled.html']]) {
        test(`${how}: shows a list, its images and a live feed that goes on until it is stopped`, async () => {
            const page = await open(file);
            await shown(page, 6);
            assert.deepEqual(await page.locator('#timeline p').evaluateAll((all) => all.map((one) => one.firstChild.textContent)), ['person', 'car', 'cat', 'parcel', 'person', 'car']);
            assert.equal(await page.locator('#status').getAttribute('data-is'), 'open');

            const first = await until('a first frame', () => frame(page));
            await until('three more', async () => (await frame(page)) >= first + 3);
            assert.equal(await page.locator('#frame').evaluate((image) => image.naturalWidth), 640);

            await page.click('#stop');
            await until('the feed is stopped', async () => (await page.locator('#stop').textContent()) === 'Watch');
            const stopped = await frame(page);
            await page.click('#older');
            await shown(page, 12);
            assert.ok((await frame(page)) <= stopped + 1, 'no frame came after the stop but the one that was being shown');
            assert.equal(await page.locator('#status').getAttribute('data-is'), 'open', 'a stop is no failure');
            await page.click('#stop');
            await until('the feed is there again', async () => (await frame(page)) >= 1 && (await page.locator('#stop').textContent()) === 'Stop');

            mkdirSync(join(ROOT, 'e2e', 'out'), { recursive: true });
            await page.setViewportSize({ width: 1080, height: 900 });
            await page.screenshot({ path: join(ROOT, 'e2e', 'out', `embed-${file}.png`) });
            assert.deepEqual(page.log.filter((line) => /^error/.test(line)), []);
        });
    }

    test('asks its own site for its files and the server for its settings, and no one for anything of the device', async () => {
        const page = await browser.tab();
        const asked = [];
        page.on('request', (request) => asked.push(request.url()));
        await page.goto(`${site}/index.html#${device.link}`);
        await shown(page, 6);
        const settings = `${new URL(device.link).origin}/__peerage/config.json`;
        assert.ok(asked.includes(settings), asked.join('\n'));
        assert.deepEqual(asked.filter((url) => !url.startsWith(site) && !url.startsWith('blob:') && !url.startsWith('data:') && url !== settings), []);
        assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
        assert.equal(new URL(page.url()).hash, '', 'the link does not stay in the address');
    });

    test('is let in later without the secret, by the key that its origin keeps', async () => {
        const first = await open('index.html');
        await shown(first, 6);
        await first.close();
        const second = await open('index.html', `${new URL(device.link).origin}/`);
        await shown(second, 6);
    });

    test('is told why when the link is not one of the device’s', async () => {
        const other = await launch(own);
        const page = await other.tab(`${site}/index.html#${device.link.replace(/#1\..{26}/, `#1.${'a'.repeat(26)}`)}`);
        await until('the page says so', async () => /does not accept this link/.test(await page.locator('#status').textContent()));
    });

    test('finds the device again, after it was away, at its next request', async () => {
        const page = await open('index.html');
        await shown(page, 6);
        const { state } = device;
        await device.proc.stop();
        await until('the feed breaks', async () => (await page.locator('#status').getAttribute('data-is')) === 'failed');
        device = await expose(own, camera, { server: server.url, state });
        await page.click('#older');
        await shown(page, 12);
    });
});
