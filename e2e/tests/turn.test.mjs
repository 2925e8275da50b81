// STUN and TURN of `peerage serve`: by coturn's tools, and by a small client (`lib/stun.mjs`) that can be wrong. `TURN_SERVER=coturn` asks coturn's server the same,
// to see that a failure is ours and not the test's.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { certificate } from '../lib/certificates.mjs';
import { coturn, echoPeer, stunclient, uclient } from '../lib/coturn.mjs';
import { shared, until, within } from '../lib/process.mjs';
import { ATTRIBUTE, CLASS, METHOD, address, client, credentials } from '../lib/stun.mjs';
import { turnServer } from '../lib/turn.mjs';

const OURS = process.env.TURN_SERVER !== 'coturn';
const serve = OURS ? turnServer : coturn;
/** What coturn does otherwise: it signs no refusal by quota and frees places late, knows no expiry after an allocation is made, and says 400 to much. */
const ours = { skip: OURS ? false : 'coturn does otherwise' };
const SECRET = 'sesame';
/** A loopback network answers sooner, and what is to stay silent has been silent for this long. */
const SILENT = 300;
const UDP = [ATTRIBUTE.transport, [17, 0, 0, 0]];
const unixNow = () => Math.floor(Date.now() / 1_000);

const succeeded = (answer, what = 'it') => assert.equal(answer?.class, CLASS.success, `${what}: ${answer ? answer.code : 'no answer'}`);
const refused = (answer, code, what = 'it') => assert.equal(answer?.class === CLASS.error ? answer.code : answer?.class, code, what);

suite('coturn\'s tools through the server', { concurrency: 6, timeout: 200_000 }, () => {
    const own = shared(after);
    let server, echo, echo6;
    before(async () => {
        server = await serve(own, certificate(own, ['localhost', '127.0.0.1']), { secret: SECRET, userQuota: 200 });
        [echo, echo6] = [await echoPeer(own), await echoPeer(own, '::1')];
    });

    for (const host of ['127.0.0.1', '::1']) {
        test(`turnutils_stunclient is told its address at ${host}`, () => {
            assert.ok(stunclient(server.at('udp', host))?.startsWith(`${host}:`));
        });
    }

    /** What `turnutils_uclient` is told. With `-y` its clients speak with each other. */
    const WHAT = {
        'channels': ['-y', '-c'],
        'send indications': ['-y', '-c', '-s'],
        'channels, lengths that four does not divide': ['-y', '-c', '-l', '101'],
        'send indications, lengths that four does not divide': ['-y', '-c', '-s', '-l', '103'],
        'IPv6 relays': ['-y', '-c', '-x'],
        'both families at once': ['-y', '-Z'],
        'permissions and channels asked for again': ['-y', '-c', '-G'],
        'a peer': ['-e', '127.0.0.1', '-r', 'ECHO'],
        'an IPv6 peer': ['-x', '-e', '::1', '-r', 'ECHO6'],
        'a thousand octets, thirty clients': ['-y', '-c', '-l', '1000', '-m', '15', '-n', '100'],
    };
    const UDP_ALONE = { 'odd requests': ['-N', '-y', '-c'], 'DONT-FRAGMENT': ['-g', '-y', '-c'], 'channel data filled up': ['-D', '-y', '-c'], 'to an IPv6 address': ['-y', '-c'] };
    const BY_TLS = {
        'a peer by channels': ['-c'],
        'a peer by send indications': ['-c', '-s'],
        'a peer by channels, lengths that four does not divide': ['-c', '-l', '101'],
        'a peer by send indications, lengths that four does not divide': ['-c', '-s', '-l', '103'],
        'permissions and channels asked for again': ['-c', '-G'],
    };
    for (const [name, what] of Object.entries({ ...WHAT, ...UDP_ALONE })) {
        test(`turnutils_uclient by UDP: ${name}, nothing is lost`, async (t) => {
            lossless(await (name === 'to an IPv6 address' ? run(t, what, server.at('udp', '::1')) : run(t, what)));
        });
    }
    for (const [name, what] of Object.entries(WHAT)) {
        test(`turnutils_uclient by TCP: ${name}, nothing is lost`, async (t) => lossless(await run(t, ['-t', ...what], server.at('tcp'))));
    }
    for (const [name, what] of Object.entries(BY_TLS)) {
        test(`turnutils_uclient by TLS: ${name}, nothing is lost`, async (t) => {
            // The tool reads one TLS record for each time that something came: of two at once the second waits, at the end for ever. With two clients nearly always,
            // with one seldom; a server that loses something loses it each time.
            for (let tries = 2; ; tries--) {
                const result = await run(t, ['-t', '-S', '-e', '127.0.0.1', '-r', 'ECHO', ...what], server.at('tls'));
                if (result.lost === 0 || tries === 0) return lossless(result);
            }
        });
    }

    function run(t, what, at = server.at('udp'), secret = SECRET) {
        const args = what.map((word) => ({ ECHO: `${echo}`, ECHO6: `${echo6}` })[word] ?? word);
        return uclient(t, at, secret, [...(args.includes('-n') ? [] : ['-n', '30']), ...args], 90_000);
    }

    function lossless({ sent, received, lost, code, output }) {
        assert.equal(code, 0, output);
        assert.ok(sent >= 30, output);
        assert.deepEqual({ received, lost }, { received: sent, lost: 0 }, output);
    }

    test('turnutils_uclient with a wrong secret gets nothing', async (t) => {
        const { output, code } = await run(t, ['-y', '-c'], server.at('udp'), 'wrong');
        assert.notEqual(code, 0);
        assert.match(output, /Cannot complete Allocation/);
    });
});

