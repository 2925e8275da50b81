// WebSocket, as apps use it.

import { WebSocketServer } from 'ws';
import { until } from '../lib/process.mjs';

/** Adds a WebSocket at `/ws` to the target: it does what the query tells it. */
export function socketTarget(target) {
    const state = { connections: [], closes: [] };
    const sockets = new WebSocketServer({ noServer: true, maxPayload: 64 << 20, handleProtocols: (offered) => [...offered].find((name) => name === 'second') ?? false });
    target.server.on('upgrade', (request, socket, head) => {
        const query = new URL(request.url, 'http://x').searchParams;
        if (query.has('refuse')) return void socket.end(`HTTP/1.1 ${query.get('refuse')} Refused\r\ncontent-length: 7\r\nconnection: close\r\n\r\nrefused`);
        if (query.has('cut')) return void socket.destroy();
        sockets.handleUpgrade(request, socket, head, (ws) => {
            state.connections.push({ headers: request.headers, url: request.url });
            ws.on('close', (code, reason) => state.closes.push([code, String(reason), request.url]));
            ws.on('error', () => {});
            if (query.has('close')) return ws.close(Number(query.get('close')) || undefined, query.get('reason') ?? '');
            if (query.has('kill')) return ws.terminate();
            if (query.has('hello')) ws.send('hello');
            ws.on('message', (data, binary) => ws.send(data, { binary }));
        });
    });
    return state;
}

