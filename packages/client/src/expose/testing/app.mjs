// The app of the tests: one of each thing that real apps do.
import { gzipSync, deflateSync } from 'node:zlib';
import { appSockets } from './app-sockets.mjs';

export const DOWNLOAD = Buffer.alloc(3_000_000, 'peerage ');

const html = (response, body, headers = {}) => {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...headers });
  response.end(`<!doctype html><html><head><title>${/<h1>(.*?)<\/h1>/.exec(body)?.[1] ?? 'page'}</title></head><body>${body}</body></html>`);
};

async function bodyOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What was asked, newest last: `METHOD path`. And streams that the test feeds. */
export function makeApp() {
  const asked = [];
  const slow = new Set();
  const pages = {
    '/': '<h1>Start</h1><a id=two href="/two">two</a> <a id=top target=_top href="/two">top</a> <a id=blank target=_blank href="/two">blank</a> ' +
      '<a id=file href="/file">file</a> <a id=named href="/plain.txt" download="wanted ü.txt">named</a>' +
      '<form id=post method=post action="/form"><input name=a value="1 &amp; 2"><button>go</button></form>' +
      '<form id=postblank method=post action="/echo" target=_blank><input name=a value=blank><button>go</button></form>' +
      '<form id=posttop method=post action="/echo" target=_top><input name=a value=top><button>go</button></form>' +
      '<form id=search action="/two"><input name=q value=x><button>go</button></form>',
    '/two': '<h1>Two</h1><a id=three href="deep/three?x=1#y">three</a>',
    '/deep/three': '<h1>Three</h1><a id=back href="/">start</a>',
    '/assets': '<link rel="icon" href="/icon.png"><link rel="stylesheet" href="css/a.css"><h1>Assets</h1><img id=i src="/icon.png"><script src="js/a.js"></script>',
    '/bust': '<h1>Bust</h1><script>if (top !== self) top.location = self.location</script>',
    '/done': '<h1>Done</h1>',
    '/popup': '<h1>Popup</h1><script>opener.postMessage("hello", "*"); onmessage = (e) => { e.source.postMessage("got " + e.data, "*") }</script>',
    '/fetcher': '<h1>Fetcher</h1>',
  };
  const app = async (request, response) => {
    const url = new URL(request.url, 'http://x');
    asked.push(`${request.method} ${request.url}`);
    const page = pages[url.pathname];
    if (page !== undefined && request.method === 'GET') return html(response, page);
    switch (url.pathname) {
      case '/css/a.css':
        return response.writeHead(200, { 'content-type': 'text/css' }).end('h1 { color: rgb(1, 2, 3) }');
      case '/js/a.js':
        return response.writeHead(200, { 'content-type': 'text/javascript' }).end('document.body.dataset.script = document.currentScript.src');
      case '/icon.png':
        return response.writeHead(200, { 'content-type': 'image/png' }).end(
          Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64'));
      case '/form': {
        app.posted = { body: String(await bodyOf(request)), headers: request.headers };
        return response.writeHead(303, { location: '/done' }).end();
      }
      case '/echo': {
        const body = await bodyOf(request);
        if (request.headers.accept?.includes('text/html')) return html(response, `<h1>Echo ${request.method} ${body}</h1>`);
        response.writeHead(200, { 'content-type': 'application/json' });
        return response.end(JSON.stringify({ method: request.method, length: body.length, body: String(body.subarray(0, 100)), headers: request.headers }));
      }
      case '/status':
        return response.writeHead(Number(url.searchParams.get('s')), { 'x-own': 'yes' }).end();
      case '/gzip':
        return response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' }).end(gzipSync('unpacked'));
      case '/deflate':
        return response.writeHead(200, { 'content-type': 'text/html', 'content-encoding': 'deflate' }).end(deflateSync('<!doctype html><h1>Deflated</h1>'));
      case '/redirect':
        return response.writeHead(302, { location: url.searchParams.get('to') }).end();
      case '/denyframes':
        return html(response, '<h1>Denied</h1>', { 'x-frame-options': 'DENY', 'content-security-policy': "default-src 'self'; frame-ancestors 'none'" });
      case '/file':
        return response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-disposition': 'attachment; filename="big.bin"', 'content-length': DOWNLOAD.length }).end(DOWNLOAD);
      case '/plain.txt':
        return response.writeHead(200, { 'content-type': 'text/plain' }).end('plain');
      case '/range': {
        const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
        const data = Buffer.from('0123456789');
        if (from === undefined) return response.writeHead(200, { 'accept-ranges': 'bytes' }).end(data);
        const part = data.subarray(Number(from), to ? Number(to) + 1 : undefined);
        return response.writeHead(206, { 'content-range': `bytes ${from}-${Number(from) + part.length - 1}/10` }).end(part);
      }
      case '/slow':
        response.writeHead(200, { 'content-type': 'text/plain' });
        response.flushHeaders();
        slow.add(response);
        response.on('close', () => slow.delete(response));
        return undefined;
      case '/events':
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: one\n\n');
        slow.add(response);
        response.on('close', () => slow.delete(response));
        return undefined;
      default:
        return response.writeHead(404, { 'content-type': 'text/plain' }).end('not here');
    }
  };
  const sockets = appSockets();
  return Object.assign(app, { asked, slow, sockets, upgrade: sockets.upgrade, posted: null });
}
