// `peerage doctor` behind routers of all kinds: it says what they do. The networks are `lib/lab.mjs`'s.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { certificate } from '../lib/certificates.mjs';
import { Lab } from '../lib/lab.mjs';
import { inOwnNetwork } from '../lib/own-network.mjs';
import { BINARY, expose, folder } from '../lib/peerage.mjs';
import { shared } from '../lib/process.mjs';

const DOMAIN = 'lab.example';
/** What a whole examination may take where somebody stays silent. */
const LONG = 30_000;
/** And where all answer. */
const SHORT = 5_000;

inOwnNetwork(import.meta.url, () => suite('the doctor behind a router', { timeout: 150_000 }, () => {
    const own = shared(after);
    let lab, ca, target;
    let clients = 0;
    before(async () => {
        lab = new Lab(own);
        const host = lab.host('server');
        lab.resolve({ [host.v4]: DOMAIN, [host.v6]: DOMAIN });
        const made = certificate(own, [DOMAIN, `*.${DOMAIN}`]);
        ca = made.ca;
        const server = host.start(own, 'peerage serve', BINARY, ['serve', '--host', '::', '--port', '443', '--domain', DOMAIN, '--tls-cert', made.cert, '--tls-key', made.key, '--state', folder(own)]);
        await server.printed(/Listening on/);
        target = folder(own, 'target');
    });

    /** What it finds from a machine behind such a router, and what it says to people. */
    async function examined(t, kind, { families, what = `https://${DOMAIN}`, ms = LONG } = {}) {
        const client = lab.client(`client-${++clients}`, kind, { families });
        const state = folder(t);
        const run = async (...more) => {
            const proc = client.start(t, 'peerage doctor', BINARY, ['doctor', '--state', state, '--server-ca', ca, ...more, what], { binary: true });
            let text = '';
            proc.child.stdout.setEncoding('utf8').on('data', (data) => (text += data));
            const began = performance.now();
            const { code } = await proc.end(ms);
            return { code, text, took: performance.now() - began };
        };
        const [json, people] = [await run('--json'), await run()];
        t.diagnostic(`${json.took.toFixed(0)} ms`);
        for (const line of people.text.split('\n')) t.diagnostic(line);
        const report = JSON.parse(json.text);
        const of = (name, part = '') => report.steps.filter((step) => step.name === name && step.subject.includes(part));
        return { ...json, report, people: people.text, status: (name, part) => of(name, part).map((step) => step.status).join(), step: (name, part) => of(name, part)[0] };
    }

    test('where UDP is blocked it says so, that relays by TCP and TLS work, and that connections go by them', async (t) => {
        const { code, report, people, status, step } = await examined(t, 'udp-blocked');
        assert.equal(code, 14);
        assert.equal(status('stun', 'IPv4'), 'failed');
        assert.match(step('stun', 'IPv4').mend, /drops UDP.*TCP or TLS/);
        assert.equal(status('turn', 'UDP'), 'failed');
        assert.equal(status('turn', 'TCP'), 'ok');
        assert.equal(status('turn', 'TLS'), 'ok');
        assert.equal(status('relayed_channel'), 'ok');
        assert.match(report.conclusion, /UDP gets no answer.*relayed, by TCP, TLS/);
        assert.match(people, /FAIL STUN .*does not answer/);
        assert.ok(people.includes(report.conclusion));
    });

    test('where TLS alone gets through it says so', async (t) => {
        const { status, report } = await examined(t, 'tls-only');
        assert.deepEqual(['UDP', 'TCP', 'TLS'].map((way) => status('turn', way)), ['failed', 'failed', 'ok']);
        assert.match(report.conclusion, /relayed, by TLS\./);
    });

    test('a symmetric NAT is told from one that keeps a port, with one server to ask', async (t) => {
        const keeps = await examined(t, 'port-restricted', { ms: SHORT });
        assert.equal(keeps.code, 0);
        assert.equal(keeps.status('nat'), 'ok');
        assert.match(keeps.step('nat').detail, /one port for all/);
        const symmetric = await examined(t, 'symmetric', { ms: SHORT });
        assert.equal(symmetric.code, 0);
        assert.equal(symmetric.status('nat'), 'warning');
        assert.match(symmetric.step('nat').detail, /another port for each destination/);
    });

    test('with both families each is measured, and IPv6 has no NAT to tell of', async (t) => {
        const { code, status, step } = await examined(t, 'port-restricted', { families: [4, 6], ms: SHORT });
        assert.equal(code, 0);
        assert.equal(status('stun'), 'ok,ok');
        assert.match(step('stun', 'IPv6').detail, /as it is/);
        assert.doesNotMatch(step('stun', 'IPv4').detail, /as it is/);
    });

    test('a device behind a symmetric NAT is reached by a relay from behind another one', async (t) => {
        const { link } = await expose(own, target, { on: lab.client('device', 'symmetric'), server: `https://${DOMAIN}`, args: ['--server-ca', ca] });
        const { status, step, report } = await examined(t, 'symmetric', { what: link });
        assert.equal(status('device'), 'ok');
        assert.match(step('device').detail, /let in, relayed/);
        assert.equal(report.conclusion, 'The device can be reached from here.');
    });
}), { timeout: 180_000 });