export function sockets({ same, different }) {
    /** Runs in the page: a socket with everything that happens to it in order. */
    const helpers = () => {
        window.record = (path, protocols, binaryType = 'arraybuffer') => {
            const socket = new WebSocket(path, protocols);
            socket.binaryType = binaryType;
            socket.events = [];
            socket.ended = new Promise((resolve) => {
                socket.onopen = () => socket.events.push(['open', socket.protocol, socket.extensions === '' || /permessage-deflate/.test(socket.extensions)]);
                socket.onmessage = ({ data, origin }) => socket.events.push(['message', typeof data === 'string' ? data.slice(0, 50) : [data.constructor.name, data.byteLength ?? data.size], new URL(origin).protocol]);
                socket.onerror = ({ type }) => socket.events.push([type]);
                socket.onclose = ({ code, reason, wasClean }) => { socket.events.push(['close', code, reason, wasClean, socket.readyState]); resolve(socket.events); };
            });
            socket.opened = new Promise((resolve) => socket.addEventListener('open', resolve));
            socket.next = () => new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(data), { once: true }));
            return socket;
        };
    };
    const inPage = async (visit, run, arg) => {
        const frame = await visit.frame();
        await frame.evaluate(helpers);
        return frame.evaluate(run, arg);
    };
    const address = ({ origin }) => `${origin.replace('http', 'ws')}/ws`;

    same('WebSocket: text and binary both ways, in order, of every size, as ArrayBuffer and as Blob', (visit) => inPage(visit, async (address) => {
        const socket = record(address);
        await socket.opened;
        const echoed = async (data) => { const next = socket.next(); socket.send(data); return next; };
        const seen = [];
        for (const text of ['', 'ünï €', 'x'.repeat(200_000)]) seen.push((await echoed(text)) === text);
        for (const size of [0, 1, 125, 126, 65_535, 65_536, 3_000_000]) {
            const bytes = new Uint8Array(size).map((_, n) => n % 251);
            const back = new Uint8Array(await echoed(size % 2 ? bytes : new Blob([bytes])));
            seen.push(back.length === size && back.every((byte, n) => byte === n % 251));
        }
        socket.binaryType = 'blob';
        const blob = await echoed(new Uint16Array([1, 2, 3]).subarray(1));
        seen.push(blob.constructor.name, blob.size);
        for (let n = 0; n < 500; n++) socket.send(`${n}`);
        await new Promise((resolve) => socket.addEventListener('message', ({ data }) => data === '499' && resolve()));
        const numbers = socket.events.slice(-500).map(([, data]) => data);
        seen.push(numbers.every((data, n) => data === `${n}`));
        socket.close(1000, 'enough');
        return { seen, end: (await socket.ended).at(-1) };
    }, address(visit)));

    same('WebSocket: what the target sees of the handshake', async (visit) => {
        const { sockets } = visit;
        const from = sockets.connections.length;
        await inPage(visit, async (address) => {
            document.cookie = 'ws=1; path=/ws';
            const socket = record(`${address}?q=1&r=%C3%BC`);
            await socket.opened;
            socket.close();
            document.cookie = 'ws=; path=/ws; max-age=0';
            return socket.ended;
        }, address(visit));
        return sockets.connections.slice(from).map(({ url, headers }) => ({ url, host: headers.host, origin: headers.origin, cookie: headers.cookie, agent: headers['user-agent'], language: headers['accept-language'], version: headers['sec-websocket-version'], protocol: headers['sec-websocket-protocol'] }));
    });

    same('WebSocket: a subprotocol is chosen, none is chosen', (visit) => inPage(visit, async (address) => {
        const chosen = record(address, ['first', 'second']);
        await chosen.opened;
        chosen.close();
        const refused = record(address, 'unknown');
        return { chosen: await chosen.ended, refused: await refused.ended };
    }, address(visit)));

    same('WebSocket: close codes and reasons of both sides, with none, and without a closing handshake', async (visit) => {
        const { sockets } = visit;
        const from = sockets.closes.length;
        const seen = await inPage(visit, async (address) => {
            const seen = [];
            for (const query of ['close=1000', 'close=3001&reason=%C3%BCber', 'close=4999', 'close=1011&reason=x', 'close=', 'kill']) seen.push((await record(`${address}?${query}`).ended).at(-1));
            for (const args of [[], [1000], [3000, 'own ü'], [4999, 'r'.repeat(123)]]) {
                const socket = record(address);
                await socket.opened;
                socket.close(...args);
                seen.push((await socket.ended).at(-1));
            }
            return seen;
        }, address(visit));
        await until('the target has seen all', () => sockets.closes.length === from + 10);
        return { seen, target: sockets.closes.slice(from) };
    });

    same('WebSocket: a refusal and a broken handshake are an error and a close', (visit) => inPage(visit, async (address) => {
        const seen = [];
        for (const query of ['refuse=403', 'refuse=404', 'refuse=500', 'cut']) seen.push(await record(`${address}?${query}`).ended);
        return seen;
    }, address(visit)));

    same('WebSocket: what the constructor, send and close refuse', (visit) => inPage(visit, async (address) => {
        const error = (run) => { try { run(); return 'none'; } catch (error) { return error.name; } };
        const socket = new WebSocket(address);
        const seen = [
            error(() => new WebSocket('not an address ::')), error(() => new WebSocket(`${address}#fragment`)), error(() => new WebSocket(address, ['a', 'a'])), error(() => new WebSocket(address, 'b c')), error(() => WebSocket(address)),
            error(() => socket.send('too early')), error(() => socket.close(1001)), error(() => socket.close(3000, 'r'.repeat(124))), error(() => socket.close(999)),
            [WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED, WebSocket.name, WebSocket.length], socket instanceof WebSocket, socket instanceof EventTarget, socket.readyState, socket.binaryType, socket.bufferedAmount,
            Object.prototype.toString.call(socket), new URL(socket.url).pathname,
        ];
        socket.close();
        seen.push(socket.readyState, await new Promise((resolve) => { socket.onclose = ({ code, wasClean }) => resolve([code, wasClean]); }));
        return seen;
    }, address(visit)));

    same('WebSocket: bufferedAmount rises with send and falls to nothing', (visit) => inPage(visit, async (address) => {
        const socket = record(address);
        await socket.opened;
        socket.send('x'.repeat(1_000_000));
        const rose = socket.bufferedAmount === 1_000_000;
        await socket.next();
        const fell = socket.bufferedAmount;
        socket.close();
        await socket.ended;
        socket.send('late');
        return { rose, fell, late: socket.bufferedAmount };
    }, address(visit)));

    same('WebSocket: from a worker', async (visit) => {
        visit.target.on('/ws-worker.js', (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end(`onmessage = ({ data }) => {
            const socket = new WebSocket(data);
            socket.onopen = () => socket.send('from a worker');
            socket.onmessage = ({ data }) => { postMessage(data); socket.close(); };
            socket.onerror = () => postMessage('error');
        };`));
        return inPage(visit, (address) => new Promise((resolve) => {
            const worker = new Worker('/ws-worker.js');
            worker.onmessage = ({ data }) => resolve(data);
            worker.postMessage(address);
        }), address(visit));
    });

    same('WebSocket: leaving the page lets the target go', async (visit) => {
        const { sockets, open, way } = visit;
        const left = () => sockets.closes.find(([, , url]) => url === `/ws?hello=${way}`);
        const tab = await open('/');
        await (await tab.frame()).evaluate((address) => new Promise((resolve) => { new WebSocket(address).onmessage = resolve; }), `${address(visit)}?hello=${way}`);
        await (await tab.frame()).evaluate(() => { location.href = '/?left'; });
        const [code] = await until('the target is let go', left);
        await tab.close();
        return code;
    });
}
