// Attacks on the server's rooms, by members who say what they like or read nothing, and by who never becomes a member. After each of them the same questions: did a well-behaved
// pair in the same room notice, did newcomers get in, and has the memory gone back to where it was? How much a pair may notice is what `bounds.test.mjs` says.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { PATIENCE, shared, until, within } from '../lib/process.mjs';
import { Raw } from '../lib/raw.mjs';
import { aiortcMember, post, roomServer, roomWitness, status } from '../lib/rooms.mjs';
import { ChannelMember, end } from '../rooms/channel.mjs';

const MIB = 1 << 20;
/** Limits of the server's defaults that these tests are about: octets of a message, messages of a member at once and a second, connections that one address may be making. */
const [MESSAGE, BURST, RATE, HALF_OPEN] = [64 * 1024, 500, 200, 128];
/** How long a connection may be in the making. */
const MAKING = 30_000;
/** A round trip, and a newcomer's way into a room, that are no cause for complaint whatever they were in quiet. */
const [FLOOR, NEWCOMER] = [200, 2_000];
/** What the server may hold more than before, when the attacker is gone. The allocator gives back what is no longer used over ten seconds. */
const [LEFT, FREED] = [30 * MIB, 15_000];

const mib = (octets) => `${(octets / MIB).toFixed(1)} MiB`;
const ms = (time) => `${time.toFixed(1)} ms`;

