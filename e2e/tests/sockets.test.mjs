// WebSockets of an unmodified app, through the link: the app's own server cannot tell the difference, nor can its page.

import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { WebSocketServer } from 'ws';
import { launch } from '../lib/browser.mjs';
import { expose, serve } from '../lib/peerage.mjs';
import { shared, until, within } from '../lib/process.mjs';
import { app, visit } from '../lib/shell.mjs';
import { listen } from '../lib/sites.mjs';

const MB = 1_000_000;
const MANY = 2_000;

suite('WebSockets of an app behind a link', () => {
    const own = shared(after);
    const asked = [];
    const ends = [];
    let target, sockets, device, browser;
    before(async () => {
        const server = await serve(own);
        target = await listen(own, (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>app</h1>'));
        sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered].at(-1) });
        target.server.on('upgrade', (request, socket, head) => {
            asked.push(request);
            if (request.url === '/refused') {
                socket.end('HTTP/1.1 401 Who\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
                return;
            }
            sockets.handleUpgrade(request, socket, head, (ws) => {
                ws.on('message', (data, binary) => {
                    if (String(data) === 'close') ws.close(4001, 'as asked');
                    else if (String(data) === 'die') ws.terminate();
                    else if (String(data) === 'many') for (let n = 0; n < MANY; n++) ws.send(`line ${n}`);
                    else ws.send(data, { binary });
                });
                ws.on('close', (code, reason) => ends.push({ code, reason: String(reason) }));
            });
        });
        device = await expose(own, target.url, { server: server.url });
        browser = await launch(own);
    });
    afterEach(() => browser.closeTabs());

    const inApp = async (page, fn, arg) => within(60_000, (await app(page)).evaluate(fn, arg), 'the app does not answer');

    test('text and bytes come back, large ones too, and the app sees its own origin', async () => {
        const page = await visit(browser, `${device.link}/`);
        const told = await inApp(page, async (octets) => {
            const socket = new WebSocket('/live?x=1', ['a', 'b']);
            socket.binaryType = 'arraybuffer';
            const next = () => new Promise((resolve, reject) => {
                socket.onmessage = ({ data }) => resolve(data);
                socket.onclose = ({ code }) => reject(new Error(`closed ${code}`));
            });
            await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onclose: ({ code }) => reject(new Error(`closed ${code}`)) }));
            const words = [];
            for (const word of ['hello', '', 'grüße']) {
                const back = next();
                socket.send(word);
                words.push(await back);
            }
            const large = new Uint8Array(octets).map((_, n) => n % 251);
            const back = next();
            socket.send(large);
            const returned = new Uint8Array(await back);
            const closed = new Promise((resolve) => { socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean }); });
            socket.close(4000, 'bye');
            return { protocol: socket.protocol, words, same: returned.length === octets && returned.every((octet, n) => octet === n % 251), closed: await closed };
        }, 3 * MB);
        assert.deepEqual(told, { protocol: 'b', words: ['hello', '', 'grüße'], same: true, closed: { code: 4000, reason: 'bye', wasClean: true } });
        const { url, headers } = asked.at(-1);
        assert.equal(url, '/live?x=1');
        assert.equal(headers.origin, target.url);
        assert.equal(headers.host, `127.0.0.1:${target.port}`);
        assert.equal(headers['sec-websocket-extensions'], undefined);
        await until('the close at the app', () => ends.some(({ code, reason }) => code === 4000 && reason === 'bye'));
    });

    test('the page hears how the app closes, dies or refuses', async () => {
        const page = await visit(browser, `${device.link}/`);
        const ended = (path, word) => inApp(page, ([path, word]) => new Promise((resolve) => {
            const socket = new WebSocket(path);
            socket.onopen = () => socket.send(word);
            socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
        }), [path, word]);
        assert.deepEqual(await ended('/live', 'close'), { code: 4001, reason: 'as asked', wasClean: true });
        assert.deepEqual(await ended('/live', 'die'), { code: 1006, reason: '', wasClean: false });
        assert.deepEqual(await ended('/refused', ''), { code: 1006, reason: '', wasClean: false });
    });

    test('a page that draws all the time gets many messages between two of its pictures', async () => {
        const page = await visit(browser, `${device.link}/`);
        const { lines, pictures } = await inApp(page, (many) => new Promise((resolve, reject) => {
            let pictures = 0;
            const draw = () => {
                pictures++;
                for (const end = performance.now() + 20; performance.now() < end;);   // longer than a screen shows one
                requestAnimationFrame(draw);
            };
            const lines = [];
            const socket = new WebSocket('/live');
            socket.onopen = () => {
                requestAnimationFrame(draw);
                socket.send('many');
            };
            socket.onclose = ({ code }) => reject(new Error(`closed ${code} after ${lines.length}`));
            socket.onmessage = ({ data }) => {
                lines.push(data);
                if (lines.length === many) resolve({ lines, pictures });
            };
        }), MANY);
        assert.deepEqual(lines, Array.from({ length: MANY }, (_, n) => `line ${n}`));
        assert.ok(pictures < MANY / 10, `${pictures} pictures`);
    });

    test('a tab that is closed closes its sockets at the app', async () => {
        const page = await visit(browser, `${device.link}/`);
        await inApp(page, () => new Promise((resolve) => {
            globalThis.kept = new WebSocket('/live');
            globalThis.kept.onopen = () => resolve();
        }));
        const before = ends.length;
        await page.close();
        await until('the end at the app', () => ends.length > before);
    });
});
