// The page at /username, in real browsers: from our server and from an nginx, with its like and with an older page.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { nginx } from '../lib/nginx.mjs';
import { BINARY, ROOT, folder, serve } from '../lib/peerage.mjs';
import { PATIENCE, shared, start, until } from '../lib/process.mjs';

const FILES = join(ROOT, 'crates', 'server', 'src', 'routes', 'username');
const EXAMPLE = join(ROOT, 'examples', 'username');
const PICTURES = join(ROOT, 'e2e', 'out', 'screenshots');

suite('people who talk by name', () => {
    const own = shared(after);
    let server, browser;
    before(async () => {
        server = await serve(own);
        browser = await launch(own);
        mkdirSync(PICTURES, { recursive: true });
    });
    afterEach(() => browser.closeTabs());

    /** A tab with the page, connected to its server. */
    async function arrive(url = `${server.url}/username`) {
        const page = await browser.tab(url);
        page.setDefaultTimeout(PATIENCE);
        await page.locator('#server-form button').click();
        await says(page, 'server', 'Connected.');
        return page;
    }

    /** The same, with a name. */
    async function enter(name, url) {
        const page = await arrive(url);
        // That of a tab before: the browser closes its socket when it gets round to it, and the server knows no sooner.
        await until(`the name “${name}” is free`, async () => {
            await setName(page, name);
            const answer = page.locator('#name-status', { hasText: /is taken|You are/ });
            await answer.waitFor();
            return /You are/.test(await answer.textContent());
        });
        return page;
    }

    async function setName(page, name) {
        await page.locator('#name').fill(name);
        await page.locator('#name-form button').click();
    }

    async function call(page, name) {
        await page.locator('#peer').fill(name);
        await page.locator('#peer-form fieldset button').click();
    }

    async function say(page, text) {
        await page.locator('#text').fill(text);
        await page.locator('#text').press('Enter');
    }

    /** Waits until a step says this, in words on the page. */
    const says = (page, step, words) => page.locator(`#${step}-status`, { hasText: words }).waitFor();

    const hears = (page, by, text) => page.locator('.said', { has: page.locator('.by', { hasText: by }), hasText: text }).waitFor();

    /** Two tabs that are connected. */
    async function pair(a, b, url) {
        const [anna, ben] = [await enter(a, url), await enter(b, url)];
        await call(anna, b);
        await says(anna, 'peer', `Connected to “${b}”.`);
        await says(ben, 'peer', `Connected to “${a}”.`);
        return [anna, ben];
    }

    /** A file of its own for each test, and its hash. */
    function file(owner, name, octets) {
        const path = join(folder(owner), name);
        const content = randomBytes(octets);
        writeFileSync(path, content);
        return { path, hash: sha256(content) };
    }

    const sha256 = (content) => createHash('sha256').update(content).digest('hex');

    async function saved(owner, page) {
        const to = folder(owner);
        const { guid, name } = await browser.download(to, () => page.locator('.save').click(), PATIENCE);
        return { name, hash: sha256(readFileSync(join(to, guid))) };
    }

    test('two tabs exchange words both ways', async () => {
        const [anna, ben] = await pair('anna', 'ben');
        await say(anna, 'Hello Ben, are you there?');
        await hears(ben, 'anna', 'Hello Ben, are you there?');
        await say(ben, 'I am! 👋 grüße');
        await hears(anna, 'ben', 'I am! 👋 grüße');
        await hears(ben, 'Me', 'I am!');
    });

    test('a file arrives as it was sent, when the other side accepts it', async (t) => {
        const [anna, ben] = await pair('anna', 'ben');
        await say(anna, 'I have the photo for you.');
        await say(ben, 'Great, send it over.');
        await hears(anna, 'ben', 'Great');
        const sent = file(t, 'harbour at night.jpg', 5_000_001);
        await anna.locator('#file').setInputFiles(sent.path);
        await ben.locator('.said', { hasText: 'harbour at night.jpg' }).getByText('Offered to you.').waitFor();
        await anna.getByText('Waiting for the other side to accept').waitFor();
        await ben.setViewportSize({ width: 1080, height: 700 });
        await ben.screenshot({ path: join(PICTURES, 'username-offered.png') });
        await ben.getByRole('button', { name: 'Accept' }).click();
        await anna.getByText('Sent.').waitFor();
        await ben.getByText('Received.').waitFor();
        await anna.setViewportSize({ width: 1080, height: 700 });
        await anna.screenshot({ path: join(PICTURES, 'username-sent.png') });
        assert.deepEqual(await saved(t, ben), { name: 'harbour at night.jpg', hash: sent.hash });
    });

    test('a file of no octets arrives too, and the other way', async (t) => {
        const [anna, ben] = await pair('anna', 'ben');
        const sent = file(t, 'empty.txt', 0);
        await ben.locator('#file').setInputFiles(sent.path);
        await anna.getByRole('button', { name: 'Accept' }).click();
        await ben.getByText('Sent.').waitFor();
        assert.deepEqual(await saved(t, anna), { name: 'empty.txt', hash: sent.hash });
    });

    test('a file that is declined is not sent, and words go on', async (t) => {
        const [anna, ben] = await pair('anna', 'ben');
        await anna.locator('#file').setInputFiles(file(t, 'unwanted.exe', 100_000).path);
        await ben.getByRole('button', { name: 'Decline' }).click();
        await anna.locator('.file .state', { hasText: 'Declined.' }).waitFor();
        await say(anna, 'Sorry.');
        await hears(ben, 'anna', 'Sorry.');
        assert.equal(await ben.locator('.save').count(), 0);
    });

    test('a taken name is shown as taken, and another one can be chosen', async () => {
        await enter('anna');
        const other = await arrive();
        await setName(other, 'anna');
        await says(other, 'name', 'The name “anna” is taken. Choose another one.');
        await other.screenshot({ path: join(PICTURES, 'username-taken.png') });
        await setName(other, 'anna 2');
        await says(other, 'name', 'You are “anna 2”.');
    });

    test('a call to nobody says so', async () => {
        const anna = await enter('anna');
        await call(anna, 'nobody');
        await says(anna, 'peer', 'Nobody is logged in as “nobody”.');
        await call(anna, 'anna');
        await says(anna, 'peer', 'That is your own name.');
    });

    test('a name is free again when its tab is closed', async () => {
        const first = await enter('anna');
        await first.close();
        await enter('anna');
    });

    test('whoever hangs up or closes the tab is said to have gone', async () => {
        const [anna, ben] = await pair('anna', 'ben');
        await ben.getByRole('button', { name: 'Hang up' }).click();
        await says(ben, 'peer', 'You have hung up.');
        await says(anna, 'peer', 'The other side has hung up.');
        await call(anna, 'ben');
        await says(ben, 'peer', 'Connected to “anna”.');
        await anna.close({ runBeforeUnload: false });
        await says(ben, 'peer', /hung up|lost/);
    });

    test('what others write, and what they are called, is text and never markup', async (t) => {
        const evil = '<img src=x onerror="document.title=1">';
        const [anna, ben] = await pair('anna', evil.slice(0, 64));
        await say(ben, `${evil}<script>document.title=2</script>`);
        await hears(anna, '<img', `${evil}<script>`);
        await ben.locator('#file').setInputFiles({ name: '../<b>x\u202egpj.exe', mimeType: 'text/html', buffer: Buffer.from('<b>') });
        await anna.getByRole('button', { name: 'Accept' }).click();
        assert.deepEqual((await saved(t, anna)).name, '__b_xgpj.exe');
        assert.equal(await anna.locator('img, script:not([src]), b').count(), 0);
        assert.equal(await anna.title(), 'Talk by name');
    });

    test('somebody who calls while we talk waits until we answer', async () => {
        const [anna, ben] = await pair('anna', 'ben');
        const carl = await enter('carl');
        await call(carl, 'anna');
        await anna.getByText('“carl” calls you.').waitFor();
        await say(ben, 'still here');
        await hears(anna, 'ben', 'still here');
        await anna.getByRole('button', { name: 'Answer' }).click();
        await says(anna, 'peer', 'Connected to “carl”.');
        await says(ben, 'peer', 'The other side has hung up.');
        await say(carl, 'me at last');
        await hears(anna, 'carl', 'me at last');
    });

    test('both may call at once', async () => {
        const [anna, ben] = [await enter('anna'), await enter('ben')];
        await Promise.all([call(anna, 'ben'), call(ben, 'anna')]);
        await says(anna, 'peer', 'Connected to “ben”.');
        await says(ben, 'peer', 'Connected to “anna”.');
        await say(anna, 'once');
        await hears(ben, 'anna', 'once');
        await say(ben, 'is enough');
        await hears(anna, 'ben', 'is enough');
    });

    test('a lost connection to the server is said, the talk goes on, and one comes back under the same name', async (t) => {
        const mortal = await serve(t);
        const url = `${mortal.url}/username`;
        const [anna, ben] = await pair('anna', 'ben', url);
        await mortal.proc.kill();
        await says(anna, 'server', 'The connection to the server was lost. What you say to each other does not need it and goes on.');
        await say(anna, 'without a server');
        await hears(ben, 'anna', 'without a server');
        await anna.getByRole('button', { name: 'Connect again' }).click();
        await says(anna, 'server', 'Is the server running?');
        const again = start(t, 'peerage serve', BINARY, ['serve', '--port', String(mortal.port), '--state', folder(t)]);
        await again.printed(/https?:\/\/[^\s/]*:(\d+)/);
        await anna.getByRole('button', { name: 'Connect again' }).click();
        await says(anna, 'name', 'You are “anna”.');
        await say(ben, 'welcome back');
        await hears(anna, 'ben', 'welcome back');
    });

    for (const caller of ['old', 'ours']) {
        test(`an older page and ours talk, called by ${caller === 'old' ? 'the older one' : 'ours'}`, async () => {
            const ben = `ben of ${caller}`;
            const old = await olderPage(ben);
            const anna = await enter('anna');
            if (caller === 'old') await old.evaluate(() => call('anna'));
            else await call(anna, ben);
            await says(anna, 'peer', `Connected to “${ben}”.`);
            await says(anna, 'talk', 'The other page takes no files: it is an older one.');
            assert.ok(await anna.locator('#choose').isDisabled());
            await old.evaluate(() => say('from the past'));
            await hears(anna, ben, 'from the past');
            await say(anna, 'from now');
            assert.deepEqual(await old.evaluate(() => heard(1)), ['from now']);
        });
    }

    /** What the page that was there before does (docs/protocol/username.md, section 4), without its buttons: on the same site, as the connection policy allows. */
    async function olderPage(name) {
        const page = await browser.tab(`${server.url}/username`);
        await page.evaluate(async (name) => {
            const socket = new WebSocket(location.href.replace('http', 'ws').replace('username', ''));
            const texts = [];
            let connection, channel, peer;
            const send = (action, data) => socket.send(JSON.stringify({ from: name, to: peer, action, data }));
            const connect = () => {
                connection = new RTCPeerConnection({ iceServers: [] });
                channel = connection.createDataChannel('data_channel', { reliable: false });
                connection.ondatachannel = ({ channel }) => { channel.onmessage = ({ data }) => texts.push(data); };
                connection.onicecandidate = ({ candidate }) => { if (candidate) send('candidate', candidate); };
            };
            socket.onmessage = async ({ data }) => {
                const message = JSON.parse(data);
                if (message.action === 'offer') {
                    peer = message.from;
                    connect();
                    await connection.setRemoteDescription(message.data);
                    await connection.setLocalDescription(await connection.createAnswer());
                    send('answer', connection.localDescription);
                } else if (message.action === 'answer') await connection.setRemoteDescription(message.data);
                else if (message.action === 'candidate') await connection.addIceCandidate(message.data).catch(() => {});
            };
            window.call = async (name) => {
                peer = name;
                connect();
                await connection.setLocalDescription(await connection.createOffer({ offerToReceiveAudio: false, offerToReceiveVideo: false }));
                send('offer', connection.localDescription);
            };
            window.say = async (text) => {
                if (channel.readyState !== 'open') await new Promise((resolve) => { channel.onopen = resolve; });
                channel.send(text);
            };
            window.heard = (count) => new Promise((resolve) => {
                const look = () => (texts.length >= count ? resolve(texts) : setTimeout(look, 20));
                look();
            });
            await new Promise((resolve) => { socket.onopen = resolve; });
            socket.send(JSON.stringify({ action: 'login', data: name }));
        }, name);
        return page;
    }

    test('the page is whole on a phone', async () => {
        const [anna] = await pair('anna', 'ben');
        await anna.setViewportSize({ width: 360, height: 740 });
        await say(anna, 'a rather long message that does not fit into one line of so small a screen');
        await anna.emulateMedia({ colorScheme: 'dark' });
        const wide = await anna.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
        await anna.screenshot({ path: join(PICTURES, 'username-phone.png'), fullPage: true });
        assert.equal(wide, false);
    });

    test('nothing on the page is refused by its own policy', async () => {
        const [anna, ben] = await pair('anna', 'ben');
        for (const page of [anna, ben]) assert.deepEqual(page.log, []);
    });

    test('below a path of the server the page finds it there', async (t) => {
        const { url } = await serve(t, '--path', '/myapp');
        const [anna, ben] = await pair('anna', 'ben', `${url}/myapp/username/`);
        assert.equal(anna.url(), `${url}/myapp/username`);
        await say(anna, 'below a path');
        await hears(ben, 'anna', 'below a path');
    });

    suite('with the page from an nginx', () => {
        /** The example's configuration, but for the ports and paths. */
        async function example(owner, config) {
            const root = folder(owner, 'pages');
            symlinkSync(FILES, join(root, 'username'));
            writeFileSync(join(root, 'config.json'), config);
            const block = readFileSync(join(EXAMPLE, 'nginx.conf'), 'utf8');
            const moved = [['listen 80;', 'listen LISTEN;'], ['root /usr/share/nginx/html;', `root ${root};`], ['alias /etc/peerage/config.json;', `alias ${join(root, 'config.json')};`]];
            return nginx(owner, moved.reduce((text, [from, to]) => {
                assert.ok(text.includes(from), `nginx.conf says ${from}`);
                return text.replace(from, to);
            }, block));
        }

        const setting = () => readFileSync(join(EXAMPLE, 'config.json'), 'utf8').replace(':5000', `:${server.port}`);

        test('two tabs exchange words and a file by the server that the setting names', async (t) => {
            const { url } = await example(own, setting());
            const [anna, ben] = [await enter('anna', url), await enter('ben', `${url}/username`)];
            assert.equal(await anna.locator('#server-url').textContent(), `ws://127.0.0.1:${server.port}/`);
            await call(anna, 'ben');
            await says(ben, 'peer', 'Connected to “anna”.');
            await say(ben, 'hello');
            await hears(anna, 'ben', 'hello');
            await say(anna, 'hello back');
            await hears(ben, 'anna', 'hello back');
            const sent = file(t, 'notes.txt', 70_000);
            await anna.locator('#file').setInputFiles(sent.path);
            await ben.getByRole('button', { name: 'Accept' }).click();
            assert.deepEqual(await saved(t, ben), { name: 'notes.txt', hash: sent.hash });
            for (const page of [anna, ben]) assert.deepEqual(page.log, []);
        });

        test('the address may name another server', async () => {
            const { url } = await example(own, setting().replace(`:${server.port}`, ':1'));
            await enter('anna', `${url}/?server=ws://127.0.0.1:${server.port}`);
        });

        test('a prefix that it puts before our server is before everything the page asks for', async () => {
            const { url } = await nginx(own, `
                map $http_upgrade $upgrading { default upgrade; '' close; }
                server {
                    listen LISTEN;
                    location /myapp/ {
                        proxy_pass http://127.0.0.1:${server.port}/;
                        proxy_http_version 1.1;
                        proxy_set_header Host $http_host;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection $upgrading;
                    }
                }`);
            const [anna, ben] = await pair('anna', 'ben', `${url}/myapp/username/`);
            assert.equal(anna.url(), `${url}/myapp/username`);
            await say(anna, 'below a prefix');
            await hears(ben, 'anna', 'below a prefix');
            for (const page of [anna, ben]) assert.deepEqual(page.log, []);
        });

        test('a server that is not there is said to be away', async () => {
            const { url } = await example(own, setting().replace(`:${server.port}`, ':1'));
            const page = await browser.tab(url);
            await page.locator('#server-form button').click();
            await says(page, 'server', 'No connection to ws://127.0.0.1:1/. Is the server running?');
        });
    });

    test('our own page talks to its own server whatever the address says', async () => {
        const page = await browser.tab(`${server.url}/username?server=ws://127.0.0.1:1`);
        await page.locator('#server-url', { hasText: `ws://127.0.0.1:${server.port}/` }).waitFor();
    });
});
