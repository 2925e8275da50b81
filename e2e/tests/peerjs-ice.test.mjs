// Stock PeerJS and the two lines: its connections get the STUN and TURN servers of the page's own signalling server, and nobody else's.

import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { serve } from '../lib/peerage.mjs';
import { PATIENCE, shared, until, within } from '../lib/process.mjs';
import { VERSIONS, openPeer, stockSite } from '../lib/stock.mjs';

/** The machine's own addresses are no place that a server relays to, unless its owner says so. */
const TURN = ['--turn-listen', '127.0.0.1:0', '--turn-relay-address', '127.0.0.1', '--turn-allow-peer', '127.0.0.1/32'];
/** Whom PeerJS asks where a page says nothing. */
const OTHERS = /google|peerjs\.com/;

for (const [version, client] of Object.entries(VERSIONS)) {
    suite(`pages with PeerJS ${version} and the two lines`, () => {
        const own = shared(after);
        let server, browser, site;
        before(async () => {
            [server, site, browser] = await Promise.all([serve(own, ...TURN), stockSite(own, client), launch(own)]);
        });
        afterEach(() => browser.closeTabs());

        /** A page that has the two lines, writes down with which servers its connections look for a path, and what becomes of the promise. */
        const page = async (answer) => {
            const page = await browser.tab();
            page.asked = [];
            page.on('request', (request) => request.url().includes('/peerjs/ice?') && page.asked.push(request));
            if (answer) await page.route('**/peerjs/ice?*', answer);
            // PeerJS tries at once, with its default servers, whether there is WebRTC: that gathers nothing and asks nobody.
            await page.addInitScript(() => {
                window.gathered = [];
                const configs = new WeakMap();
                const { RTCPeerConnection } = window;
                window.RTCPeerConnection = new Proxy(RTCPeerConnection, {
                    construct(target, [config]) {
                        const connection = new target(config);
                        configs.set(connection, config);
                        return connection;
                    },
                });
                const { setLocalDescription } = RTCPeerConnection.prototype;
                RTCPeerConnection.prototype.setLocalDescription = function (...given) {
                    gathered.push(configs.get(this));
                    return setLocalDescription.apply(this, given);
                };
            });
            await page.goto(site.url);
            await page.addScriptTag({ url: `${server.url}/peerjs/ice.js` });
            await page.evaluate(() => {
                const plain = window.make_peer;
                window.make_peer = (...given) => {
                    const peer = plain(...given);
                    window.ready = Peerage.useIceServers(peer, { onError: (error) => { window.refused = error.code; } });
                    return peer;
                };
            });
            return page;
        };
        const open = (page, id, options) => openPeer(page, server, id, options);
        const ready = (page) => page.evaluate(() => ready.then((servers) => ({ servers }), ({ code }) => ({ code })));
        const urls = (servers) => servers.flatMap(({ urls }) => urls);
        const join_ = (page, id) => page.evaluate((id) => join(id), id);
        /** The configurations of all connections that looked for a path. */
        const made = (page) => page.evaluate(() => gathered);

        test('the first connection is made with them, on both sides, and nobody else hears of it', async () => {
            const [a, b] = [await page(), await page()];
            const [, id] = await Promise.all([open(a, 'ada'), open(b)]);
            await join_(a, id);
            await b.evaluate(() => incoming(0));
            for (const one of [a, b]) {
                const { servers } = await ready(one);
                assert.ok(urls(servers).some((url) => url.startsWith('turn:')), JSON.stringify(servers));
                const [config, ...more] = await made(one);
                assert.deepEqual(config.iceServers, servers);
                assert.equal(config.sdpSemantics, 'unified-plan', 'what else PeerJS configures stays');
                assert.equal(more.length, 0);
                assert.doesNotMatch(JSON.stringify(config), OTHERS);
            }
            assert.equal(a.asked.length, 1);
            assert.equal(new URL(a.asked[0].url()).searchParams.get('id'), 'ada');
            assert.equal(a.asked[0].headers().authorization, `Bearer ${await a.evaluate(() => peer.options.token)}`);
        });

        test('by relays alone two pages find each other through their server', async () => {
            const [a, b] = [await page(), await page()];
            const config = { iceTransportPolicy: 'relay' };
            const [, id] = await Promise.all([open(a, null, { config }), open(b, null, { config })]);
            await join_(a, id);
            await a.evaluate(() => connection.send('through the relay'));
            assert.deepEqual(await b.evaluate(async () => received(await incoming(0), 1)), ['through the relay']);
            for (const one of [a, b]) {
                const kinds = await one.evaluate(async () => {
                    const { peerConnection } = window.connection ?? connections[0];
                    const stats = await peerConnection.getStats();
                    const { selectedCandidatePairId } = [...stats.values()].find(({ type }) => type === 'transport');
                    const pair = stats.get(selectedCandidatePairId);
                    return stats.get(pair.localCandidateId).candidateType;
                });
                assert.equal(kinds, 'relay');
            }
        });

        test('a call that waits for a page to open finds them there', async () => {
            const [a, b] = [await page(), await page()];
            const offered = new Promise((resolve) => a.on('websocket', (socket) => socket.on('framesent', ({ payload }) => payload.includes('"OFFER"') && resolve())));
            await open(a);
            const joined = join_(a, 'late-comer');
            await within(PATIENCE, offered, 'no offer was sent');
            await open(b, 'late-comer');
            await joined;
            const [config] = await made(b);
            assert.deepEqual(config.iceServers, (await ready(b)).servers);
        });

        test('a connection begun when the peer opens has them', async () => {
            const [a, b] = [await page(), await page()];
            const id = await open(b);
            await a.evaluate((id) => {
                const plain = window.make_peer;
                window.make_peer = (...given) => {
                    const peer = plain(...given);
                    peer.on('open', () => { window.begun = peer.connect(id); });
                    return peer;
                };
            }, id);
            await open(a);
            await until('the connection is open', () => a.evaluate(() => begun.open));
            const [config] = await made(a);
            assert.ok(urls(config.iceServers).some((url) => url.startsWith('turn:')), JSON.stringify(config));
            assert.doesNotMatch(JSON.stringify(config), OTHERS);
        });

        test('the page’s own servers stay in front of them', async () => {
            const a = await page();
            const config = { iceServers: [{ urls: 'stun:127.0.0.1:9' }], iceTransportPolicy: 'relay' };
            await open(a, null, { config });
            const { servers } = await ready(a);
            assert.deepEqual(servers[0], config.iceServers[0]);
            assert.ok(servers.length > 1);
            assert.equal(await a.evaluate(() => peer.options.config.iceTransportPolicy), 'relay');
        });

        test('a peer that disconnects and comes back gets new ones', async () => {
            const a = await page();
            await open(a, 'comes-back');
            const before = await a.evaluate(() => peer.options.config);
            await a.evaluate(() => { const gone = once('disconnected'); peer.disconnect(); return gone; });
            await a.evaluate(() => { peer.options.config.iceServers[0].marked = true; return reopened(); });
            const after = await a.evaluate(() => peer.options.config);
            assert.equal(a.asked.length, 2);
            assert.equal(after.iceServers.length, before.iceServers.length);
            assert.ok(after.iceServers.every((one) => !one.marked), 'they are others');
        });

        test('a server that does not know the question leaves the page as it was, and the page is told', async () => {
            const a = await page((route) => route.fulfill({ status: 404, headers: { 'access-control-allow-origin': '*' } }));
            await open(a);
            assert.deepEqual(await ready(a), { code: 'unsupported' });
            assert.equal(await a.evaluate(() => refused), 'unsupported');
            assert.match(JSON.stringify(await a.evaluate(() => peer.options.config)), OTHERS);
            assert.deepEqual(await a.evaluate(() => errors), []);
        });
    });
}
