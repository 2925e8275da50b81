// What a web app may do, through the link: forms, fetch, redirects, streams, large bodies, in Chromium and natively; with bounded memory.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { watchMemory } from '../lib/memory.mjs';
import { expose, fetched, fetching, folder, serve } from '../lib/peerage.mjs';
import { shared, until, within } from '../lib/process.mjs';
import { app, visit } from '../lib/shell.mjs';
import { bigHash, specialTarget } from '../lib/sites.mjs';

const MB = 1_000_000;
const GIB = 1024;

suite('behaviour of apps behind a link', () => {
    const own = shared(after);
    let server, target, device, browser;
    before(async () => {
        server = await serve(own);
        target = await specialTarget(own);
        device = await expose(own, target.url, { server: server.url });
        browser = await launch(own);
    });
    afterEach(() => browser.closeTabs());

    const origin = () => new URL(device.link).origin;
    /** Runs a function in the app's own page. */
    const inApp = async (page, fn, arg) => within(60_000, (await app(page)).evaluate(fn, arg), 'the app does not answer');

    suite('in Chromium', () => {
        test('fetch works with every method, with bodies and headers of the app', async () => {
            const page = await visit(browser, `${device.link}/`);
            for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
                const answer = await inApp(page, async (method) => {
                    const body = method === 'GET' ? undefined : `body of ${method}`;
                    const response = await fetch('/echo?q=1', { method, body, headers: { 'x-app': 'yes' } });
                    return response.json();
                }, method);
                assert.equal(answer.method, method);
                assert.equal(answer.body, method === 'GET' ? '' : `body of ${method}`);
                assert.equal(answer.headers['x-app'], 'yes');
                assert.equal(answer.headers.host, `127.0.0.1:${target.port}`, 'the target sees its own Host');
            }
        });

        test('a form is posted, with an Origin that the target knows as its own', async () => {
            const page = await visit(browser, `${device.link}/`);
            await (await app(page)).locator('button').click();
            const answer = JSON.parse(await until('the answer to the form', async () => {
                const text = await (await app(page)).locator('body').innerText();
                return text.startsWith('{') && text;
            }));
            assert.equal(answer.method, 'POST');
            assert.equal(answer.body, 'word=hello');
            assert.equal(answer.headers.origin, target.url);
            assert.ok(answer.headers.referer.startsWith(target.url), `Referer: ${answer.headers.referer}`);
        });

        test('a redirect within the target stays within the link', async () => {
            const page = await visit(browser, `${device.link}/redirect?to=${encodeURIComponent(`${target.url}/second`)}`);
            assert.equal(new URL((await app(page)).url()).href, `${origin()}/second`);
        });

        test('an upload of 64 MiB arrives whole', async () => {
            const page = await visit(browser, `${device.link}/`);
            const answer = await inApp(page, async () => {
                const block = new Uint8Array(1 << 20).map((_, n) => n % 251);
                const file = new Blob(Array.from({ length: 64 }, () => block));
                const response = await fetch('/echo', { method: 'PUT', body: file });
                const { bytes, sha256 } = await response.json();
                const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
                return { bytes, same: sha256 === [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('') };
            });
            assert.deepEqual(answer, { bytes: 64 << 20, same: true });
        });

        test('a target that sends byte by byte is seen byte by byte', async () => {
            const page = await visit(browser, `${device.link}/`);
            const frame = await app(page);
            await frame.evaluate(() => {
                window.seen = '';
                fetch('/drip?n=5').then(async ({ body }) => {
                    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
                    for (let part = await reader.read(); !part.done; part = await reader.read()) seen += part.value;
                    seen += '.';
                });
            });
            await until('the target is asked', () => target.drips.size === 1);
            for (const expected of ['a', 'ab', 'abc', 'abcd', 'abcde.']) {
                target.drip();
                assert.equal(await until(`to see ${expected}`, async () => (await frame.evaluate(() => seen)).length >= expected.length && frame.evaluate(() => seen)), expected);
            }
        });

        test('a page that the target sends byte by byte is shown byte by byte', async () => {
            const page = await visit(browser, `${device.link}/`);
            const frame = await app(page);
            await frame.evaluate(() => { location.href = '/drip'; });
            await until('the target is asked', () => target.drips.size === 1);
            const shown = () => page.frames().at(-1).evaluate(() => document.body?.innerText.length ?? 0).catch(() => 0);
            const steps = new Set();
            // The browser takes the first three bytes together (a byte order mark?) and later ones sometimes in pairs, with and without a link.
            for (let n = 1; n <= 12; n++) {
                target.drip();
                steps.add(await until(`${n} bytes shown`, async () => await shown() === n && n, { ms: 1_000 }).catch(() => 0));
            }
            assert.ok(steps.size > 5, `shown in steps: ${[...steps]}`);
            await page.close();
            await until('the target is let go', () => target.drips.size === 0);
        });

        test('an aborted request is aborted at the target', async () => {
            const page = await visit(browser, `${device.link}/`);
            const frame = await app(page);
            await frame.evaluate(() => {
                window.stop = new AbortController();
                fetch('/drip', { signal: stop.signal }).catch(() => {});
            });
            await until('the target is asked', () => target.drips.size === 1);
            await frame.evaluate(() => stop.abort());
            await until('the target is let go', () => target.drips.size === 0);
        });

        test('1 GiB is downloaded to disk, with the server frozen, whole, in little memory', { timeout: 280_000 }, async (t) => {
            const page = await visit(browser, `${device.link}/`);
            const frame = await app(page);
            server.proc.freeze();
            t.after(() => server.proc.thaw());
            const into = folder(t, 'download');
            const memory = watchMemory({ device: device.proc.pid, browser: browser.pid });
            const begun = performance.now();
            const file = await browser.download(into, () => frame.evaluate((mib) => { location.href = `/big?mib=${mib}`; }, GIB), 240_000);
            const seconds = (performance.now() - begun) / 1_000;
            const grown = memory.stop();
            assert.equal(file.bytes, GIB << 20);
            assert.equal(file.name, 'big.bin');
            assert.equal(await hashOf(join(into, file.guid)), bigHash(GIB));
            t.diagnostic(`${((GIB << 20) / MB / seconds).toFixed(1)} MB/s; device +${mb(grown.device.growth)}, browser +${mb(grown.browser.growth)} MB`);
            assert.ok(grown.device.growth < 32 * MB, `the device process grew by ${mb(grown.device.growth)} MB`);
            assert.ok(grown.browser.growth < 150 * MB, `all browser processes grew by ${mb(grown.browser.growth)} MB`);
        });

        test('an unread response stalls its target and nothing else', async (t) => {
            const page = await visit(browser, `${device.link}/`);
            const before = target.big.asked;
            await inApp(page, async () => {
                window.unread = await fetch('/big?mib=1024');
                return unread.status;
            });
            await until('the target is asked', () => target.big.asked > before);
            const taken = await settled(() => target.taken());
            t.diagnostic(`taken from the target while unread: ${mb(taken)} MB`);
            assert.ok(taken < 80 * MB, `${mb(taken)} MB were taken from the target for nobody`);
            assert.equal(await inApp(page, () => fetch('/status?code=200').then((response) => response.status)), 200);
            await inApp(page, () => unread.body.cancel());
        });
    });

    suite('with peerage fetch', () => {
        test('a page, its status and exit codes', async (t) => {
            assert.match((await fetched(t, device.link, ['/'])).body, /special target/);
            assert.equal((await fetched(t, device.link, ['/'])).code, 0);
            assert.equal((await fetched(t, device.link, ['/missing'])).code, 4);
            assert.equal((await fetched(t, device.link, ['/status?code=500'])).code, 5);
        });

        test('a body and headers are sent with any method', async (t) => {
            const { code, body } = await fetched(t, device.link, ['/echo', '-X', 'PATCH', '-H', 'x-app: yes', '-d', 'hello body']);
            assert.equal(code, 0);
            const seen = JSON.parse(body);
            assert.equal(seen.method, 'PATCH');
            assert.equal(seen.body, 'hello body');
            assert.equal(seen.headers['x-app'], 'yes');
        });

        test('1 GiB arrives whole, with the server frozen, in little memory', { timeout: 280_000 }, async (t) => {
            const into = join(folder(t, 'fetch'), 'big.bin');
            const before = target.big.asked;
            const caller = fetching(t, device.link, [`/big?mib=${GIB}`, '-o', into]);
            await until('the target is asked', () => target.big.asked > before);
            server.proc.freeze();
            t.after(() => server.proc.thaw());
            const memory = watchMemory({ device: device.proc.pid, caller: caller.pid });
            const begun = performance.now();
            assert.equal((await caller.end(240_000)).code, 0, caller.output);
            const seconds = (performance.now() - begun) / 1_000;
            const grown = memory.stop();
            assert.equal(await hashOf(into), bigHash(GIB));
            t.diagnostic(`${((GIB << 20) / MB / seconds).toFixed(1)} MB/s; device +${mb(grown.device.growth)}, caller +${mb(grown.caller.growth)} MB`);
            assert.ok(grown.device.growth < 32 * MB, `the device process grew by ${mb(grown.device.growth)} MB`);
            assert.ok(grown.caller.growth < 32 * MB, `the caller grew by ${mb(grown.caller.growth)} MB`);
        });

        test('a paused reader takes no more than its window from the target, and goes on where it was', async (t) => {
            const before = target.big.asked;
            // Nobody reads the pipe: fetch can write what the pipe holds and then waits.
            const caller = fetching(t, device.link, ['/big?mib=64'], { binary: true });
            await until('the target is asked', () => target.big.asked > before);
            const taken = await settled(() => target.taken());
            t.diagnostic(`taken from the target while paused: ${(taken / 1024).toFixed(0)} KiB`);
            // The window of an exchange is at most 1 MiB; beyond it only the pieces in hand on the way, and the pipe.
            assert.ok(taken < (1 << 20) + (1 << 19), `${taken} bytes were taken from the target`);
            const hash = createHash('sha256');
            for await (const part of caller.child.stdout) hash.update(part);
            assert.equal(hash.digest('hex'), bigHash(64));
            assert.equal((await caller.end()).code, 0);
        });

        test('a target that sends byte by byte is seen byte by byte', async (t) => {
            const caller = fetching(t, device.link, ['/drip?n=3']);
            await until('the target is asked', () => target.drips.size === 1);
            for (const expected of [/^a/m, /^ab/m, /^abc/m]) {
                target.drip();
                await caller.printed(expected);
            }
            assert.equal((await caller.end()).code, 0);
        });

        test('a target that is down is told apart from a device that is', async (t) => {
            const lost = await expose(t, 'http://127.0.0.1:9', { server: server.url });
            assert.equal((await fetched(t, lost.link, ['/'])).code, 12);
            await lost.proc.stop();
            assert.equal((await fetched(t, lost.link, ['/'])).code, 8);
        });
    });
});

const mb = (bytes) => (bytes / MB).toFixed(1);

/** The value of a growing figure once it has not changed for a second. */
async function settled(look) {
    let last = -1, since = performance.now();
    return until('the figure stands still', () => {
        const now = look();
        if (now !== last) [last, since] = [now, performance.now()];
        return performance.now() - since > 1_000 && (last || 0.1);
    });
}

async function hashOf(path) {
    const hash = createHash('sha256');
    for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(part);
    return hash.digest('hex');
}
