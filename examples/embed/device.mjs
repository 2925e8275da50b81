// The device: a camera's little web app, as any other would be. It knows nothing of Peerage. `node device.mjs [port]`

import { createServer } from 'node:http';
import { scene } from './scene.mjs';

const EVENTS = 18;
const A_PAGE = 6;
const KINDS = ['person', 'parcel', 'cat', 'car'];
const started = Date.now();

const routes = {
    '/': (_, response) => send(response, 'text/html', '<!doctype html><title>Camera</title><h1>Camera</h1><p>Its timeline is at <a href="api/timeline">api/timeline</a>.'),
    '/api/timeline': timeline,
    '/api/live': live,
    '/images': (url, response) => send(response, 'image/svg+xml', scene(Number(url.searchParams.get('n')), url.searchParams.get('what'))),
};

/** What the camera has seen, newest first: `{ page, pages, events: [{ id, at, what, confidence, image }] }`. */
function timeline(url, response) {
    const page = Math.max(1, Number(url.searchParams.get('page')) || 1);
    const events = Array.from({ length: EVENTS }, (_, index) => {
        const what = KINDS[(index * 7) % KINDS.length];
        return { id: EVENTS - index, at: new Date(started - (index * 47 + 3) * 60_000).toISOString(), what, confidence: 0.97 - ((index * 13) % 30) / 100, image: `/images?n=${index * 5}&what=${what}` };
    });
    send(response, 'application/json', JSON.stringify({ page, pages: EVENTS / A_PAGE, events: events.slice((page - 1) * A_PAGE, page * A_PAGE) }));
}

/** What it sees now, twice a second, as server-sent events: `{ n, at, motion, image }`. */
function live(_, response) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    let n = 0;
    const tell = () => response.write(`data: ${JSON.stringify({ n: ++n, at: new Date().toISOString(), motion: Math.abs(Math.sin(n / 4)), image: `/images?n=${n}&what=${KINDS[Math.floor(n / 24) % KINDS.length]}` })}\n\n`);
    tell();
    const timer = setInterval(tell, 500);
    response.on('close', () => clearInterval(timer));
}

function send(response, type, content) {
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8`, 'content-length': Buffer.byteLength(content) }).end(content);
}

const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://device');
    const route = routes[url.pathname];
    if (route) route(url, response);
    else response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
});
server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
