// Values between the stock PeerJS client in real browsers and the native peer (`crates/peer/examples/probe.rs`): of every kind, of every size, both ways.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import * as chromium from '../lib/browser.mjs';
import * as firefox from '../lib/firefox.mjs';
import { tree } from '../lib/memory.mjs';
import { PROBE, serve } from '../lib/peerage.mjs';
import { shared, start } from '../lib/process.mjs';
import { msgPackSite, stockPeer, stockSite } from '../lib/stock.mjs';

const SEED = Number(process.env.SEED ?? 20_611);
const COUNT = 300;
const MIB = 1 << 20;

const CLIENTS = {
    '1.5.5 in Chromium': { browser: 'chromium', site: (own) => stockSite(own), serializations: ['binary', 'binary-utf8', 'json', 'raw'] },
    '1.5.5 in Chromium, MsgPackPeer': { browser: 'chromium', site: msgPackSite, serializations: ['MsgPack'] },
    '1.4.7 in Chromium': { browser: 'chromium', old: true, site: (own) => stockSite(own, 'peerjs-1-4-7'), serializations: ['binary', 'json', 'raw'] },
    '1.5.5 in Firefox ESR': { browser: 'firefox', site: (own) => stockSite(own), serializations: ['binary', 'json', 'raw'] },
    '1.5.5 in Firefox ESR, MsgPackPeer': { browser: 'firefox', site: msgPackSite, serializations: ['MsgPack'] },
};