suite('a TURN client', { timeout: 120_000 }, () => {
    const own = shared(after);
    let server, made;
    before(async () => {
        made = certificate(own, ['localhost', '127.0.0.1']);
        server = await serve(own, made, { secret: SECRET, userQuota: 3 });
    });

    let names = 0;
    /** A client with a name of its own, unless one is given. */
    function user(t, { name = `user-${names++}`, expires, transport = 'udp', ...options } = {}) {
        return client(t, server.at(transport), { transport, ca: readFileSync(made.ca), ...credentials(SECRET, { name, expires }), ...options });
    }

    /** The same, with a relay. */
    async function relayed(t, options) {
        const made = await user(t, options);
        succeeded(await made.allocate(options), 'the allocation');
        return made;
    }

    /** A socket at loopback: `{ port, socket, send(relay, text), heard(ms) }`. */
    async function peer(t, address = '127.0.0.1') {
        const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
        t.after(() => socket.close());
        await new Promise((resolve, reject) => socket.once('error', reject).bind(0, address, resolve));
        const queue = [];
        socket.on('message', (data, from) => queue.push({ text: String(data), from }));
        return {
            port: socket.address().port, socket,
            send: (relay, text) => new Promise((resolve) => socket.send(text, relay.port, relay.address, resolve)),
            heard: (ms = 5_000) => until('a datagram for the peer', () => queue.shift(), { ms, every: 5 }).catch(() => null),
        };
    }

    for (const transport of ['udp', 'tcp', 'tls']) {
        test(`by ${transport}: permission, indications, channel, end`, async (t) => {
            const [client, other] = [await relayed(t, { transport }), await peer(t)];
            const { relayed: relay } = client;
            // Without permission, in neither direction.
            client.send('127.0.0.1', other.port, 'too early');
            await other.send(relay, 'too early');
            assert.equal(await client.heard(SILENT), null);
            assert.equal(await other.heard(0), null);
            succeeded(await client.permit('127.0.0.1'));
            client.send('127.0.0.1', other.port, 'indicated');
            const { text, from } = await other.heard();
            assert.deepEqual([text, from.port], ['indicated', relay.port]);
            const first = client.heard(5_000);
            await other.send(relay, 'back');
            const { peer: came, data } = await first;
            assert.deepEqual([came, String(data)], [{ address: '127.0.0.1', port: other.port }, 'back']);
            // Then by channel, in both directions.
            succeeded(await client.bind(0x4001, '127.0.0.1', other.port));
            client.say(0x4001, 'channelled');
            assert.equal((await other.heard()).text, 'channelled');
            const second = client.heard(5_000);
            await other.send(relay, 'back again');
            assert.deepEqual(await second.then(({ channel, data }) => [channel, String(data)]), [0x4001, 'back again']);
            succeeded(await client.refresh(0));
            await gone(relay);
        });
    }

    for (const transport of ['udp', 'tcp', 'tls']) {
        test(`by ${transport}: two thousand packets of all lengths go to a peer and back, in order, nothing is lost`, async (t) => {
            const [client, other] = [await relayed(t, { transport }), await peer(t)];
            other.socket.removeAllListeners('message').on('message', (data, from) => other.socket.send(data, from.port, from.address));
            succeeded(await client.bind(0x4001, '127.0.0.1', other.port));
            const packets = Array.from({ length: 2_000 }, (_, n) => Buffer.concat([Buffer.from([n >> 8, n & 255]), randomBytes(n * 7 % 1_200)]));
            let next = 0;
            const all = new Promise((resolve) => {
                client.onData = ({ channel, data }) => {
                    assert.equal(channel, 0x4001);
                    assert.ok(data.equals(packets[next]), `packet ${next}`);
                    if (++next === packets.length) resolve();
                };
            });
            for (let n = 0; n < packets.length; n++) {
                // No more on their way than buffers of the system hold.
                if (n >= next + 20) await until('packets come back', () => n < next + 20, { every: 1, ms: 5_000 });
                client.say(0x4001, packets[n]);
            }
            await within(5_000, all, () => new Error(`${next} of ${packets.length} came back`));
        });
    }

    /** Waits until nobody listens at a relay's address: the system says so to who sends there. */
    async function gone({ address, port }) {
        const probe = createSocket('udp4');
        try {
            await new Promise((resolve) => probe.connect(port, address, resolve));
            let refused = false;
            probe.on('error', () => { refused = true; });
            await until(`the relay at ${port} is closed`, () => {
                if (!refused) probe.send('?');
                return refused;
            }, { ms: 5_000, every: 10 });
        } finally {
            probe.close();
        }
    }

    test('a relay ends with the connection of its client, and its place is free at once', async (t) => {
        for (const transport of ['tcp', 'tls']) {
            for (const end of ['end', 'resetAndDestroy']) {
                const clients = [];
                for (let n = 0; n < 3; n++) clients.push(await relayed(t, { transport, name: `${transport}-${end}` }));
                const late = await user(t, { name: `${transport}-${end}` });
                refused(await late.allocate(), 486);
                const { socket } = clients[0];
                if (transport === 'tls' && end === 'resetAndDestroy') socket.destroy();
                else socket[end]();
                await gone(clients[0].relayed);
                succeeded(await late.allocate());
            }
        }
    });

    test('a user has as many relays as the quota says, whatever the expiry; others have theirs; one that ends makes room', ours, async (t) => {
        const clients = [];
        for (let n = 0; n < 3; n++) clients.push(await relayed(t, { name: 'greedy', expires: unixNow() + 1_000 + n }));
        const fourth = await user(t, { name: 'greedy', expires: unixNow() + 2_000 });
        const answer = await fourth.allocate();
        refused(answer, 486);
        assert.ok(answer.signedWith(fourth.key), 'a refusal after good credentials is signed');
        await relayed(t, { name: 'modest' });
        succeeded(await clients[1].refresh(0));
        succeeded(await fourth.allocate());
        refused(await (await user(t, { name: 'greedy' })).allocate(), 486);
    });

    test('a lost answer is given again: the same request, the same relay', async (t) => {
        const client = await user(t);
        await client.ask(METHOD.allocate, [UDP]).then((answer) => refused(answer, 401));
        const id = randomBytes(12);
        const [first, second] = [await client.allocate({ id }), await client.allocate({ id })];
        succeeded(first);
        succeeded(second);
        assert.deepEqual(second.address(ATTRIBUTE.relayed), first.address(ATTRIBUTE.relayed));
        refused(await client.allocate(), 437, 'another request');
    });

    test('without credentials: 401, with a realm and a nonce, unsigned', async (t) => {
        const client = await user(t);
        for (const method of [METHOD.allocate, METHOD.refresh, METHOD.permit, METHOD.bind]) {
            const answer = await client.ask(method, [UDP]);
            refused(answer, 401);
            assert.equal(String(answer.get(ATTRIBUTE.realm)), server.realm);
            assert.ok(answer.get(ATTRIBUTE.nonce).length > 0);
            assert.equal(answer.get(ATTRIBUTE.integrity), undefined);
        }
    });

    test('wrong credentials: 401, unsigned, and nothing is made', async (t) => {
        const wrong = {
            'another secret': credentials('other', { name: 'eve' }),
            'expired': credentials(SECRET, { name: 'eve', expires: unixNow() - 1 }),
            'no expiry': credentials(SECRET, { name: 'eve', expires: 'never' }),
            'the password of another name': { ...credentials(SECRET, { name: 'eve' }), username: credentials(SECRET, { name: 'bob' }).username },
            'an expiry put off': { ...credentials(SECRET, { name: 'eve', expires: unixNow() + 5 }), username: `${unixNow() + 50_000}:eve` },
            'an empty password': { ...credentials(SECRET, { name: 'eve' }), password: '' },
        };
        for (const [what, { username, password }] of Object.entries(wrong)) {
            const client = await user(t);
            client.become({ username, password });
            const answer = await client.allocate();
            refused(answer, 401, what);
            assert.equal(answer.get(ATTRIBUTE.integrity), undefined, what);
            refused(await client.permit('127.0.0.1'), 401, what);
        }
    });

    test('credentials that expire while they are used: each request after that is 401', ours, async (t) => {
        const [client, other] = [await relayed(t, { expires: unixNow() + 3 }), await peer(t)];
        succeeded(await client.permit('127.0.0.1'));
        await until('the credentials have expired', async () => (await client.refresh(600)).code === 401, { ms: 6_000, every: 100 });
        refused(await client.permit('127.0.0.1'), 401);
        refused(await client.bind(0x4001, '127.0.0.1', other.port), 401);
        refused(await client.refresh(0), 401);
        refused(await (await user(t, { name: client.name.split(':')[1], expires: unixNow() - 1 })).allocate(), 401);
    });

    test('a nonce that is not good (any more): 438 with one that is', async (t) => {
        const client = await relayed(t);
        for (const nonce of ['invented', randomBytes(300).toString('hex'), Buffer.alloc(0)]) {
            client.nonce = nonce;
            const answer = await client.ask(METHOD.refresh, [[ATTRIBUTE.username, client.name], [ATTRIBUTE.realm, client.realm], [ATTRIBUTE.nonce, nonce]], { key: client.key });
            refused(answer, 438, nonce);
            client.nonce = answer.get(ATTRIBUTE.nonce);
            succeeded(await client.refresh(600));
        }
    });

    test('a relay belongs to who made it: other credentials on its connection are 441', async (t) => {
        const client = await relayed(t);
        client.become(credentials(SECRET, { name: 'somebody-else' }));
        refused(await client.refresh(600), 441);
        refused(await client.permit('127.0.0.1'), 441);
    });

    test('what makes no sense is 400, 420, 437, 440, 442 or 443', ours, async (t) => {
        const fresh = await user(t);
        refused(await fresh.request(METHOD.allocate, []), 400, 'no transport');
        refused(await fresh.request(METHOD.allocate, [[ATTRIBUTE.transport, [6, 0, 0, 0]]]), 442, 'TCP to peers');
        refused(await fresh.request(METHOD.allocate, [UDP, [ATTRIBUTE.family, [9, 0, 0, 0]]]), 440, 'no family');
        const unknown = await fresh.request(METHOD.allocate, [UDP, [0x7f01, [1, 2, 3, 4]]]);
        refused(unknown, 420, 'an unknown attribute that would have to be understood');
        assert.ok(unknown.get(ATTRIBUTE.unknown)?.includes(Buffer.from([0x7f, 0x01])));
        for (const method of [METHOD.refresh, METHOD.permit, METHOD.bind]) refused(await fresh.request(method, (id) => [[ATTRIBUTE.peer, address('127.0.0.1', 9, id)], [ATTRIBUTE.channel, [0x40, 1, 0, 0]]]), 437, 'no relay');
        const client = await relayed(t);
        refused(await client.request(METHOD.permit, []), 400, 'no peer');
        refused(await client.permit('::1'), 443, 'an IPv6 peer of an IPv4 relay');
        for (const channel of [0, 0x3fff, 0x8000, 0xffff]) refused(await client.bind(channel, '127.0.0.1', 9), 400, `channel ${channel}`);
        succeeded(await client.bind(0x4001, '127.0.0.1', 9));
        refused(await client.bind(0x4001, '127.0.0.1', 10), 400, 'a channel of another peer');
        refused(await client.bind(0x4002, '127.0.0.1', 9), 400, 'a peer of another channel');
        succeeded(await client.bind(0x4001, '127.0.0.1', 9), 'the same again');
    });

    test('two clients meet relay to relay', async (t) => {
        for (const family of [4, 6]) {
            const [a, b] = [await relayed(t, { family }), await relayed(t, { family, transport: 'tcp' })];
            succeeded(await a.bind(0x4001, b.relayed.address, b.relayed.port));
            succeeded(await b.permit(a.relayed.address));
            const heard = b.heard(5_000);
            a.say(0x4001, 'across');
            assert.deepEqual(await heard.then(({ peer, data }) => [peer, String(data)]), [a.relayed, 'across']);
            const back = a.heard(5_000);
            b.send(a.relayed.address, a.relayed.port, 'and back');
            assert.deepEqual(await back.then(({ channel, data }) => [channel, String(data)]), [0x4001, 'and back']);
        }
    });
});

