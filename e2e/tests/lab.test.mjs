// The lab itself: other tests believe that its networks are what they are called.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Lab } from '../lib/lab.mjs';
import { inOwnNetwork } from '../lib/own-network.mjs';
import { shared } from '../lib/process.mjs';

/** Nothing on these networks takes this long. */
const NEVER = 300;

inOwnNetwork(import.meta.url, () => suite('networks in a machine', { timeout: 60_000 }, () => {
    const own = shared(after);
    let lab, one, other;
    before(async () => {
        lab = new Lab(own);
        const [first, second] = [lab.host('one'), lab.host('other')];
        one = Object.assign(await first.sockets(), { host: first });
        other = Object.assign(await second.sockets(), { host: second });
    });

    /** From where a packet of a client's socket comes to a host, and the host's socket. */
    async function seen(client, at, family = 4) {
        const socket = await at.udp(family);
        await client.send('out', family === 4 ? at.host.v4 : at.host.v6, socket.port);
        const came = await socket.received(NEVER);
        return { socket, came };
    }

    /** Whether a packet to the outer address of a client comes to it. */
    async function reaches(socket, { address, port }, client) {
        await socket.send('in', address, port);
        return await client.received(NEVER) !== null;
    }

    const mapped = async (kind, name = kind) => {
        const host = lab.client(name, kind);
        const client = await (await host.sockets()).udp();
        const [a, b] = [await seen(client, one), await seen(client, other)];
        assert.equal(a.came.address, host.router.v4);
        assert.equal(b.came.address, host.router.v4);
        // Where nothing was sent to: the same address with another port, and another address.
        const stranger = await one.udp();
        return { client, a, b, stranger };
    };

    test('port-restricted: one outer port for all destinations, answers from address and port that were sent to', async () => {
        const { client, a, b, stranger } = await mapped('port-restricted');
        assert.equal(a.came.port, b.came.port);
        assert.equal(await reaches(a.socket, a.came, client), true);
        assert.equal(await reaches(b.socket, a.came, client), true);
        assert.equal(await reaches(stranger, a.came, client), false);
    });

    test('port-restricted: what came too early changes no outer port', async () => {
        const { client, a, stranger } = await mapped('port-restricted', 'too-early');
        assert.equal(await reaches(stranger, a.came, client), false);
        await client.send('out', one.host.v4, stranger.port);
        assert.equal((await stranger.received(NEVER)).port, a.came.port);
        assert.equal(await reaches(stranger, a.came, client), true);
    });

    test('symmetric: an outer port for each destination, open to that one alone', async () => {
        const { client, a, b, stranger } = await mapped('symmetric');
        assert.notEqual(a.came.port, b.came.port);
        assert.equal(await reaches(a.socket, a.came, client), true);
        assert.equal(await reaches(b.socket, b.came, client), true);
        assert.equal(await reaches(b.socket, a.came, client), false);
        assert.equal(await reaches(stranger, a.came, client), false);
    });

    test('UDP blocked: nothing of UDP, all of TCP', async () => {
        const host = lab.client('udp-blocked', 'udp-blocked');
        const sockets = await host.sockets();
        assert.equal((await seen(await sockets.udp(), one)).came, null);
        assert.equal((await sockets.reflection(one.host.v4, await one.mirror(), NEVER)).address, host.router.v4);
    });

    test('TLS only: nothing of UDP, and TCP to two ports alone', async () => {
        const sockets = await lab.client('tls-only', 'tls-only').sockets();
        assert.equal((await seen(await sockets.udp(), one)).came, null);
        await assert.rejects(sockets.reflection(one.host.v4, await one.mirror(), NEVER), /no answer/);
        for (const port of [443, 5349]) assert.ok(await sockets.reflection(one.host.v4, await one.mirror(4, port), NEVER));
    });

    test('IPv6 passes with its own address, and nothing comes in unasked', async () => {
        const host = lab.client('six', 'port-restricted', { families: [6] });
        const sockets = await host.sockets();
        const client = await sockets.udp(6);
        const { socket, came } = await seen(client, one, 6);
        assert.deepEqual([came.address, came.port], [host.v6, client.port]);
        assert.equal(await reaches(socket, came, client), true);
        assert.equal(await reaches(await one.udp(6), came, client), false);
        assert.equal((await sockets.reflection(one.host.v6, await one.mirror(6), NEVER)).address, host.v6);
    });

    test('names are the lab\'s own', async (t) => {
        lab.resolve({ [one.host.v4]: 'lab.example' });
        const asked = other.host.start(t, 'getent', 'getent', ['ahosts', 'lab.example']);
        await asked.end();
        assert.match(asked.output, new RegExp(`^${one.host.v4.replaceAll('.', '\\.')} `));
    });
}));
