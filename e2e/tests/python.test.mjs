// A Python client that behaves towards the server as peerjs-python does: it never sends HEARTBEAT, and asks for its room again and again.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import WebSocket from 'ws';
import { installed } from '../lib/apps.mjs';
import { ROOT, serve } from '../lib/peerage.mjs';
import { start } from '../lib/process.mjs';

/** Longer than the client's 5 s between two pings, by what a busy machine may add; the test is to last several of these. */
const ALIVE_MS = 9_000;
/** Of 3 s each. */
const TURNS = 11;

async function pnpClient(owner, { port }) {
    const bin = await installed('pnp-client');
    const proc = start(owner, 'pnp-client', join(bin, 'python'), [join(ROOT, 'e2e', 'pnp-client', 'client.py'), '127.0.0.1', `${port}`]);
    const [, id] = await proc.printed(/"event": "open", "id": "([^"]+)", "message": \{"type": "OPEN"\}/);
    /** What is printed when these are the others in the room, in a turn that begins from now on. */
    const sees = (others, options) => proc.printed(new RegExp(`"others": \\[${others.map((other) => `"${other}"`).join(', ')}\\]`), { from: proc.output.length, ...options });
    return { proc, id, sees };
}

suite('a client that behaves like peerjs-python', () => {
    test('stays connected for several times the life of a silent client, finds its like, and is told when that is gone', async (t) => {
        // The first time this takes a while, and is none of what is measured.
        await installed('pnp-client');
        const server = await serve(t, '--alive-timeout', `${ALIVE_MS}`);
        const silent = new WebSocket(`ws://127.0.0.1:${server.port}/peerjs?key=peerjs&id=silent&token=t`);
        t.after(() => silent.terminate());
        await once(silent, 'message');
        const dropped = once(silent, 'close', { signal: AbortSignal.timeout(3 * ALIVE_MS) });
        dropped.catch(() => {});
        const since = performance.now();

        const first = await pnpClient(t, server);
        const second = await pnpClient(t, server);
        await Promise.all([first.sees([second.id]), second.sees([first.id])]);

        // Who says nothing is dropped: the limit is in force.
        await dropped;

        await Promise.all([first, second].map(({ proc }) => proc.printed(new RegExp(`"turn": ${TURNS},`), { ms: 60_000 })));
        assert.ok(performance.now() - since > 3 * ALIVE_MS, 'it lasted');
        for (const { proc } of [first, second]) assert.doesNotMatch(proc.output, /"event": "closed"/);
        await Promise.all([first.sees([second.id]), second.sees([first.id])]);

        await second.proc.stop();
        await first.sees([]);
    });
});
