// What is exposed: plain web servers without any knowledge of Peerage.

import { createHash } from 'node:crypto';
import { createReadStream, statSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = {
    '.html': 'text/html; charset=utf-8', '.css': 'text/css', '.js': 'text/javascript', '.mjs': 'text/javascript', '.json': 'application/json', '.svg': 'image/svg+xml',
    '.png': 'image/png', '.woff2': 'font/woff2', '.ttf': 'font/ttf', '.txt': 'text/plain; charset=utf-8', '.wasm': 'application/wasm',
};

/** Listens on a free port of loopback. Returns `{ url, port, requests, server }`; `requests` are `METHOD path` in order. */
export async function listen(owner, handler) {
    const requests = [];
    const server = createServer((request, response) => {
        requests.push(`${request.method} ${request.url}`);
        handler(request, response);
    });
    await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
    owner.after(() => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
    });
    const { port } = server.address();
    return { url: `http://127.0.0.1:${port}`, port, requests, server };
}

/** A folder, as any static server shows it: index.html for folders, a redirect to the trailing slash, 404. */
export function staticSite(owner, root) {
    return listen(owner, (request, response) => {
        const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
        const stat = statSync(join(root, path), { throwIfNoEntry: false });
        if (stat?.isDirectory() && !path.endsWith('/')) {
            response.writeHead(301, { location: `${path}/` }).end();
            return;
        }
        const file = join(root, stat?.isDirectory() ? `${path}index.html` : path);
        const size = statSync(file, { throwIfNoEntry: false })?.size;
        if (size === undefined) {
            response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
            return;
        }
        response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-length': size });
        if (request.method === 'HEAD') response.end();
        else createReadStream(file).pipe(response);
    });
}

/** Files given by name, for pages of the tests: `{ '/x.js': '/path/to/file' }`. */
export function files(owner, table) {
    return listen(owner, (request, response) => {
        const file = table[new URL(request.url, 'http://x').pathname];
        if (file) response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/html' }).end(readFileSync(file));
        else response.writeHead(404).end();
    });
}

const MIB = 1 << 20;

/** The generated body's n-th MiB: all different, and quick to make. */
function block(n) {
    const data = Buffer.alloc(MIB, createHash('sha256').update(`block ${n % 7}`).digest());
    data.writeUInt32BE(n);
    return data;
}

/** SHA-256 of `/big?mib=N`, made without any network. */
export function bigHash(mib) {
    const hash = createHash('sha256');
    for (let n = 0; n < mib; n++) hash.update(block(n));
    return hash.digest('hex');
}

/**
 * A target with every behaviour that the tests need:
 *
 * - `GET /` a small page with a form · `GET /headers` the request's headers as JSON
 * - `* /echo` method, headers and body, as JSON · `GET /redirect?to=URL` · `GET /status?code=N`
 * - `GET /drip?n=N` one byte at a time, each when `drip()` is called · `GET /big?mib=N` (download) with a known hash
 *
 * `big.asked` counts the answers of `/big` that were begun; `drip()` lets all open drips go on by a byte.
 */
export async function specialTarget(owner) {
    const drips = new Set();
    const big = { asked: 0, open: new Set() };
    const routes = {
        '/': (_, response) => html(response, `<!doctype html><title>special</title><h1>special target</h1>
            <form method="post" action="/echo"><input name="word" value="hello"><button>send</button></form><a href="/second?x=1#part">second</a>`),
        '/second': (_, response) => html(response, '<!doctype html><title>second</title><h1 id="part">second page</h1><a href="/">first</a>'),
        '/headers': (request, response) => json(response, request.headers),
        '/echo': async (request, response) => {
            const hash = createHash('sha256');
            const parts = [];
            let bytes = 0;
            for await (const part of request) {
                hash.update(part);
                bytes += part.length;
                if (bytes <= 65_536) parts.push(part);
            }
            json(response, { method: request.method, headers: request.headers, bytes, sha256: hash.digest('hex'), body: Buffer.concat(parts).toString() });
        },
        '/redirect': (request, response) => response.writeHead(302, { location: query(request).get('to') }).end(),
        '/status': (request, response) => response.writeHead(Number(query(request).get('code')), { 'content-type': 'text/plain' }).end('status\n'),
        '/drip': (request, response) => {
            const drip = { response, left: Number(query(request).get('n') ?? 1e9), sent: 0 };
            // Firm sniffing rules: text/event-stream and x-content-type-options keep a browser from waiting for the first kilobyte.
            response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
            response.flushHeaders();
            drips.add(drip);
            response.once('close', () => drips.delete(drip));
        },
        '/big': (request, response) => {
            const mib = Number(query(request).get('mib') ?? 1024);
            response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': mib * MIB, 'content-disposition': 'attachment; filename="big.bin"' });
            const { socket } = response;
            const answer = { socket, before: socket.bytesWritten };
            big.asked++;
            big.open.add(answer);
            response.once('close', () => big.open.delete(answer));
            let n = 0;
            const push = () => {
                while (n < mib && !response.destroyed) if (!response.write(block(n++))) return void response.once('drain', push);
                response.end();
            };
            push();
        },
    };
    const site = await listen(owner, (request, response) => {
        const route = routes[new URL(request.url, 'http://x').pathname];
        if (route) route(request, response);
        else response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    });
    return {
        ...site,
        drips,
        big,
        drip() {
            for (const drip of drips) {
                drip.response.write(String.fromCharCode(97 + (drip.sent++ % 26)));
                if (drip.sent >= drip.left) drip.response.end();
            }
        },
        /** Bytes of running answers of `/big` that the other end has taken: written, less what still lies in Node and in both kernel buffers. */
        taken() {
            let bytes = 0;
            for (const { socket, before } of big.open) {
                bytes += socket.bytesWritten - before - socket.writableLength - waiting(socket.localPort, socket.remotePort);
            }
            return bytes;
        },
    };
}

/** Octets between two sockets of this machine: sent and not acknowledged, or acknowledged and not read. */
function waiting(sender, receiver) {
    let octets = 0;
    for (const line of readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1)) {
        const [, local, remote, , queues] = line.trim().split(/\s+/);
        const [from, to] = [local, remote].map((address) => Number.parseInt(address.split(':')[1], 16));
        const [tx, rx] = queues.split(':').map((hex) => Number.parseInt(hex, 16));
        if (from === sender && to === receiver) octets += tx;
        if (from === receiver && to === sender) octets += rx;
    }
    return octets;
}

const query = (request) => new URL(request.url, 'http://x').searchParams;
const html = (response, text) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(text);
const json = (response, value) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
