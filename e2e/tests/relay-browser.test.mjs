// Browsers and relays: pages that are kept to one relay, by one transport, and browsers left alone behind NATs. The networks are `lib/lab.mjs`'s; the browser runs in this process's own,
// behind a router.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { certificate } from '../lib/certificates.mjs';
import { Lab } from '../lib/lab.mjs';
import { inOwnNetwork } from '../lib/own-network.mjs';
import { BINARY, expose, folder } from '../lib/peerage.mjs';
import { shared, until } from '../lib/process.mjs';
import { shown, words } from '../lib/shell.mjs';
import { stockSite } from '../lib/stock.mjs';

const DOMAIN = 'lab.example';
const TEXT = 'shown through a relay';
/** From the opening of a link until the app is shown. */
const SOON = 5_000;

/** Which URLs lead to a relay by each transport. */
const TRANSPORTS = {
    udp: /^turn:.*transport=udp$/,
    tcp: /^turn:.*transport=tcp$/,
    tls: /^turns:/,
};

inOwnNetwork(import.meta.url, () => suite('browsers and relays', { timeout: 240_000 }, () => {
    const own = shared(after);
    let lab, here, ca, browser, site, target;
    before(async () => {
        lab = new Lab(own);
        const host = lab.host('server');
        lab.resolve({ [host.v4]: DOMAIN });
        here = lab.here('port-restricted');
        const made = certificate(own, [DOMAIN, `*.${DOMAIN}`]);
        ca = made.ca;
        await host.start(own, 'peerage serve', BINARY, [
            'serve', '--host', '0.0.0.0', '--port', '443', '--domain', DOMAIN, '--tls-cert', made.cert, '--tls-key', made.key, '--state', folder(own), '--cors', '*',
        ]).printed(/Listening on/);
        site = await stockSite(own);
        target = folder(own, 'target');
        writeFileSync(join(target, 'index.html'), `<title>app</title><p id="text">${TEXT}</p>`);
        // `turns:` is refused without the first, as https is. For a relay by UDP a browser looks up the name with a dot behind it.
        const names = [DOMAIN, `${DOMAIN}.`, `*.${DOMAIN}`].map((name) => `MAP ${name} ${host.v4}`);
        browser = await launch(own, { webrtcFlags: false, args: [`--ignore-certificate-errors-spki-list=${made.spki}`, `--host-resolver-rules=${names}`] });
    });

    /** A device on a network of its own. There is one of each kind. */
    const devices = new Map();
    async function device(kind) {
        if (!devices.has(kind)) devices.set(kind, await expose(own, target, { on: lab.client(`device-${kind}`, kind), server: `https://${DOMAIN}`, args: ['--json', '--server-ca', ca] }));
        return devices.get(kind);
    }

    /** Somebody with a browser profile of their own, whose pages know one way to the relay and no other way out, if `transport` is given. */
    async function person(t, transport) {
        const context = await browser.browser.newContext();
        t.after(() => context.close().catch(() => {}));
        await context.addInitScript((wanted) => {
            const { RTCPeerConnection } = window;
            const kept = (config = {}) => ({
                ...config, iceTransportPolicy: 'relay',
                iceServers: (config.iceServers ?? []).map((server) => ({ ...server, urls: [server.urls].flat().filter((url) => new RegExp(wanted).test(url)) })).filter(({ urls }) => urls.length > 0),
            });
            window.connections_made = [];
            window.RTCPeerConnection = class extends RTCPeerConnection {
                constructor(config) {
                    super(wanted ? kept(config) : config);
                    connections_made.push(this);
                }

                setConfiguration(config) {
                    super.setConfiguration(wanted ? kept(config) : config);
                }
            };
        }, transport ? TRANSPORTS[transport].source : null);
        return {
            async tab(url) {
                const page = await context.newPage();
                page.log = [];
                page.on('console', (message) => page.log.push(`${message.type()}: ${message.text()}`));
                page.on('pageerror', (error) => page.log.push(`error: ${error.message}`));
                if (url) await page.goto(url);
                return page;
            },
        };
    }

    /** The candidates by which a page's last connection goes: `{ local, remote, by }`, `by` the transport to the relay. The browser says so a moment after it opened. */
    function path(page) {
        return until('the browser says how its packets go', () => page.evaluate(async () => {
            const connection = connections_made.findLast(({ connectionState }) => connectionState === 'connected');
            const stats = [...((await connection?.getStats()) ?? new Map()).values()];
            const named = (wanted) => stats.find(({ id }) => id === wanted);
            const pair = named(stats.find(({ type }) => type === 'transport')?.selectedCandidatePairId);
            const [local, remote] = [named(pair?.localCandidateId), named(pair?.remoteCandidateId)];
            return local && remote && { local: local.candidateType, remote: remote.candidateType, by: local.relayProtocol };
        }));
    }

    /** A page with stock PeerJS and our two lines, with an id. */
    async function stockPage(t, transport) {
        const page = await (await person(t, transport)).tab(site.url);
        await page.addScriptTag({ url: `https://${DOMAIN}/peerjs/ice.js` });
        const id = await page.evaluate(async (host) => {
            const plain = window.make_peer;
            window.make_peer = (...given) => {
                const peer = plain(...given);
                Peerage.useIceServers(peer);
                return peer;
            };
            return open_peer(null, 443, { host, secure: true });
        }, DOMAIN);
        return { page, id };
    }

    for (const [a, b] of [['udp', 'udp'], ['tcp', 'tcp'], ['tls', 'tls'], ['udp', 'tls']]) {
        test(`two pages with stock PeerJS that know nothing but relays (${a}, ${b}) meet relay to relay`, async (t) => {
            const [one, other] = [await stockPage(t, a), await stockPage(t, b)];
            const began = performance.now();
            await one.page.evaluate((id) => join(id, { serialization: 'raw', reliable: true }), other.id);
            const took = performance.now() - began;
            const back = await Promise.all([
                one.page.evaluate(async () => {
                    for (const size of [1, 101, 1_200, 65_536]) connection.send(new Uint8Array(size).fill(size));
                    return (await received(connection, 1))[0];
                }),
                other.page.evaluate(async () => {
                    const connection = await incoming(0);
                    const sizes = (await received(connection, 4)).map((data) => data.byteLength ?? data.size);
                    connection.send(sizes.join(' '));
                    return 'sent';
                }),
            ]);
            assert.deepEqual(back, ['1 101 1200 65536', 'sent']);
            for (const [{ page }, by] of [[one, a], [other, b]]) assert.deepEqual(await path(page), { local: 'relay', remote: 'relay', by });
            t.diagnostic(`open in ${took.toFixed(0)} ms`);
        });
    }

    /**
     * Opens a link and waits for the app; page and device come to say this word of how they are connected. On a busy machine a relay may be there before the direct
     * way, which then takes its place.
     */
    async function opened(t, kind, word, transport) {
        const { link, proc } = await device(kind);
        const from = proc.output.length;
        const began = performance.now();
        const page = await (await person(t, transport)).tab(link);
        const frame = await shown(page, 2 * SOON);
        assert.equal(await frame.locator('#text').innerText(), TEXT);
        await until(`the page says ${word}`, async () => new RegExp(`\\b${word}\\b`).test(await words(page)));
        // Of all that the device says of ways, the last.
        await proc.printed(new RegExp(`"event":"(connected|route)"[^\\n]*"route":"${word.toLowerCase()}"(?![^]*"route":)`), { from });
        const took = performance.now() - began;
        t.diagnostic(`${word}, in ${took.toFixed(0)} ms`);
        return { page, took };
    }

    for (const transport of Object.keys(TRANSPORTS)) {
        test(`a page that knows nothing but a relay by ${transport} shows an app: Relayed, as both say`, async (t) => {
            const { page } = await opened(t, 'port-restricted', 'Relayed', transport);
            const { local, by } = await path(page);
            assert.deepEqual({ local, by }, { local: 'relay', by: transport });
        });
    }

    for (const [browsers, devices, word] of [
        ['port-restricted', 'port-restricted', 'Direct'],
        ['port-restricted', 'symmetric', 'Relayed'],
        ['symmetric', 'symmetric', 'Relayed'],
        ['udp-blocked', 'symmetric', 'Relayed'],
        ['tls-only', 'udp-blocked', 'Relayed'],
    ]) {
        test(`a browser as it is (${browsers}) shows the app of a device (${devices}) within 5 s: ${word}, as both say`, async (t) => {
            here.behind(browsers);
            const { took } = await opened(t, devices, word);
            assert.ok(took < SOON, `it took ${took.toFixed(0)} ms`);
        });
    }
}), { timeout: 260_000 });
