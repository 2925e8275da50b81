// A server that ends under a thousand clients: by a power cut, and in order.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, suite, test } from 'node:test';
import { crowd } from '../lib/crowd.mjs';
import { lastingPort, serve } from '../lib/peerage.mjs';
import { PATIENCE, shared, until, within } from '../lib/process.mjs';

const CLIENTS = 1_000;
/** How long coming back may take, from when the server listens again. */
const BACK = 10_000;

const names = (what, count = CLIENTS) => Array.from({ length: count }, (_, n) => `${what}-${n}`);

suite('a server under a thousand clients', () => {
    const own = shared(after);
    const started = async (what) => {
        const port = await lastingPort();
        const server = await serve(own, '--port', `${port}`);
        const clients = crowd(own, port, names(what)).come();
        await until('all are in', () => clients.open === CLIENTS, { every: 10 });
        return { server, clients, again: () => serve(own, '--port', `${port}`) };
    };
    const answered = (asked) => within(PATIENCE, asked, 'not all were answered');

    test('killed while messages flow: all are back under their ids within ten seconds, and each hears only what is meant for it', async (t) => {
        const { server, clients, again } = await started('client');
        clients.talk();
        await until('messages flow', () => clients.frames > 5 * CLIENTS, { every: 1 });
        await server.proc.kill();
        await until('all noticed', () => clients.open === 0, { every: 1 });
        await again();
        const began = performance.now();
        // Asked at once, when the other one may not be back.
        const asked = clients.ring();
        await until('all are back', () => clients.open === CLIENTS, { ms: BACK, every: 1 });
        t.diagnostic(`all were back after ${Math.round(performance.now() - began)} ms`);
        await answered(asked);
        t.diagnostic(`all were answered after ${Math.round(performance.now() - began)} ms`);
        assert.deepEqual(clients.astray, []);
        assert.deepEqual(new Set(clients.members.map(({ opened, taken }) => `${opened} ${taken}`)), new Set(['2 0']));
        clients.leave();
    });

    test('a stranger among those who come back: who is late hears ID-TAKEN, owner or stranger, and no one else is touched', async (t) => {
        const { server, clients, again } = await started('owner');
        const [late, first, raced, others] = [[0, 20], [20, 40], [40, 80], [80]].map((range) => clients.members.slice(...range));
        const stranger = crowd(own, clients.port, [...late, ...first, ...raced].map(({ id }) => id));
        const by = new Map(stranger.members.map((member) => [member.id, member]));
        const strangers = (some) => some.map(({ id }) => by.get(id));

        await server.proc.kill();
        for (const member of [...late, ...first]) member.leave();
        for (const member of strangers(raced)) member.come();
        await again();

        // Whoever comes first has the id: a server that was killed knows of no tokens.
        for (const member of late) member.come();
        for (const member of strangers(first)) member.come();
        await until('the first ones are in', () => [...late, ...strangers(first)].every(({ open }) => open), { ms: BACK, every: 5 });
        for (const member of first) member.come();
        for (const member of strangers(late)) member.come();
        await until('the late ones were refused', () => [...first, ...strangers(late)].every(({ taken }) => taken > 0), { ms: BACK, every: 5 });
        await until('the races are over', () => raced.every((owner) => {
            const other = by.get(owner.id);
            assert.ok(!(owner.open && other.open), `${owner.id} has two holders`);
            return (owner.open && other.taken) || (other.open && owner.taken);
        }), { ms: BACK, every: 5 });
        await until('all others are back', () => others.every(({ open }) => open), { ms: BACK, every: 5 });

        const holding = clients.members.filter(({ open }) => open);
        t.diagnostic(`the stranger won ${stranger.open} of ${stranger.members.length} ids, ${strangers(raced).filter(({ open }) => open).length} of the ${raced.length} that were raced for`);
        assert.equal(holding.length + stranger.open, CLIENTS);
        assert.deepEqual([first, strangers(late)].flat().filter(({ open }) => open), []);
        await answered(clients.ring(holding));
        assert.deepEqual(others.filter(({ taken }) => taken > 0), []);

        // An id is its owner's again when the stranger is gone.
        stranger.leave();
        await until('all are back', () => clients.open === CLIENTS, { ms: BACK, every: 5 });
        await answered(clients.ring());
        assert.deepEqual([clients.astray, stranger.astray], [[], []]);
        clients.leave();
    });

    test('told to end: each is told so (1001), and the server is gone within three seconds, also with clients that do not listen', async (t) => {
        const { server, clients } = await started('farewell');
        for (let n = 0; n < 50; n++) await deaf(server, n);
        const before = clients.members.map(({ closes }) => closes.length);
        const began = performance.now();
        server.proc.child.kill('SIGTERM');
        const ended = await server.proc.end(3_000);
        t.diagnostic(`gone after ${Math.round(performance.now() - began)} ms`);
        assert.deepEqual(ended, { code: 0, signal: null });
        await until('all heard it', () => clients.members.every(({ closes }, n) => closes.length > before[n]), { every: 5 });
        assert.deepEqual(new Set(clients.members.map(({ closes }, n) => closes[before[n]])), new Set([1001]));
        clients.leave();
    });

    /** A client that was let in and does nothing more, not even read. */
    async function deaf({ port }, n) {
        const socket = connect(port, '127.0.0.1');
        own.after(() => socket.destroy());
        socket.on('error', () => {});
        socket.write(`GET /peerjs?key=peerjs&id=deaf-${n}&token=t HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
            + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n');
        await within(PATIENCE, new Promise((resolve) => socket.once('data', resolve)), 'no answer to a hand-shake');
        socket.pause();
    }
});
