// Who keeps what: the browser's own store, conditions of the app, and what the target is asked as a result.

const page = (html) => (_, response) => response.writeHead(200, { 'content-type': 'text/html', 'cache-control': 'no-store' }).end(`<!doctype html><link rel="icon" href="data:,">${html}`);

export function caching({ same }) {
    /** Asks some times in turn, each time as `inits` says; gives what the page saw and what the target was asked. */
    const times = async ({ target, frame }, path, inits) => {
        const from = target.seen.length;
        const answers = await (await frame()).evaluate(async ([path, inits]) => {
            const answers = [];
            for (const init of inits) answers.push(await ask(path, init).then(({ status, body, failed }) => failed ?? [status, body]));
            return answers;
        }, [path, inits]);
        return { answers, asked: target.asked(path, from).map(({ headers }) => [headers['if-none-match'], headers['if-modified-since'], headers['cache-control']]) };
    };
    /** A path of its own for each way, so that no visit finds what another left. */
    const fresh = ({ way }, name) => `/cache-${name}-${way}`;
    const tagged = (headers) => (request, response) => {
        if (request.headers['if-none-match'] === '"v1"') return response.writeHead(304, { etag: '"v1"', ...headers }).end();
        response.writeHead(200, { 'content-type': 'text/plain', etag: '"v1"', ...headers }).end('version one');
    };

    same('a condition of the app gets its 304', async (visit) => {
        const path = fresh(visit, 'app');
        visit.target.on(path, tagged({ 'cache-control': 'no-cache' }));
        return times(visit, path, [{ headers: { 'if-none-match': '"v1"' } }, { headers: { 'if-none-match': '"other"' } }, {}]);
    });

    same('what is fresh is not asked for again', async (visit) => {
        const path = fresh(visit, 'fresh');
        visit.target.on(path, (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'max-age=600' }).end('fresh'));
        return times(visit, path, [{}, {}, {}]);
    });

    same('what is stale is asked for with its tag, and a 304 brings back what was kept', async (visit) => {
        const path = fresh(visit, 'stale');
        visit.target.on(path, tagged({ 'cache-control': 'max-age=0' }));
        return times(visit, path, [{}, {}, {}]);
    });

    same('a date of change works as a tag does', async (visit) => {
        const path = fresh(visit, 'date');
        const date = 'Wed, 01 Jan 2025 00:00:00 GMT';
        visit.target.on(path, (request, response) => {
            if (request.headers['if-modified-since'] === date) return response.writeHead(304, { 'last-modified': date, 'cache-control': 'no-cache' }).end();
            response.writeHead(200, { 'content-type': 'text/plain', 'last-modified': date, 'cache-control': 'no-cache' }).end('dated');
        });
        return times(visit, path, [{}, {}]);
    });

    same('no-store is kept nowhere', async (visit) => {
        const path = fresh(visit, 'store');
        visit.target.on(path, (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store', etag: '"x"' }).end('never kept'));
        return times(visit, path, [{}, {}]);
    });

    same('the cache modes of fetch: no-store, reload, no-cache, force-cache, only-if-cached', async (visit) => {
        const path = fresh(visit, 'modes');
        visit.target.on(path, tagged({ 'cache-control': 'max-age=600' }));
        return times(visit, path, [{}, { cache: 'no-store' }, { cache: 'reload' }, { cache: 'no-cache' }, { cache: 'force-cache' }, { cache: 'only-if-cached', mode: 'same-origin' }]);
    });

    same('Vary: another Accept-Language is another answer', async (visit) => {
        const path = fresh(visit, 'vary');
        visit.target.on(path, (request, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'max-age=600', vary: 'accept-language' }).end(request.headers['accept-language']));
        return times(visit, path, [{ headers: { 'accept-language': 'de' } }, { headers: { 'accept-language': 'de' } }, { headers: { 'accept-language': 'fr' } }]);
    });

    same('a change by POST makes what was kept of the path old', async (visit) => {
        const path = fresh(visit, 'changed');
        let state = 0;
        visit.target.on(path, ({ method }, response) => {
            if (method === 'POST') state++;
            response.writeHead(200, { 'content-type': 'text/plain', ...(method === 'GET' ? { 'cache-control': 'max-age=600' } : {}) }).end(`state ${state}`);
        });
        return times(visit, path, [{}, { method: 'POST', body: 'x' }, {}]);
    });

    same('scripts, styles and images of a page come from what was kept, and a reload asks whether they changed', async (visit) => {
        const { target, open } = visit;
        const name = fresh(visit, 'page');
        target.on(name, page(`<script src="${name}.js"></script><img src="${name}.svg">`));
        target.on(`${name}.js`, (request, response) => {
            if (request.headers['if-none-match']) return response.writeHead(304, { etag: '"j"' }).end();
            response.writeHead(200, { 'content-type': 'text/javascript', etag: '"j"', 'cache-control': 'no-cache' }).end('window.ran = (window.ran ?? 0) + 1');
        });
        target.on(`${name}.svg`, (_, response) => response.writeHead(200, { 'content-type': 'image/svg+xml', 'cache-control': 'max-age=600' }).end('<svg xmlns="http://www.w3.org/2000/svg" width="5" height="7"/>'));
        const from = target.seen.length;
        const shown = [];
        for (let n = 0; n < 2; n++) {
            const tab = await open(name);
            shown.push(await (await tab.frame()).evaluate(async () => {
                const [image] = document.images;
                await image.decode();
                return [window.ran, image.naturalWidth, image.naturalHeight];
            }));
            await tab.close();
        }
        const asked = (path) => target.asked(path, from).map(({ headers }) => headers['if-none-match'] ?? null);
        return { shown, script: asked(`${name}.js`), image: asked(`${name}.svg`) };
    });
}
