// The npm package as others get it: packed, installed into an empty project, and used there without anything of this tree.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import vm from 'node:vm';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));
const TSC = join(PACKAGE, 'node_modules', 'typescript', 'bin', 'tsc');

/** What no module may look at before it is used: in Node some are missing, in a worker others. */
const UNTOUCHED = ['window', 'document', 'navigator', 'indexedDB', 'localStorage', 'RTCPeerConnection', 'WebSocket', 'location'];

const NAMES = ['connectPeer', 'createPeerFetch', 'formatLink', 'generateIdentity', 'hasGrant', 'loadIdentity', 'openLink', 'parseLink', 'PeerageError', 'PeerFetch',
    'PeerWebSocket', 'proofFromSecret', 'saveGrant', 'SocketClose', 'useIceServers', 'webSocketUrl'];

/** What each way in gives. */
const ENTRIES = { peerage: NAMES, 'peerage/rooms': ['joinRoom', 'RoomError'], 'peerage/peerpyrtc': ['RoomError', 'WebRTCConnection', 'WebRTCRoomManager'] };
/** Octets, compressed, of what a page loads for a room. */
const ROOM_MAX = 15_000;

const ROOMS = `
import { joinRoom, RoomError, type JoinRoomOptions, type Room, type RoomMember, type RoomState } from 'peerage/rooms';
import { WebRTCConnection, WebRTCRoomManager, type JoinResult, type RoomPeer } from 'peerage/peerpyrtc';

interface Events {
  draw: { x: number };
  clear: undefined;
  sum(numbers: number[]): number;
  message: string;
}
const options: JoinRoomOptions<{ name: string }> = { server: new URL('https://hub.example'), metadata: { name: 'Ada' }, reconnect: { attempts: 3 }, signal: AbortSignal.timeout(1) };
export async function rooms(): Promise<void> {
  const room: Room<Events, { name: string }> = await joinRoom<Events, { name: string }>('lobby', options);
  const end: () => void = room.on('draw', ({ x }, from) => console.log(x.toFixed(), from.length), { signal: AbortSignal.timeout(1) });
  room.on('sum', (numbers, _from, ack) => ack?.(numbers.length));
  room.on('sum', (numbers) => numbers.length);
  room.on('sum', async (numbers) => numbers.length);
  room.on('message', (text) => console.log(text.length));
  room.once('joined', ({ id, metadata, joinedAt }) => console.log(id.length, metadata.name.length, joinedAt.toFixed()));
  room.on('left', (member: RoomMember<{ name: string }>, reason) => console.log(member.metadata.name, reason === 'kicked'));
  room.on('state', (state: RoomState) => console.log(state));
  room.on('closed', (error) => console.log(error?.code === 'kicked'));
  room.emit('draw', { x: 1 }, { to: ['bob'], unreliable: true });
  room.emit('clear');
  room.broadcast('draw', { x: 2 });
  room.send('hi', { to: 'bob' });
  const one: number = await room.emitWithAck('sum', [1, 2], { to: 'bob', timeout: 1000 });
  const all: Map<string, number> = await room.emitWithAck('sum', [1, 2]);
  const several: Map<string, number> = await room.emitWithAck('sum', [1, 2], { to: ['bob'] });
  room.setMetadata({ name: 'B' });
  console.log(end, one, all, several, room.members.get('bob')?.metadata.name.length, room.host?.length, room.isHost, room.buffered.toFixed());
  // @ts-expect-error: not the data of that event
  room.emit('draw', { y: 1 });
  // @ts-expect-error: there is no such event
  room.emit('drew', { x: 1 });
  // @ts-expect-error: it has data
  room.emit('draw');
  // @ts-expect-error: that is no answer
  room.on('sum', () => 'three');
  // @ts-expect-error: the room's own, at the end of a room
  room.on('closed', (error: string) => error);
  room.off('draw');
  await room.drain();
  await room.leave();

  const any = await joinRoom('lobby');
  any.on('whatever', (data, from) => console.log(data.anything.at.all, from.length));
  any.emit('whatever', { anything: 1 });
  any.emit('whatever');
  const reply = await any.emitWithAck('whatever', 1, { to: 'bob' });
  console.log(reply.anything, (await any.emitWithAck('whatever')).get('bob'));
  any.off('whatever');
}
export async function old(): Promise<void> {
  const connection = new WebRTCConnection('r1', { peerId: 'a', debug: true, maxReconnectAttempts: 1, reconnectDelay: 1, server: 'https://hub.example' });
  connection.onMessage = (sender, message, event) => console.log(sender.length, message.anything, event?.length);
  connection.onRoomUpdate = (peers: RoomPeer[]) => console.log(peers.map(({ isHost }) => isHost));
  await connection.connect();
  const sent: boolean = connection.emit('e', 1) && connection.sendMessage(1) && connection.sendRawJSON({});
  const manager = new WebRTCRoomManager('a', { debug: true });
  manager.on('e', (roomId, sender, data, event) => console.log(roomId.length, sender.length, data.x, event.length));
  const results: JoinResult[] = await manager.joinRooms(['m1']);
  console.log(sent, results[0]?.connection?.getPeerCount(), manager.getStatus()['m1']?.connectionStatus.isFullyConnected);
  throw new RoomError('closed', '');
}
`;

