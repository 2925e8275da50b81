// Pages: titles, history, leaving, downloads, policies, other origins, windows and frames.

import { readFile } from 'node:fs/promises';
import { until } from '../lib/process.mjs';

const html = (body, headers = {}) => (_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', ...headers }).end(`<!doctype html><link rel="icon" href="data:,">${body}`);

export function pages({ same, different }) {
    same('the title and the icon of the page are those of the tab, also when they change', async ({ target, open }) => {
        const svg = (id) => (_, response) => response.writeHead(200, { 'content-type': 'image/svg+xml' }).end(`<svg xmlns="http://www.w3.org/2000/svg" id="${id}"/>`);
        target.on('/titled', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>first title</title><link rel="icon" href="/own.svg"><p>here</p>'));
        target.on('/own.svg', svg('first'));
        target.on('/other.svg', svg('second'));
        const tab = await open('/titled');
        /** What the tab's own document names as its icon, by content. */
        const icon = () => tab.page.evaluate(async () => {
            const href = document.querySelector('link[rel~=icon]')?.href ?? '';
            if (!href.startsWith('data:')) return (await fetch(href)).text();
            // At first it is the shell's own, which is written out.
            const [kind, data] = href.split(',');
            return kind.endsWith(';base64') ? atob(data) : decodeURIComponent(data);
        });
        await until('the title', async () => await tab.page.title() === 'first title');
        const first = await until('the icon', async () => /first/.test(await icon()) && icon());
        await (await tab.frame()).evaluate(() => {
            document.title = 'second title';
            document.querySelector('link[rel=icon]').href = '/other.svg';
        });
        await until('the next title', async () => await tab.page.title() === 'second title');
        const second = await until('the next icon', async () => /second/.test(await icon()) && icon());
        await tab.close();
        return [first, second];
    });

    same('history: links, pushState, replaceState, hash, back, forward, reload, location.replace', async ({ target, open }) => {
        target.on('/h1', html('<a href="/h2">on</a>'));
        target.on('/h2', html('<script>onpopstate = ({ state }) => { window.popped = state; }; onhashchange = () => { window.hashed = location.hash; };</script><p id="part">two</p>'));
        target.on('/h3', html('<p>three</p>'));
        const tab = await open('/h1');
        const steps = [];
        const at = async (end) => {
            await until(`the address ${end}`, async () => (await tab.frame()).url().endsWith(end) && tab.page.url().endsWith(end));
            const frame = await tab.frame();
            // A page that comes back as it was left has no load event.
            await until('the whole page', () => frame.evaluate(() => document.readyState === 'complete').catch(() => false));
            steps.push([tab.page.url(), frame.url()]);
        };
        await at('/h1');
        await (await tab.frame()).locator('a').click();
        await at('/h2');
        await (await tab.frame()).evaluate(() => history.pushState({ n: 1 }, '', '/h2?pushed'));
        await at('/h2?pushed');
        await (await tab.frame()).evaluate(() => history.replaceState({ n: 2 }, '', '/h2?replaced'));
        await at('/h2?replaced');
        await (await tab.frame()).evaluate(() => { location.hash = 'part'; });
        await at('/h2?replaced#part');
        await tab.page.goBack({ waitUntil: 'commit' });
        await at('/h2?replaced');
        await tab.page.goBack({ waitUntil: 'commit' });
        await at('/h2');
        await tab.page.goBack({ waitUntil: 'commit' });
        await at('/h1');
        await tab.page.goForward({ waitUntil: 'commit' });
        await at('/h2');
        await tab.page.reload();
        await at('/h2');
        await (await tab.frame()).evaluate(() => location.replace('/h3'));
        await at('/h3');
        await tab.page.goBack({ waitUntil: 'commit' });
        await at('/h1');
        await tab.close();
        return steps;
    });

    same('beforeunload asks before a link is followed, and staying stays', async ({ target, open }) => {
        target.on('/leaving', html('<button>touch</button><a href="/left">leave</a><script>onbeforeunload = (event) => { event.preventDefault(); return "sure?"; };</script>'));
        target.on('/left', html('<p>gone</p>'));
        const tab = await open('/leaving');
        const dialogs = [];
        let stay = true;
        tab.page.on('dialog', (dialog) => {
            dialogs.push(dialog.type());
            return stay ? dialog.dismiss() : dialog.accept();
        });
        await (await tab.frame()).locator('button').click();
        await (await tab.frame()).locator('a').click({ noWaitAfter: true });
        await until('a question', () => dialogs.length === 1);
        const stayed = (await tab.frame()).url();
        stay = false;
        await (await tab.frame()).locator('a').click({ noWaitAfter: true });
        await (await tab.frame()).getByText('gone').waitFor();
        await tab.close();
        return { dialogs, stayed };
    });

    same('downloads: names of the target in every form, and whole contents', async ({ target, open }) => {
        const names = {
            plain: 'attachment; filename=plain.txt', quoted: 'attachment; filename="with \\"quotes\\" and spaces.txt"', utf8: "attachment; filename=fallback.txt; filename*=UTF-8''%C3%BCn%C3%AF%20%E2%82%AC.txt",
            none: 'attachment', path: 'attachment; filename="../../etc/passwd"',
        };
        for (const [name, disposition] of Object.entries(names)) target.on(`/dl-${name}.bin`, (_, response) => response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-disposition': disposition }).end(`contents of ${name}`));
        target.on('/dl-type.bin', (_, response) => response.writeHead(200, { 'content-type': 'application/octet-stream' }).end('contents of type'));
        target.on('/downloads', html([...Object.keys(names), 'type'].map((name) => `<a href="/dl-${name}.bin">${name}</a>`).join(' ')));
        const tab = await open('/downloads');
        const seen = [];
        for (const name of [...Object.keys(names), 'type']) {
            const [download] = await Promise.all([tab.page.waitForEvent('download'), (await tab.frame()).getByText(name, { exact: true }).click()]);
            seen.push([name, download.suggestedFilename(), await readFile(await download.path(), 'utf8')]);
        }
        await tab.close();
        return seen;
    });

    different('downloads: a name with octets beyond ASCII that says no encoding', async ({ target, open }) => {
        target.on('/dl-latin.bin', (_, response) => response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-disposition': 'attachment; filename="caf\u00e9.txt"' }).end('x'));
        target.on('/download-latin', html('<a href="/dl-latin.bin">latin</a>'));
        const tab = await open('/download-latin');
        const [download] = await Promise.all([tab.page.waitForEvent('download'), (await tab.frame()).locator('a').click()]);
        await tab.close();
        return download.suggestedFilename();
    }, { direct: 'dl-latin.bin', link: 'café.txt' });

    same('downloads: <a download> with a name and without, of blobs and data, clicked and by script', async ({ target, open }) => {
        target.on('/file/shown.txt', (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('would be shown'));
        target.on('/a-download', html(`<a id="own" href="/file/shown.txt" download="ünï own.txt">own</a> <a id="bare" href="/file/shown.txt" download>bare</a>
            <a id="data" href="data:text/plain,of%20data" download="data.txt">data</a> <a id="blob" download="blob.bin">blob</a> <button id="script">script</button>
            <script>blob.href = URL.createObjectURL(new Blob(['of a blob']));
            script.onclick = () => Object.assign(document.createElement('a'), { href: '/file/shown.txt', download: 'scripted.txt' }).click();</script>`));
        const tab = await open('/a-download');
        const seen = [];
        for (const id of ['own', 'bare', 'data', 'blob', 'script']) {
            const [download] = await Promise.all([tab.page.waitForEvent('download'), (await tab.frame()).locator(`#${id}`).click()]);
            seen.push([id, download.suggestedFilename(), await readFile(await download.path(), 'utf8')]);
        }
        await tab.close();
        return seen;
    });

    same('a Content-Security-Policy of the app is kept: by field, by meta, with a nonce', async ({ target, open }) => {
        const probe = `<script>window.inline = true</script><script nonce="abc">window.nonced = true; window.violations = []; addEventListener('securitypolicyviolation', ({ effectiveDirective }) => violations.push(effectiveDirective));</script><script src="/csp.js"></script><p>shown</p>`;
        target.on('/csp.js', (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end('window.loaded = true'));
        target.on('/csp-self', html(probe, { 'content-security-policy': "default-src 'self'; img-src data:" }));
        target.on('/csp-nonce', html(probe, { 'content-security-policy': "script-src 'nonce-abc'; connect-src 'none'" }));
        target.on('/csp-meta', html(`<meta http-equiv="content-security-policy" content="script-src 'nonce-abc' 'self'; img-src 'none'">${probe}`));
        target.on('/csp-inline', html(probe, { 'content-security-policy': "script-src 'unsafe-inline'" }));
        const seen = {};
        for (const name of ['self', 'nonce', 'meta', 'inline']) {
            const tab = await open(`/csp-${name}`);
            await (await tab.frame()).getByText('shown').waitFor();
            seen[name] = await (await tab.frame()).evaluate(async () => {
                const { inline, nonced, loaded } = window;
                const fetched = await fetch('/csp.js').then(({ status }) => status, ({ name }) => name);
                return { inline, nonced, loaded, fetched, violations: [...new Set(window.violations ?? [])].sort() };
            });
            await tab.close();
        }
        return seen;
    });

    same('X-Frame-Options and frame-ancestors of the app do not keep it from being shown', async ({ target, open }) => {
        target.on('/xfo-deny', html('<p>shown</p>', { 'x-frame-options': 'DENY' }));
        target.on('/xfo-same', html('<p>shown</p>', { 'x-frame-options': 'SAMEORIGIN' }));
        target.on('/xfo-csp', html('<p>shown</p>', { 'content-security-policy': "frame-ancestors 'none'" }));
        const shown = [];
        for (const name of ['deny', 'same', 'csp']) {
            const tab = await open(`/xfo-${name}`);
            await (await tab.frame()).getByText('shown').waitFor();
            shown.push(await (await tab.frame()).locator('p').innerText());
            await tab.close();
        }
        return shown;
    });

    same('another origin is asked as ever: with CORS, without, by image, by form, by redirect', async ({ target, open, other }) => {
        const asked = [];
        other.on('/cors', ({ headers, method }, response) => {
            asked.push([method, headers.origin, headers.cookie ?? null]);
            response.writeHead(200, { 'access-control-allow-origin': headers.origin, 'access-control-allow-headers': 'x-own', 'access-control-allow-methods': 'PUT', 'content-type': 'text/plain', 'cache-control': 'no-store' }).end('allowed');
        });
        other.on('/closed', (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('closed'));
        other.on('/dot.svg', (_, response) => response.writeHead(200, { 'content-type': 'image/svg+xml' }).end('<svg xmlns="http://www.w3.org/2000/svg" width="3" height="4"/>'));
        target.on('/to-other', (_, response) => response.writeHead(302, { location: `${other.url}/cors`, 'cache-control': 'no-store' }).end());
        target.on('/cross', html('<p>cross</p>'));
        const tab = await open('/cross');
        const seen = await (await tab.frame()).evaluate(async (other) => {
            const ask = (url, init) => fetch(url, init).then(async (response) => [response.type, response.status, response.redirected, response.type === 'opaque' ? null : await response.text()], ({ name }) => name);
            const image = Object.assign(new Image(), { src: `${other}/dot.svg` });
            await image.decode();
            return { cors: await ask(`${other}/cors`), preflight: await ask(`${other}/cors`, { method: 'PUT', headers: { 'x-own': '1' } }), closed: await ask(`${other}/closed`), opaque: await ask(`${other}/closed`, { mode: 'no-cors' }), redirect: await ask('/to-other'), image: [image.naturalWidth, image.naturalHeight] };
        }, other.url);
        await tab.close();
        return { seen, asked };
    });

    same('a redirect to another site goes there', async ({ target, open, other }) => {
        other.on('/arrived', html('<p>another site</p>', { 'x-frame-options': 'DENY' }));
        target.on('/leave', html('<a href="/leave-now">leave</a>'));
        target.on('/leave-now', (_, response) => response.writeHead(302, { location: `${other.url}/arrived` }).end());
        const tab = await open('/leave');
        await (await tab.frame()).locator('a').click();
        await tab.page.getByText('another site').waitFor();
        const url = tab.page.url();
        await tab.close();
        return url;
    });

    same('windows: target=_blank, window.open with an opener, messages and closing', async ({ target, open }) => {
        target.on('/opens', html('<a target="_blank" href="/opened?blank">blank</a><button>open</button><script>window.got = []; onmessage = ({ data, origin }) => got.push([data, origin]); document.querySelector("button").onclick = () => { window.w = open("/opened?script"); };</script>'));
        target.on('/opened', html('<p>opened</p><script>if (opener) opener.postMessage("hello opener", "*");</script>'));
        const tab = await open('/opens');
        const seen = {};
        const [blank] = await Promise.all([tab.page.waitForEvent('popup'), (await tab.frame()).locator('a').click()]);
        seen.blank = await until('the new tab', async () => (await Promise.all(blank.frames().map((frame) => frame.evaluate(() => [document.querySelector('p')?.textContent, window.opener === null]).catch(() => [])))).find(([text]) => text === 'opened'));
        await blank.close();
        const [popup] = await Promise.all([tab.page.waitForEvent('popup'), (await tab.frame()).locator('button').click()]);
        await until('a message', async () => (await (await tab.frame()).evaluate(() => got)).length > 0);
        seen.got = await (await tab.frame()).evaluate(() => got);
        await (await tab.frame()).evaluate(() => w.close());
        await until('the window is closed', () => popup.isClosed());
        seen.closed = await (await tab.frame()).evaluate(() => w.closed);
        await tab.close();
        return seen;
    });

    same('workers, modules, importScripts, wasm, nested frames, storage across tabs', async ({ target, open }) => {
        const script = (body) => (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end(body);
        target.on('/w-classic.js', script('importScripts("/w-import.js"); fetch("/w-data").then((r) => r.text()).then((text) => postMessage([imported, text, location.pathname]))'));
        target.on('/w-import.js', script('self.imported = "imported"'));
        target.on('/w-module.js', script('import { x } from "/w-dep.js"; postMessage([x, import.meta.url.slice(-12)])'));
        target.on('/w-dep.js', script('export const x = "of a module"'));
        target.on('/w-shared.js', script('onconnect = ({ ports: [port] }) => port.postMessage("shared")'));
        target.on('/w-data', (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('data'));
        target.on('/w.wasm', (_, response) => response.writeHead(200, { 'content-type': 'application/wasm' }).end(Buffer.from('0061736d01000000', 'hex')));
        target.on('/nested', html('<p>nested</p><script>parent.postMessage("from nested", "*")</script>'));
        target.on('/w', html('<p>workers</p>'));
        const tab = await open('/w');
        const seen = await (await tab.frame()).evaluate(async () => {
            const said = (worker, port = worker) => new Promise((resolve) => { port.onmessage = ({ data }) => resolve(data); worker.onerror = ({ message }) => resolve(`error ${message}`); });
            const blob = URL.createObjectURL(new Blob(['fetch(`${self.origin ?? location.origin}/w-data`).then((r) => r.text()).then(postMessage, (e) => postMessage(e.name))'], { type: 'text/javascript' }));
            const shared = new SharedWorker('/w-shared.js');
            const frame = document.createElement('iframe');
            const srcdoc = document.createElement('iframe');
            const messages = [];
            const both = new Promise((resolve) => { onmessage = ({ data }) => { messages.push(data); if (messages.length === 2) resolve(); }; });
            frame.src = '/nested';
            srcdoc.srcdoc = '<script>fetch("/w-data").then((r) => r.text()).then((text) => parent.postMessage("srcdoc " + text, "*"))</' + 'script>';
            document.body.append(frame, srcdoc);
            await both;
            localStorage.setItem('kept', 'yes');
            return {
                classic: await said(new Worker('/w-classic.js')), module: await said(new Worker('/w-module.js', { type: 'module' })), blob: await said(new Worker(blob)), shared: await said(shared, shared.port),
                dynamic: (await import('/w-dep.js')).x, wasm: await WebAssembly.compileStreaming(fetch('/w.wasm')).then(() => 'compiled', ({ name }) => name), messages: messages.sort(),
            };
        });
        const second = await open('/w');
        seen.kept = await (await second.frame()).evaluate(() => localStorage.getItem('kept'));
        await second.close();
        await tab.close();
        return seen;
    });
}
