// The example of a page of one's own: another origin than the device's, no service worker, by script tag and by bundler.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { WebSocketServer } from 'ws';
import { launch } from '../lib/browser.mjs';
import { expose, ROOT, serve } from '../lib/peerage.mjs';
import { shared, start, until } from '../lib/process.mjs';
import { listen } from '../lib/sites.mjs';

const EXAMPLE = join(ROOT, 'examples', 'embed');

/** The machine's own addresses are no place that a server relays to, unless its owner says so. */
const TURN = ['--turn-listen', '127.0.0.1:0', '--turn-relay-address', '127.0.0.1', '--turn-allow-peer', '0.0.0.0/0'];

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

    for (const file of ['index.html', 'bundled.html']) {
        test(`${file}: has the same feed by WebSocket, and closes it where it is stopped`, async () => {
            const page = await browser.tab(`${site}/${file}`);
            await page.selectOption('#way', 'socket');
            await page.fill('#link', device.link);
            await page.click('#connect button');
            await until('some frames', async () => (await frame(page)) >= 3);
            await page.click('#stop');
            await until('the feed is stopped', async () => (await page.locator('#stop').textContent()) === 'Watch');
            assert.equal(await page.locator('#status').getAttribute('data-is'), 'open', 'a stop is no failure');
            assert.deepEqual(page.log.filter((line) => /^error/.test(line)), []);
        });
    }

    test('asks its own site for its files, the server for its settings and ICE servers, and no one for anything of the device', async () => {
        const page = await browser.tab();
        const asked = [];
        page.on('request', (request) => asked.push(request.url()));
        await page.goto(`${site}/index.html#${device.link}`);
        await shown(page, 6);
        const at = `${new URL(device.link).origin}/__peerage/`;
        const others = asked.filter((url) => !url.startsWith(site) && !url.startsWith('blob:') && !url.startsWith('data:'));
        assert.deepEqual(others.map((url) => url.replace(/id=[a-z2-7]{26}$/, 'id=ID')), [`${at}config.json`, `${at}ice?id=ID`]);
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

suite('fetch and WebSocket in a page of another origin', () => {
    const own = shared(after);
    let page, target, device;
    before(async () => {
        target = await listen(own, (request, response) => {
            if (request.url === '/gzip') return response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('unpacked '.repeat(10_000)));
            if (request.url === '/moved') return response.writeHead(307, { location: '/echo' }).end();
            if (request.url === '/cookies') return response.writeHead(200, { 'set-cookie': ['hidden=1; HttpOnly', 'seen=2'] }).end(request.headers.cookie ?? '');
            const { method, headers } = request;
            response.writeHead(200, { 'x-method': method, 'x-type': headers['content-type'] ?? 'none', 'x-length': headers['content-length'] ?? 'none', 'x-origin': headers.origin ?? 'none' });
            return request.pipe(response);
        });
        const sockets = new WebSocketServer({ server: target.server, handleProtocols: (offered) => (offered.has('second') ? 'second' : false), maxPayload: 1 << 26 });
        sockets.on('connection', (socket) => socket.on('message', (data, isBinary) => (String(data) === 'close' ? socket.close(4001, 'as asked') : socket.send(data, { binary: isBinary }))));
        device = await expose(own, target.url, { server: (await serve(own, ...TURN)).url });
        const site = start(own, 'serve.mjs', process.execPath, ['serve.mjs', '0'], { cwd: EXAMPLE });
        const [address] = await site.printed(/http:\/\/127\.0\.0\.1:\d+/);
        page = await (await launch(own)).tab(`${address}/index.html`);
        await page.evaluate((link) => {
            window.peer = Peerage.connectPeer(link);
            window.next = (socket, type) => new Promise((resolve, reject) => {
                socket.addEventListener(type, resolve, { once: true });
                socket.addEventListener('close', () => reject(socket.failure ?? new Error('closed')), { once: true });
            });
        }, device.link);
    });

    test('sends every kind of body, with its type and length, and gets it back', async () => {
        const seen = await page.evaluate(async () => {
            const form = new FormData();
            form.set('file', new File(['content'], 'name.txt', { type: 'text/x' }));
            const slow = new ReadableStream({
                async start(controller) {
                    for (let at = 0; at < 30; at++) controller.enqueue(new Uint8Array(100_000).fill(at));
                    controller.close();
                },
            });
            const seen = [];
            for (const body of ['text', new Blob(['blob'], { type: 'image/png' }), new URLSearchParams({ a: 'b' }), new Uint8Array(2_000_000), form, slow, null]) {
                const response = await peer.fetch(body === slow ? '/echo' : '/moved', { method: 'POST', body, duplex: 'half' });
                const { size } = await response.blob();
                seen.push([response.headers.get('x-type').replace(/boundary=.*/, 'boundary='), response.headers.get('x-length') === String(size) ? 'stated' : response.headers.get('x-length'), size > 200 ? size : '']);
            }
            return seen;
        });
        assert.deepEqual(seen, [
            ['text/plain;charset=UTF-8', 'stated', ''], ['image/png', 'stated', ''], ['application/x-www-form-urlencoded;charset=UTF-8', 'stated', ''],
            ['none', 'stated', 2_000_000], ['multipart/form-data; boundary=', 'stated', ''], ['none', 'none', 3_000_000], ['none', 'stated', ''],
        ]);
    });

    test('says how packets go and how many there were, and when they go no more', async () => {
        const seen = await page.evaluate(async (link) => {
            const routes = [];
            const other = Peerage.connectPeer(link, { onRoute: (route) => routes.push(route) });
            const before = await other.path();
            await (await other.fetch('/echo', { method: 'POST', body: new Uint8Array(200_000) })).arrayBuffer();
            // A browser's figures are some moments old.
            const late = AbortSignal.timeout(10_000);
            let path = await other.path();
            while (!(path.received > 200_000 && routes.length > 0)) {
                late.throwIfAborted();
                await new Promise((resolve) => setTimeout(resolve, 20));
                path = await other.path();
            }
            other.close();
            await other.fetch('/echo').catch(() => undefined);
            return { before, path, routes, after: await other.path() };
        }, device.link);
        assert.deepEqual([seen.before, seen.routes, seen.after], [null, ['direct', null], null]);
        const { route, roundTrip, sent, received, relayed, openedIn } = seen.path;
        assert.deepEqual({ route, relayed }, { route: 'direct', relayed: { sent: 0, received: 0 } });
        for (const octets of [sent, received]) assert.ok(octets > 200_000 && octets < 600_000, JSON.stringify(seen.path));
        assert.ok(roundTrip >= 0 && openedIn > 0 && openedIn < 10_000, JSON.stringify(seen.path));
    });

    test('goes through its server’s relay where the page wants nothing else, soon, and says so', async () => {
        const { path, routes } = await page.evaluate(async (link) => {
            const routes = [];
            const other = Peerage.connectPeer(link, { iceTransportPolicy: 'relay', onRoute: (route) => routes.push(route) });
            await (await other.fetch('/echo', { method: 'POST', body: new Uint8Array(200_000) })).arrayBuffer();
            const late = AbortSignal.timeout(10_000);
            let path = await other.path();
            while (!(path.relayed.received > 200_000 && routes.length > 0)) {
                late.throwIfAborted();
                await new Promise((resolve) => setTimeout(resolve, 20));
                path = await other.path();
            }
            other.close();
            return { path, routes };
        }, device.link);
        assert.deepEqual([path.route, routes[0]], ['relayed', 'relayed']);
        assert.ok(path.relayed.sent > 200_000 && path.openedIn < 5_000, JSON.stringify(path));
    });

    test('gives responses as the browser does: unpacked, with their address, and refused where they are not the device’s', async () => {
        const seen = await page.evaluate(async () => {
            const packed = await peer.fetch('/gzip');
            const moved = await peer.fetch('/moved');
            const refused = await peer.fetch('https://elsewhere.example/').catch((error) => error instanceof TypeError);
            return [(await packed.text()).length, new URL(moved.url).pathname, moved.redirected, moved.headers.get('x-method'), refused];
        });
        assert.deepEqual(seen, [90_000, '/echo', true, 'GET', true]);
    });

    test('has its cookies kept by the device, for this caller, and leaves them out where it says so', async () => {
        const seen = await page.evaluate(async () => {
            const get = async (init) => (await peer.fetch('/cookies', init)).text();
            return [await get({}), await get({}), await get({ credentials: 'omit' }), (await peer.fetch('/cookies')).headers.has('set-cookie')];
        });
        assert.deepEqual(seen, ['', 'hidden=1; seen=2', '', false]);
    });

    test('the target sees its own origin, not the page’s', async () => {
        assert.equal(await page.evaluate(async () => (await peer.fetch('/echo', { method: 'POST' })).headers.get('x-origin')), target.url);
    });

    test('carries texts and octets of any size, both ways, as the browser’s own does', async () => {
        const seen = await page.evaluate(async () => {
            const socket = peer.openWebSocket('/echo', ['first', 'second']);
            socket.binaryType = 'arraybuffer';
            await next(socket, 'open');
            const seen = [socket.protocol];
            for (const message of ['text \u{1f600}', '', new Uint8Array(0), new Uint8Array(5_000_000).fill(7), 'x'.repeat(1_000_000)]) {
                socket.send(message);
                const { data } = await next(socket, 'message');
                const same = typeof message === 'string' ? data === message : data.byteLength === message.length && new Uint8Array(data).every((octet, at) => octet === message[at]);
                seen.push(same && socket.bufferedAmount === 0);
            }
            socket.close(3001, 'enough');
            const { code, reason, wasClean } = await next(socket, 'close');
            return [...seen, code, reason, wasClean];
        });
        assert.deepEqual(seen, ['second', true, true, true, true, true, 3001, 'enough', true]);
    });

    test('is closed by the target with its code and reason, and refused where the target is none', async () => {
        const seen = await page.evaluate(async () => {
            const socket = peer.openWebSocket('/echo');
            await next(socket, 'open');
            socket.send('close');
            const { code, reason, wasClean } = await next(socket, 'close');
            const refused = peer.openWebSocket('/echo', 'third');
            const order = [];
            for (const type of ['open', 'error', 'close']) refused.addEventListener(type, () => order.push(type));
            const end = await next(refused, 'close');
            return [code, reason, wasClean, order.join(), end.code, end.wasClean];
        });
        assert.deepEqual(seen, [4001, 'as asked', true, 'error,close', 1006, false]);
    });
});
