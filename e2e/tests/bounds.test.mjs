// Attacks on the running server by clients that send what they like, or read nothing. After each of them the same questions: did a well-behaved pair notice,
// did newcomers get in, and has the memory gone back to where it was?
//
// The attacker has the same processors as the server. So the longest of 99 in 100 round trips of the pair may be ten times what it is in quiet, or ten times what a plain
// echo in the same process needs at the same time, or the floor below, at which nobody would wonder.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { serve } from '../lib/peerage.mjs';
import { PATIENCE, shared, until, within } from '../lib/process.mjs';
import { BINARY, CLOSE, CONTINUATION, PING, Raw, TEXT, closeCode, frame, framed, offer, raw, upgrade } from '../lib/raw.mjs';
import { witness } from '../lib/witness.mjs';

const MIB = 1 << 20;
/** Limits of the server's defaults that these tests are about. */
const [MESSAGE, WAITING, HANDSHAKE, EXPIRY, BURST, RATE] = [2 * MIB, 64 * MIB, 10_000, 5_000, 2_000, 200];
/** More than a limit in time, for a busy machine. */
const SLACK = 1_500;
/** A round trip that is no cause for complaint whatever it was in quiet; a newcomer's way to `OPEN`. */
const [FLOOR, NEWCOMER] = [200, 1_000];
/** What the server may hold more than before, when the attacker is gone. */
const LEFT = 30 * MIB;
/** The allocator gives back what is no longer used over ten seconds. */
const FREED = 15_000;