suite('values between stock PeerJS pages and the native peer', () => {
    const own = shared(after);
    const browsers = {};
    let server;
    before(async () => {
        server = await serve(own);
        [browsers.chromium, browsers.firefox] = await Promise.all([chromium.launch(own), firefox.launch(own)]);
    });

    /** The native peer, which says back what it hears, or with `--values` is told back: `{ proc, id }`. */
    async function probe(t, ...args) {
        const proc = start(t, 'probe', PROBE, [server.url, randomUUID(), ...args]);
        const [, id] = await proc.printed(/^ready (\S+)$/m);
        return { proc, id };
    }

    for (const [name, { old = false, ...client }] of Object.entries(CLIENTS)) {
        suite(name, () => {
            const mine = shared(after);
            let site;
            before(async () => { site = await client.site(mine); });

            for (const serialization of client.serializations) {
                test(`${serialization}: ${COUNT} values of the page come back equal`, async (t) => {
                    const native = await probe(t);
                    const { page } = await stockPeer(browsers[client.browser], site, server);
                    await page.evaluate(([id, options]) => join(id, options), [native.id, { serialization, reliable: true }]);
                    assert.deepEqual(await page.evaluate((how) => compare_values(connection, ...how), [SEED, COUNT, old]), COUNT);
                    await page.close();
                });

                // Another name for binary, only in what a page asks for; and 1.4.7 reads json in text messages alone, which a native peer sends to who did so first.
                if (serialization === 'binary-utf8' || (old && serialization === 'json')) continue;

                test(`${serialization}: ${COUNT} values of the native peer come back equal`, async (t) => {
                    const { page, id } = await stockPeer(browsers[client.browser], site, server);
                    await page.evaluate(() => peer.on('connection', echo));
                    const native = await probe(t, ...old ? ['--old'] : [], '--call', id, '--serialization', serialization, '--values', `${SEED}`, `${COUNT}`);
                    const [said] = await native.proc.printed(/^(same|different) [^\n]*\n/m);
                    assert.equal(said.slice(0, 500), `same ${COUNT}\n`);
                    await page.close();
                });
            }
        });
    }

    // The rest with one client: what it is about is ours.
    suite('1.5.5 in Chromium', () => {
        let site;
        before(async () => { site = await stockSite(own); });

        /** A page that called the native peer. */
        async function joined(native, options) {
            const { page } = await stockPeer(browsers.chromium, site, server);
            await page.evaluate(([id, options]) => join(id, options), [native.id, options]);
            return page;
        }

        /** Sends bytes of this size and waits for them; whether they are the same. */
        const there_and_back = (page, size) => page.evaluate(async (size) => {
            connection.send(pattern(size));
            const [back] = await received(connection, 1, 120_000);
            return is_pattern(back, size);
        }, size);

        for (const [size, reliable] of [[1, true], [1, false], [16, true], [16, false]]) {
            test(`${size} MiB come back ${reliable ? 'in order' : 'without order'}`, async (t) => {
                const page = await joined(await probe(t), { reliable });
                assert.ok(await there_and_back(page, size * MIB));
                await page.close();
            });
        }

        test('200 MB go through a native peer that streams them, which holds less than 64 MiB', async (t) => {
            const native = await probe(t, '--streams');
            const page = await joined(native, { reliable: true });
            assert.ok(await there_and_back(page, 200_000_000));
            await native.proc.printed(/^stream of 200000000$/m);
            const most = peak(native.proc.pid);
            t.diagnostic(`at most ${(most / MIB).toFixed(1)} MiB`);
            assert.ok(most < 64 * MIB, `${most}`);
            await page.close();
        });

        test('200 MB that a native peer takes whole are in its memory once', async (t) => {
            const native = await probe(t);
            const page = await joined(native, { reliable: true });
            assert.ok(await there_and_back(page, 200_000_000));
            const most = peak(native.proc.pid);
            t.diagnostic(`at most ${(most / MIB).toFixed(1)} MiB`);
            assert.ok(most < 200_000_000 + 64 * MIB, `${most}`);
            await page.close();
        });

        test('a small message does not wait for a large one', async (t) => {
            const page = await joined(await probe(t), { reliable: true });
            const sizes = await page.evaluate(async () => {
                connection.send(pattern(32 << 20));
                connection.send('small');
                return (await received(connection, 2, 60_000)).map((data) => data.byteLength ?? data);
            });
            assert.deepEqual(sizes, ['small', 32 * MIB]);
            await page.close();
        });

        test('the native peer says label, metadata and order of its call, and hears those of the page', async (t) => {
            const { page, id } = await stockPeer(browsers.chromium, site, server);
            const native = await probe(t, '--call', id, '--label', 'doors & windows', '--metadata', '{"room":[7,null,"ä"]}', '--unordered', '--serialization', 'json');
            const seen = await page.evaluate(async () => {
                const { label, metadata, reliable, serialization } = await incoming(0);
                await new Promise((resolve) => connections[0].open ? resolve() : connections[0].on('open', resolve));
                return { label, metadata, reliable, serialization, ordered: connections[0].dataChannel.ordered };
            });
            assert.deepEqual(seen, { label: 'doors & windows', metadata: { room: [7, null, 'ä'] }, reliable: false, serialization: 'json', ordered: false });
            await page.evaluate((id) => join(id, { label: 'back', metadata: 'text', serialization: 'raw' }), native.id);
            await native.proc.printed(/^open \S+ raw label "back" metadata "text"$/m);
            await page.close();
        });

        test('null as a whole message reaches the native peer, and the connection goes on', async (t) => {
            const native = await probe(t);
            const page = await joined(native, { reliable: true });
            // Ours answers as well, and is lost at the page: a fault of its client.
            const back = await page.evaluate(() => { connection.send(null); connection.send('after'); return received(connection, 1); });
            assert.deepEqual(back, ['after']);
            await native.proc.printed(/^heard null$/m);
            await page.close();
        });

        test('a page that flushes and closes is heard to the end, and closed', async (t) => {
            for (const serialization of ['binary', 'json']) {
                const native = await probe(t);
                const page = await joined(native, { serialization, reliable: true });
                const back = await page.evaluate(async () => {
                    for (let n = 0; n < 100; n++) connection.send(n);
                    connection.close({ flush: true });
                    await connection.ended;
                    return connection.received.length;
                });
                assert.equal(back, 100, serialization);
                await native.proc.printed(/^closed /m);
                await page.close();
            }
        });

        test('what the native peer sent before it closed arrives', async (t) => {
            const page = await joined(await probe(t), { reliable: true });
            const back = await page.evaluate(async () => {
                for (let n = 0; n < 100; n++) connection.send(pattern(30_000));
                connection.send('close');
                await connection.ended;
                return connection.received.filter((data) => is_pattern(data, 30_000)).length;
            });
            assert.equal(back, 100);
            await page.close();
        });

        test('a page that wants a serialization that nobody knows is refused, and told', async (t) => {
            const native = await probe(t);
            const { page } = await stockPeer(browsers.chromium, site, server);
            const told = await page.evaluate(async (id) => {
                peer._serializers.mine = class extends peer._serializers.raw { serialization = 'mine'; };
                return join(id, { serialization: 'mine' }).then(() => 'open', (error) => error.message);
            }, native.id);
            assert.match(told, /^webrtc: /);
            await page.close();
        });

        test('a browser that hangs costs the native peer little, and no other page notices', async (t) => {
            const native = await probe(t);
            const [hanging, page] = [await chromium.launch(t), await joined(native, { reliable: true })];
            const { page: victim } = await stockPeer(hanging, site, server);
            await victim.evaluate((id) => join(id, { reliable: true }), native.id);
            const all = tree(hanging.proc.pid);
            const signal = (name) => all.forEach((pid) => { try { process.kill(pid, name); } catch { /* It ended meanwhile. */ } });
            await victim.evaluate(() => connection.send('flood 2000 16000'));
            await native.proc.printed(/^flooding$/m);
            signal('SIGSTOP');
            t.after(() => signal('SIGCONT'));
            const rounds = await page.evaluate(async () => {
                const begun = performance.now();
                for (let n = 1; n <= 200; n++) {
                    connection.send(n);
                    await received(connection, n);
                }
                return performance.now() - begun;
            });
            assert.ok(rounds < 10_000, `200 rounds took ${rounds} ms`);
            assert.ok(peak(native.proc.pid) < 64 * MIB);
            assert.doesNotMatch(native.proc.output, /^flooded$/m, 'it waits');
            signal('SIGCONT');
            await native.proc.printed(/^flooded$/m);
            assert.equal(await victim.evaluate(async () => (await received(connection, 2000)).length), 2000);
            await page.close();
        });
    });
});

/** The most memory that a process ever had, in octets. */
function peak(pid) {
    return 1024 * Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB/m)[1]);
}
