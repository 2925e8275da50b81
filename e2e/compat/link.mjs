// What only a link can show: it carries much at once, in little memory, and says what happens when it breaks.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { watchMemory } from '../lib/memory.mjs';
import { expose } from '../lib/peerage.mjs';
import { until, within } from '../lib/process.mjs';

const MB = 1_000_000;
const MIB = 1 << 20;

export function ofTheLink(visits, own) {
    test('3,000 small requests, sixty at a time, are all answered, each with its own', { timeout: 120_000 }, async (t) => {
        const { link } = visits();
        link.target.on('/small', ({ url }, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end(url));
        const begun = performance.now();
        const wrong = await within(110_000, (await link.frame()).evaluate(async () => {
            let next = 0;
            const wrong = [];
            await Promise.all(Array.from({ length: 60 }, async () => {
                for (let n = next++; n < 3_000; n = next++) {
                    const text = await fetch(`/small?n=${n}`).then((response) => response.text(), (error) => error.name);
                    if (text !== `/small?n=${n}`) wrong.push([n, text]);
                }
            }));
            return wrong;
        }), 'the requests did not end');
        t.diagnostic(`${(3_000 / (performance.now() - begun) * 1_000).toFixed(0)} requests/s`);
        assert.deepEqual(wrong, []);
    });

    test('100 downloads at once all arrive whole', { timeout: 120_000 }, async () => {
        const { link } = visits();
        const contents = (n) => Buffer.alloc(MIB, createHash('sha256').update(`download ${n}`).digest());
        link.target.on('/many', ({ url }, response) => response.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' }).end(contents(Number(url.split('=')[1]))));
        const hashes = await within(110_000, (await link.frame()).evaluate(() => Promise.all(Array.from({ length: 100 }, async (_, n) => {
            const data = await (await fetch(`/many?n=${n}`)).arrayBuffer();
            return [...new Uint8Array(await crypto.subtle.digest('SHA-256', data))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
        }))), 'the downloads did not end');
        assert.deepEqual(hashes, Array.from({ length: 100 }, (_, n) => createHash('sha256').update(contents(n)).digest('hex')));
    });

    test('an upload of 1 GB arrives whole, in little memory', { timeout: 280_000 }, async (t) => {
        const { link } = visits();
        const hash = createHash('sha256');
        let bytes = 0;
        link.target.on('/upload', async (request, response) => {
            for await (const part of request) {
                hash.update(part);
                bytes += part.length;
            }
            response.writeHead(200, { 'content-type': 'text/plain' }).end(String(bytes));
        }, { streams: true });
        const frame = await link.frame();
        // One million bytes a thousand times: a file on disk for the browser, not in its memory.
        await frame.evaluate(() => {
            const part = new Blob([new Uint8Array(1_000_000).map((_, n) => (n * 7 + (n >> 8)) % 256)]);
            window.file = new Blob(Array.from({ length: 1_000 }, () => part));
        });
        const memory = watchMemory({ device: link.device.proc.pid, browser: link.browser.pid }, 500);
        const begun = performance.now();
        const answer = await within(270_000, frame.evaluate(() => fetch('/upload', { method: 'PUT', body: file }).then((response) => response.text())), 'the upload did not end');
        const seconds = (performance.now() - begun) / 1_000;
        const grown = memory.stop();
        assert.equal(answer, '1000000000');
        const part = Buffer.from(Uint8Array.from({ length: 1_000_000 }, (_, n) => (n * 7 + (n >> 8)) % 256));
        const expected = createHash('sha256');
        for (let n = 0; n < 1_000; n++) expected.update(part);
        assert.equal(hash.digest('hex'), expected.digest('hex'));
        t.diagnostic(`${(1_000 / seconds).toFixed(1)} MB/s; device +${(grown.device.growth / MB).toFixed(1)}, browser +${(grown.browser.growth / MB).toFixed(1)} MB`);
        assert.ok(grown.device.growth < 32 * MB, `the device process grew by ${grown.device.growth}`);
        assert.ok(grown.browser.growth < 200 * MB, `all browser processes grew by ${grown.browser.growth}`);
    });

    test('a connection that is lost: what waits for an answer is told, what comes afterwards works, nothing is done twice that must not be', { timeout: 120_000 }, async () => {
        const { link } = visits();
        const waiting = [];
        link.target.on('/lost', (request, response, entry) => {
            waiting.push(entry);
            if (link.again) response.writeHead(200, { 'content-type': 'text/plain' }).end('answered after all');
        });
        const frame = await link.frame();
        await frame.evaluate(() => {
            window.lost = Promise.all([fetch('/lost', { method: 'POST', body: 'order' }), fetch('/lost?safe')].map((answer) => answer.then(async (response) => [response.status, response.headers.get('peerage-error'), await response.text()], (error) => [error.name])));
        });
        await until('both are asked', () => waiting.length === 2);
        await link.device.proc.kill();
        link.again = true;
        const device = await expose(own, link.target.url, { server: link.server.url, state: link.device.state });
        const [post, get] = await within(60_000, frame.evaluate(() => lost), 'the requests did not end');
        assert.equal(waiting.filter(({ method }) => method === 'POST').length, 1, 'the target got the order once');
        assert.ok(post[0] === 'TypeError' || post[0] >= 500, `the page is told: ${post}`);
        assert.deepEqual(get, [200, null, 'answered after all'], 'what can do no harm is asked again');
        assert.equal(waiting.length, 3, 'and once');
        assert.equal(await until('the connection is there again', () => frame.evaluate(() => fetch('/lost?later').then((response) => response.status, () => 0)).then((status) => status === 200 && status), { ms: 60_000 }), 200);
        link.device = device;
    });
}
