// A well-behaved pair of clients in a thread of its own, and newcomers: what an attack on the server does to people who have no part in it. Beside them octets go to a
// plain echo in another thread and back: what the machine itself, busy with the attack, needs for the same.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { PATIENCE, within } from './process.mjs';

/** One round trip is begun each time, whether the one before is back or not; the allowance of one socket is 200 messages a second. */
const EVERY = 10;
const NEWCOMER_EVERY = 100;
const PAYLOAD = 'x'.repeat(1_000);

if (!isMainThread && workerData?.witness === 'watch') await watch(workerData);
if (!isMainThread && workerData?.witness === 'echo') await echo();

/**
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param {{ port: number }} server
 */
export async function witness(owner, { port }) {
    const thread = (data) => {
        const worker = new Worker(new URL(import.meta.url), { workerData: data });
        owner.after(() => worker.terminate());
        return worker;
    };
    const [echo] = await once(thread({ witness: 'echo' }), 'message');
    const worker = thread({ witness: 'watch', port, echo });
    const failed = new Promise((_, reject) => worker.once('error', reject));
    failed.catch(() => {});
    const told = (what) => within(PATIENCE, Promise.race([failed, new Promise((resolve) => worker.once('message', resolve))]), `the witness did not say ${what}`);
    await told('ready');
    return {
        /** Forgets what was seen. */
        begin: () => worker.postMessage('begin'),
        /** What was seen since, in milliseconds, once there was enough to see: `{ trips, p50, p99, most, bare, newcomers, slowest }`, where `bare` is the echo's p99. */
        async end() {
            worker.postMessage('end');
            return told('what it saw');
        },
    };
}

async function echo() {
    const server = createServer({ noDelay: true }, (socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    parentPort.postMessage(server.address().port);
}

async function watch({ port, echo }) {
    const bare = connect({ port: echo, host: '127.0.0.1', noDelay: true });
    await once(bare, 'connect');
    const dial = (id) => new WebSocket(`ws://127.0.0.1:${port}/peerjs?key=peerjs&id=${id}&token=${randomBytes(8).toString('hex')}`, { perMessageDeflate: false });
    const open = (socket) => new Promise((resolve, reject) => {
        socket.once('message', resolve);
        socket.once('close', (code) => reject(new Error(`closed: ${code}`)));
        socket.once('error', reject);
    });
    const name = randomBytes(4).toString('hex');
    const [a, b] = [dial(`${name}-a`), dial(`${name}-b`)];
    await Promise.all([open(a), open(b)]);

    let seen;
    const begin = () => { seen = { trips: [], bare: [], newcomers: [] }; };
    const begun = new Map();
    let n = 0;
    b.on('message', (data) => {
        const { src, payload } = JSON.parse(String(data));
        b.send(JSON.stringify({ type: 'ANSWER', dst: src, payload }));
    });
    a.on('message', (data) => {
        const { payload } = JSON.parse(String(data));
        seen.trips.push(performance.now() - begun.get(payload.n));
        begun.delete(payload.n);
    });
    for (const socket of [a, b]) socket.on('close', (code) => { throw new Error(`one of a well-behaved pair was closed: ${code}`); });
    begin();
    // One octet for each that was sent, in order.
    const echoed = [];
    bare.on('data', (data) => { for (const _ of data) seen.bare.push(performance.now() - echoed.shift()); });
    setInterval(() => {
        echoed.push(performance.now());
        bare.write('x');
        begun.set(++n, performance.now());
        a.send(JSON.stringify({ type: 'OFFER', dst: `${name}-b`, payload: { n, PAYLOAD } }));
    }, EVERY);
    void (async () => {
        for (let count = 0; ; count++) {
            const began = performance.now();
            const socket = dial(`${name}-new-${count}`);
            await open(socket);
            seen.newcomers.push(performance.now() - began);
            socket.removeAllListeners('close');
            socket.close();
            await delay(NEWCOMER_EVERY);
        }
    })();

    parentPort.on('message', async (what) => {
        if (what === 'begin') return begin();
        // What was begun has to come back, and a hundredth of it must be more than one.
        const last = n;
        while ([...begun.keys()].some((trip) => trip <= last) || seen.trips.length < 150 || seen.newcomers.length < 5) await delay(EVERY);
        const sorted = (times) => times.toSorted((x, y) => x - y);
        const at = (times, part) => sorted(times)[Math.ceil(times.length * part) - 1];
        const { trips, bare } = seen;
        parentPort.postMessage({ trips: trips.length, p50: at(trips, 0.5), p99: at(trips, 0.99), most: at(trips, 1), bare: at(bare, 0.99), newcomers: seen.newcomers.length, slowest: Math.max(...seen.newcomers) });
    });
    parentPort.postMessage('ready');
}