const CONSUMER = `
import { connectPeer, createPeerFetch, openLink, parseLink, PeerageError, PeerFetch, PeerWebSocket, useIceServers, type Path, type Peer, type PeerFetchResult, type Route, type StockPeer } from 'peerage';

const get: typeof fetch = createPeerFetch('https://…');
const peer: Peer = connectPeer('https://…', { iceServers: [{ urls: 'stun:stun.example' }], onState: (state: 'signalling' | 'calling' | 'verifying' | 'connecting' | 'open') => console.log(state) });
const socket: WebSocket = peer.openWebSocket('/live', ['a', 'b']);
const own: PeerWebSocket = peer.openWebSocket('/live');
own.onmessage = ({ data }) => console.log(data);
own.addEventListener('close', ({ code, wasClean }) => console.log(code.toFixed(), wasClean));
const failure: PeerageError | null = own.failure;
connectPeer('https://…', { iceTransportPolicy: 'relay', onRoute: (route: Route | null) => console.log(route === 'relayed') });
declare const stock: StockPeer;
export const ready: Promise<readonly RTCIceServer[]> = useIceServers(stock, { onError: ({ code }) => console.log(code) });
export async function use(): Promise<unknown> {
  const response: Response = await get('/api', { method: 'POST', body: new FormData(), signal: AbortSignal.timeout(1) });
  const old: PeerFetchResult = await new PeerFetch('https://…').get('/api', { params: new Map([['page', 1]]) });
  const { device } = parseLink('https://…');
  const path: Path | null = await peer.path();
  console.log(path?.route, path?.roundTrip?.toFixed(), path?.openedIn.toFixed(), path?.relayed.sent.toFixed());
  // @ts-expect-error: an open link needs more than that
  void openLink({ device });
  return [response, old.header['content-type'].length, socket, failure?.code === 'denied'];
}
`;

const run = promisify(execFile);

