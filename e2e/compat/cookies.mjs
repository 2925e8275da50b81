// Cookies: set by the target and by scripts, sent back where they belong, hidden where they must be.

const DAY = 86_400;

export function cookies({ same, different }) {
    /** A place in the target that echoes its cookies, and one that sets what it is told to. */
    const routes = (target, base) => {
        const echo = ({ headers }, response) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end(headers.cookie ?? '');
        for (const path of ['/echo', '/deep/echo', '/deep/er/echo', '/deeper/echo']) target.on(base + path, echo);
        for (const path of ['/set', '/deep/set']) {
            target.on(base + path, ({ body }, response, entry) => response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store', 'set-cookie': JSON.parse(String(entry.body)) }).end());
        }
        target.on(`${base}/page`, (_, response) => response.writeHead(200, { 'content-type': 'text/html', 'cache-control': 'no-store' }).end('<!doctype html><link rel="icon" href="data:,"><p>page</p>'));
        target.on(`${base}/deep/page`, (_, response) => response.writeHead(200, { 'content-type': 'text/html', 'cache-control': 'no-store' }).end('<!doctype html><link rel="icon" href="data:,"><p>page</p>'));
    };
    /** Opens a page, runs something in it, and expires every cookie that a script can see afterwards. */
    const inPage = async ({ target, open }, base, run, arg, path = '/page') => {
        routes(target, base);
        const tab = await open(base + path);
        const frame = await tab.frame();
        await frame.evaluate(() => {
            window.set = (path, cookies) => fetch(path, { method: 'POST', body: JSON.stringify(cookies) });
            window.sent = async (path, init) => (await fetch(path, init)).text();
            // The place of a cookie that was changed is another matter: it has a test of its own.
            window.sorted = (cookies) => cookies.split('; ').sort();
        });
        const seen = await frame.evaluate(run, arg ?? base);
        await tab.close();
        return seen;
    };

    same('a cookie of the target is sent back, seen by scripts, and gone when it is expired', (visit) => inPage(visit, '/ck-plain', async (base) => {
        const seen = [];
        const look = async () => seen.push([sorted(await sent(`${base}/echo`)), sorted(document.cookie)]);
        await set(`${base}/set`, ['plain=one; Path=/ck-plain', 'empty=; Path=/ck-plain', 'quoted="a b"; Path=/ck-plain', 'equals=a=b; Path=/ck-plain']);
        await look();
        await set(`${base}/set`, ['plain=two; Path=/ck-plain; Max-Age=600']);
        await look();
        await set(`${base}/set`, ['plain=; Path=/ck-plain; Max-Age=0', 'empty=x; Path=/ck-plain; Expires=Thu, 01 Jan 1970 00:00:00 GMT', 'quoted=; Path=/ck-plain; Max-Age=-1', 'equals=; Path=/elsewhere; Max-Age=0']);
        await look();
        document.cookie = 'equals=; path=/ck-plain; max-age=0';
        await look();
        return seen;
    }));

    same('HttpOnly hides a cookie from scripts, and keeps scripts from replacing it', (visit) => inPage(visit, '/ck-only', async (base) => {
        await set(`${base}/set`, ['secret=of the app; Path=/ck-only; HttpOnly', 'open=yes; Path=/ck-only']);
        const before = [await sent(`${base}/echo`), document.cookie];
        document.cookie = 'secret=forged; path=/ck-only';
        document.cookie = 'secret=; path=/ck-only; max-age=0';
        document.cookie = 'mine=x; path=/ck-only; httponly';
        const after = [await sent(`${base}/echo`), document.cookie];
        const headers = [...(await set(`${base}/set`, ['again=1; Path=/ck-only'])).headers.keys()].filter((name) => /cookie/.test(name));
        await set(`${base}/set`, ['secret=; Path=/ck-only; Max-Age=0', 'open=; Path=/ck-only; Max-Age=0', 'again=; Path=/ck-only; Max-Age=0']);
        return { before, after, headers, gone: await sent(`${base}/echo`) };
    }));

    same('a script sets, changes and expires cookies; the target sees each at its next request', (visit) => inPage(visit, '/ck-script', async (base) => {
        const seen = [];
        const look = async () => seen.push([sorted(document.cookie), sorted(await sent(`${base}/echo`))]);
        document.cookie = 'a=1; path=/ck-script';
        document.cookie = 'b=ünï; path=/ck-script';
        document.cookie = 'novalue; path=/ck-script';
        document.cookie = '=noname; path=/ck-script';
        await look();
        document.cookie = 'a=2; path=/ck-script; max-age=600';
        document.cookie = 'b=; path=/ck-script; expires=Thu, 01 Jan 1970 00:00:00 GMT';
        await look();
        document.cookie = 'bad\u0001=x; path=/ck-script';
        document.cookie = `${'n'.repeat(5_000)}=x; path=/ck-script`;
        document.cookie = 'default=path';
        await look();
        for (const name of ['a', 'novalue', 'default']) document.cookie = `${name}=; path=/ck-script; max-age=0`;
        document.cookie = 'novalue; path=/ck-script; max-age=0';
        document.cookie = '=; path=/ck-script; max-age=0';
        await look();
        return seen;
    }));

    same('Path: only at and below, and longer paths first', (visit) => inPage(visit, '/ck-path', async (base) => {
        await set(`${base}/set`, ['top=1; Path=/ck-path', 'deep=2; Path=/ck-path/deep', 'deeper=3; Path=/ck-path/deep/er/', 'same=top; Path=/ck-path', 'same=deep; Path=/ck-path/deep', 'else=4; Path=/else']);
        await set(`${base}/deep/set`, ['default=5']);
        const seen = {};
        for (const path of ['/echo', '/deep/echo', '/deep/er/echo', '/deeper/echo']) seen[path] = await sent(base + path);
        seen.page = document.cookie;
        await set(`${base}/set`, ['top=; Path=/ck-path; Max-Age=0', 'deep=; Path=/ck-path/deep; Max-Age=0', 'deeper=; Path=/ck-path/deep/er/; Max-Age=0', 'same=; Path=/ck-path; Max-Age=0', 'same=; Path=/ck-path/deep; Max-Age=0', 'default=; Path=/ck-path/deep; Max-Age=0']);
        seen.gone = await sent(`${base}/deep/er/echo`);
        return seen;
    }));

    same('a page below sees what belongs to it', (visit) => inPage(visit, '/ck-below', async (base) => {
        await set(`${base}/set`, ['top=1; Path=/ck-below', 'deep=2; Path=/ck-below/deep', 'er=3; Path=/ck-below/deep/er']);
        const seen = [await sent(`${base}/deep/echo`), document.cookie];
        document.cookie = 'of=page';
        const after = [document.cookie, await sent(`${base}/deep/echo`), await sent(`${base}/echo`)];
        await set(`${base}/set`, ['top=; Path=/ck-below; Max-Age=0', 'deep=; Path=/ck-below/deep; Max-Age=0', 'er=; Path=/ck-below/deep/er; Max-Age=0', 'of=; Path=/ck-below/deep; Max-Age=0']);
        return [...seen, ...after];
    }, '/ck-below', '/deep/page'));

    same('Domain: the own host is taken, another and a public suffix are refused', (visit) => inPage(visit, '/ck-domain', async ([base, host]) => {
        await set(`${base}/set`, [`own=1; Path=/ck-domain; Domain=${host}`, 'other=2; Path=/ck-domain; Domain=example.com', 'top=3; Path=/ck-domain; Domain=com', 'host=4; Path=/ck-domain']);
        document.cookie = 'scripted=5; path=/ck-domain; domain=example.org';
        const seen = [await sent(`${base}/echo`), document.cookie];
        await set(`${base}/set`, [`own=; Path=/ck-domain; Domain=${host}; Max-Age=0`, 'host=; Path=/ck-domain; Max-Age=0']);
        return seen;
    }, ['/ck-domain', new URL(visit.target.url).hostname]));

    same('prefixes: __Host- and __Secure- only as they must be', (visit) => inPage(visit, '/ck-prefix', async (base) => {
        await set(`${base}/set`, ['__Host-a=1; Path=/ck-prefix; Secure', '__Host-b=2; Path=/; Domain=example.com; Secure', '__Secure-c=3; Path=/ck-prefix', '__Host-d=4; Path=/']);
        return [await sent(`${base}/echo`), document.cookie];
    }));

    same('Secure cookies, and SameSite=None with them', (visit) => inPage(visit, '/ck-secure', async (base) => {
        await set(`${base}/set`, ['secure=1; Path=/ck-secure; Secure', 'none=2; Path=/ck-secure; SameSite=None; Secure', 'bad=3; Path=/ck-secure; SameSite=None', 'lax=4; Path=/ck-secure; SameSite=Lax', 'strict=5; Path=/ck-secure; SameSite=Strict', 'odd=6; Path=/ck-secure; SameSite=odd']);
        const seen = [await sent(`${base}/echo`), document.cookie];
        await set(`${base}/set`, ['secure', 'none', 'lax', 'strict', 'odd'].map((name) => `${name}=; Path=/ck-secure; Max-Age=0; Secure`));
        return seen;
    }));

    same('credentials of fetch: omit sends and takes nothing, same-origin and include do', (visit) => inPage(visit, '/ck-fetch', async (base) => {
        await set(`${base}/set`, ['a=1; Path=/ck-fetch']);
        const seen = [];
        for (const credentials of ['omit', 'same-origin', 'include']) {
            await fetch(`${base}/set`, { method: 'POST', credentials, body: JSON.stringify([`by-${credentials}=1; Path=/ck-fetch`]) });
            seen.push([credentials, await sent(`${base}/echo`, { credentials })]);
        }
        seen.push(document.cookie);
        await set(`${base}/set`, ['a=; Path=/ck-fetch; Max-Age=0', 'by-same-origin=; Path=/ck-fetch; Max-Age=0', 'by-include=; Path=/ck-fetch; Max-Age=0']);
        return seen;
    }));

    same('sixty cookies, in the order in which they were made', (visit) => inPage(visit, '/ck-many', async (base) => {
        for (let n = 0; n < 6; n++) await set(`${base}/set`, Array.from({ length: 10 }, (_, m) => `c${n}${m}=${n * m}; Path=/ck-many`));
        const seen = [await sent(`${base}/echo`), document.cookie];
        for (let n = 0; n < 6; n++) await set(`${base}/set`, Array.from({ length: 10 }, (_, m) => `c${n}${m}=; Path=/ck-many; Max-Age=0`));
        return [...seen, document.cookie];
    }));

    different('the place of a cookie that was changed', (visit) => inPage(visit, '/ck-order', async (base) => {
        await set(`${base}/set`, ['a=1; Path=/ck-order', 'b=2; Path=/ck-order']);
        await set(`${base}/set`, ['a=3; Path=/ck-order']);
        const seen = [await sent(`${base}/echo`), document.cookie];
        await set(`${base}/set`, ['a=; Path=/ck-order; Max-Age=0', 'b=; Path=/ck-order; Max-Age=0']);
        return seen;
    }), { direct: ['b=2; a=3', 'b=2; a=3'], link: ['a=3; b=2', 'a=3; b=2'] });

    same('cookies with an expiry outlive a reload, and are there for navigations, images and frames', async (visit) => {
        const { target, open } = visit;
        routes(target, '/ck-stay');
        const tab = await open('/ck-stay/page');
        await (await tab.frame()).evaluate((day) => fetch('/ck-stay/set', { method: 'POST', body: JSON.stringify([`stay=1; Path=/ck-stay; Max-Age=${day}`, 'session=2; Path=/ck-stay']) }), DAY);
        await tab.close();
        const again = await open('/ck-stay/page');
        const from = target.seen.length;
        const seen = await (await again.frame()).evaluate(async () => {
            const loaded = (element, src) => new Promise((resolve) => document.body.append(Object.assign(element, { onload: resolve, onerror: resolve, src })));
            await loaded(new Image(), '/ck-stay/echo?img');
            await loaded(document.createElement('iframe'), '/ck-stay/echo?frame');
            return document.cookie;
        });
        await (await again.frame()).evaluate(() => fetch('/ck-stay/set', { method: 'POST', body: JSON.stringify(['stay=; Path=/ck-stay; Max-Age=0', 'session=; Path=/ck-stay; Max-Age=0']) }));
        await again.close();
        return { seen, asked: target.asked('/ck-stay/echo', from).map(({ path, headers }) => [path, headers.cookie]) };
    });

    same('cookieStore reads, writes and tells of changes', (visit) => inPage(visit, '/ck-store', async (base) => {
        if (!window.cookieStore) return 'none';
        const changes = [];
        cookieStore.onchange = ({ changed, deleted }) => changes.push([changed.map(({ name, value }) => [name, value]), deleted.map(({ name }) => name)]);
        await cookieStore.set({ name: 'stored', value: '1', path: '/ck-store/' });
        await cookieStore.set({ name: 'again', value: '2', path: '/ck-store/' });
        const seen = [await sent(`${base}/echo`), (await cookieStore.getAll()).map(({ name, value }) => [name, value]).sort(), (await cookieStore.get('stored'))?.value];
        await cookieStore.delete({ name: 'stored', path: '/ck-store/' });
        await cookieStore.delete({ name: 'again', path: '/ck-store/' });
        return { seen, gone: await sent(`${base}/echo`) };
    }));

    same('a link from another site brings SameSite=Lax cookies, and not Strict ones', async (visit) => {
        const { target, open, elsewhere, origin } = visit;
        routes(target, '/ck-site');
        const tab = await open('/ck-site/page');
        await (await tab.frame()).evaluate(() => fetch('/ck-site/set', { method: 'POST', body: JSON.stringify(['lax=1; Path=/ck-site; SameSite=Lax', 'strict=2; Path=/ck-site; SameSite=Strict', 'none=3; Path=/ck-site; SameSite=None; Secure']) }));
        await tab.close();
        const from = target.seen.length;
        const other = await elsewhere(`<a href="${origin}/ck-site/echo">over</a>`);
        await other.page.locator('a').click();
        await (await other.frame()).getByText('lax=').waitFor();
        await other.close();
        const clean = await open('/ck-site/page');
        await (await clean.frame()).evaluate(() => fetch('/ck-site/set', { method: 'POST', body: JSON.stringify(['lax', 'strict', 'none'].map((name) => `${name}=; Path=/ck-site; Max-Age=0; Secure`)) }));
        await clean.close();
        return target.asked('/ck-site/echo', from).map(({ headers }) => headers.cookie);
    });
}
