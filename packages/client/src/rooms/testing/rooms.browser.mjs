// The room client in Chromium, over true connections to a hub in another page of it (`hub-page.ts`). Run: npm run test:page
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** Pages as people write them: a script tag, and the names that it defines. */
const ROOMS = `<!doctype html><title>rooms</title><script src="/rooms.js"></script><script>
  const { joinRoom } = Peerage;
  const told = [];
  const join = async (name, options = {}) => {
    globalThis.room = await joinRoom(name, options);
    for (const event of ['message', 'joined', 'left', 'host', 'metadata', 'state', 'missed', 'error', 'closed', 'draw']) {
      room.on(event, (...given) => told.push([event, ...given.filter((one) => one !== undefined).map((one) => one?.code ?? one?.id ?? (one instanceof Uint8Array ? 'octets ' + one.join() : one))]));
    }
    return [...room.members.keys()];
  };
</script>`;
/** As PeerPyRTC's read-me says it. */
const OLD = `<!doctype html><title>old</title><script src="/peerpyrtc.js"></script><script>
  const { WebRTCConnection, WebRTCRoomManager } = window.WebRTCConnection;
  const told = [];
  const join = async (name, peerId, options = {}) => {
    globalThis.connection = new WebRTCConnection(name, { peerId, ...options });
    for (const event of ['onOpen', 'onClose', 'onMessage', 'onPeerJoined', 'onPeerLeft', 'onError']) connection[event] = (...given) => told.push([event, ...given.map((one) => one?.id ?? one)]);
    await connection.connect();
    return connection.isConnected();
  };
</script>`;

