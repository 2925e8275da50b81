// The npm package as others get it: packed, installed into an empty project, and used there without anything of this tree.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import vm from 'node:vm';
import { build } from 'esbuild';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));
const TSC = join(PACKAGE, 'node_modules', 'typescript', 'bin', 'tsc');

/** What no module may look at before it is used: in Node some are missing, in a worker others. */
const UNTOUCHED = ['window', 'document', 'navigator', 'indexedDB', 'localStorage', 'RTCPeerConnection', 'WebSocket', 'location'];

const NAMES = ['connectPeer', 'createPeerFetch', 'formatLink', 'generateIdentity', 'hasGrant', 'loadIdentity', 'openLink', 'parseLink', 'PeerageError', 'PeerFetch',
    'PeerWebSocket', 'proofFromSecret', 'saveGrant', 'SocketClose', 'useIceServers', 'webSocketUrl'];

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
    });
    after(() => rm(project, { recursive: true, force: true }));

    const node = async (script) => (await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: project })).stdout.trim();

    test('holds its code, its types and its read-me, and nothing of the tests', async () => {
        const files = await readdir(join(project, 'node_modules', 'peerage'), { recursive: true });
        for (const wanted of ['README.md', 'package.json', 'dist/index.js', 'dist/peerage.global.js', 'dist/peerjs-ice.js', 'dist/types/index.d.ts']) assert.ok(files.includes(wanted), wanted);
        assert.deepEqual(files.filter((file) => /spec|testing|expose|node_modules/.test(file)), []);
        assert.ok((await readdir(join(project, 'node_modules'))).every((name) => name === 'peerage' || name.startsWith('.')), 'it needs no other package');
    });

    for (const [module, moduleResolution] of [['esnext', 'bundler'], ['nodenext', 'nodenext']]) {
        test(`its types satisfy the strictest compiler, which looks into them, resolved as ${moduleResolution}`, async () => {
            const compilerOptions = {
                target: 'es2022', module, moduleResolution, lib: ['es2022', 'dom', 'dom.iterable'], types: [], strict: true, skipLibCheck: false, noEmit: true,
                exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true,
            };
            await writeFile(join(project, 'consumer.ts'), CONSUMER);
            await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
            const { code, stdout } = await run(process.execPath, [TSC, '-p', project]).then(() => ({ code: 0, stdout: '' }), (error) => error);
            assert.equal(code, 0, stdout);
        });
    }

    test('is imported by plain Node, and looks at nothing of a browser until it is used', async () => {
        const traps = UNTOUCHED.map((name) => `Object.defineProperty(globalThis, '${name}', { configurable: true, get() { throw new Error('${name} was looked at'); } });`).join('\n');
        assert.deepEqual(JSON.parse(await node(`${traps}\nconsole.log(JSON.stringify(Object.keys(await import('peerage')).sort()))`)), [...NAMES].sort());
    });

    test('says in Node that it needs WebRTC', async () => {
        const link = `http://${'a'.repeat(52)}.localhost/#1.${'a'.repeat(26)}`;
        const script = `import { createPeerFetch } from 'peerage';
            await createPeerFetch('${link}', { iceServers: [] })('/').catch((error) => console.log(error.name, error.cause.code))`;
        assert.equal(await node(script), 'TypeError unsupported');
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
