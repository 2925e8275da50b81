// Test files that run in a network of their own. Such a file runs itself again in new namespaces: what it changes of networks, mounts and names is gone with it, whatever ends it.
// That needs root or unprivileged user namespaces.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start } from './process.mjs';

// The end of the first process ends all the others: they have a process namespace too.
const UNSHARE = ['unshare', ...(process.getuid() === 0 ? [] : ['--user', '--map-root-user']), '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

// Names of namespaces (`ip netns`) live in /run.
const SETUP = 'set -e; mount -t tmpfs none /run; ip link set lo up; exec "$@"';

/**
 * @param {string} file the test file's `import.meta.url`
 * @param {() => void} inside defines its tests; what they say as diagnostics is passed on
 * @param {{ timeout?: number }} [options]
 */
export function inOwnNetwork(file, inside, { timeout = 200_000 } = {}) {
    if (process.env.PEERAGE_NETWORK === 'own') return inside();
    // Where it must be possible, an impossible one is a failure and no skip.
    const skip = process.env.CI || process.getuid() === 0 || possible() ? false : 'neither root nor user namespaces';
    test('in a network of their own', { skip, timeout }, async (t) => {
        // Some of the commands lie where only root looks.
        const env = { ...process.env, PEERAGE_NETWORK: 'own', PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
        delete env.NODE_TEST_CONTEXT;
        const [command, ...args] = [...UNSHARE, 'sh', '-c', SETUP, 'sh', process.execPath, '--test-reporter=spec', fileURLToPath(file)];
        const inner = start(t, 'the tests inside', command, args, { env });
        const { code } = await inner.end(timeout - 10_000);
        assert.equal(code, 0, `${inner.output}\n${possible() ? '' : 'This test needs new namespaces, and the system does not give any: run it as root, with CAP_SYS_ADMIN.'}`);
        for (const line of inner.output.split('\n')) if (/^\s*(✔|ℹ (?!tests|suites|pass|fail|cancelled|skipped|todo|duration))/.test(line)) t.diagnostic(line.trim());
    });
}

function possible() {
    try {
        execFileSync(UNSHARE[0], [...UNSHARE.slice(1), 'true'], { stdio: 'ignore' });
        return true;
    } catch {
        return false;
    }
}
