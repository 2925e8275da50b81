// The product's processes, as a user starts them.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from './process.mjs';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const BUILT = process.env.PEERAGE_BUILT ?? join(ROOT, 'target', 'release');
export const BINARY = join(BUILT, 'peerage');
export const ECHO = join(BUILT, 'examples', 'echo');
export const PROBE = join(BUILT, 'examples', 'probe');
/** Programs of `examples/rooms`. */
export const EXAMPLE = (name) => join(process.env.PEERAGE_BUILT ?? join(ROOT, 'target', 'debug'), name);
export const HELLO = join(BUILT, 'examples', 'hello');

const LINK = /https?:\/\/([a-z2-7]{52})\.[^\s"]+\/#1\.[a-z2-7]{26}[^\s"]*/;

/** An empty folder that goes with its owner. */
export function folder(owner, name = 'state') {
    const path = mkdtempSync(join(tmpdir(), `peerage-e2e-${name}-`));
    owner.after(() => rmSync(path, { recursive: true, force: true }));
    return path;
}

/** `peerage serve` on a free port of loopback, unless `args` name one: `{ url, port, proc }`. */
export async function serve(owner, ...args) {
    const port = args.includes('--port') ? [] : ['--port', '0'];
    const proc = start(owner, 'peerage serve', BINARY, ['serve', ...port, '--state', folder(owner), ...args]);
    const [, listening] = await proc.printed(/(?:https?:\/\/|Listening on )[^\s/]*:(\d+)/);
    return { proc, port: Number(listening), url: `http://127.0.0.1:${listening}` };
}

/**
 * A free port for a server that is to come back at it. It is below those that the system gives to clients: who calls while nobody listens could be given
 * that very port, and then talks to itself and keeps the server out.
 */
export async function lastingPort() {
    const lowest = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s/)[0]);
    for (let tries = 0; tries < 50; tries++) {
        const probe = createServer();
        const port = lowest - 1 - Math.floor(Math.random() * Math.min(10_000, lowest - 1_024));
        const free = await new Promise((resolve) => probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
        if (!free) continue;
        await new Promise((resolve) => probe.close(resolve));
        return port;
    }
    throw new Error(`no free port below ${lowest}`);
}

/** `peerage expose TARGET`: `{ link, device, proc, state }`; starting it again with the same state is the same device. `on`: a machine of a lab. */
export async function expose(owner, target, { server, on, state = folder(owner), args = [] } = {}) {
    const proc = startOn(on, owner, 'peerage expose', BINARY, ['expose', target, '--state', state, ...(server ? ['--server', server] : []), ...args]);
    const [link, device] = await proc.printed(LINK);
    return { link, device, proc, state };
}

/** The same device's link, by way of another server on this machine. */
export function linkBy(link, { port }) {
    return link.replace(/^(http:\/\/[^/:]+):\d+/, `$1:${port}`);
}

/** `peerage fetch LINK ARGS...`: still running. Its state is its own unless given. */
export function fetching(owner, link, args = [], { state = folder(owner), on, ...options } = {}) {
    return startOn(on, owner, 'peerage fetch', BINARY, ['fetch', '--state', state, link, ...args], options);
}

/** `peerage fetch` to its end: `{ code, body, complaint }`. */
export async function fetched(owner, link, args = [], options = {}) {
    const proc = fetching(owner, link, args, options);
    const parts = { body: [], complaint: [] };
    // `start` reads both streams as text for failures; here they are wanted apart.
    proc.child.stdout.on('data', (text) => parts.body.push(text));
    proc.child.stderr.on('data', (text) => parts.complaint.push(text));
    const { code } = await proc.end(options.ms);
    return { code, body: parts.body.join(''), complaint: parts.complaint.join('') };
}

function startOn(host, ...what) {
    return host ? host.start(...what) : start(...what);
}