suite('rooms', () => {
    let browser, hub, server, port, profile;
    let pages = [];
    let number = 0;
    const name = () => `room ${number}`;

    before(async () => {
        const bundle = async (entry) => (await build({ absWorkingDir: root, bundle: true, write: false, format: 'iife', target: 'es2022', entryPoints: [entry] })).outputFiles[0].text;
        const files = new Map([
            ['/rooms', ROOMS], ['/old', OLD], ['/empty', '<!doctype html><title>empty</title>'],
            ['/hub', '<!doctype html><title>hub</title><script src="/hub.js"></script>'],
            ['/rooms.js', await bundle('src/rooms/index.global.ts')], ['/peerpyrtc.js', await bundle('src/compat/peerpyrtc.global.ts')], ['/hub.js', await bundle('src/rooms/testing/hub-page.ts')],
        ]);
        server = createServer(async (request, response) => {
            if (request.method === 'GET') {
                const file = files.get(request.url);
                response.writeHead(file === undefined ? 404 : 200, { 'content-type': request.url.endsWith('.js') ? 'text/javascript' : 'text/html' });
                return response.end(file);
            }
            const { room, peer_id: id, offer, candidate } = JSON.parse(String(Buffer.concat(await request.toArray())));
            const answer = await hub.evaluate(([path, room, id, given]) => globalThis.hub[path](room, id, given), [request.url.slice(1), room, id, offer ?? candidate]).catch(() => null);
            response.writeHead(answer === null && request.url === '/offer' ? 503 : 200, { 'content-type': 'application/json' });
            response.end(JSON.stringify(request.url === '/offer' ? { answer } : { status: 'ok' }));
        });
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        ({ port } = server.address());
        profile = await mkdtemp(join(tmpdir(), 'peerage-rooms-'));
        browser = await chromium.launchPersistentContext(profile, {
            executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: false,
            args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--allow-loopback-in-peer-connection'],
        });
        browser.setDefaultTimeout(15_000);
        hub = await open('hub');
        pages = [];
    });
    afterEach(async () => {
        number++;
        await Promise.all(pages.splice(0).map((page) => page.close()));
    });
    after(async () => {
        await browser?.close();
        server?.closeAllConnections();
        server?.close();
        if (profile !== undefined) await rm(profile, { recursive: true, force: true, maxRetries: 10 });
    });

    async function open(kind) {
        const page = await browser.newPage();
        pages.push(page);
        page.failures = [];
        page.on('pageerror', (error) => page.failures.push(error.message));
        await page.goto(`http://127.0.0.1:${port}/${kind}`);
        return page;
    }
    /** A page that has joined. */
    async function member(id, options = {}) {
        const page = await open('rooms');
        page.joined = await page.evaluate(([room, options]) => join(room, options), [name(), { id, ...options }]);
        return page;
    }
    async function old(id, options = {}) {
        const page = await open('old');
        assert.equal(await page.evaluate(([room, id, options]) => join(room, id, options), [name(), id, options]), true);
        return page;
    }
    const told = (page) => page.evaluate('told');
    const holds = (page, what) => page.waitForFunction(what, null, { polling: 20 });
    /** So many times by now it has been in that state: one that lasts a moment is seen, too. */
    const was = (page, state, times) => holds(page, `told.filter(([event, state]) => event === 'state' && state === '${state}').length >= ${times}`);
    const tells = async (page, ...wanted) => {
        await page.waitForFunction((wanted) => told.some((one) => JSON.stringify(one) === JSON.stringify(wanted)), wanted, { polling: 20 }).catch(async () => {
            assert.fail(`${JSON.stringify(wanted)} is not among ${JSON.stringify(await told(page))}`);
        });
    };

    test('members see each other, and hear events, messages, octets and answers', async () => {
        const ann = await member('ann', { metadata: { name: 'Ann' } });
        const bob = await member('bob', { unreliable: true });
        const carol = await member('carol', { unreliable: true });
        assert.deepEqual(carol.joined, ['ann', 'bob', 'carol']);
        await tells(ann, 'joined', 'carol');
        assert.deepEqual(await bob.evaluate(`[room.host, room.isHost, room.members.get('ann').metadata.name, room.state]`), ['ann', false, 'Ann', 'joined']);
        await ann.evaluate(`room.emit('draw', { x: 1 }); room.send('hi', { to: 'bob' }); room.emit('draw', Uint8Array.of(0, 255)); room.setMetadata({ name: 'A' })`);
        await tells(bob, 'draw', { x: 1 }, 'ann');
        await tells(bob, 'message', 'hi', 'ann');
        await tells(bob, 'draw', 'octets 0,255', 'ann');
        await tells(carol, 'metadata', 'ann');
        assert.equal((await told(carol)).some(([event]) => event === 'message'), false);
        for (const page of [bob, carol]) await page.evaluate(`room.on('sum', async (numbers) => numbers.reduce((a, b) => a + b) + room.id.length)`);
        assert.equal(await ann.evaluate(`room.emitWithAck('sum', [1, 2], { to: 'bob' })`), 6);
        assert.deepEqual(await ann.evaluate(`room.emitWithAck('sum', [1, 2]).then((all) => [...all].sort())`), [['bob', 6], ['carol', 8]]);
        assert.equal(await ann.evaluate(`room.emitWithAck('save', 'x', { to: 'server' })`), 'x');
        assert.equal(await ann.evaluate(`room.emitWithAck('nobody listens', 1, { to: 'bob', timeout: 200 }).catch(({ code }) => code)`), 'timeout');
        // What may be lost is not, on this machine.
        await carol.evaluate(`room.emit('draw', 'fast', { unreliable: true })`);
        await tells(bob, 'draw', 'fast', 'carol');
        await tells(ann, 'draw', 'fast', 'carol');
        for (const page of pages) assert.deepEqual(page.failures, []);
    });

    test('a connection that breaks is made anew, and what was missed comes, in order and once', async () => {
        const [ann, bob] = [await member('ann'), await member('bob')];
        await bob.evaluate(`globalThis.numbers = []; room.on('n', (n) => numbers.push(n))`);
        await ann.evaluate(`globalThis.n = 0; globalThis.timer = setInterval(() => room.emit('n', n++), 5)`);
        for (let time = 0; time < 3; time++) {
            await holds(bob, `numbers.length > ${time * 100 + 20} && room.state === 'joined'`);
            await hub.evaluate((room) => globalThis.hub.cut(room, 'bob'), name());
            await was(bob, 'reconnecting', time + 1);
        }
        await holds(bob, `room.state === 'joined' && numbers.length > 300`);
        await ann.evaluate('clearInterval(timer)');
        const last = await ann.evaluate('n - 1');
        await holds(bob, `numbers.at(-1) === ${last}`);
        assert.equal(await bob.evaluate('numbers.every((n, at) => n === at)'), true);
        assert.deepEqual((await told(ann)).filter(([event]) => event === 'left'), []);
        assert.deepEqual((await told(bob)).filter(([event]) => event === 'missed'), []);
    });

    test('what a member says while its connection breaks comes once and in order', async () => {
        const [ann, bob] = [await member('ann'), await member('bob')];
        await ann.evaluate(`globalThis.numbers = []; room.on('n', (n) => numbers.push(n))`);
        await bob.evaluate(`globalThis.n = 0; globalThis.timer = setInterval(() => room.emit('n', n++), 10)`);
        for (let time = 0; time < 3; time++) {
            await holds(ann, `numbers.length > ${time * 50 + 20}`);
            await hub.evaluate((room) => globalThis.hub.cut(room, 'bob'), name());
            await was(bob, 'reconnecting', time + 1);
            await was(bob, 'joined', time + 1);
        }
        await bob.evaluate('clearInterval(timer)');
        const last = await bob.evaluate('n - 1');
        await holds(ann, `numbers.at(-1) === ${last}`);
        assert.equal(await ann.evaluate('numbers.every((n, at) => n === at)'), true);
    });

    test('what is said while there is no connection comes when there is one again', async () => {
        const [ann, bob] = [await member('ann'), await member('bob')];
        await hub.evaluate((room) => globalThis.hub.cut(room, 'bob'), name());
        await was(bob, 'reconnecting', 1);
        await bob.evaluate(`for (let n = 0; n < 100; n++) room.emit('draw', n)`);
        await tells(ann, 'draw', 99, 'bob');
        assert.deepEqual((await told(ann)).filter(([event]) => event === 'draw').map(([, n]) => n), Array.from({ length: 100 }, (_, n) => n));
    });

    test('a member that is put out stays out, and knows why', async () => {
        const [ann, bob] = [await member('ann'), await member('bob')];
        await hub.evaluate((room) => globalThis.hub.kick(room, 'bob'), name());
        await tells(bob, 'closed', 'kicked');
        await tells(ann, 'left', 'bob', 'kicked');
        assert.equal(await bob.evaluate(`room.state`), 'closed');
    });

    test('a page that goes away leaves by a word of its own, and so does one that calls leave', async () => {
        const [ann, bob, carol] = [await member('ann'), await member('bob'), await member('carol')];
        await bob.goto(`http://127.0.0.1:${port}/empty`);
        await tells(ann, 'left', 'bob', 'left');
        await carol.evaluate('room.leave()');
        await tells(ann, 'left', 'carol', 'left');
        await tells(carol, 'closed', null);
    });

    test('much is sent at the pace of the connection, whole and in order', async () => {
        const [ann, bob] = [await member('ann'), await member('bob')];
        await bob.evaluate(`globalThis.got = []; room.on('part', (octets) => got.push(new DataView(octets.buffer).getUint32(0)))`);
        const most = await ann.evaluate(`(async () => {
            let most = 0;
            for (let n = 0; n < 1000; n++) {
                const octets = new Uint8Array(20_000);
                new DataView(octets.buffer).setUint32(0, n);
                room.emit('part', octets);
                most = Math.max(most, room.buffered);
                await room.drain();
            }
            return most;
        })()`);
        await holds(bob, 'got.length === 1000');
        assert.equal(await bob.evaluate('got.every((n, at) => n === at)'), true);
        assert.ok(most < 1_000_000, `${most} octets waited`);
    });

    test('a hub that went and came back has its members again, who are told that they missed something', async () => {
        const [ann, bob] = [await member('ann'), await member('bob')];
        pages.push(hub);
        await hub.reload();
        pages.splice(pages.indexOf(hub), 1);
        for (const page of [ann, bob]) {
            await holds(page, `told.some(([event]) => event === 'missed') && room.state === 'joined' && room.members.size === 2`);
            assert.ok(!(await told(page)).some(([event]) => event === 'closed'));
        }
        await bob.evaluate(`room.send('still here')`);
        await tells(ann, 'message', 'still here', 'bob');
    });

    for (const decides of [true, false]) {
        test(`pages of PeerPyRTC's client work unchanged at ${decides ? 'a server that decides' : 'an old server'}`, async () => {
            await hub.evaluate((decides) => void (globalThis.hub.decides = decides), decides);
            const [ann, bob] = [await old('ann'), await old('bob')];
            await tells(ann, 'onPeerJoined', 'bob');
            for (const page of [ann, bob]) await holds(page, 'connection.getPeerCount() === 2');
            for (const page of [ann, bob]) await holds(page, `connection.isRoomHost() === ${page === ann} && connection.getRoomPeers().filter(({ isHost }) => isHost).map(({ id }) => id).join() === 'ann'`);
            await ann.evaluate(`connection.sendMessage({ text: 'hi' }); connection.emit('e', 1); connection.broadcast('b', [2])`);
            await tells(bob, 'onMessage', 'ann', { text: 'hi' });
            await tells(bob, 'onMessage', 'ann', 1, 'e');
            await tells(bob, 'onMessage', 'ann', [2], 'b');
            await hub.evaluate((room) => globalThis.hub.say(room, '{"peer_id": "server", "message": "still there?"}'), name());
            await tells(bob, 'onMessage', 'server', 'still there?');
            await hub.evaluate((room) => globalThis.hub.cut(room, 'bob'), name());
            await holds(bob, `told.filter(([event]) => event === 'onOpen').length >= 2`);
            await bob.evaluate(`connection.sendMessage('back')`);
            await tells(ann, 'onMessage', 'bob', 'back');
            await ann.evaluate('connection.closeConnection()');
            await tells(bob, 'onPeerLeft', 'ann');
            await holds(bob, 'connection.isRoomHost()');
            assert.deepEqual((await told(ann)).filter(([event]) => event === 'onClose' || event === 'onError'), [['onClose']]);
            for (const page of pages) assert.deepEqual(page.failures, []);
        });
    }

    test('the room manager of old delivers the first event', async () => {
        await hub.evaluate(() => void (globalThis.hub.decides = true));
        const [ann, bob] = [await old('ann'), await open('old')];
        assert.equal(await bob.evaluate((room) => (globalThis.manager = new WebRTCRoomManager('bob')).autoEmit(room, 'welcome', { u: 1 }), name()), true);
        await tells(ann, 'onMessage', 'bob', { u: 1 }, 'welcome');
        assert.equal(await bob.evaluate('manager.leaveAllRooms().then(() => manager.getRoomIds().length)'), 0);
        await tells(ann, 'onPeerLeft', 'bob');
    });
});
