// Attacks on STUN and TURN of a running server: did somebody who uses a relay notice, and what was sent to addresses that never asked? In a network of its own, where this machine has all
// addresses of a prefix: attackers come from many, and loopback's are all one person's to the server.
//
// The attacker has the same processors as the server. So the longest of 99 in 100 round trips through a relay may be ten times what it is in quiet, or ten times what the
// same packet needs without the relay at the same time, or the floor below, at which nobody would wonder. No packet may be lost.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { certificate } from '../lib/certificates.mjs';
import { coturn } from '../lib/coturn.mjs';
import { resident } from '../lib/memory.mjs';
import { PATIENCE, shared, until } from '../lib/process.mjs';
import { ATTRIBUTE, CLASS, METHOD, channelData, client, credentials, encode } from '../lib/stun.mjs';
import { inOwnNetwork } from '../lib/own-network.mjs';
import { turnServer } from '../lib/turn.mjs';
import { turnWitness } from '../lib/turn-witness.mjs';

const OURS = process.env.TURN_SERVER !== 'coturn';
const serve = OURS ? turnServer : coturn;
const SECRET = 'sesame';
const SERVER = '5.9.0.1';
/** An attacker's n-th address. */
const from = (n) => `5.9.${66 + (n >> 8)}.${n & 255}`;
const MIB = 1 << 20;
/** A round trip that is no cause for complaint whatever it was in quiet. */
const FLOOR = 50;
/** A machine where a packet takes this long without any relay was away. */
const AWAY = 50;
/** How long floods last, and how many packets a second they have: many times a relay's, and no more than sockets of this machine take at once. */
const [FLOOD, RATE] = [3_000, 10_000];
/** What the server may hold more than before, when the attacker is gone. */
const LEFT = 20 * MIB;
/** Octets that may go to an address that has shown no credentials: at once, and in a second (SECURITY.md). */
const [BURST, PER_SECOND] = [16 * 1_024, 4 * 1_024];
const UDP = [ATTRIBUTE.transport, [17, 0, 0, 0]];

const ms = (time) => `${time.toFixed(1)} ms`;
const mib = (octets) => `${(octets / MIB).toFixed(1)} MiB`;