const mib = (octets) => `${(octets / MIB).toFixed(1)} MiB`;
const ms = (time) => `${time.toFixed(1)} ms`;
const rss = (server) => Number(readFileSync(`/proc/${server.proc.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1]) * 1024;

/** 99 of 100 round trips without any attack, in milliseconds: the better of two looks, after one that warms up. */
let quiet;

/** A server, and a pair of clients that watch it. */
async function watched(owner, ...args) {
    const server = await serve(owner, ...args);
    const pair = await witness(owner, server);
    await pair.end();
    if (quiet === undefined) {
        const looks = [];
        while (looks.length < 2) {
            pair.begin();
            looks.push((await pair.end()).p99);
        }
        quiet = Math.min(...looks);
    }
    return { server, pair };
}

/** Runs an attack, and says what it did to others. Every socket that `attacker` makes ends with it. */
async function attacked(t, { server, pair }, run) {
    const sockets = [];
    const keep = (socket) => {
        sockets.push(socket);
        return socket;
    };
    const attacker = {
        server,
        raw: (options) => keep(new Raw(server, options)),
        socket: async (id, token) => keep(await raw(server, id, token)),
    };
    const before = rss(server);
    let peak = before;
    const watch = setInterval(() => { peak = Math.max(peak, rss(server)); }, 100);
    pair.begin();
    try {
        await run(attacker, t);
        const seen = await pair.end();
        t.diagnostic(`${seen.trips} round trips, median ${ms(seen.p50)}, p99 ${ms(seen.p99)} (quiet ${ms(quiet)}, plain echo ${ms(seen.bare)}), most ${ms(seen.most)}; ${seen.newcomers} newcomers, slowest ${ms(seen.slowest)}`);
        assert.ok(seen.p99 <= Math.max(10 * quiet, 10 * seen.bare, FLOOR), `a well-behaved pair waited: p99 ${ms(seen.p99)}, quiet ${ms(quiet)}, plain echo ${ms(seen.bare)}`);
        assert.ok(seen.slowest <= NEWCOMER, `a newcomer waited ${ms(seen.slowest)}`);
    } finally {
        clearInterval(watch);
        for (const socket of sockets) socket.drop();
    }
    // Messages to absent ids are kept until they expire.
    await until(`memory is back at ${mib(before)}; it is at ${mib(rss(server))}`, () => rss(server) <= before + LEFT, { ms: EXPIRY + FREED });
    t.diagnostic(`memory ${mib(before)} before, at most ${mib(peak)}, now ${mib(rss(server))}`);
}

suite('a server under attack', () => {
    const own = shared(after);
    let place, resident;
    before(async () => {
        place = await watched(own);
        resident = rss(place.server);
    });
    const attack = (name, run) => test(name, (t) => attacked(t, place, run));

    attack('a request that never becomes whole is cut after ten seconds, silent or dripping, WebSocket or not', async (attacker) => {
        const kinds = {
            silent: () => attacker.raw(),
            'half a head': () => attacker.raw().write('GET / HTTP/1.1\r\nHost: localh'),
            'half a hand-shake': () => attacker.raw().write(upgrade('half')),
            'a head in drops': () => attacker.raw().write('GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ').drip(drops('x'), 200),
            'a hand-shake in drops': () => attacker.raw().write(upgrade('drops')).drip(drops('X-Drop: x\r\n'), 400),
        };
        const lived = Object.entries(kinds).flatMap(([kind, make]) => Array.from({ length: 60 }, async () => {
            const socket = make();
            await socket.connected;
            const time = await within(HANDSHAKE + 5_000, socket.over, `${kind} was not cut`);
            assert.ok(time <= HANDSHAKE + SLACK, `${kind} lived ${ms(time)}`);
        }));
        await Promise.all(lived);
    });

    attack('a client whose own direction is over is gone, and its id free at once', async (attacker) => {
        for (const how of ['FIN', 'RST']) {
            const socket = attacker.raw({ allowHalfOpen: true });
            socket.write(`${upgrade('half-gone')}\r\n`);
            await socket.until('OPEN', () => (String(socket.received).includes('OPEN') ? true : undefined));
            if (how === 'FIN') {
                const eof = new Promise((resolve) => socket.socket.once('end', resolve));
                socket.socket.end();
                await within(SLACK, eof, 'the server kept its direction open');
            } else {
                socket.drop();
            }
            await until('the id is free', () => attacker.socket('half-gone', `other-${how}`).then((other) => other.drop() ?? true, () => false), { ms: SLACK, every: 5 });
            socket.drop();
        }
    });

    attack('a flood to ids that nobody has: each message expires, no more is kept than the limit', async (attacker) => {
        const flooders = await Promise.all(Array.from({ length: 8 }, (_, n) => attacker.socket(`to-nobody-${n}`)));
        const stop = performance.now() + 3_000;
        for (const flooder of flooders) {
            const big = 'x'.repeat(30_000);
            flooder.pour(Buffer.concat(Array.from({ length: 50 }, () => offer(randomBytes(8).toString('hex'), big))), () => performance.now() > stop);
        }
        // Each of them hears of expiry for as long as it floods.
        await Promise.all(flooders.map(async (flooder) => {
            do assert.match(String((await frame(flooder, EXPIRY + PATIENCE)).payload), /^\{"type":"EXPIRE"/); while (performance.now() < stop);
        }));
        assert.ok(rss(attacker.server) < resident + WAITING + LEFT, `${mib(rss(attacker.server))} are in use`);
    });

    attack('a flood to one victim that reads: it gets what was sent, in order', async (attacker) => {
        const [flooders, each] = [10, 2_000];
        const victim = await attacker.socket('popular');
        const sources = await Promise.all(Array.from({ length: flooders }, (_, n) => attacker.socket(`admirer-${n}`)));
        for (const source of sources) source.write(Buffer.concat(Array.from({ length: each }, (_, n) => offer('popular', n))));
        const next = new Map();
        for (let n = 0; n < flooders * each; n++) {
            const { src, payload } = JSON.parse((await frame(victim)).payload);
            assert.equal(payload, next.get(src) ?? 0, src);
            next.set(src, payload + 1);
        }
    });

    attack('who sends faster than its allowance is read later, and loses nothing', async (attacker) => {
        const [sender, receiver] = await Promise.all([attacker.socket('hasty'), attacker.socket('patient')]);
        const beyond = 3 * RATE;
        const began = performance.now();
        sender.write(Buffer.concat(Array.from({ length: BURST + beyond }, (_, n) => offer('patient', n))));
        for (let n = 0; n < BURST + beyond; n++) assert.equal(JSON.parse((await frame(receiver)).payload).payload, n);
        const time = performance.now() - began;
        assert.ok(time > 0.9 * 1_000 * beyond / RATE, `all of it passed in ${ms(time)}`);
    });

    attack('connections that come and go by the thousand leave nothing behind', async (attacker) => {
        const kinds = [
            async (socket) => { socket.drop(); },
            async (socket) => { socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'); await socket.over; },
            async (socket) => { socket.write(`${upgrade(randomBytes(6).toString('hex'))}\r\n`); await socket.until('an answer', () => socket.octets || undefined); socket.drop(); },
            async (socket, n) => { socket.write(`${upgrade(`churn-${n % 7}`, `${n}`)}\r\n${framed('{"type":"HEARTBEAT"}')}`); socket.drop(); },
            async (socket) => { socket.write(`${upgrade(randomBytes(6).toString('hex'))}\r\n`); socket.socket.end(framed('', { opcode: CLOSE })); await socket.over; },
        ];
        let begun = 0;
        const one = async () => {
            while (begun < 5_000) {
                const n = begun++;
                const socket = attacker.raw();
                await socket.connected;
                await within(PATIENCE, kinds[n % kinds.length](socket, n), `a connection of kind ${n % kinds.length} did not end`);
            }
        };
        await Promise.all(Array.from({ length: 50 }, one));
    });

    attack('a head that is too long is refused, and what follows is not read', async (attacker) => {
        const heads = {
            'one field': `GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(200_000)}\r\n\r\n`,
            'a thousand fields': `GET / HTTP/1.1\r\nHost: localhost\r\n${Array.from({ length: 1_000 }, (_, n) => `X-${n}: x\r\n`).join('')}\r\n`,
            'a path': `GET /${'x'.repeat(200_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
            'a hand-shake': `${upgrade('x'.repeat(200_000))}\r\n`,
        };
        for (const [kind, head] of Object.entries(heads)) {
            const socket = attacker.raw().write(head);
            await within(SLACK, socket.over, `${kind} was not refused`);
            assert.ok(socket.octets === 0 || /^HTTP\/1\.1 4\d\d /.test(String(socket.received)), `${kind} got ${socket.received}`);
        }
        const endless = Array.from({ length: 20 }, () => attacker.raw().write('GET / HTTP/1.1\r\nX-Endless: ').pour('x'.repeat(64 * 1_024)));
        await within(SLACK, Promise.all(endless.map(({ over }) => over)), 'an endless head was not refused');
    });

    attack('garbage is no request: it is cut', async (attacker) => {
        const garbage = {
            'random octets': () => Buffer.concat([randomBytes(4_000), Buffer.from('\r\n\r\n')]),
            'a TLS hello': () => Buffer.from('16030100050100000100', 'hex'),
            'the preface of HTTP/2': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
            'NUL in a field': () => 'GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n',
            'a request that is two': () => 'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
        };
        for (const [kind, make] of Object.entries(garbage)) {
            for (let n = 0; n < 20; n++) {
                const socket = attacker.raw().write(make());
                await within(SLACK, socket.over, `${kind} was not cut`);
                assert.doesNotMatch(String(socket.received), /^HTTP\/1\.1 [123]/, kind);
            }
        }
    });

    const text = (string, form) => framed(string, form);
    /** What RFC 6455 forbids, and the code with which that socket is closed; sections in the right column. */
    const violations = {
        'text that is no UTF-8': [1007, [framed(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]))]],                                           // 8.1
        'text that ends within a character': [1007, [framed(Buffer.from('"é"').subarray(0, 2))]],
        'text that is no UTF-8, in pieces': [1007, [framed(Buffer.from([0xe2, 0x82]), { fin: false }), framed('x', { opcode: CONTINUATION })]],
        'a surrogate as UTF-8': [1007, [framed(Buffer.from([0xed, 0xa0, 0x80]))]],
        'a frame without mask': [1002, [text('{"type":"HEARTBEAT"}', { masked: false })]],                                          // 5.1
        'a reserved bit': [1002, [text('{"type":"HEARTBEAT"}', { rsv: 4 })]],                                                       // 5.2
        'a reserved opcode': [1002, [framed('x', { opcode: 3 })]],
        'a reserved control opcode': [1002, [framed('x', { opcode: 11 })]],
        'a length of 64 bits with the highest one': [1002, [framed('', { length: 1n << 63n })]],
        'a ping of 126 octets': [1002, [framed('x'.repeat(126), { opcode: PING })]],                                                // 5.5
        'a ping in pieces': [1002, [framed('x', { opcode: PING, fin: false })]],
        'the rest of nothing': [1002, [framed('x', { opcode: CONTINUATION })]],                                                     // 5.4
        'a message within a message': [1002, [framed('x', { fin: false }), framed('x')]],
        'a close of one octet': [1002, [framed('x', { opcode: CLOSE })]],                                                           // 5.5.1
        'a close with a code that is none': [1002, [framed(Buffer.from([1_005 >> 8, 1_005 & 255]), { opcode: CLOSE })]],            // 7.4.1
        'a close whose reason is no UTF-8': [1007, [framed(Buffer.from([3, 232, 0xff]), { opcode: CLOSE })]],
        'a message one octet too long': [1009, [framed('x', { length: MESSAGE + 1 })]],
        'a message of an exabyte': [1009, [framed('x', { length: 1n << 60n })]],
        'pieces that are too long together': [1009, [framed('x'.repeat(MESSAGE), { fin: false }), framed('xx', { opcode: CONTINUATION })]],
    };

    attack('what RFC 6455 forbids closes that socket alone, with the code that says why', async (attacker, t) => {
        for (const [kind, [code, frames]] of Object.entries(violations)) {
            await t.test(`${kind}: ${code}`, async () => {
                const [bad, other] = await Promise.all([attacker.socket('bad'), attacker.socket('its-partner')]);
                bad.write(offer('its-partner', 'before'));
                assert.equal(JSON.parse((await frame(other)).payload).payload, 'before');
                // What comes after the violation counts for nothing.
                bad.write(Buffer.concat([...frames, offer('its-partner', 'after')]));
                assert.equal(await closeCode(bad, SLACK), code);
                await within(SLACK, bad.over, 'the socket is still there');
                const next = await attacker.socket('bad', 'another-token');
                next.write(offer('its-partner', 'by the next one'));
                assert.equal(JSON.parse((await frame(other)).payload).payload, 'by the next one');
                for (const socket of [next, other]) socket.drop();
                await until('the ids are free', () => attacker.socket('its-partner', 'free?').then((last) => last.drop() ?? true, () => false), { ms: SLACK, every: 5 });
            });
        }
    });

    attack('a message of the greatest length passes', async (attacker) => {
        const [a, b] = await Promise.all([attacker.socket('long-a'), attacker.socket('long-b')]);
        const empty = JSON.stringify({ type: 'OFFER', dst: 'long-b', payload: '' }).length;
        const payload = 'x'.repeat(MESSAGE - empty);
        a.write(offer('long-b', payload));
        assert.equal(JSON.parse((await frame(b)).payload).payload, payload);
    });

    attack('a message that means nothing disturbs nobody, not even its own socket', async (attacker) => {
        const nonsense = [
            '', ' ', '{', '}', 'null', '[]', '"OFFER"', '17', '{}', '{"type":5}', '{"type":null}', '{"type":"NO-SUCH"}', '{"type":"OFFER"}', '{"type":"OFFER","dst":null}', '{"type":"OFFER","dst":{}}',
            '{"type":"OFFER","dst":""}', '{"type":"OFFER","dst":"odd-b"', '{"type":"OFFER","dst":"odd-b"}}', '{"type":"OFFER","type":"OFFER","dst":"odd-b"} x', '{"type":"OFFER","dst":"\\ud800"}', '{"type":"OPEN"}',
            '{"type":"ERROR","payload":{"msg":"x"}}', '\0', '{"type":"ID-TAKEN","dst":"odd-b"}', `{"type":"OFFER","dst":"${'x'.repeat(100_000)}","payload":1}`, '['.repeat(1_000_000), `{"type":"OFFER","dst":"odd-b","payload":${'['.repeat(500_000)}`,
            `{"type":"OFFER","dst":"odd-b","payload":${'1'.repeat(10)}e}`, '\u{10ffff}',
        ];
        const [a, b] = await Promise.all([attacker.socket('odd-a'), attacker.socket('odd-b')]);
        for (const [n, message] of nonsense.entries()) {
            a.write(framed(message)).write(framed(randomBytes(100), { opcode: BINARY })).write(framed(message, { opcode: TEXT })).write(offer('odd-b', n));
            const { type, src, payload } = JSON.parse((await frame(b)).payload);
            assert.deepEqual({ type, src, payload }, { type: 'OFFER', src: 'odd-a', payload: n }, message.slice(0, 100));
        }
    });

    test('after all of this the server holds what it held before', async (t) => {
        t.diagnostic(`memory ${mib(resident)} before the first attack, ${mib(rss(place.server))} after the last`);
        await until('memory is back', () => rss(place.server) <= resident + LEFT, { ms: FREED });
    });
});

