// coturn, Debian's package: its server, beside which the tests of ours can be tried, and its tools.

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { folder } from './peerage.mjs';
import { start } from './process.mjs';

/**
 * coturn's server at some addresses of this machine, with peers there allowed.
 *
 * @param {{ cert: string, key: string }} certificate
 * @returns what `turnServer` in `turn.mjs` does
 */
export async function coturn(owner, certificate, { secret, realm = 'peerage', addresses = ['127.0.0.1', '::1'], userQuota } = {}) {
    const state = folder(owner, 'coturn');
    const [port, tlsPort] = [await free(), await free()];
    const proc = start(owner, 'turnserver', 'turnserver', [
        '-n', '--no-cli', ...addresses.flatMap((address) => ['--listening-ip', address, '--relay-ip', address]), '--listening-port', port, '--tls-listening-port', tlsPort,
        '--cert', certificate.cert, '--pkey', certificate.key, '--use-auth-secret', `--static-auth-secret=${secret}`, '--realm', realm, '--allow-loopback-peers', '--no-dtls',
        ...(userQuota ? [`--user-quota=${userQuota}`] : []), '--log-file', 'stdout', '--pidfile', join(state, 'pid'), '--db', join(state, 'db'),
    ].map(String));
    await proc.printed(/SQLite DB connection success/);
    const at = (transport, host = addresses[0]) => ({ host, port: transport === 'tls' ? tlsPort : port });
    return { proc, secret, realm, at };
}

/**
 * `turnutils_uclient` with a secret: `{ sent, received, lost, output, code }`, packets.
 *
 * @param {{ host: string, port: number }} server
 * @param {string[]} args beside where and who
 */
export async function uclient(owner, { host, port }, secret, args, ms) {
    const proc = start(owner, 'turnutils_uclient', 'turnutils_uclient', ['-p', `${port}`, '-u', 'tester', '-W', secret, ...args, host]);
    const { code } = await proc.end(ms);
    const [, sent, received] = proc.output.match(/start_mclient: tot_send_msgs=(\d+), tot_recv_msgs=(\d+)/) ?? [];
    const [, lost] = proc.output.match(/Total lost packets (\d+)/) ?? [];
    return { sent: Number(sent), received: Number(received), lost: Number(lost), output: proc.output, code };
}

/** `turnutils_peer`, which sends back what comes: its port. */
export async function echoPeer(owner, address = '127.0.0.1') {
    const port = await free(address);
    start(owner, 'turnutils_peer', 'turnutils_peer', ['-L', address, '-p', `${port}`]);
    return port;
}

/** `turnutils_stunclient`: the address that the server saw. */
export function stunclient({ host, port }) {
    const output = execFileSync('turnutils_stunclient', ['-p', `${port}`, host], { encoding: 'utf8', timeout: 10_000 });
    return output.match(/reflexive addr: (\S+)/)?.[1];
}

/** A port that no program has. */
function free(address = '127.0.0.1') {
    return new Promise((resolve, reject) => {
        const probe = createSocket(address.includes(':') ? 'udp6' : 'udp4').once('error', reject);
        probe.bind(0, address, () => {
            const { port } = probe.address();
            probe.close(() => resolve(port));
        });
    });
}
