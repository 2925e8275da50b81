// What the target is asked: methods, bodies, forms, fields, aborts.

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../lib/process.mjs';

const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const ok = (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end('ok');
const page = (html) => (_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(`<!doctype html><link rel="icon" href="data:,">${html}`);

/** What a target can see of a request's body and of how it was framed. */
const framed = ({ method, headers, body }) => ({
    method, type: headers['content-type'], length: headers['content-length'], chunked: headers['transfer-encoding'], bytes: body.length, sha256: sha256(String(body).replaceAll(/----WebKitFormBoundary\w+/g, 'BOUNDARY')),
});

/** Fields of a request that say who asks and what for. */
const ABOUT = ['host', 'origin', 'referer', 'user-agent', 'accept', 'accept-language', 'sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest', 'upgrade-insecure-requests', 'cache-control', 'pragma', 'x-requested-with'];
const about = ({ method, headers }) => ({ method, ...Object.fromEntries(ABOUT.filter((name) => name in headers).map((name) => [name, headers[name]])) });

export function requests({ same, different }) {
    same('every method, with a body and without', async ({ target, frame }) => {
        target.on('/method', ok);
        const from = target.seen.length;
        const statuses = await (await frame()).evaluate(async () => {
            const statuses = [];
            for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'MKCOL', 'lower']) {
                statuses.push((await ask('/method', { method })).status);
                if (method !== 'GET' && method !== 'HEAD') statuses.push((await ask('/method', { method, body: `body of ${method}` })).status);
            }
            return statuses;
        });
        return { statuses, seen: target.asked('/method', from).map(framed) };
    });

    same('every kind of body', async ({ target, frame }) => {
        target.on('/body', ok);
        const from = target.seen.length;
        await (await frame()).evaluate(async () => {
            const bytes = new Uint8Array(100_000).map((_, n) => n % 251);
            const form = new FormData();
            form.append('word', 'ünï');
            form.append('file', new File(['in the file'], 'a "name".txt', { type: 'text/x-own' }));
            form.append('blob', new Blob([bytes]));
            for (const body of ['text ünï', '', new URLSearchParams({ a: '1 & 2', b: 'ü' }), form, new Blob([bytes], { type: 'application/x-own' }), new Blob([]), new Blob(['untyped']), bytes.buffer, bytes.subarray(5, 99), new DataView(bytes.buffer, 7, 9)]) {
                await ask('/body', { method: 'POST', body });
            }
            await ask('/body', { method: 'PUT', body: '{"own":"type"}', headers: { 'content-type': 'application/json' } });
        });
        return target.asked('/body', from).map(framed);
    });

    same('long bodies of a known length: of fetch and XMLHttpRequest, as Blob, ArrayBuffer and form', async ({ target, frame }) => {
        target.on('/long', ok);
        const from = target.seen.length;
        await (await frame()).evaluate(async () => {
            const bytes = new Uint8Array(3_000_000).map((_, n) => n % 251);
            const form = new FormData();
            form.append('w\u00f6rd "x"\n', 'one\ntwo');
            form.append('file', new File([bytes], 'a "name".bin', { type: 'text/x-own' }));
            form.append('untyped', new Blob(['b']));
            for (const body of [new Blob([bytes], { type: 'application/x-own' }), bytes.buffer, bytes.subarray(7), form]) {
                await ask('/long', { method: 'POST', body });
                await new Promise((resolve) => {
                    const xhr = new XMLHttpRequest();
                    xhr.onloadend = resolve;
                    xhr.open('PUT', '/long');
                    xhr.send(body);
                });
            }
        });
        return target.asked('/long', from).map((entry) => {
            const boundary = entry.headers['content-type']?.match(/boundary=(.*)/)?.[1];
            if (!boundary) return framed(entry);
            // The browser chooses the boundary, and writes the names of the fields of its parts in its own way: neither says anything.
            const body = entry.body.toString('latin1').replaceAll(boundary, 'BOUNDARY').replaceAll(/content-(disposition|type):/gi, (name) => name.toLowerCase());
            return [entry.method, 'multipart', body.length, sha256(body), Number(entry.headers['content-length']) === entry.body.length, entry.headers['transfer-encoding']];
        });
    });

    different('a request whose body is a stream', async ({ target, frame }) => {
        const arrived = [];
        target.on('/streamed', async (request, response) => {
            for await (const part of request) arrived.push(String(part));
            response.end(arrived.join(''));
        }, { streams: true });
        await (await frame()).evaluate(() => {
            const body = new ReadableStream({ start(controller) { window.stream = controller; } }).pipeThrough(new TextEncoderStream());
            window.answer = fetch('/streamed', { method: 'POST', body, duplex: 'half' }).then((response) => response.text(), (error) => error.name);
            stream.enqueue('first ');
        });
        const early = await until('the first part', async () => arrived.join('') === 'first ' || await (await frame()).evaluate(() => Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300))])), { ms: 10_000 });
        const answer = await (await frame()).evaluate(() => {
            try { stream.enqueue('second'); stream.close(); } catch { /* it was refused */ }
            return answer;
        });
        return { early, answer };
    }, { direct: { early: 'TypeError', answer: 'TypeError' }, link: { early: true, answer: 'first second' } });

    same('forms: GET, urlencoded, multipart with files, text/plain, formaction, a named button', async ({ target, open, folder }) => {
        const field = '<input name="word" value="ünï & more"><textarea name="lines">one\ntwo</textarea>';
        target.on('/forms', page(`<form action="/form-got">${field}<button name="by" value="get">go</button></form>
            <form method="post" action="/form-got">${field}<button>go</button><button name="by" value="other" formaction="/form-got?other">go</button></form>
            <form method="post" action="/form-got" enctype="multipart/form-data">${field}<input type="file" name="file" multiple><button>go</button></form>
            <form method="post" action="/form-got" enctype="text/plain">${field}<button>go</button></form>`));
        target.on('/form-got', page('<p>got it</p>'));
        const paths = ['ä b.txt', 'empty'].map((name) => join(folder, name));
        writeFileSync(paths[0], 'contents of a file');
        writeFileSync(paths[1], '');
        const from = target.seen.length;
        const shown = [];
        for (const [form, button] of [[0, 0], [1, 0], [1, 1], [2, 0], [3, 0]]) {
            const tab = await open('/forms');
            if (form === 2) await (await tab.frame()).locator('form').nth(form).locator('input[type=file]').setInputFiles(paths);
            await (await tab.frame()).locator('form').nth(form).locator('button').nth(button).click();
            await (await tab.frame()).getByText('got it').waitFor();
            shown.push((await tab.frame()).url());
            await tab.close();
        }
        return { shown, seen: target.asked('/form-got', from).map((entry) => ({ path: entry.path, ...framed(entry), ...about(entry) })) };
    });

    same('who asks: Host, Origin, Referer, Sec-Fetch and Accept of navigations, scripts, images, styles, frames, fetch and XMLHttpRequest', async ({ target, open }) => {
        const kinds = ['nav', 'clicked', 'frame', 'img', 'style', 'script', 'module', 'fetch', 'post', 'nocors', 'xhr', 'beacon', 'worker'];
        for (const kind of kinds) target.on(`/who-${kind}`, page('<p>here</p>'));
        target.on('/who-nav', page('<a href="/who-clicked">on</a>'));
        target.on('/who-script', (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end('window.ran = true'));
        target.on('/who-module', (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end('export default 1'));
        target.on('/who-worker', (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end('postMessage(1)'));
        const from = target.seen.length;
        const tab = await open('/who-nav');
        await (await tab.frame()).evaluate(async () => {
            const loaded = (element, property, url) => new Promise((resolve) => document.body.append(Object.assign(element, { onload: resolve, onerror: resolve, [property]: url })));
            await loaded(document.createElement('iframe'), 'src', '/who-frame');
            await loaded(document.createElement('img'), 'src', '/who-img');
            await loaded(Object.assign(document.createElement('link'), { rel: 'stylesheet' }), 'href', '/who-style');
            await loaded(document.createElement('script'), 'src', '/who-script');
            await loaded(Object.assign(document.createElement('script'), { type: 'module' }), 'src', '/who-module');
            await fetch('/who-fetch', { headers: { 'x-requested-with': 'app' } });
            await fetch('/who-post', { method: 'POST', body: 'x' });
            await fetch('/who-nocors', { mode: 'no-cors', referrerPolicy: 'origin', cache: 'no-cache' });
            await new Promise((resolve) => { const xhr = new XMLHttpRequest(); xhr.onload = resolve; xhr.open('GET', '/who-xhr'); xhr.send(); });
            navigator.sendBeacon('/who-beacon', 'beacon');
            await new Promise((resolve) => { new Worker('/who-worker').onmessage = resolve; });
        });
        await (await tab.frame()).locator('a').click();
        await (await tab.frame()).getByText('here').waitFor();
        await until('the beacon', () => target.asked('/who-beacon', from).length > 0);
        await tab.close();
        const seen = Object.fromEntries(kinds.map((kind) => [kind, target.asked(`/who-${kind}`, from).map(about)]));
        // These have a test of their own.
        delete seen.nav[0]['sec-fetch-site'];
        delete seen.frame[0]['sec-fetch-dest'];
        delete seen.module[0].origin;
        return seen;
    });

    different('who asks: a typed address, a frame in the app, a module', async ({ target, open }) => {
        target.on('/asks', page('<iframe src="/asks-frame"></iframe><script type="module" src="/asks-module"></script>'));
        target.on('/asks-frame', page('<p>framed</p>'));
        target.on('/asks-module', (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end('export default 1'));
        const from = target.seen.length;
        const tab = await open('/asks');
        await tab.close();
        const [typed, frame, module] = ['/asks', '/asks-frame', '/asks-module'].map((path) => target.asked(path, from)[0].headers);
        return [typed['sec-fetch-site'], frame['sec-fetch-dest'], module.origin ?? null];
    }, { direct: ['none', 'iframe', 'ORIGIN'], link: ['cross-site', 'document', null] });

    different('Sec-Fetch-User of a link that a person clicked', async ({ target, open }) => {
        target.on('/user', page('<a href="/user-got">on</a>'));
        target.on('/user-got', page('<p>here</p>'));
        const from = target.seen.length;
        const tab = await open('/user');
        await (await tab.frame()).locator('a').click();
        await (await tab.frame()).getByText('here').waitFor();
        await tab.close();
        return target.asked('/user-got', from)[0].headers['sec-fetch-user'] ?? null;
    }, { direct: '?1', link: null });

    same('fields of the app: an empty one, a hundred, and 60 KiB in all', async ({ target, frame }) => {
        target.on('/fields', ok);
        const from = target.seen.length;
        const statuses = await (await frame()).evaluate(async () => {
            const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`x-many-${n}`, `${n}`]));
            return Promise.all([{ 'x-odd': '"q" \\ ; = ,', 'x-empty': '' }, many, { 'x-big': 'b'.repeat(60_000) }].map(async (headers) => (await ask('/fields', { headers })).status));
        });
        const own = target.asked('/fields', from).map(({ headers }) => Object.entries(headers).filter(([name]) => name.startsWith('x-')).sort().map(([name, value]) => [name, value.length > 100 ? value.length : value]));
        return { statuses, own: own.sort((a, b) => a.length - b.length || String(a).localeCompare(String(b))) };
    });

    different('a field of the app with octets beyond ASCII', async ({ target, frame }) => {
        target.on('/octets', ok);
        const from = target.seen.length;
        await (await frame()).evaluate(() => ask('/octets', { headers: { 'x-odd': 'caf\u00e9 \u00ff\u0080' } }));
        return target.asked('/octets', from)[0].headers['x-odd'];
    }, { direct: 'caf\u00e9 \u00ff\u0080', link: '' });

    const aborted = (path, begin) => async ({ target, frame }) => {
        const entries = [];
        target.on(path, (_, response, entry) => {
            entries.push(entry);
            begin(response);
        });
        const page = await frame();
        await page.evaluate((path) => {
            window.stop = new AbortController();
            window.end = fetch(path, { signal: stop.signal }).then((response) => response.text()).then(() => 'read', (error) => error.name);
        }, path);
        await until('the target is asked', () => entries.length === 1);
        await page.evaluate(() => stop.abort());
        await until('the target is let go', () => entries[0].aborted, { ms: 10_000 });
        return page.evaluate(() => end);
    };
    different('an abort before the answer: whether the target sees it at once, and when it answers', async ({ target, frame }) => {
        const waiting = [];
        target.on('/never', (_, response, entry) => void waiting.push({ response, entry }));
        const page = await frame();
        await page.evaluate(() => {
            window.stop = new AbortController();
            window.end = fetch('/never', { signal: stop.signal }).then(() => 'answered', (error) => error.name);
        });
        await until('the target is asked', () => waiting.length === 1);
        const [{ response, entry }] = waiting;
        await page.evaluate(() => stop.abort());
        const atOnce = await until('the target is let go', () => entry.aborted, { ms: 1_000 }).catch(() => false);
        if (!atOnce) {
            response.writeHead(200, { 'content-type': 'application/octet-stream' });
            response.write('x');
            await until('the target is let go when it answers', () => entry.aborted);
        }
        return { page: await page.evaluate(() => end), atOnce };
    }, { direct: { page: 'AbortError', atOnce: true }, link: { page: 'AbortError', atOnce: false } });
    same('an abort in the answer is seen by the target and by the page', aborted('/half', (response) => {
        response.writeHead(200, { 'content-type': 'application/octet-stream' });
        response.write('x'.repeat(5_000));
    }));

    const xhrs = (target) => {
        target.on('/xhr', (_, response, { body }) => response.writeHead(200, { 'content-type': 'text/plain', 'content-length': 100_000 + body.length }).end(Buffer.concat([Buffer.alloc(100_000, 'x'), body])));
        target.on('/xhr-never', () => {});
    };
    const events = async (frame) => (await frame()).evaluate(async () => {
        const run = (path, prepare) => new Promise((resolve) => {
            const xhr = new XMLHttpRequest();
            const [sent, events] = [[], new Set()];
            for (const name of ['load', 'error', 'abort', 'timeout']) xhr.addEventListener(name, () => resolve({ end: name, status: xhr.status, bytes: xhr.responseText.length, events: [...events].sort(), sent }));
            xhr.upload.onload = ({ loaded, total }) => sent.push(`${loaded} of ${total}`);
            xhr.onprogress = ({ lengthComputable, total }) => events.add(`progress of ${lengthComputable ? total : '?'}`);
            xhr.open('POST', path);
            prepare(xhr);
            xhr.send('x'.repeat(1_000));
        });
        return {
            loaded: await run('/xhr', () => {}),
            late: await run('/xhr-never', (xhr) => { xhr.timeout = 200; }),
            aborted: await run('/xhr-never', (xhr) => setTimeout(() => xhr.abort(), 100)),
        };
    });

    same('XMLHttpRequest: events and progress of the answer, a time limit, an abort', async ({ target, frame }) => {
        xhrs(target);
        return Object.fromEntries(Object.entries(await events(frame)).map(([name, { sent, ...seen }]) => [name, seen]));
    });

    different('XMLHttpRequest: progress of what is sent', async ({ target, frame }) => {
        xhrs(target);
        return (await events(frame)).loaded.sent;
    }, { direct: ['1000 of 1000'], link: [] });

    different('XMLHttpRequest: synchronous', async ({ target, frame }) => {
        xhrs(target);
        const from = target.seen.length;
        const seen = await (await frame()).evaluate(() => {
            const xhr = new XMLHttpRequest();
            try {
                xhr.open('GET', '/xhr', false);
                xhr.send();
                return xhr.status;
            } catch (error) {
                return error.name;
            }
        });
        return [seen, target.asked('/xhr', from).length];
    }, { direct: [200, 1], link: ['NetworkError', 0] });
}
