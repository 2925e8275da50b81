// What the page is answered: statuses, redirects, ranges, encodings, types, streams, and answers that break.

import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { once } from 'node:events';
import { until } from '../lib/process.mjs';

const text = (status, body = 'body', headers = {}) => (_, response) => response.writeHead(status, { 'content-type': 'text/plain', 'cache-control': 'no-store', ...headers }).end(body);
const LONG = 'a line of text that packs well\n'.repeat(2_000);

export function responses({ same, different }) {
    same('statuses, with and without bodies', async ({ target, frame }) => {
        const statuses = [200, 201, 202, 203, 207, 299, 400, 402, 403, 404, 405, 409, 410, 418, 422, 429, 451, 499, 500, 501, 502, 503, 504, 599];
        for (const status of statuses) target.on(`/status-${status}`, text(status, `body of ${status}`, { 'x-own': 'yes', 'retry-after': '1' }));
        for (const status of [204, 205, 304]) target.on(`/status-${status}`, (_, response) => response.writeHead(status, { 'x-own': 'yes' }).end());
        return (await frame()).evaluate((all) => Promise.all(all.map((status) => ask(`/status-${status}`))), [...statuses, 204, 205, 304]);
    });

    same('an answer to HEAD has the length of what GET would give, and no body', async ({ target, frame }) => {
        target.on('/head', text(200, 'twelve bytes', { 'content-length': '12', etag: '"x"' }));
        return (await frame()).evaluate(() => ask('/head', { method: 'HEAD' }));
    });

    same('interim answers come before the answer and change nothing', async ({ target, frame }) => {
        target.on('/interim', (_, response) => {
            response.writeProcessing();
            response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
            response.writeHead(200, { 'content-type': 'text/plain' }).end('final');
        });
        return (await frame()).evaluate(() => ask('/interim'));
    });

    same('trailers are let go by, whatever they say', async ({ target, frame }) => {
        target.on('/trailers', (_, response) => {
            response.writeHead(200, { 'content-type': 'text/plain', trailer: 'x-sum' });
            response.write('body');
            response.addTrailers({ 'x-sum': '1' });
            response.end();
        });
        return (await frame()).evaluate(async () => (await ask('/trailers')).body);
    });

    same('ranges: a part, the end, more than one, one that cannot be', async ({ target, frame }) => {
        const whole = Buffer.from(Array.from({ length: 1_000 }, (_, n) => 48 + (n % 10)));
        target.on('/range', ({ headers }, response) => {
            const common = { 'content-type': 'text/plain', 'accept-ranges': 'bytes', 'cache-control': 'no-store' };
            const [, from, to] = headers.range?.match(/^bytes=(\d*)-(\d*)$/) ?? [];
            if (headers.range === undefined) return response.writeHead(200, common).end(whole);
            if (headers.range.includes(',')) {
                return response.writeHead(206, { ...common, 'content-type': 'multipart/byteranges; boundary=XX' })
                    .end('--XX\r\ncontent-range: bytes 0-1/1000\r\n\r\n01\r\n--XX\r\ncontent-range: bytes 5-6/1000\r\n\r\n56\r\n--XX--\r\n');
            }
            const [begin, end] = from === '' ? [1_000 - Number(to), 999] : [Number(from), to === '' ? 999 : Number(to)];
            if (begin > 999) return response.writeHead(416, { ...common, 'content-range': 'bytes */1000' }).end();
            response.writeHead(206, { ...common, 'content-range': `bytes ${begin}-${end}/1000`, 'content-length': end - begin + 1 }).end(whole.subarray(begin, end + 1));
        });
        return (await frame()).evaluate(async () => {
            const answers = [];
            for (const range of [undefined, 'bytes=0-9', 'bytes=990-', 'bytes=-5', 'bytes=0-1,5-6', 'bytes=2000-']) answers.push(await ask('/range', range ? { headers: { range } } : {}));
            return answers;
        });
    });

    same('redirects: 301, 302, 303, 307 and 308 of GET, HEAD, POST and PUT, relative, absolute and in a chain', async ({ target, frame }) => {
        for (const status of [301, 302, 303, 307, 308]) {
            target.on(`/redirect-${status}`, (request, response) => response.writeHead(status, { location: new URL(request.url, 'http://x').searchParams.get('to') }).end());
        }
        target.on('/to/there', (request, response, { body }) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end(`${request.method} ${request.url} ${body}`));
        return (await frame()).evaluate(async (absolute) => {
            const answers = {};
            for (const status of [301, 302, 303, 307, 308]) {
                for (const method of ['GET', 'HEAD', 'POST', 'PUT']) {
                    answers[`${status} ${method}`] = await ask(`/redirect-${status}?to=/to/there?q=1`, { method, body: method.startsWith('P') ? 'sent' : undefined });
                }
            }
            answers.relative = await ask('/redirect-302?to=to/there');
            answers.absolute = await ask(`/redirect-302?to=${encodeURIComponent(`${absolute}/to/there?abs`)}`);
            answers.chain = await ask(`/redirect-307?to=${encodeURIComponent('/redirect-302?to=/to/there')}`, { method: 'POST', body: 'chained' });
            answers.manual = await ask('/redirect-302?to=/to/there', { redirect: 'manual' }).then(({ type, status }) => ({ type, status }));
            answers.error = await ask('/redirect-302?to=/to/there', { redirect: 'error' });
            return answers;
        }, target.url);
    });

    same('a redirect that never ends fails', async ({ target, frame }) => {
        target.on('/loop', (_, response) => response.writeHead(302, { location: '/loop', 'cache-control': 'no-store' }).end());
        const from = target.seen.length;
        return { answer: await (await frame()).evaluate(() => ask('/loop')), asked: target.asked('/loop', from).length };
    });

    same('a redirect keeps its fragment, in navigations', async ({ target, open }) => {
        target.on('/nav-from', (_, response) => response.writeHead(302, { location: '/nav-to#own' }).end());
        target.on('/nav-to', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<link rel="icon" href="data:,"><p>arrived</p>'));
        const tab = await open('/nav-from');
        await (await tab.frame()).getByText('arrived').waitFor();
        const seen = await (await tab.frame()).evaluate(() => location.href);
        await tab.close();
        return seen;
    });

    same('encodings: none, gzip and deflate are unpacked, once', async ({ target, frame }) => {
        const packed = (encoding, pack) => (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store', ...(encoding ? { 'content-encoding': encoding } : {}) }).end(pack(Buffer.from(LONG)));
        target.on('/enc-none', packed('', (data) => data));
        target.on('/enc-gzip', packed('gzip', gzipSync));
        target.on('/enc-x-gzip', packed('x-gzip', gzipSync));
        target.on('/enc-deflate', packed('deflate', deflateSync));
        target.on('/enc-twice', packed('deflate, gzip', (data) => gzipSync(deflateSync(data))));
        target.on('/enc-file', (_, response) => response.writeHead(200, { 'content-type': 'application/gzip', 'cache-control': 'no-store' }).end(gzipSync('a file that is packed')));
        return (await frame()).evaluate(() => Promise.all(['none', 'gzip', 'x-gzip', 'deflate', 'twice', 'file'].map(async (name) => {
            const response = await fetch(`/enc-${name}`);
            const body = await response.arrayBuffer().then((data) => data, (error) => error.name);
            const hash = body instanceof ArrayBuffer ? [...new Uint8Array(await crypto.subtle.digest('SHA-256', body))].slice(0, 4).join() : body;
            return [name, response.status, hash];
        })));
    });

    different('encodings: what scripts see of Content-Encoding and Content-Length, and what the target is asked for', async ({ target, frame }) => {
        target.on('/enc-seen', (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store', 'content-encoding': 'gzip', 'content-length': gzipSync(LONG).length }).end(gzipSync(LONG)));
        const from = target.seen.length;
        const seen = await (await frame()).evaluate(async () => {
            const { headers } = await fetch('/enc-seen');
            return [headers.get('content-encoding'), headers.has('content-length')];
        });
        return { seen, asked: target.asked('/enc-seen', from)[0].headers['accept-encoding'] };
    }, { direct: { seen: ['gzip', true], asked: 'gzip, deflate, br, zstd' }, link: { seen: [null, false], asked: 'gzip, deflate' } });

    different('brotli that the target sends unasked', async ({ target, frame }) => {
        target.on('/enc-br', (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'br', 'cache-control': 'no-store' }).end(brotliCompressSync(LONG)));
        return (await frame()).evaluate(async () => {
            const { status, body, failed } = await ask('/enc-br');
            return [status ?? failed, body?.length ?? null];
        });
    }, { direct: [200, LONG.length], link: ['TypeError', null] });

    same('an encoding that is a lie fails', async ({ target, frame }) => {
        target.on('/enc-lie', (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip', 'cache-control': 'no-store' }).end('this is not packed at all'));
        return (await frame()).evaluate(() => fetch('/enc-lie').then((response) => response.text()).then(() => 'read', (error) => error.name));
    });

    same('character sets: of the field, of the page itself, of a byte order mark', async ({ target, open }) => {
        const html = (body, type, mark = Buffer.alloc(0)) => (_, response) => response.writeHead(200, { 'content-type': type }).end(Buffer.concat([mark, body]));
        const latin = Buffer.from('<link rel="icon" href="data:,"><p>caf\u00e9</p>', 'latin1');
        target.on('/charset-field', html(latin, 'text/html; charset=iso-8859-1'));
        target.on('/charset-meta', html(Buffer.concat([Buffer.from('<meta charset="windows-1252">'), latin]), 'text/html'));
        target.on('/charset-utf8', html(Buffer.from('<link rel="icon" href="data:,"><p>café €</p>'), 'text/html; charset=utf-8'));
        target.on('/charset-mark', html(Buffer.from('<link rel="icon" href="data:,"><p>café €</p>'), 'text/html', Buffer.from([0xef, 0xbb, 0xbf])));
        const shown = [];
        for (const name of ['field', 'meta', 'utf8', 'mark']) {
            const tab = await open(`/charset-${name}`);
            await (await tab.frame()).locator('p').waitFor();
            shown.push(await (await tab.frame()).evaluate(() => [document.characterSet, document.querySelector('p').textContent, document.compatMode]));
            await tab.close();
        }
        return shown;
    });

    different('a page that names no character set', async ({ target, open }) => {
        target.on('/charset-none', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<link rel="icon" href="data:,"><p>plain</p>'));
        const tab = await open('/charset-none');
        await (await tab.frame()).locator('p').waitFor();
        const seen = await (await tab.frame()).evaluate(() => document.characterSet);
        await tab.close();
        return seen;
    }, { direct: 'windows-1252', link: 'UTF-8' });

    same('types: sniffed where none is said, and not where nosniff forbids it', async ({ target, frame, open }) => {
        target.on('/type-page', (_, response) => response.writeHead(200).end('<!doctype html><link rel="icon" href="data:,"><title>sniffed</title><p>sniffed</p>'));
        target.on('/type-plain', (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'x-content-type-options': 'nosniff' }).end('<!doctype html><p>not a page</p>'));
        target.on('/type-script', (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('window.plain_ran = true'));
        target.on('/type-nosniff', (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'x-content-type-options': 'nosniff' }).end('window.nosniff_ran = true'));
        target.on('/type-module', (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('window.module_ran = true'));
        const shown = [];
        for (const path of ['/type-page', '/type-plain']) {
            const tab = await open(path);
            shown.push(await until('the document', async () => {
                const seen = await (await tab.frame()).evaluate(() => [document.contentType, document.body?.innerText]).catch(() => null);
                return seen?.[1] && seen;
            }));
            await tab.close();
        }
        const ran = await (await frame()).evaluate(async () => {
            const load = (src, more) => new Promise((resolve) => document.body.append(Object.assign(document.createElement('script'), { onload: () => resolve('load'), onerror: () => resolve('error'), src, ...more })));
            const events = [await load('/type-script'), await load('/type-nosniff'), await load('/type-module', { type: 'module' })];
            return { events, plain: window.plain_ran, nosniff: window.nosniff_ran, module: window.module_ran };
        });
        return { shown, ran };
    });

    same('fields of the target: odd characters, a hundred of them, repeated ones, 60 KiB', async ({ target, frame }) => {
        target.on('/fields-odd', (_, response) => response.writeHead(200, [['content-type', 'text/plain'], ['x-odd', '"q" \\ ; = ,'], ['x-empty', ''], ['x-twice', 'one'], ['x-twice', 'two'], ['vary', 'a'], ['vary', 'b']].flat()).end());
        target.on('/fields-many', (_, response) => response.writeHead(200, { 'content-type': 'text/plain', ...Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`x-many-${n}`, `${n}`])) }).end());
        target.on('/fields-big', (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'x-big': 'b'.repeat(60_000) }).end());
        return (await frame()).evaluate(() => Promise.all(['/fields-odd', '/fields-many', '/fields-big'].map((path) => ask(path))));
    });

    different('a field of the target with octets beyond ASCII', async ({ target, frame }) => {
        target.on('/octets-got', (_, response) => response.writeHead(200, { 'x-odd': 'caf\u00e9' }).end());
        return (await frame()).evaluate(async () => (await fetch('/octets-got')).headers.get('x-odd'));
    }, { direct: 'caf\u00e9', link: 'caf\u00c3\u00a9' });

    same('a head that takes its time, and a body that comes in pieces', async ({ target, frame }) => {
        const waiting = [];
        target.on('/slow', (_, response) => void waiting.push(response));
        const page = await frame();
        await page.evaluate(() => {
            window.seen = [];
            fetch('/slow').then(async (response) => {
                seen.push(response.status);
                const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
                for (let part = await reader.read(); !part.done; part = await reader.read()) seen.push(part.value);
                seen.push('end');
            });
        });
        await until('the target is asked', () => waiting.length === 1);
        const [response] = waiting;
        const sees = (count) => until(`${count} steps`, async () => (await page.evaluate(() => seen)).length >= count);
        response.writeHead(200, { 'content-type': 'text/plain', 'x-content-type-options': 'nosniff' });
        response.flushHeaders();
        await sees(1);
        for (const [n, part] of ['one', 'two', 'three'].entries()) {
            response.write(part);
            await sees(n + 2);
        }
        response.end();
        await sees(5);
        return page.evaluate(() => seen);
    });

    same('a target that dies before the head, in the head, in a body with a length, in one without', async ({ target, frame }) => {
        target.on('/dies-before', ({ socket }) => void socket.destroy());
        target.on('/dies-head', ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\ncontent-ty'));
        target.on('/dies-length', ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nhalf'));
        target.on('/dies-chunk', ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'));
        target.on('/dies-close', ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nwhole, by closing'));
        const bodies = await (await frame()).evaluate(() => Promise.all(['length', 'chunk', 'close'].map((name) => fetch(`/dies-${name}`)
            .then((response) => response.text()).then((text) => text, (error) => error.name))));
        return bodies;
    });

    different('what the page is told of a target that gives no answer at all', async ({ frame }) => {
        const told = await (await frame()).evaluate(() => Promise.all(['/dies-before', '/dies-head'].map((path) => ask(path))));
        return told.map(({ status, failed, headers }) => failed ?? [status, Object.fromEntries(headers ?? [])['peerage-error']]);
    }, { direct: ['TypeError', [200, undefined]], link: ['TypeError', 'TypeError'] });

    same('EventSource: named events, ids, retry, coming back, an end by 204', async ({ target, frame }) => {
        let asked = 0;
        target.on('/events', (_, response) => {
            if (++asked === 3) return response.writeHead(204).end();
            response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
            response.write(`: a comment\nretry: 50\n\nid: ${asked}-ü\nevent: named\ndata: one\ndata: two\n\ndata: plain ${'x'.repeat(3_000)}\n\n`);
            response.end();
        });
        const events = await (await frame()).evaluate(() => new Promise((resolve) => {
            const events = [];
            const source = new EventSource('/events');
            source.onopen = () => events.push('open');
            source.onmessage = ({ data }) => events.push(data.length);
            source.addEventListener('named', ({ data, lastEventId }) => events.push([data, lastEventId]));
            source.onerror = () => {
                events.push(source.readyState === EventSource.CLOSED ? 'closed' : 'again');
                if (source.readyState === EventSource.CLOSED) resolve(events);
            };
        }));
        return { events, asked };
    });

    different('EventSource: what the target is told of the last event when it comes back', async ({ target, frame }) => {
        const ids = [];
        target.on('/events-id', ({ headers }, response) => {
            ids.push(headers['last-event-id'] ?? null);
            if (ids.length === 2) return response.writeHead(204).end();
            response.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 20\nid: seven\ndata: x\n\n');
        });
        await (await frame()).evaluate(() => new Promise((resolve) => {
            const source = new EventSource('/events-id');
            source.onerror = () => source.readyState === EventSource.CLOSED && resolve();
        }));
        return ids;
    }, { direct: [null, 'seven'], link: [null, null] });

    same('EventSource: closing it lets the target go, a wrong type is refused', async ({ target, frame }) => {
        const open = [];
        target.on('/events-open', (_, response, entry) => {
            response.writeHead(200, { 'content-type': 'text/event-stream' });
            response.write('data: here\n\n');
            open.push(once(response, 'close').then(() => entry));
        });
        target.on('/events-wrong', text(200, 'data: here\n\n'));
        const page = await frame();
        const first = await page.evaluate(() => new Promise((resolve) => {
            window.source = new EventSource('/events-open');
            source.onmessage = ({ data }) => resolve(data);
        }));
        await page.evaluate(() => source.close());
        await Promise.all(open);
        const wrong = await page.evaluate(() => new Promise((resolve) => {
            const source = new EventSource('/events-wrong');
            source.onerror = () => resolve(source.readyState);
        }));
        return { first, wrong, connections: open.length };
    });
}
