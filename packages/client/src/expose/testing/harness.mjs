// What the tests of the page run against: a server that keeps to the contract of `peerage serve` for device origins, an app of the test's, and a
// link that is no link (`fake-link.ts`). Chromium does the rest; `*.localhost` is loopback and a secure context in it.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { fakeSockets } from './fake-socket-server.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
export const DEVICE = 'a'.repeat(52);
export const SECRET = 'abcdefghijklmnopqrstuvwxyz';

/** The page's scripts, with the fake link in the place of the true one. */
async function bundle() {
  const fake = {
    name: 'fake-link',
    setup: (b) => b.onResolve({ filter: /transport\/link\.js$/ }, () => ({ path: join(root, 'src/expose/testing/fake-link.ts') })),
  };
  const one = async (name, more = {}) => {
    const result = await build({
      absWorkingDir: root, bundle: true, write: false, target: 'es2022', format: 'iife', entryPoints: [`src/expose/${name}.ts`], plugins: [fake], ...more,
    });
    return result.outputFiles[0].text;
  };
  const files = new Map();
  for (const name of ['shell.html', 'shell.css']) files.set(name, await readFile(join(root, 'pages', name), 'utf8'));
  // The fake link is plain HTTP to another port, which the page's own policy forbids.
  files.set('shell.html', files.get('shell.html').replace("connect-src 'self'", "connect-src http: ws:"));
  files.set('shell.js', await one('shell'));
  files.set('shim.js', await one('shim', { banner: { js: '(function peerageShim(){' }, footer: { js: '})();' } }));
  const digests = Object.fromEntries([...files].map(([name, text]) => [name, createHash('sha256').update(text).digest('hex')]));
  files.set('worker.js', await one('worker', { define: { PEERAGE_FILES: JSON.stringify(digests) } }));
  return files;
}

const TYPES = { html: 'text/html; charset=utf-8', css: 'text/css', js: 'text/javascript' };

const listen = (server, host) => new Promise((resolve) => server.listen(0, host, () => resolve(server.address().port)));

/** Serves the page and counts what a server should never be asked. */
async function pageServer(files, linkPort) {
  const misses = [];
  /** Answers that are given once, then the usual ones again. */
  const once = new Map();
  /** `cookies`: those of the browser's own that came along. */
  const control = { frozen: false, ignored: [], cookies: [] };
  const server = createServer((request, response) => {
    if (request.headers.cookie !== undefined) control.cookies.push(`${request.headers.cookie} for ${request.url}`);
    if (control.frozen) return void control.ignored.push(request.url);
    const path = new URL(request.url, 'http://x').pathname;
    const name = path === '/' ? 'shell.html' : path.startsWith('/__peerage/') ? path.slice('/__peerage/'.length) : '';
    if (name === 'config.json') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ version: 1, iceServers: [], key: 'peerjs', far: `http://127.0.0.1:${linkPort}` }));
    } else if (files.has(name) && request.method === 'GET') {
      response.setHeader('content-type', TYPES[name.split('.').at(-1)]);
      response.setHeader('cache-control', 'no-cache');
      if (name === 'shell.html') response.setHeader('content-security-policy', "frame-ancestors 'self'");
      if (name === 'worker.js') response.setHeader('service-worker-allowed', '/');
      response.end(once.get(name) ?? files.get(name));
      once.delete(name);
    } else {
      if (path !== '/__peerage/nothing') misses.push(`${request.method} ${path}`);
      response.writeHead(404).end();
    }
  });
  server.on('upgrade', (request, socket) => socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'));
  return { server, port: await listen(server, '127.0.0.1'), misses, once, control };
}

