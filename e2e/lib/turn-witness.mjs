// Somebody who uses a relay, in a thread of its own: what an attack on the server does to people who have no part in it. A packet goes by an allocation to a peer and back every few
// milliseconds, by UDP and by TCP; beside them one goes to the same peer without the relay: what the machine itself, busy with the attack, needs for the same.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { PATIENCE, until, within } from './process.mjs';
import { CLASS, client, credentials } from './stun.mjs';

const EVERY = 5;
const CHANNEL = 0x4001;
/** As a voice's, with its headers. */
const SIZE = 200;
/** A packet that is not back by then is lost. */
const LATE = 2_000;

if (!isMainThread && workerData?.witness === 'turn') await watch(workerData.server);

/**
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param server of `turn.mjs`
 */
export async function turnWitness(owner, { at, secret }) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { witness: 'turn', server: { udp: at('udp'), tcp: at('tcp'), secret } } });
    owner.after(() => worker.terminate());
    const failed = new Promise((_, reject) => worker.once('error', reject));
    failed.catch(() => {});
    const told = (what) => within(PATIENCE, Promise.race([failed, once(worker, 'message').then(([message]) => message)]), `the witness did not say ${what}`);
    const relayed = await told('that it is ready');
    return {
        /** The UDP client's relay address: `{ address, port }`. */
        relayed,
        /** Forgets what was seen. */
        begin: () => worker.postMessage('begin'),
        /** What was seen since, for each way (`udp`, `tcp`, `bare`): `{ sent, lost, p50, p99, most }`, times in milliseconds. */
        async end() {
            worker.postMessage('end');
            return told('what it saw');
        },
    };
}

async function watch({ secret, ...places }) {
    const own = { after: () => {} };
    const echo = createSocket('udp4');
    echo.on('message', (data, from) => echo.send(data, from.port, from.address));
    const { host } = places.udp;
    await new Promise((resolve) => echo.bind(0, host, resolve));
    const peer = echo.address().port;

    const ways = {};
    for (const transport of ['udp', 'tcp']) {
        const by = await client(own, places[transport], { transport, from: host, ...credentials(secret, { name: `witness-${transport}` }) });
        const answers = [await by.allocate(), await by.bind(CHANNEL, host, peer)];
        for (const answer of answers) if (answer?.class !== CLASS.success) throw new Error(`refused by ${transport}: ${answer?.code}`);
        ways[transport] = { by, send: (data) => by.say(CHANNEL, data) };
        by.onData = ({ data }) => back(ways[transport], data);
    }
    const bare = createSocket('udp4');
    await new Promise((resolve) => bare.connect(peer, host, resolve));
    bare.on('message', (data) => back(ways.bare, data));
    ways.bare = { send: (data) => bare.send(data) };

    function back(way, data) {
        const n = data.readUInt32BE(0);
        const begun = way.begun.get(n);
        // What was begun before the beginning counts for nothing.
        if (begun === undefined) return;
        way.begun.delete(n);
        way.times.push(performance.now() - begun);
    }

    const begin = () => { for (const way of Object.values(ways)) Object.assign(way, { times: [], begun: new Map(), sent: 0 }); };
    begin();
    let n = 0;
    let asked = false;
    setInterval(() => {
        if (asked) return;
        n++;
        for (const way of Object.values(ways)) {
            const data = Buffer.alloc(SIZE);
            data.writeUInt32BE(n, 0);
            way.begun.set(n, performance.now());
            way.sent++;
            way.send(data);
        }
    }, EVERY);

    parentPort.on('message', async (what) => {
        if (what === 'begin') return begin();
        // A hundredth of them must be more than one.
        await until('enough to see', () => ways.bare.sent >= 300);
        asked = true;
        await until('', () => Object.values(ways).every(({ begun }) => begun.size === 0), { ms: LATE, every: EVERY }).catch(() => {});
        parentPort.postMessage(Object.fromEntries(Object.entries(ways).map(([name, { times, begun, sent }]) => {
            const sorted = times.toSorted((x, y) => x - y);
            const at = (part) => sorted[Math.ceil(sorted.length * part) - 1];
            return [name, { sent, lost: begun.size, p50: at(0.5), p99: at(0.99), most: at(1) }];
        })));
        asked = false;
    });
    parentPort.postMessage(ways.udp.by.relayed);
}