inOwnNetwork(import.meta.url, () => suite('STUN and TURN under attack', { timeout: 180_000 }, () => {
    const own = shared(after);
    let server, witness, quiet;
    before(async () => {
        // Of an address of `lo` the whole prefix is this machine's.
        execFileSync('ip', ['address', 'add', `${SERVER}/16`, 'dev', 'lo']);
        server = await serve(own, certificate(own, ['localhost']), { secret: SECRET, addresses: [SERVER], peers: ['5.9.0.0/16'], args: OURS ? ['--turn-total-quota', '400'] : [] });
        witness = await turnWitness(own, server);
        await witness.end();
        witness.begin();
        const { udp, tcp } = await witness.end();
        quiet = { udp: udp.p99, tcp: tcp.p99 };
    });

    /** Runs an attack, and says what it did to others. What a machine saw that was away itself for a while, busy with something else, does not count: it is run again, twice at most. */
    const attack = (name, run) => test(name, async (t) => {
        const before = resident(server.proc.pid);
        for (let tries = 2; ; tries--) {
            witness.begin();
            await run(t);
            const seen = await witness.end();
            for (const [way, { sent, lost, p50, p99, most }] of Object.entries(seen)) {
                t.diagnostic(`${way}: ${lost} of ${sent} packets lost, median ${ms(p50)}, p99 ${ms(p99)}${quiet[way] ? ` (quiet ${ms(quiet[way])})` : ''}, most ${ms(most)}`);
            }
            try {
                for (const way of ['udp', 'tcp']) {
                    assert.equal(seen[way].lost, 0, `packets of a relay by ${way} were lost`);
                    assert.ok(seen[way].p99 <= Math.max(10 * quiet[way], 10 * seen.bare.p99, FLOOR), `a relay by ${way} was slow: p99 ${ms(seen[way].p99)}`);
                }
                break;
            } catch (error) {
                if (tries === 0 || seen.bare.most < AWAY) throw error;
            }
        }
        await until(`memory is back at ${mib(before)}; it is at ${mib(resident(server.proc.pid))}`, () => resident(server.proc.pid) <= before + LEFT, { ms: PATIENCE });
    });

    /** Sockets at addresses that nobody else has, by which `make(n)` goes to the server, or to `to`, as fast as it may. Returns what was sent and what came back, in octets. */
    async function flood(make, { sources = 20, to = server.at('udp'), for: time = FLOOD, rate = RATE } = {}) {
        const tally = { packets: 0, sent: 0, received: 0 };
        const sockets = await Promise.all(Array.from({ length: sources }, async (_, n) => {
            const socket = createSocket('udp4');
            await new Promise((resolve, reject) => socket.once('error', reject).bind(0, from(n), resolve));
            await new Promise((resolve) => socket.connect(to.port, to.host, resolve));
            socket.on('error', () => {}).on('message', (data) => { tally.received += data.length; });
            return socket;
        }));
        const begun = performance.now();
        while (performance.now() - begun < time) {
            // A little at a time: a burst would be the attacker's own loss.
            const due = Math.min((performance.now() - begun) * rate / 1_000 - tally.packets, 50);
            for (let n = 0; n < due; n++) {
                const data = make(tally.packets);
                tally.sent += data.length;
                sockets[tally.packets++ % sockets.length].send(data, () => {});
            }
            await new Promise(setImmediate);
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
        for (const socket of sockets) socket.close();
        return { ...tally, seconds: (performance.now() - begun) / 1_000 };
    }

    const garbage = [
        () => randomBytes(1 + Math.floor(Math.random() * 1_400)),
        () => Buffer.alloc(0),
        // Heads of messages that are not there, or are longer than they say.
        () => Buffer.concat([Buffer.from([0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42]), randomBytes(12)]),
        () => Buffer.concat([encode({ method: METHOD.allocate, attributes: [UDP] }), randomBytes(7)]),
        // Attributes that reach beyond the end.
        () => encode({ method: METHOD.allocate, attributes: [UDP] }).fill(0xff, 22, 24),
        () => channelData(0x4001, randomBytes(40)).subarray(0, 20),
        () => channelData(0x4001, randomBytes(40)),
        () => encode({ method: METHOD.send, class: CLASS.indication, attributes: [[ATTRIBUTE.data, randomBytes(100)]] }),
        () => encode({ method: 0x2ab, attributes: Array.from({ length: 50 }, (_, n) => [n, []]) }),
        () => encode({ method: METHOD.allocate, class: CLASS.success }),
    ];

    attack('garbage by UDP: it is not answered beyond the bound', async (t) => {
        const { packets, sent, received, seconds } = await flood((n) => garbage[n % garbage.length]());
        t.diagnostic(`${packets} packets, ${sent} octets in, ${received} octets out`);
        assert.ok(received <= 20 * (BURST + PER_SECOND * seconds));
    });

    attack('requests without credentials: an address that never asked gets no more than the bound', async (t) => {
        const asks = {
            binding: () => encode({ method: METHOD.binding }),
            allocate: () => encode({ method: METHOD.allocate, attributes: [UDP] }),
            'allocate, as short as can be': () => encode({ method: METHOD.allocate }),
            'stale nonces': () => encode({ method: METHOD.refresh, key: randomBytes(16), attributes: [[ATTRIBUTE.username, '1:x'], [ATTRIBUTE.realm, 'peerage'], [ATTRIBUTE.nonce, 'stale']] }),
            'unknown attributes': () => encode({ method: METHOD.binding, attributes: Array.from({ length: 100 }, (_, n) => [0x7000 + n, []]) }),
        };
        for (const [what, make] of Object.entries(asks)) {
            for (const sources of [1, 20]) {
                const { packets, sent, received, seconds } = await flood(make, { sources, for: 1_000 });
                t.diagnostic(`${what}, ${sources} addresses: ${packets} packets, ${sent} octets in, ${received} octets out`);
                if (OURS) assert.ok(received <= sources * (BURST + PER_SECOND * seconds), `${what}: ${received} octets to ${sources} addresses in ${seconds} s`);
            }
        }
    });

    attack('requests with wrong credentials, each signed', async () => {
        const asker = await client(own, server.at('udp'), { from: from(900), ...credentials('wrong', { name: 'eve' }) });
        await asker.allocate();
        await flood((n) => encode({
            method: [METHOD.allocate, METHOD.refresh, METHOD.permit, METHOD.bind][n % 4], key: asker.key,
            attributes: [UDP, [ATTRIBUTE.username, asker.name], [ATTRIBUTE.realm, asker.realm], [ATTRIBUTE.nonce, asker.nonce]],
        }));
    });

    attack('relays that come and go, and more than there is room for', async (t) => {
        const stop = performance.now() + FLOOD;
        let [made, refused] = [0, 0];
        await Promise.all(Array.from({ length: 20 }, async (_, worker) => {
            const first = await client(t, server.at('udp'), { from: from(worker), ...credentials(SECRET, { name: 'churn' }) });
            await first.allocate();
            for (let n = 0; performance.now() < stop; n++) {
                const clients = await Promise.all(Array.from({ length: 30 }, async (_, of) => {
                    const one = await client(t, server.at('udp'), { from: from(worker), ...credentials(SECRET, { name: `churn-${worker}-${n}-${of >> 3}` }) });
                    // Who asks without a nonce first is soon not answered.
                    return Object.assign(one, { realm: first.realm, nonce: first.nonce });
                }));
                for (const one of clients) {
                    const answer = await one.allocate({ ms: 5_000 });
                    if (answer?.class === CLASS.success) made++;
                    else if (answer) assert.ok([486, ...(OURS ? [] : [437])].includes(answer.code), answer.code);
                    if (answer?.code) refused++;
                }
                for (const one of clients) {
                    if (one.relayed) await one.refresh(0, { ms: 5_000 });
                    one.close();
                }
            }
        }));
        t.diagnostic(`${made} relays made, ${refused} refused`);
        assert.ok(made > 200 && refused > 20, `${made} made, ${refused} refused`);
    });

    attack('strangers who send to somebody\'s relay, with no permission', async (t) => {
        const { packets, received } = await flood(() => randomBytes(200), { to: { host: witness.relayed.address, port: witness.relayed.port } });
        t.diagnostic(`${packets} packets`);
        assert.equal(received, 0);
    });

    attack('connections by TCP that say nothing, garbage, half of a message, or a drop at a time', async () => {
        const places = OURS ? [server.at('tcp'), server.at('tls')] : [server.at('tcp')];
        const sockets = [];
        const open = async (n, ...what) => {
            const socket = connect({ ...places[n % places.length], localAddress: from(n % 200) });
            socket.on('error', () => {});
            sockets.push(socket);
            await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
            for (const data of what) socket.write(data);
            return socket;
        };
        try {
            for (let n = 0; n < 100; n++) {
                await open(n);
                await open(n, randomBytes(2_000));
                await open(n, encode({ method: METHOD.allocate, attributes: [UDP] }).subarray(0, 11));
                await open(n, channelData(0x4001, randomBytes(60_000)).subarray(0, 30_000));
                (await open(n, encode({ method: METHOD.binding }))).resetAndDestroy();
            }
            // What means nothing, one after the other without an end.
            const pouring = await Promise.all(Array.from({ length: 5 }, (_, n) => open(2 * n)));
            const stop = performance.now() + FLOOD;
            const lump = Buffer.concat(Array.from({ length: 200 }, () => encode({ method: METHOD.send, class: CLASS.indication, attributes: [[ATTRIBUTE.data, randomBytes(40)]] })));
            await Promise.all(pouring.map(async (socket) => {
                const over = new Promise((resolve) => socket.once('close', resolve));
                while (performance.now() < stop && !socket.destroyed) {
                    if (!socket.write(lump)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), over]);
                    await new Promise(setImmediate);
                }
            }));
        } finally {
            for (const socket of sockets) socket.resetAndDestroy();
        }
    });

    attack('a client by TCP that takes nothing of what peers send', async (t) => {
        const lazy = await client(t, server.at('tcp'), { transport: 'tcp', from: from(901), ...credentials(SECRET, { name: 'lazy' }) });
        assert.equal((await lazy.allocate()).class, CLASS.success);
        assert.equal((await lazy.permit(from(903))).class, CLASS.success);
        lazy.socket.pause();
        const peer = createSocket('udp4');
        t.after(() => peer.close());
        await new Promise((resolve) => peer.bind(0, from(903), resolve));
        const stop = performance.now() + FLOOD;
        while (performance.now() < stop) {
            for (let n = 0; n < 20; n++) peer.send(randomBytes(1_200), lazy.relayed.port, lazy.relayed.address);
            await new Promise((resolve) => setTimeout(resolve, 2));
        }
        assert.ok(resident(server.proc.pid) < 200 * MIB, mib(resident(server.proc.pid)));
    });

    attack('a client that permits and binds as much as it is let', async (t) => {
        const greedy = await client(t, server.at('udp'), { from: from(902), ...credentials(SECRET, { name: 'greedy' }) });
        assert.equal((await greedy.allocate()).class, CLASS.success);
        const codes = {};
        for (let n = 0; n < 3_000; n++) {
            const answer = n % 2 ? await greedy.permit(`5.9.${100 + (n >> 8)}.${n & 255}`) : await greedy.bind(0x4000 + n, `5.9.${120 + (n >> 8)}.${n & 255}`, 9);
            codes[answer?.code ?? answer?.class] = (codes[answer?.code ?? answer?.class] ?? 0) + 1;
        }
        t.diagnostic(JSON.stringify(codes));
        if (OURS) assert.ok(codes[508] > 0, 'there is a bound');
    });
}));
