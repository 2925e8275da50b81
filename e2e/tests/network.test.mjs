// Browsers as users have them, without any flag about WebRTC, in a network namespace of the test's own: one interface with an address, multicast, nothing else.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { inOwnNetwork } from '../lib/own-network.mjs';
import { expose, serve } from '../lib/peerage.mjs';
import { shared } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';
import { visit } from '../lib/shell.mjs';
import { specialTarget } from '../lib/sites.mjs';

// A veth pair whose ends stay here: addresses and a default route are what a browser takes for a network.
const NETWORK = [
    'link add here type veth peer name there',
    'addr add 10.77.0.1/24 dev here',
    'addr add fd77::1/64 dev here nodad',
    'link set here up',
    'link set there up',
    'route add default via 10.77.0.2 dev here',
];

inOwnNetwork(import.meta.url, inside);

function inside() {
    suite('a browser without any flag about WebRTC', () => {
        const own = shared(after);
        let server, way, target, device, browser;
        before(async () => {
            for (const command of NETWORK) execFileSync('ip', command.split(' '));
            server = await serve(own);
            way = await relay(own, server);
            target = await specialTarget(own);
            device = await expose(own, target.url, { server: way.url });
            browser = await launch(own, { webrtcFlags: false });
        });

        test('shows the app behind a link', async () => {
            await (await visit(browser, `${device.link}/`)).close();
        });

        test('connects where nothing but its .local candidate can: the device\'s own candidates are kept from it', async () => {
            const named = [];
            way.rewrite = (frame, { to }) => {
                if (to === 'client' && frame.payload?.sdp?.sdp) frame.payload.sdp.sdp = frame.payload.sdp.sdp.replace(/a=candidate:.*\r\n/g, '');
                if (to === 'client' && frame.type === 'CANDIDATE' && frame.src === device.device) return [];
                if (to === 'server' && frame.type === 'CANDIDATE' && frame.src !== device.device) named.push(frame.payload.candidate.candidate);
                return [frame];
            };
            const page = await visit(browser, `${device.link}/`);
            const hosts = named.filter((line) => / typ host/.test(line));
            assert.ok(hosts.length > 0);
            for (const line of hosts) assert.match(line, / [0-9a-f-]{36}\.local /);
            await page.close();
        });
    });
}
