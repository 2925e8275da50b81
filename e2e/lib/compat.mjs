// One observation, made twice: at the target's own address and through a link. They must be equal, or different in the way that is written down.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';

/** Fields of an answer that belong to one hop, or to one moment: no two answers need share them. */
export const OF_THE_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'date'];

/** What the base page offers to observations: `look(response)` and `ask(url, init)`, which never throws. */
const HELPERS = `
    window.look = async (response) => ({
        status: response.status, type: response.type, redirected: response.redirected, url: response.url,
        headers: [...response.headers].filter(([name]) => !${JSON.stringify(OF_THE_HOP)}.includes(name)),
        body: response.type.startsWith('opaque') ? null : await response.text().catch((error) => ({ failed: error.name })),
    });
    window.ask = (url, init) => fetch(url, init).then(look, (error) => ({ failed: error.name }));`;

/**
 * A target whose answers each observation brings along: `on(path, handler)`, and what it was asked in `seen`, bodies included, with
 * `asked(path, from)`. `GET /` is a page with the helpers above.
 */
export async function compatTarget(owner) {
    const routes = new Map();
    const seen = [];
    const server = createServer({ maxHeaderSize: 1 << 17, keepAliveTimeout: 60_000 }, async (request, response) => {
        const path = request.url.split('?')[0];
        const entry = { method: request.method, path: request.url, headers: request.headers, raw: request.rawHeaders, body: Buffer.alloc(0), aborted: false, done: false };
        seen.push(entry);
        response.on('close', () => { entry.aborted = !response.writableEnded; });
        const route = routes.get(path);
        if (route?.streams) return void route(request, response, entry);
        try {
            const parts = [];
            for await (const part of request) parts.push(part);
            entry.body = Buffer.concat(parts);
            entry.done = true;
        } catch {
            entry.aborted = true;
            return;
        }
        if (route) route(request, response, entry);
        else response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    });
    await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
    owner.after(() => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
    });
    const { port } = server.address();
    const target = {
        url: `http://127.0.0.1:${port}`, port, server, seen,
        on: (path, handler, { streams = false } = {}) => routes.set(path, Object.assign((...args) => handler(...args), { streams })),
        asked: (path, from = 0) => seen.slice(from).filter((entry) => entry.path.split('?')[0] === path),
    };
    target.on('/', (_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
        .end(`<!doctype html><title>compat</title><link rel="icon" href="data:,"><script>${HELPERS}</script><h1>compat</h1>`));
    return target;
}

/** Registers observations on two visits, `{ direct, link }`, each `{ origin, target, … }`, as tests. */
export function comparisons(visits) {
    const bound = { timeout: 60_000 };
    const both = async (observe) => {
        const { direct, link } = visits();
        return { direct: await once(direct, observe), link: await once(link, observe) };
    };
    return {
        /** Both observations are equal. */
        same(name, observe, options = bound) {
            test(name, options, async () => {
                const { direct, link } = await both(observe);
                assert.notEqual(direct, undefined, 'nothing was observed');
                const found = differences(direct, link);
                assert.equal(found.length, 0, `through the link it differs (direct | link):\n${found.slice(0, 40).join('\n')}`);
            });
        },
        /** They differ, and in this way: what is expected of each stands beside it. */
        different(name, observe, expected, options = bound) {
            test(name, options, async () => {
                const found = differences(expected, await both(observe));
                assert.equal(found.length, 0, `it differs otherwise than written (written | seen):\n${found.slice(0, 40).join('\n')}`);
            });
        },
    };
}

async function once(visit, observe) {
    try {
        return plain(await observe(visit), visit);
    } catch (error) {
        error.message = `${visit.way}: ${error.message}`;
        throw error;
    }
}

/** Where two observations differ: a line for each place, with both values. */
function differences(a, b, place = '') {
    const branches = (value) => value !== null && typeof value === 'object';
    if (branches(a) && branches(b) && Array.isArray(a) === Array.isArray(b)) {
        return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((name) => differences(a[name], b[name], `${place}.${name}`));
    }
    return Object.is(a, b) ? [] : [`${place}: ${JSON.stringify(a)?.slice(0, 300)} | ${JSON.stringify(b)?.slice(0, 300)}`];
}

/** An observation without what must differ: the app's own origin and host have one name, whatever way it was reached; so has the target's. */
function plain(value, { origin, target }) {
    const hosts = [[origin, 'ORIGIN'], [target.url, 'ORIGIN'], [new URL(origin).host, 'HOST'], [new URL(target.url).host, 'HOST'], [new URL(origin).hostname, 'NAME'], ['127.0.0.1', 'NAME']];
    const text = (string) => hosts.reduce((text, [from, to]) => text.replaceAll(from, to), string).replaceAll(/----WebKitFormBoundary\w+/g, 'BOUNDARY');
    if (typeof value === 'string') return text(value);
    if (Array.isArray(value)) return value.map((one) => plain(one, { origin, target }));
    if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one, { origin, target })]));
    return value;
}
