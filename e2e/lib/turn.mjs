// `peerage serve` as a STUN and TURN server on this machine.

import { BINARY, folder } from './peerage.mjs';
import { start } from './process.mjs';

/**
 * A server that answers and relays at some addresses of this machine; peers there are allowed unless `peers` says otherwise.
 *
 * @param {{ cert: string, key: string }} certificate for TURN over TLS
 * @returns `{ proc, secret, realm, at(transport, host) }`, `at` gives `{ host, port }`
 */
export async function turnServer(owner, certificate, { secret = 'sesame', realm = 'peerage', addresses = ['127.0.0.1', '::1'], peers = addresses, userQuota, args = [] } = {}) {
    const each = (option, ...values) => values.flatMap((value) => [option, value]);
    const anywhere = addresses.map((address) => (address.includes(':') ? `[${address}]:0` : `${address}:0`));
    const proc = start(owner, 'peerage serve', BINARY, [
        'serve', '--port', '0', '--json', '--state', folder(owner), '--turn-secret', secret, '--turn-realm', realm, '--tls-cert', certificate.cert, '--tls-key', certificate.key,
        ...each('--turn-listen', ...anywhere), ...each('--turn-tls-listen', ...anywhere), ...each('--turn-relay-address', ...addresses),
        ...each('--turn-allow-peer', ...peers), ...(userQuota ? ['--turn-user-quota', `${userQuota}`] : []), ...args,
    ]);
    const [event] = await proc.printed(/\{.*"event":"listening".*\}/);
    const { turn } = JSON.parse(event);
    const at = (transport, host = addresses[0]) => {
        const found = turn[transport].map((place) => new URL(`turn://${place}`)).find(({ hostname }) => hostname.replace(/[[\]]/g, '') === host);
        return { host, port: Number(found.port) };
    };
    return { proc, secret, realm, at };
}