suite('the package', () => {
    let project;
    before(async () => {
        project = await mkdtemp(join(tmpdir(), 'peerage-package-'));
        const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], { cwd: PACKAGE });
        const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf('[\n')));
        await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
        await run('npm', ['install', '--offline', '--no-audit', '--no-fund', `./${filename}`], { cwd: project });
        // A folder of CommonJS within it: there is a package.json of its own.
        await mkdir(join(project, 'old'));
        await writeFile(join(project, 'old', 'package.json'), JSON.stringify({ type: 'commonjs' }));
    });
    after(() => rm(project, { recursive: true, force: true }));
    const dist = (file) => join(project, 'node_modules', 'peerage', 'dist', file);

    const node = async (script) => (await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: project })).stdout.trim();

    test('holds its code, its types and its read-me, and nothing of the tests', async () => {
        const files = await readdir(join(project, 'node_modules', 'peerage'), { recursive: true });
        for (const wanted of ['README.md', 'package.json', 'dist/index.js', 'dist/rooms.js', 'dist/peerpyrtc.js', 'dist/cjs/rooms.js', 'dist/peerage.global.js', 'dist/rooms.global.js', 'dist/peerpyrtc.global.js', 'dist/peerjs-ice.js', 'dist/types/index.d.ts', 'dist/cjs/types/index.d.ts']) assert.ok(files.includes(wanted), wanted);
        assert.deepEqual(files.filter((file) => /spec|testing|expose|node_modules/.test(file)), []);
        assert.ok((await readdir(join(project, 'node_modules'))).every((name) => name === 'peerage' || name.startsWith('.')), 'it needs no other package');
    });

    for (const [module, moduleResolution, folder] of [['esnext', 'bundler', '.'], ['nodenext', 'nodenext', '.'], ['nodenext', 'nodenext', 'old'], ['node16', 'node16', 'old']]) {
        test(`its types satisfy the strictest compiler, which looks into them, resolved as ${moduleResolution}${folder === '.' ? '' : ' by CommonJS'}`, async () => {
            const compilerOptions = {
                target: 'es2022', module, moduleResolution, lib: ['es2022', 'dom', 'dom.iterable'], types: [], strict: true, skipLibCheck: false, noEmit: true,
                exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true,
            };
            const at = join(project, folder);
            await writeFile(join(at, 'consumer.ts'), CONSUMER);
            await writeFile(join(at, 'rooms.ts'), ROOMS);
            await writeFile(join(at, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts', 'rooms.ts'] }));
            const { code, stdout } = await run(process.execPath, [TSC, '-p', at]).then(() => ({ code: 0, stdout: '' }), (error) => error);
            assert.equal(code, 0, stdout);
        });
    }

    test('is imported by plain Node, and looks at nothing of a browser until it is used', async () => {
        const traps = UNTOUCHED.map((name) => `Object.defineProperty(globalThis, '${name}', { configurable: true, get() { throw new Error('${name} was looked at'); } });`).join('\n');
        for (const [entry, names] of Object.entries(ENTRIES)) {
            assert.deepEqual(JSON.parse(await node(`${traps}\nconsole.log(JSON.stringify(Object.keys(await import('${entry}')).sort()))`)), [...names].sort(), entry);
            await writeFile(join(project, 'old', 'consumer.cjs'), `${traps}\nconsole.log(JSON.stringify(Object.keys(require('${entry}')).sort()))`);
            const { stdout, stderr } = await run(process.execPath, ['--no-experimental-require-module', join(project, 'old', 'consumer.cjs')]);
            assert.deepEqual([JSON.parse(stdout), stderr], [[...names].sort(), ''], `require of ${entry}`);
        }
    });

    test('says in Node that it needs WebRTC', async () => {
        const link = `http://${'a'.repeat(52)}.localhost/#1.${'a'.repeat(26)}`;
        const script = `import { createPeerFetch } from 'peerage';
            await createPeerFetch('${link}', { iceServers: [] })('/').catch((error) => console.log(error.name, error.cause.code))`;
        assert.equal(await node(script), 'TypeError unsupported');
    });

    test('says in Node that rooms need WebRTC and a server', async () => {
        const codes = `import { joinRoom } from 'peerage/rooms'; import { WebRTCConnection } from 'peerage/peerpyrtc';
            const code = (promise) => promise.then(() => 'none', ({ code }) => code);
            console.log(await code(joinRoom('a')), await code(joinRoom('a', { server: 'http://hub.example' })), await code(new WebRTCConnection('a', { server: 'http://hub.example' }).connect()))`;
        assert.equal(await node(codes), 'bad-option unsupported unsupported');
    });

    test('its scripts define Peerage together, in any order', async () => {
        for (const order of [['rooms', 'peerage'], ['peerage', 'rooms']]) {
            const page = vm.createContext({ EventTarget, Event, TextEncoder, TextDecoder, URL });
            for (const name of order) vm.runInContext(await readFile(dist(`${name}.global.js`), 'utf8'), page);
            assert.deepEqual(vm.runInContext('Object.keys(Peerage).sort()', page).join(), [...NAMES, 'joinRoom', 'RoomError'].sort().join(), String(order));
        }
    });

    test('the script of old defines WebRTCConnection, from which a page takes both classes under their names', async () => {
        const page = vm.createContext({ TextEncoder, TextDecoder, URL });
        vm.runInContext('globalThis.window = globalThis', page);
        for (const name of UNTOUCHED.filter((name) => name !== 'window')) Object.defineProperty(page, name, { get: () => assert.fail(`${name} was looked at`) });
        vm.runInContext(await readFile(dist('peerpyrtc.global.js'), 'utf8'), page);
        // Word for word, and as a script: a declared global would be in its way.
        vm.runInContext('const { WebRTCConnection, WebRTCRoomManager } = window.WebRTCConnection;', page);
        assert.equal(vm.runInContext(`[new WebRTCConnection('r', { peerId: 'p' }).getPeerCount(), new WebRTCRoomManager('u').getRoomIds().length, new window.WebRTCConnection('r').room].join()`, page), '0,0,r');
    });

    test('a room costs a page less than 15 kB, by script tag and by a bundler', async () => {
        for (const name of ['rooms.global.js', 'peerpyrtc.global.js']) {
            const size = gzipSync(await readFile(dist(name)), { level: 9 }).length;
            assert.ok(size < ROOM_MAX, `${name}: ${size} octets`);
        }
        for (const contents of [`import { joinRoom } from 'peerage/rooms'; joinRoom('a')`, `import { WebRTCRoomManager } from 'peerage/peerpyrtc'; new WebRTCRoomManager('a')`]) {
            const { outputFiles, warnings } = await build({ stdin: { contents, resolveDir: project }, bundle: true, minify: true, format: 'esm', platform: 'browser', write: false, logLevel: 'silent' });
            const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
            assert.deepEqual(warnings, []);
            assert.ok(size > 2_000 && size < ROOM_MAX, `${contents}: ${size} octets`);
        }
    });

    test('as a plain script defines Peerage, also in a worker', async () => {
        const worker = vm.createContext({});
        vm.runInContext('globalThis.self = globalThis; class WorkerGlobalScope {}', worker);
        // What both kinds of worlds have and a bare one lacks.
        Object.assign(worker, { EventTarget, Event, TextEncoder, TextDecoder, URL, Headers, Request, Response, AbortController, DOMException });
        for (const name of UNTOUCHED) Object.defineProperty(worker, name, { get: () => assert.fail(`${name} was looked at`) });
        vm.runInContext(await readFile(join(project, 'node_modules', 'peerage', 'dist', 'peerage.global.js'), 'utf8'), worker);
        assert.deepEqual(vm.runInContext('Object.keys(Peerage).sort()', worker).join(), [...NAMES].sort().join());
    });

    test('is bundled, and what is not used of it is left out', async () => {
        const bundle = async (contents) => {
            const { outputFiles, warnings } = await build({ stdin: { contents, resolveDir: project }, bundle: true, minify: true, format: 'esm', platform: 'browser', write: false, logLevel: 'silent' });
            assert.deepEqual(warnings, []);
            return outputFiles[0].contents.length;
        };
        const whole = await bundle(`import { createPeerFetch } from 'peerage'; console.log(createPeerFetch)`);
        const part = await bundle(`import { parseLink } from 'peerage'; console.log(parseLink)`);
        assert.ok(whole < 100_000, `${whole} octets`);
        assert.ok(part < whole / 4, `${part} of ${whole} octets`);
    });
});
