// Native peers whose network changes under a transfer: another address, a cut cable, a server that is gone. The networks are `lib/lab.mjs`'s.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { certificate } from '../lib/certificates.mjs';
import { Lab } from '../lib/lab.mjs';
import { inOwnNetwork } from '../lib/own-network.mjs';
import { BINARY, expose, fetched, fetching, folder } from '../lib/peerage.mjs';
import { shared, until } from '../lib/process.mjs';

/** What a file has that takes a few seconds over this. */
const BIG = 24 << 20;
const RATE = '32mbit';
/** How much of it has come when something happens. */
const MIDWAY = 4 << 20;
const DOMAIN = 'lab.example';

inOwnNetwork(import.meta.url, () => suite('native peers whose network changes', { timeout: 280_000 }, () => {
    const own = shared(after);
    const content = randomBytes(BIG);
    const digest = hash([content]);
    const state = folder(own, 'server');
    const { ca, cert, key } = certificate(own, [DOMAIN, `*.${DOMAIN}`]);
    let lab, host, device, caller, link, server;

    const serve = async () => {
        server = host.start(own, 'peerage serve', BINARY, ['serve', '--host', '::', '--port', '443', '--domain', DOMAIN, '--tls-cert', cert, '--tls-key', key, '--state', state]);
        await server.printed(/Listening on/);
    };

    before(async () => {
        lab = new Lab(own);
        [host, device, caller] = ['server', 'device', 'caller'].map((name) => lab.host(name, { families: [4] }));
        lab.resolve({ [host.v4]: DOMAIN });
        // Slow enough for something to happen meanwhile.
        for (const { name } of [device, caller]) ip(`netns exec ${name} tc qdisc add dev wan root tbf rate ${RATE} burst 64kb latency 100ms`);
        await serve();
        const target = folder(own, 'target');
        writeFileSync(join(target, 'small'), '');
        writeFileSync(join(target, 'big'), content);
        ({ link } = await expose(own, target, { on: device, server: `https://${DOMAIN}`, args: ['--server-ca', ca] }));
    });

    /** Waits until the device is at the server: after a test that took its old connection away. */
    async function reachable(t) {
        const until = performance.now() + 60_000;
        for (;;) {
            const { code, complaint } = await fetched(t, link, ['--server-ca', ca, '/small'], { on: caller, ms: 60_000 });
            if (code === 0) return;
            assert.ok(performance.now() < until, complaint);
        }
    }

    /** Fetches the file, lets something happen midway, and holds what came against what was sent: `{ silence }`, the longest time in which nothing came, in ms. */
    async function transfer(t, happens) {
        await reachable(t);
        const proc = fetching(t, link, ['--server-ca', ca, '/big'], { on: caller, binary: true });
        const pieces = [];
        let octets = 0;
        let last = performance.now();
        let silence = 0;
        proc.child.stdout.on('data', (data) => {
            pieces.push(data);
            octets += data.length;
            const now = performance.now();
            if (octets > MIDWAY) silence = Math.max(silence, now - last);
            last = now;
        });
        await until('the first octets', () => octets > MIDWAY, { ms: 20_000 });
        await happens();
        const { code } = await proc.end(90_000);
        assert.equal(code, 0, proc.output);
        assert.equal(hash(pieces), digest, `${octets} octets, not those that were sent`);
        t.diagnostic(`nothing came for ${silence.toFixed(0)} ms`);
        return { silence };
    }

    test('a caller that gets another address goes on with its transfer', async (t) => {
        const { silence } = await transfer(t, () => readdress(caller, 3));
        assert.ok(silence < 15_000, `${silence} ms`);
    });

    test('a device that gets another address goes on with its transfer', async (t) => {
        const { silence } = await transfer(t, () => readdress(device, 4));
        assert.ok(silence < 15_000, `${silence} ms`);
    });

    test('a cable that is pulled for 10 s costs the transfer that time and nothing else', async (t) => {
        const { silence } = await transfer(t, async () => {
            const end = `to-${caller.v4.split('.')[1]}`;
            ip(`-n internet link set ${end} down`);
            await new Promise((resolve) => setTimeout(resolve, 10_000));
            ip(`-n internet link set ${end} up`);
        });
        assert.ok(silence > 9_000 && silence < 30_000, `${silence} ms`);
    });

    test('a server that dies in a transfer takes no part in it, and neither does its return', async (t) => {
        const { silence } = await transfer(t, async () => {
            server.child.kill('SIGKILL');
            await server.end();
            await serve();
        });
        assert.ok(silence < 2_000, `${silence} ms`);
    });

    test('a caller that gets another address while the server is gone goes on with its transfer', async (t) => {
        const { silence } = await transfer(t, async () => {
            server.child.kill('SIGKILL');
            await server.end();
            readdress(caller, 5);
        });
        assert.ok(silence < 20_000, `${silence} ms`);
        await serve();
    });
}), { timeout: 300_000 });

/** Takes a machine's address away and gives it another one. */
function readdress(machine, last) {
    const [a, b, c] = machine.v4.split('.');
    machine.v4 = [a, b, c, last].join('.');
    ip(`${machine.ip}addr flush dev wan`, `${machine.ip}addr add ${machine.v4}/24 dev wan`, `${machine.ip}route add default via ${[a, b, c, 1].join('.')}`);
}

function hash(pieces) {
    const hashed = createHash('sha256');
    for (const piece of pieces) hashed.update(piece);
    return hashed.digest('hex');
}

function ip(...commands) {
    for (const command of commands) execFileSync('ip', command.split(' '), { stdio: ['ignore', 'inherit', 'pipe'] });
}