/** What IANA's registries do not list as globally reachable, and forms of it; by family of the relay that would be needed. */
const FORBIDDEN = {
    4: [
        '0.0.0.0', '0.1.2.3', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.2.1', '192.88.99.1', '192.168.0.1',
        '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255',
    ],
    6: [
        '::', '::1', '::127.0.0.1', '::8.8.8.8', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:169.254.169.254', '::ffff:8.8.8.8', '::ffff:0:127.0.0.1', '64:ff9b::127.0.0.1', '64:ff9b::10.0.0.1',
        '64:ff9b::169.254.169.254', '64:ff9b:1::1', '64:ff9b:1::8.8.8.8', '100::1', '2001::1', '2001:2::1', '2001:db8::1', '2002:7f00:1::1', '2002:a00:1::1', '3fff::1', '5f00::1', 'fc00::1', 'fd00::1',
        'fe80::1', 'fec0::1', 'ff02::1', 'ff0e::1',
    ],
};

suite('peers that are nobody\'s to reach', { timeout: 60_000, ...ours }, () => {
    const own = shared(after);
    let server;
    before(async () => {
        server = await serve(own, certificate(own, ['localhost']), { secret: SECRET, peers: [] });
    });

    for (const [family, addresses] of Object.entries(FORBIDDEN)) {
        test(`IPv${family}: 403 for permission and channel, and an indication goes nowhere`, async (t) => {
            const client = await relay(t, Number(family));
            for (const address of addresses) {
                const answers = [await client.permit(address), await client.bind(0x4001, address, 9)];
                for (const answer of answers) {
                    refused(answer, 403, address);
                    assert.ok(answer.signedWith(client.key));
                }
            }
            const listener = createSocket(`udp${family}`);
            t.after(() => listener.close());
            let heard = 0;
            listener.on('message', () => heard++);
            await new Promise((resolve) => listener.bind(0, family === '4' ? '127.0.0.1' : '::1', resolve));
            const { port } = listener.address();
            for (const address of family === '4' ? ['127.0.0.1', '127.1.2.3', '0.0.0.0'] : ['::1', '::', '::ffff:127.0.0.1']) client.send(address, port, 'x');
            client.say(0x4001, 'x');
            // What was sent before this request was looked at before it.
            refused(await client.permit(addresses[0]), 403);
            assert.equal(heard, 0);
        });
    }

    async function relay(t, family) {
        const made = await client(t, server.at('udp'), credentials(SECRET, { name: `to-${family}` }));
        succeeded(await made.allocate({ family }));
        return made;
    }

    test('public ones are not refused, and one request for a public and a private one permits neither', async (t) => {
        for (const [family, ip] of [[4, '8.8.8.8'], [6, '2600::1'], [6, '64:ff9b::8.8.8.8']]) {
            const client = await relay(t, family);
            succeeded(await client.permit(ip), ip);
        }
        const client = await relay(t, 4);
        refused(await client.request(METHOD.permit, (id) => [[ATTRIBUTE.peer, address('8.8.8.8', 9, id)], [ATTRIBUTE.peer, address('10.0.0.1', 9, id)]]), 403);
    });

    test('the owner allows by name, and denies before that', async (t) => {
        const server = await serve(t, certificate(t, ['localhost']), { secret: SECRET, peers: ['10.0.0.0/8', '127.0.0.1/32'], args: ['--turn-deny-peer', '10.9.0.0/16', '--turn-deny-peer', '8.8.8.0/24'] });
        const made = await client(t, server.at('udp'), credentials(SECRET, { name: 'chosen' }));
        succeeded(await made.allocate());
        for (const address of ['10.1.2.3', '127.0.0.1', '9.9.9.9']) succeeded(await made.permit(address), address);
        for (const address of ['10.9.1.1', '127.0.0.2', '8.8.8.8', '192.168.1.1']) refused(await made.permit(address), 403, address);
    });
});