suite('a server with short times and small limits under attack', () => {
    const own = shared(after);
    /** With a server of its own. */
    const attack = (name, args, run) => test(name, async (t) => attacked(t, await watched(own, ...args), run));
    const endings = (sockets, least, most) => Promise.all(sockets.map(async ({ kind, socket, since = performance.now() }) => {
        await within(most + 5_000, socket.over, `${kind} was not cut`);
        const time = performance.now() - since;
        assert.ok(time >= least && time <= most + SLACK, `${kind} was cut after ${ms(time)}`);
    }));

    attack('a message that never becomes whole is cut after the stall time, silent or dripping', ['--stall-timeout', '2000'], async (attacker) => {
        const long = framed('x'.repeat(1_000));
        const kinds = {
            'one octet': (socket) => socket.write(long.subarray(0, 1)),
            'a head': (socket) => socket.write(long.subarray(0, 8)),
            'half a message': (socket) => socket.write(long.subarray(0, 500)),
            'a message in drops': (socket) => socket.write(long.subarray(0, 10)).drip(drops('x'), 200),
            'pieces without end': (socket) => socket.write(framed('x', { fin: false })).drip(drops(framed('x', { opcode: CONTINUATION, fin: false })), 200),
            'a piece, and pings': (socket) => socket.write(framed('x', { fin: false })).drip(drops(framed('', { opcode: PING })), 200),
        };
        const sockets = [];
        for (const [kind, begin] of Object.entries(kinds)) {
            for (let n = 0; n < 20; n++) {
                const socket = await attacker.socket(`${sockets.length}`);
                const since = performance.now();
                begin(socket);
                sockets.push({ kind, socket, since });
            }
        }
        await endings(sockets, 1_900, 2_000);
        await attacker.socket('0', 'another-token');
    });

    attack('who never reads is closed, and the one who floods it hears what finds no room, and goes on talking to others', ['--stall-timeout', '2000'], async (attacker) => {
        const [victim, flooder, friend] = await Promise.all(['victim', 'flooder', 'friend'].map((id) => attacker.socket(id)));
        victim.socket.pause();
        const flood = offer('victim', 'x'.repeat(60_000));
        const heard = [];
        void (async () => { for (;;) heard.push(JSON.parse((await frame(flooder)).payload)); })().catch(() => {});
        const full = () => heard.some(({ type, src }) => type === 'EXPIRE' && src === 'victim');
        let asked = 0;
        const flooded = (async () => {
            while (!full()) {
                for (let n = 0; n < 9; n++) flooder.write(flood);
                flooder.write(offer('friend', ++asked));
                await flooder.taken();
            }
        })();
        await within(PATIENCE, flooded, 'the victim was not full');
        for (let n = 1; n <= asked; n++) {
            const { payload } = JSON.parse((await frame(friend)).payload);
            assert.equal(payload, n);
        }
        // And a second more for each 32 KiB that were taken by it or the kernel since.
        await until('its id is free', () => attacker.socket('victim', 'another-token').catch(() => null), { ms: 2_000 + 4_000 + SLACK });
        victim.socket.resume();
        await within(SLACK, victim.over, 'the socket that did not read is still there');
    });

    attack('who reads is not cut by those who write to it more than it reads', ['--send-queue', `${MIB}`, '--octet-rate', `${1024 * MIB}`], async (attacker) => {
        const [victim, flooder] = await Promise.all([attacker.socket('victim'), attacker.socket('flooder')]);
        victim.socket.pause();
        // More than its queue and the kernel's take.
        const count = 160;
        flooder.write(Buffer.concat(Array.from({ length: count }, (_, n) => offer('victim', `${n} ${'x'.repeat(249_000)}`))));
        flooder.write(offer('flooder', 'end'));
        let refused = 0;
        for (;;) {
            const { type, payload } = JSON.parse((await frame(flooder)).payload);
            if (payload === 'end') break;
            assert.equal(type, 'EXPIRE');
            refused++;
        }
        assert.ok(refused > 0, 'all of it found room: nothing is shown');
        victim.socket.resume();
        let last = -1;
        for (let n = 0; n < count - refused; n++) {
            const n = Number(JSON.parse((await frame(victim)).payload).payload.split(' ')[0]);
            assert.ok(n > last, 'in order');
            last = n;
        }
        flooder.write(offer('victim', 'still there'));
        assert.equal(JSON.parse((await frame(victim)).payload).payload, 'still there');
    });

    // And a second more for each 32 KiB that are being written.
    attack('who takes nothing of what waits for it is cut after the stall time', ['--stall-timeout', '2000', '--send-queue', `${32 * MIB}`], async (attacker) => {
        const [victim, flooder] = await Promise.all([attacker.socket('victim'), attacker.socket('flooder')]);
        victim.socket.pause();
        // More than the kernel takes for it, less than its queue.
        flooder.write(Buffer.concat(Array.from({ length: 350 }, () => offer('victim', 'x'.repeat(60_000)))));
        const passed = (350 * 60_000) / (8 * MIB) * 1_000;
        await until('its id is free', () => attacker.socket('victim', 'another-token').catch(() => null), { ms: passed + 2_000 + 4_000 + SLACK });
        victim.socket.resume();
        await within(SLACK, victim.over, 'the socket that did not read is still there');
    });

    attack('who says nothing is cut when it counts as silent; a heartbeat or a ping is enough to stay', ['--alive-timeout', '2000'], async (attacker) => {
        const [mute, alive] = [[], []];
        for (let n = 0; n < 100; n++) mute.push({ kind: 'a mute client', since: performance.now(), socket: await attacker.socket(`mute-${n}`) });
        for (const beat of [framed('{"type":"HEARTBEAT"}'), framed('', { opcode: PING })]) alive.push((await attacker.socket(`alive-${alive.length}`)).drip(drops(beat), 500));
        await endings(mute, 1_900, 2_000);
        await attacker.socket('mute-0', 'another-token');
        assert.deepEqual(alive.map(({ ended }) => ended), [undefined, undefined]);
    });

    attack('messages that never become whole take no more memory than all sockets may', ['--buffered', `${16 * MIB}`], async (attacker) => {
        const before = rss(attacker.server);
        const part = framed('x'.repeat(MESSAGE - 100)).subarray(0, MESSAGE - 1_000);
        const sockets = [];
        for (let n = 0; n < 60; n++) sockets.push((await attacker.socket(`hoarder-${n}`)).write(part));
        await until('most of them were cut', () => sockets.filter(({ ended }) => ended).length >= 60 - 16 * MIB / (MESSAGE - 1_000) - 1, { every: 5 });
        assert.ok(rss(attacker.server) < before + 16 * MIB + LEFT, `${mib(rss(attacker.server))} are in use`);
    });

    test('more connections than there are places for, in all or from one address, are closed at once; a place is free again when its holder goes', async () => {
        for (const option of ['--connections', '--connections-per-address']) {
            const server = await serve(own, option, '20');
            const held = await Promise.all(Array.from({ length: 20 }, (_, n) => raw(server, `held-${n}`)));
            const beyond = Array.from({ length: 50 }, () => new Raw(server).write(`${upgrade('beyond')}\r\n`));
            await within(SLACK, Promise.all(beyond.map(({ over }) => over)), `${option}: not all were closed`);
            assert.deepEqual(held.map(({ ended }) => ended), held.map(() => undefined));
            held.pop().drop();
            await until('a place is free', () => raw(server, 'newcomer').catch(() => null), { ms: SLACK, every: 5 });
        }
    });
});

function* drops(drop) {
    for (;;) yield drop;
}