suite('rooms under attack', () => {
    const own = shared(after);
    let server, pair, quiet;
    before(async () => {
        server = await roomServer(own, '--proxied=true');
        pair = await roomWitness(own, server, 'plaza');
        await pair.end();
        pair.begin();
        quiet = await pair.end();
    });
    after(end);

    const rss = () => Number(readFileSync(`/proc/${server.proc.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1]) * 1024;
    let [named, lived] = [0, 66];

    /** Runs an attack, and says what it did to others. `attacker()` makes members of the pair's room, which end with it; each attack comes from an address of its own. */
    const attack = (name, run, back = FREED) => test(name, async (t) => {
        const members = [];
        const from = `198.51.100.${++lived}`;
        const attacker = (label = 'chat', by = from) => {
            const member = new ChannelMember(server, 'plaza', `mallory ${++named}`, { from: by, label, reliable: true });
            members.push(member);
            return member.join();
        };
        const before = rss();
        let peak = before;
        const watch = setInterval(() => { peak = Math.max(peak, rss()); }, 100);
        pair.begin();
        try {
            await run(attacker, from, t);
            const seen = await pair.end();
            t.diagnostic(`${seen.trips} round trips, median ${ms(seen.p50)}, p99 ${ms(seen.p99)} (quiet ${ms(quiet.p99)}, plain echo ${ms(seen.bare)}), most ${ms(seen.most)}; ${seen.newcomers} newcomers, slowest ${ms(seen.slowest)}`);
            assert.ok(seen.p99 <= Math.max(10 * quiet.p99, 10 * seen.bare, FLOOR), `a well-behaved pair waited: p99 ${ms(seen.p99)}, quiet ${ms(quiet.p99)}, plain echo ${ms(seen.bare)}`);
            assert.ok(seen.slowest <= Math.max(10 * quiet.slowest, NEWCOMER), `a newcomer waited ${ms(seen.slowest)}, in quiet ${ms(quiet.slowest)}`);
        } finally {
            clearInterval(watch);
            for (const member of members) member.close();
        }
        await until(`memory is back at ${mib(before)}; it is at ${mib(rss())}`, () => rss() <= before + LEFT, { ms: back });
        t.diagnostic(`memory ${mib(before)} before, at most ${mib(peak)}, now ${mib(rss())}`);
    });

    /** Says these, one after the other, as fast as its allowance lets it, for so many messages. */
    async function talk(member, messages, count) {
        for (let n = 0; n < count;) {
            for (let burst = 0; burst < 10 && n < count; burst++) assert.ok(member.send(messages[n++ % messages.length]), `cut off after ${n} messages`);
            await new Promise((resolve) => setTimeout(resolve, 10_000 / RATE * 1.2));
        }
    }

    attack('garbage of every kind cuts nobody off, neither who says it nor who hears it', async (attacker) => {
        const [one, listener] = [await attacker(), await attacker()];
        let heard = 0;
        const last = new Promise((resolve) => { listener.onmessage = (message) => { heard += 1; if (message === 'the last') resolve(); }; });
        const deep = '['.repeat(30_000);
        await talk(one, [
            '[1,2]', '5', 'null', '{', '{"type":"SYSTEM"}', '{"type":"SYSTEM","action":[],"payload":5}', '{"type":"SYSTEM","action":"PEER_JOIN","payload":null,"peer_id":7}',
            '{"type":"SYSTEM","action":"ROOM_STATE","payload":{"peers":5}}', '{"type":"SYSTEM","action":"EVENT"}', '{"type":"SYSTEM","action":"EVENT","payload":{"event":5}}',
            '{"peer_id":"\\ud800","message":1}', deep, `{"message":${deep}`, 'x'.repeat(10_000), randomBytes(1_000), Buffer.alloc(10_000),
        ], 600);
        one.send('the last');
        await within(PATIENCE, last, () => new Error(`the listener heard ${heard}`));
        assert.ok(one.isOpen && listener.isOpen);
    });

    attack('what is no frame of the native protocol puts out who says it', async (attacker) => {
        const hello = (version, token) => Buffer.from([1, version, ...Array(16).fill(token), 4, ...Buffer.from('null'), ...Array(8).fill(0), 0]);
        const wrong = [
            ['{"peer_id":"x","message":1}'], [Buffer.alloc(0)], [Buffer.from([2, 0, 0])], [hello(9, 1)], [hello(1, 1).subarray(0, 20)], [hello(1, 2), hello(1, 2)],
            [hello(1, 3), Buffer.from([2, 255, 0, 0])], [hello(1, 4), Buffer.from([2, 4, 64, 200, 0])], [hello(1, 5), Buffer.from([2, 4, 0, 0, 0x7b])], [hello(1, 6), Buffer.from([7])],
            [hello(1, 7), randomBytes(500).fill(2, 0, 1)], [hello(1, 8), 'text'],
        ];
        await Promise.all(wrong.map(async (frames) => {
            const one = await attacker('peerage-room');
            for (const frame of frames) one.send(frame);
            await within(PATIENCE, one.closed, () => new Error(`it may stay after ${frames.map((frame) => frame.toString('latin1').slice(0, 40))}`));
        }));
    });

    attack('names of others, of the server and of nobody change nothing: who says so is who it is', async (attacker) => {
        const [one, listener] = [await attacker(), await attacker()];
        const heard = [];
        const isForged = ({ message, action, payload, peer_id: id }) => message === 'forged' || action === 'EVENT' || (action === 'PEER_LEAVE' && id !== one.id)
            || (action === 'HOST_CHANGE' && payload === one.id) || (action === 'ROOM_STATE' && payload.peers.some((peer) => peer.id === 'ghost'));
        const last = new Promise((resolve) => {
            listener.onmessage = (text) => {
                const value = JSON.parse(text);
                if (value.message === 'the last') resolve();
                if (isForged(value)) heard.push(value);
            };
        });
        const system = (action, payload, id) => JSON.stringify({ type: 'SYSTEM', action, payload, peer_id: id, target: null, timestamp: 1 });
        const others = ['witness a', 'witness b', 'server', 'unknown', 'nobody'];
        await talk(one, others.flatMap((id) => [
            JSON.stringify({ peer_id: id, message: 'forged' }), system('EVENT', { event: 'forged', data: 1 }, id), system('PEER_LEAVE', {}, id), system('HOST_CHANGE', one.id, id),
            system('ROOM_STATE', { peers: [{ id: 'ghost' }], hostId: one.id }, id),
        ]), 100);
        one.say('the last');
        await within(PATIENCE, last, 'the listener hears nothing any more');
        assert.deepEqual(heard, []);
    });

    attack('who says more than its allowance is put out, and only who does', async (attacker) => {
        const [one, listener] = [await attacker(), await attacker()];
        let heard = 0;
        listener.onmessage = (message) => { if (message === 'flood') heard += 1; };
        const began = performance.now();
        const flood = setInterval(() => { for (let n = 0; n < 200; n++) one.send('flood'); }, 5);
        try {
            await within(PATIENCE, one.closed, 'it may go on');
        } finally {
            clearInterval(flood);
        }
        const allowed = BURST + RATE * Math.ceil((performance.now() - began) / 1_000);
        assert.ok(heard > 0 && heard <= allowed, `${heard} messages of ${allowed}`);
        assert.ok(listener.isOpen);
    });

    attack('a message that is too long puts out who sends it, and nobody hears it', async (attacker) => {
        const [one, listener] = [await attacker(), await attacker()];
        const lengths = [];
        listener.onmessage = (message) => { if (/^y+$/.test(message)) lengths.push(message.length); };
        assert.ok(one.send('y'.repeat(MESSAGE - 100)));
        await until('the one that is not too long came', () => lengths.length === 1);
        one.send('y'.repeat(MESSAGE + 1));
        await within(PATIENCE, one.closed, 'it may stay');
        assert.deepEqual(lengths, [MESSAGE - 100]);
        assert.ok(listener.isOpen);
    });

    attack('a member that takes nothing is put out, and delays nobody', async (attacker, from, t) => {
        const slow = await aiortcMember(t, server, 'plaza', 'slow', '--reliable');
        const loud = await attacker();
        const gone = new Promise((resolve) => {
            loud.onmessage = (text) => { if (text.includes('"PEER_LEAVE"') && text.includes('"slow"')) resolve(); };
        });
        await slow.do({ do: 'stall' });
        const began = performance.now();
        const fill = 'z'.repeat(20_000);
        const talking = setInterval(() => { loud.send(fill); }, 1_500 / RATE);
        try {
            await within(PATIENCE, gone, 'it is kept');
        } finally {
            clearInterval(talking);
        }
        t.diagnostic(`gone after ${ms(performance.now() - began)}`);
        assert.ok(loud.isOpen);
    });

    attack('a thousand offers that become nothing: one address has its places and no more, and they are free again', async (_, from) => {
        const probe = new ChannelMember(server, 'plaza', 'offer only');
        const offer = await probe.offer;
        const answers = new Map();
        const ask = async (room, id) => (await post(server, '/offer', { room, peer_id: id, offer }, from)).status;
        for (let n = 0; n < 1_000; n += 20) {
            await Promise.all(Array.from({ length: 20 }, async (_, k) => {
                const status = await ask(`half ${n}`, `half ${n + k}`);
                answers.set(status, (answers.get(status) ?? 0) + 1);
            }));
        }
        probe.close();
        assert.ok([...answers.keys()].every((status) => [200, 429, 503].includes(status)), JSON.stringify([...answers]));
        assert.ok(answers.get(200) <= HALF_OPEN, `${answers.get(200)} were begun`);
        await until('a place is free', async () => (await ask('half', 'later')) === 200, { ms: MAKING + 5_000, every: 200 });
    }, MAKING + FREED);

    // Each as long as what is kept may be, under names as long as names may be: kept for the 30 s for which one waits for its offer, they would be 100 MB.
    attack('sixty thousand candidates, of peers and rooms that are not there: few are kept', async (_, from) => {
        const [perSocket, candidate] = [3_000, `candidate:1 1 udp 1 192.0.2.1 9 typ host `.padEnd(1_000, 'x')];
        const asked = (socket, n) => {
            const body = JSON.stringify({ room: `nowhere ${socket} `.padEnd(200, 'r'), peer_id: `${n} `.padEnd(500, 'p'), candidate: { candidate, sdpMid: '0', sdpMLineIndex: 0 } });
            const last = n === perSocket - 1 ? 'connection: close\r\n' : '';
            return `POST /candidate HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: ${from}\r\n${last}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
        };
        await Promise.all(Array.from({ length: 20 }, async (_, socket) => {
            const raw = new Raw(server);
            // Ten thousand a second: all are there long before the first expires.
            for (let n = 0; n < perSocket; n += 25) {
                raw.write(Array.from({ length: 25 }, (_, k) => asked(socket, n + k)).join(''));
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
            await within(PATIENCE, raw.over, 'not all are answered');
            // Nobody is told what became of it.
            assert.equal(raw.received.toString().match(/HTTP\/1\.1 200 OK/g).length, perSocket);
        }));
    });

    attack('garbage to the port of all members: random octets, and STUN, DTLS and SCTP that are nobody\'s', async () => {
        const [, udp] = await server.proc.printed(/rooms +UDP port (\d+)/);
        const socket = createSocket('udp4');
        await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
        const stun = Buffer.concat([Buffer.from([0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42]), randomBytes(12), Buffer.from([0, 6, 0, 4]), Buffer.from('ab:c')]);
        const dtls = Buffer.concat([Buffer.from([22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200]), randomBytes(200)]);
        const kinds = [() => randomBytes(1_200), () => stun, () => dtls, () => Buffer.alloc(0), () => Buffer.from([128, 0]), () => randomBytes(20)];
        for (let n = 0; n < 30_000;) {
            for (let burst = 0; burst < 100; burst++, n++) socket.send(kinds[n % kinds.length](), Number(udp), '127.0.0.1');
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
        await new Promise((resolve) => socket.close(resolve));
    });

    // What each of them left behind would be there six hundred times: as a member, and as 80 KB.
    attack('members that come and go all the time, without a word and with one, leave nothing behind', async (attacker) => {
        let came = 0;
        for (let turn = 0; turn < 150; turn++) {
            const by = `203.0.113.${1 + (turn % 100)}`;
            // libdatachannel's threads may stumble over each other, and one does not come.
            const some = await Promise.allSettled([attacker('chat', by), attacker('chat', by), attacker('peerage-room', by), attacker('chat', by)]);
            for (const [n, { value: one }] of some.entries()) {
                if (!one) continue;
                came += 1;
                if (n % 2) one.system('PEER_LEAVE', {});
                one.close();
            }
        }
        assert.ok(came > 570, `only ${came} came`);
        const there = async () => (await status(server, 'plaza')).peers.map(({ id }) => id).sort();
        await until('the pair is alone', async () => (await there()).length <= 2);
        assert.deepEqual(await there(), ['witness a', 'witness b']);
    });
});
