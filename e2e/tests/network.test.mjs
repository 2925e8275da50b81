// Browsers as users have them, without any flag about WebRTC, in a network namespace of the test's own: one interface with an address, multicast, nothing else.
// The file runs itself again inside that namespace; `unshare` needs root or unprivileged user namespaces.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../lib/browser.mjs';
import { expose, serve } from '../lib/peerage.mjs';
import { shared, start } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';
import { visit } from '../lib/shell.mjs';
import { specialTarget } from '../lib/sites.mjs';

// A veth pair whose ends stay here: addresses and a default route are what a browser takes for a network.
const SETUP = `set -e
ip link set lo up
ip link add here type veth peer name there
ip addr add 10.77.0.1/24 dev here
ip addr add fd77::1/64 dev here nodad
ip link set here up
ip link set there up
ip route add default via 10.77.0.2 dev here
exec "$@"`;

if (process.env.PEERAGE_NETWORK === 'own') inside();
else outside();

function outside() {
    const unshare = process.getuid() === 0 ? ['unshare', '--net'] : ['unshare', '--user', '--map-root-user', '--net'];
    const possible = () => {
        try {
            execFileSync(unshare[0], [...unshare.slice(1), 'true']);
            return true;
        } catch {
            return false;
        }
    };
    test('in a network of their own', { skip: process.env.CI || possible() ? false : 'neither root nor user namespaces', timeout: 200_000 }, async (t) => {
        const env = { ...process.env, PEERAGE_NETWORK: 'own' };
        delete env.NODE_TEST_CONTEXT;
        const [command, ...args] = [...unshare, 'sh', '-c', SETUP, 'sh', process.execPath, '--test-reporter=spec', fileURLToPath(import.meta.url)];
        const inner = start(t, 'the tests inside', command, args, { env });
        const { code } = await inner.end(190_000);
        assert.equal(code, 0, inner.output);
        for (const line of inner.output.split('\n')) if (/^\s+✔/.test(line)) t.diagnostic(line.trim());
    });
}

function inside() {
    suite('a browser without any flag about WebRTC', () => {
        const own = shared(after);
        let server, way, target, device, browser;
        before(async () => {
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
