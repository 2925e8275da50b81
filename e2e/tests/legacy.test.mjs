// The stock PeerJS client, driven as the old PeerFetch client drives it, with `peerage expose --allow-legacy` on the other end.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { expose, folder, serve } from '../lib/peerage.mjs';
import { shared } from '../lib/process.mjs';
import { oldClient, oldFetch, stockPeer, stockSite } from '../lib/stock.mjs';
import { listen } from '../lib/sites.mjs';

const IMAGE = Buffer.from([0xff, 0xd8, 0xff, 0, 1, 2]);

/** The API that an old device has. */
function device(owner) {
    return listen(owner, async (request, response) => {
        const answer = (status, type, body) => response.writeHead(status, type ? { 'content-type': type } : {}).end(body);
        const { pathname, searchParams } = new URL(request.url, 'http://x');
        if (pathname === '/') return answer(200, null, 'Ambianic Edge! Helpful home.');
        if (pathname === '/api/json') return answer(200, 'application/json', '{"version":"1.2","n":1}');
        if (pathname === '/api/image') return answer(200, 'image/jpeg', IMAGE);
        if (pathname === '/api/big') {
            const body = Buffer.alloc(Number(searchParams.get('n')), 'A');
            if (searchParams.has('stated')) response.setHeader('content-length', body.length);
            return answer(200, 'application/octet-stream', body);
        }
        if (pathname === '/api/204') return answer(204);
        if (pathname === '/api/empty') return answer(200, 'text/plain', '');
        if (pathname === '/api/gone') return request.socket.destroy();
        if (pathname === '/api/redirect') return response.writeHead(302, { location: '/api/json' }).end();
        if (pathname === '/api/elsewhere') return response.writeHead(302, { location: searchParams.get('to') }).end();
        if (pathname !== '/api/echo') return answer(404, null, 'nope');
        let body = '';
        for await (const part of request) body += part;
        answer(200, 'application/json', JSON.stringify({ method: request.method, type: request.headers['content-type'] ?? null, body }));
    });
}

