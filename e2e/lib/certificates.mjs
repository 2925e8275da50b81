// Certificates for names of a test's own, by an authority of its own.

import { execFileSync } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { folder } from './peerage.mjs';

/**
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param {string[]} names DNS names or IP addresses
 * @returns `{ ca, cert, key, spki }`: files (PEM), and what `--ignore-certificate-errors-spki-list` of Chromium takes, which holds for `turns:` as well
 */
export function certificate(owner, names) {
    const cwd = folder(owner, 'certificates');
    const openssl = (...args) => execFileSync('openssl', args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
    const fresh = (name) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`];
    openssl('req', '-x509', ...fresh('ca'), '-out', 'ca.pem', '-days', '2', '-subj', '/CN=Test authority',
        '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
    openssl('req', ...fresh('server'), '-out', 'server.csr', '-subj', `/CN=${names[0]}`);
    const form = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`).join(',');
    writeFileSync(join(cwd, 'extensions'), `subjectAltName=${form}\nextendedKeyUsage=serverAuth\n`);
    openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'server.pem', '-days', '2', '-extfile', 'extensions');
    const cert = join(cwd, 'server.pem');
    const { publicKey } = new X509Certificate(readFileSync(cert));
    return {
        ca: join(cwd, 'ca.pem'), cert, key: join(cwd, 'server.key'),
        spki: createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64'),
    };
}
