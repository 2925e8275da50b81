// Two peers behind NATs of all kinds, and the server that brings them together: how they are connected, and in what time. The networks are `lib/lab.mjs`'s.

import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { certificate } from '../lib/certificates.mjs';
import { Lab } from '../lib/lab.mjs';
import { inOwnNetwork } from '../lib/own-network.mjs';
import { BINARY, expose, fetched, fetching, folder } from '../lib/peerage.mjs';
import { shared, until } from '../lib/process.mjs';

const DOMAIN = 'lab.example';
const TEXT = 'behind the NAT';
/** What a file has that takes a while: many times what is on its way at once. */
const BIG = 48 << 20;
/** From the start of `peerage fetch` until it has what it asked for. */
const SOON = 5_000;
/** A transfer that runs is not silent for this long. */
const SILENCE = 700;

/** Devices' networks and callers' networks: how they meet. */
const PAIRS = [
    ['open', 'open', 'direct'],
    ['port-restricted', 'port-restricted', 'direct'],
    ['port-restricted', 'symmetric', 'relayed'],
    ['symmetric', 'port-restricted', 'relayed'],
    ['symmetric', 'symmetric', 'relayed'],
    ['port-restricted', 'udp-blocked', 'relayed'],
    ['udp-blocked', 'port-restricted', 'relayed'],
    ['udp-blocked', 'symmetric', 'relayed'],
    ['udp-blocked', 'udp-blocked', 'relayed'],
    ['tls-only', 'port-restricted', 'relayed'],
    ['port-restricted', 'tls-only', 'relayed'],
    ['IPv6 alone', 'port-restricted', 'relayed'],
    ['symmetric', 'IPv6 alone', 'relayed'],
];

inOwnNetwork(import.meta.url, () => suite('two peers behind NATs', { timeout: 240_000 }, () => {
    const own = shared(after);
    const devices = new Map();
    const callers = new Map();
    let lab, ca, server, target;
    before(async () => {
        lab = new Lab(own);
        const host = lab.host('server');
        lab.resolve({ [host.v4]: DOMAIN, [host.v6]: DOMAIN });
        const made = certificate(own, [DOMAIN, `*.${DOMAIN}`]);
        ca = made.ca;
        server = host.start(own, 'peerage serve', BINARY, ['serve', '--host', '::', '--port', '443', '--domain', DOMAIN, '--tls-cert', made.cert, '--tls-key', made.key, '--state', folder(own)]);
        await server.printed(/Listening on/);
        target = folder(own, 'target');
        writeFileSync(join(target, 'index.html'), TEXT);
        writeFileSync(join(target, 'big'), '');
        truncateSync(join(target, 'big'), BIG);
    });

    /** A machine in such a network. */
    function machine(name, kind) {
        if (kind === 'open') return lab.host(name, { families: [4] });
        return kind === 'IPv6 alone' ? lab.client(name, 'port-restricted', { families: [6] }) : lab.client(name, kind);
    }

    /** The device in such a network. There is one of each kind. */
    async function device(kind) {
        if (!devices.has(kind)) {
            const on = machine(`device-${kind.replace(' ', '-')}`, kind);
            devices.set(kind, await expose(own, target, { on, server: `https://${DOMAIN}`, args: ['--json', '--server-ca', ca] }));
        }
        return devices.get(kind);
    }

    function caller(kind) {
        if (!callers.has(kind)) callers.set(kind, machine(`caller-${kind.replace(' ', '-')}`, kind));
        return callers.get(kind);
    }

    const trusting = (...args) => ['--server-ca', ca, ...args];

    for (const [of, by, how] of PAIRS) {
        test(`a device (${of}) and a caller (${by}) are connected within 5 s: ${how}, as both say`, async (t) => {
            const { proc, link } = await device(of);
            const from = proc.output.length;
            const on = caller(by);
            const began = performance.now();
            const { code, body, complaint } = await fetched(t, link, trusting('-v'), { on, ms: 2 * SOON });
            const took = performance.now() - began;
            assert.equal(code, 0, complaint);
            assert.equal(body, TEXT);
            const [event] = await proc.printed(/\{.*"event":"connected".*\}/, { from });
            const { route, round_trip_ms } = JSON.parse(event);
            t.diagnostic(`${of}, ${by}: ${route} in ${took.toFixed(0)} ms, round trip ${round_trip_ms} ms`);
            assert.equal(route, how);
            assert.match(complaint, new RegExp(`\\b${how}\\b`));
            assert.ok(took < SOON, `it took ${took.toFixed(0)} ms`);
        });
    }

    /** What happens to a transfer when the server hangs in the midst of it: how many octets came until it was `over`, and how many when the server was back. */
    async function frozen(t, of, by, over) {
        const { link } = await device(of);
        const proc = fetching(t, link, trusting('/big'), { on: caller(by), binary: true });
        let octets = 0;
        let last = performance.now();
        t.after(() => server.thaw());
        proc.child.stdout.on('data', (data) => {
            if (octets === 0) server.freeze();
            octets += data.length;
            last = performance.now();
        });
        await until('the first octets', () => octets > 0, { ms: 2 * SOON });
        await until('the end of what comes', () => proc.ended || over(performance.now() - last));
        const before = octets;
        server.thaw();
        const { code } = await proc.end();
        assert.equal(code, 0, proc.output);
        t.diagnostic(`${before} of ${octets} octets came while the server was frozen`);
        return { before, octets };
    }

    test('a server that hangs stops what it relays, and only for as long', async (t) => {
        const { before, octets } = await frozen(t, 'symmetric', 'symmetric', (silent) => silent > SILENCE);
        assert.ok(before < BIG / 2, `${before} octets came`);
        assert.equal(octets, BIG);
    });

    test('a server that hangs takes no part in what is direct', async (t) => {
        // To its end: silence may be a lost packet's.
        const { before } = await frozen(t, 'port-restricted', 'port-restricted', () => false);
        assert.equal(before, BIG);
    });
}), { timeout: 260_000 });