suite('an old client', () => {
    const own = shared(after);
    let server, browser, site, target;
    before(async () => {
        server = await serve(own);
        site = await stockSite(own);
        target = await device(own);
        browser = await launch(own);
    });
    afterEach(() => browser.closeTabs());

    const old = (t, { url = target.url, args = [] } = {}) => expose(t, url, { server: server.url, args: ['--allow-legacy', ...args] });

    /** A tab that is connected as the old UI connects, and what asks through it. */
    async function connected(id) {
        const { page } = await stockPeer(browser, site, server);
        return oldFetch(page, id);
    }

    test('finds the device, reads JSON, images and large bodies, and is told what it cannot take', async (t) => {
        const { device: id, proc } = await old(t);
        await proc.printed(/WHOEVER KNOWS OR GUESSES THE ID/);
        const ask = await connected(id);
        // As old UIs name it; the host and port in an address say nothing to the proxy.
        const root = await ask({ url: 'http://localhost:8778/' });
        assert.match(root.text, /Ambianic/);
        assert.deepEqual(root.header, { status: 200, 'content-type': 'None', 'content-length': 28 });
        assert.equal((await ask({ url: 'http://localhost:8778/api/json' })).text, '{"version":"1.2","n":1}');
        const image = await ask({ url: 'http://localhost:8778/api/image' });
        assert.deepEqual([image.header['content-type'], image.bytes], ['image/jpeg', [...IMAGE]]);
        for (const octets of [200_000, 262_144]) {
            const big = await ask({ url: 'http://localhost:8778/api/big', params: { n: octets } });
            assert.deepEqual([big.header.status, big.size], [200, octets]);
        }
        for (const [params, says] of [[{ n: 300_000, stated: 1 }, /has 300000 octets.* 262144 /], [{ n: 300_000 }, /more than the 262144 octets/]]) {
            const larger = await ask({ url: 'http://localhost:8778/api/big', params });
            assert.equal(larger.header.status, 502);
            assert.match(larger.text, says);
        }
        assert.equal((await ask({ url: 'http://localhost:8778/api/json' })).header.status, 200, 'the connection lives');
    });

    test('sends PUT and POST, and each answer ends its request', async (t) => {
        const { device: id } = await old(t);
        const ask = await connected(id);
        const echo = async (request) => JSON.parse((await ask({ url: 'http://localhost:8778/api/echo', ...request })).text);
        assert.deepEqual(await echo({ method: 'PUT' }), { method: 'PUT', type: null, body: '' });
        assert.deepEqual(await echo({ method: 'POST', json: { message: 'hi' } }), { method: 'POST', type: 'application/json', body: '{"message":"hi"}' });
        assert.deepEqual(await echo({ method: 'POST', data: 'raw text' }), { method: 'POST', type: 'text/plain; charset=utf-8', body: 'raw text' });
        const status = async (path, request) => (await ask({ url: `http://localhost:8778${path}`, ...request })).header.status;
        assert.equal(await status('/api/204'), 204);
        assert.equal(await status('/api/empty'), 204);
        assert.equal(await status('/api/none'), 404);
        assert.equal(await status('/api/redirect'), 200);
        assert.equal(await status('/api/echo', { method: 'DELETE' }), 405);
        assert.equal(await status('/api/gone'), 502);
        assert.equal((await ask({ url: 'ping' })).text, 'pong');
    });

    test('is answered, and not left waiting, when the app is down', async (t) => {
        const gone = await listen(t, () => {});
        await new Promise((resolve) => gone.server.close(resolve));
        const { device: id } = await old(t, { url: gone.url });
        const ask = await connected(id);
        const answer = await ask({ url: 'http://localhost:8778/api/json' });
        assert.equal(answer.header.status, 502);
        assert.match(answer.text, /connection refused/);
        assert.equal((await ask({ url: 'ping' })).text, 'pong');
    });

    test('pings every second while it asks for nothing, and stays connected', async (t) => {
        const { device: id } = await old(t);
        const ask = await connected(id);
        assert.equal(await ask.pings(3), 3);
        assert.equal((await ask({ url: 'http://localhost:8778/api/json' })).header.status, 200);
    });

    test('never leaves the target, whatever it writes into the address', async (t) => {
        const other = await listen(t, (_, response) => response.end('not exposed'));
        const base = await listen(t, (request, response) => request.url.startsWith('/app/') ? response.end(request.url) : response.end('above'));
        const { device: id } = await old(t, { url: `${base.url}/app/` });
        const ask = await connected(id);
        const { host } = new URL(other.url);
        for (const url of [other.url, `${other.url}/`, `http://${host}@${host}/`, `//${host}/`, `http://x@${host}/y`]) {
            const answer = await ask({ url });
            assert.match(answer.text, /^\/app\//, url);
        }
        for (const path of ['/..', '/../', '/%2e%2e/', '/..%2f', '/a/../../', '/%252e%252e/', '\\..\\', '/..;/']) {
            assert.equal((await ask({ url: `http://localhost${path}` })).header.status, 400, path);
        }
        const { device: redirecting } = await old(t);
        const follow = await connected(redirecting);
        const answer = await follow({ url: 'http://localhost:8778/api/elsewhere', params: { to: `${other.url}/` } });
        assert.equal(answer.header.status, 502);
        assert.deepEqual(other.requests, []);
    });

    test('has its connection to itself: two of them do not mix their answers', async (t) => {
        const { device: id } = await old(t);
        const [one, two] = [await connected(id), await connected(id)];
        const sizes = [1, 1_000, 60_000, 200_000];
        const read = async (ask, n) => (await ask({ url: 'http://localhost:8778/api/big', params: { n } })).size;
        const both = await Promise.all([Promise.all(sizes.map((n) => read(one, n))), Promise.all(sizes.map((n) => read(two, n + 1)))]);
        assert.deepEqual(both, [sizes, sizes.map((n) => n + 1)]);
    });

    test('finds the device under the id that it was paired with', async (t) => {
        const id = randomUUID();
        const file = join(folder(t), '.peerjsrc');
        writeFileSync(file, JSON.stringify({ peerId: id }));
        const { device: own } = await old(t, { args: ['--peerjsrc', file] });
        for (const name of [id, own]) {
            const ask = await connected(name);
            assert.equal((await ask({ url: 'http://localhost:8778/api/json' })).header.status, 200, name);
        }
    });

    test('is refused without the flag, and to every other label with it', async (t) => {
        const { device: closed } = await expose(t, target.url, { server: server.url });
        const { device: open } = await old(t);
        for (const [id, label] of [[closed, 'http-proxy'], [closed, 'peerage-http'], [open, 'peerage-http'], [open, 'chat']]) {
            const { page } = await stockPeer(browser, site, server);
            await oldClient(page);
            const answer = await page.evaluate(([id, label]) => refusal(id, { label, reliable: true, serialization: 'raw' }), [id, label]);
            assert.equal(answer.sdp, undefined);
            assert.equal(answer.peerage.refusal, 'denied', `${label}: ${JSON.stringify(answer)}`);
        }
    });
});