/** The far end of the fake link: does what the test says with attempts, and passes exchanges to the app. */
async function linkServer(appPort, jarOf) {
  const link = {
    /** step -> code to fail with, '' to go on, or a promise of one. */
    steps: {},
    /** How many links were opened, and how many of them with a proof. */
    opened: 0,
    proven: 0,
    /** Requests to the device itself, and what their answers wait for. */
    own: [],
    hold: null,
    alive: new Set(),
    /** Whether nothing comes over the links that are open now. */
    silent: false,
    /** WebSockets under way. */
    sockets: new Set(),
    drop(code) {
      for (const response of this.alive) response.end(code);
      for (const socket of this.sockets) socket.terminate();
      for (const socket of exchanges) socket.destroy();
    },
  };
  const exchanges = new Set();
  const server = createServer(async (request, response) => {
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('access-control-allow-headers', '*');
    response.setHeader('access-control-expose-headers', '*');
    response.setHeader('access-control-max-age', '600');
    // A browser sends a request once more whose connection, used before, breaks: what is tested is who else does.
    response.setHeader('connection', 'close');
    if (request.method === 'OPTIONS') return response.end();
    const url = new URL(request.url, 'http://x');
    if (url.pathname === '/link/alive') {
      link.opened++;
      link.silent = false;
      link.alive.add(response);
      response.on('close', () => link.alive.delete(response));
      response.flushHeaders();
    } else if (url.pathname.startsWith('/link/')) {
      if (url.pathname === '/link/calling' && url.searchParams.get('proof')) link.proven++;
      response.end((await link.steps[url.pathname.slice('/link/'.length)]) ?? '');
    } else {
      exchanges.add(request.socket);
      response.on('close', () => exchanges.delete(request.socket));
      if (link.silent) return;
      const { method, path, fields } = JSON.parse(decodeURIComponent(request.headers['x-exchange']));
      const jar = jarOf(request.headers['x-device']);
      if (path.startsWith('/__peerage')) {
        link.own.push(`${method} ${path}`);
        const own = jar?.own(method, path, String(Buffer.concat(await request.toArray()))) ?? { status: 404, body: '' };
        await link.hold;
        response.writeHead(200, { 'x-head': encodeURIComponent(JSON.stringify({ status: own.status, fields: [] })) });
        return response.end(own.body);
      }
      const target = httpRequest({ port: appPort, method, path, headers: Object.fromEntries(jar?.sent(method, path, fields) ?? fields) }, (answer) => {
        const raw = [];
        for (let at = 0; at < answer.rawHeaders.length; at += 2) raw.push([answer.rawHeaders[at].toLowerCase(), answer.rawHeaders[at + 1]]);
        const hop = ['connection', 'transfer-encoding', 'keep-alive'];
        const returned = raw.filter(([name]) => !hop.includes(name));
        const head = { status: answer.statusCode, fields: jar?.returned(path, fields, returned) ?? returned };
        response.writeHead(200, { 'x-head': encodeURIComponent(JSON.stringify(head)) });
        response.flushHeaders();
        answer.pipe(response);
        answer.on('error', () => response.destroy());
      });
      target.on('error', () => response.destroy());
      response.on('close', () => target.destroy());
      request.pipe(target);
    }
  });
  server.on('upgrade', fakeSockets(appPort, link.sockets));
  return { server, port: await listen(server, '0.0.0.0'), link };
}

/** One of everything. `app(request, response)` is the app of the device, `jarOf(device)` its jar, if it keeps one (`jar.mjs`). */
export async function start(app, jarOf = () => null) {
  const files = await bundle();
  const target = createServer(app);
  if (app.upgrade) target.on('upgrade', app.upgrade);
  const appPort = await listen(target, '127.0.0.1');
  const { server: far, port: linkPort, link } = await linkServer(appPort, jarOf);
  const { server, port, misses, once, control } = await pageServer(files, linkPort);
  const profile = await mkdtemp(join(tmpdir(), 'peerage-page-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: false,
    acceptDownloads: true,
    viewport: { width: 1100, height: 760 },
    args: [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync', '--allow-loopback-in-peer-connection', '--host-resolver-rules=MAP *.test 127.0.0.1',
    ],
  });
  browser.setDefaultTimeout(8_000);
  let number = 0;
  return {
    browser, link, misses, port, files, once, control,
    /** A fresh device origin, so that tests share nothing. */
    device() {
      const letters = 'abcdefghijklmnopqrstuvwxyz234567';
      const id = letters[Math.floor(number / 32) % 32] + letters[number++ % 32] + 'b'.repeat(49) + 'a';
      const origin = `http://${id}.localhost:${port}`;
      return { id, origin, url: (path = '') => `${origin}/#1.${SECRET}${path}` };
    },
    async stop() {
      await browser.close();
      for (const each of [server, far, target]) each.closeAllConnections(), each.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}
