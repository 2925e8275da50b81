// The native peer (`crates/peer/examples/probe.rs`) with other WebRTC stacks on the other end.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { foreign, STACKS } from '../lib/foreign.mjs';
import { PROBE, serve } from '../lib/peerage.mjs';
import { shared, start } from '../lib/process.mjs';

/** Ours gives up after 30 s of silence. */
const SILENCE = { ms: 45_000 };

suite('the native peer and other stacks', () => {
    const own = shared(after);
    let server;
    before(async () => {
        server = await serve(own);
        // The first time this takes a while.
        for (const { command } of Object.values(STACKS)) await command();
    });

    async function probe(t, ...args) {
        const proc = start(t, 'probe', PROBE, [server.url, randomUUID(), '--serialization', 'raw', ...args]);
        const [, id] = await proc.printed(/^ready (\S+)$/m);
        return { proc, id };
    }

    /** The stack calls the native peer. */
    async function calls(t, stack, ...args) {
        const native = await probe(t);
        return [await foreign(t, stack, server, randomUUID(), '--call', native.id, ...args), native.proc];
    }

    /** The native peer calls the stack. */
    async function called(t, stack, ...args) {
        const id = randomUUID();
        const other = await foreign(t, stack, server, id, ...args);
        return [other, (await probe(t, '--call', id, '--metadata', '{"from":"native"}')).proc];
    }

    for (const stack of Object.keys(STACKS)) {
        suite(stack, () => {
            test('calls: messages come back as they went, without order too, and its end is noticed', async (t) => {
                const [other, native] = await calls(t, stack, '--then', 'close');
                await other.printed(/^same 5$/m);
                await native.printed(/^open \S+ raw label "called by \w+" metadata \{"by":\s?"\w+"\}$/m);
                await native.printed(/^closed .*: closed by the peer$/m);
            });

            test('calls: the end of its channel alone is noticed', async (t) => {
                const [other, native] = await calls(t, stack, '--reliable', '--then', 'reset');
                await other.printed(/^same 5$/m);
                await native.printed(/^closed .*: closed by the peer$/m);
            });

            test('calls: it notices that the native peer closes', async (t) => {
                const [other] = await calls(t, stack, '--reliable', '--then', 'ask');
                await other.printed(/^same 5$/m);
                await other.printed(/^closed$/m);
            });

            test('is called: messages come back as they went, and its end is noticed', async (t) => {
                const [other, native] = await called(t, stack, '--then', 'close');
                const [, offer] = await other.printed(/^offer (.*)$/m);
                const [, channel] = await other.printed(/^open (.*)$/m);
                assert.equal(JSON.parse(channel).label, JSON.parse(offer).label);
                assert.deepEqual(JSON.parse(offer).metadata, { from: 'native' });
                await other.printed(/^greeted hello$/m);
                await other.printed(/^same 5$/m);
                await native.printed(/^closed .*: closed by the peer$/m);
            });

            test('is called: it notices that the native peer closes', async (t) => {
                const [other] = await called(t, stack, '--then', 'ask');
                await other.printed(/^same 5$/m);
                await other.printed(/^closed$/m);
            });
        });
    }

    test('each, called and calling, is missed when it hangs', async (t) => {
        await Promise.all(Object.keys(STACKS).flatMap((stack) => [calls, called].map(async (how) => {
            const [other, native] = await how(t, stack);
            await other.printed(/^same 5$/m);
            other.freeze();
            await native.printed(/^closed /m, SILENCE);
        })));
    });
});
