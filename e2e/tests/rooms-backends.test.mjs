// Backends in other languages, as ../../examples/ has them: real Flask and Express, told of everything by the server's webhooks, which keep what is said and moderate it.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { installed } from '../lib/apps.mjs';
import { folder, lastingPort, ROOT, serve } from '../lib/peerage.mjs';
import { PATIENCE, shared, start, until, within } from '../lib/process.mjs';
import { agreed, aiortcMembers } from '../lib/rooms.mjs';

const example = (...path) => join(ROOT, 'examples', ...path);

const BACKENDS = {
    async Flask() {
        const python = await installed('flask', example('flask', 'requirements.txt'));
        return (owner, state, secret, port) => start(owner, 'Flask', join(python, 'flask'), ['--app', example('flask', 'app.py'), 'run', '--port', `${port}`], {
            env: { ...process.env, WEBHOOK_SECRET_FILE: secret, DATABASE: join(state, 'rooms.db'), PYTHONDONTWRITEBYTECODE: '1' },
        });
    },
    async Express() {
        assert.ok(existsSync(example('express', 'node_modules')), 'npm ci in examples/express');
        return (owner, state, secret, port) => start(owner, 'Express', process.execPath, [example('express', 'app.mjs')], {
            env: { ...process.env, WEBHOOK_SECRET_FILE: secret, LOG: join(state, 'rooms.jsonl'), PORT: `${port}` },
        });
    },
};

for (const [name, prepare] of Object.entries(BACKENDS)) suite(`a backend on ${name}`, () => {
    const own = shared(after);
    let run, secret, backend, server;
    before(async () => {
        run = await prepare();
        const [state, port] = [folder(own), await lastingPort()];
        secret = join(state, 'secret');
        writeFileSync(secret, `${randomBytes(32).toString('hex')}\n`);
        backend = {
            url: `http://127.0.0.1:${port}`,
            async start() {
                this.proc = run(own, state, secret, port);
                await this.proc.printed(/Running on http/);
            },
            get: async (path) => (await fetch(backend.url + path)).json(),
        };
        await backend.start();
        server = await serve(own, '--rooms-webhook', `${backend.url}/rooms`, '--rooms-webhook-secret-file', secret, '--rooms-moderate', '--rooms-moderation-timeout', '10000');
    });
    const now = () => Math.floor(Date.now() / 1_000);
    const key = () => readFileSync(secret, 'utf8').trim();
    const sign = (time, what, by = key()) => `t=${time},v1=${createHmac('sha256', by).update(`${time}.${what}`).digest('hex')}`;
    /** A request as the server's, or not quite; without a signature if it is null. */
    const posted = (body, signature) => fetch(`${backend.url}/rooms`, {
        method: 'POST', body, headers: { 'content-type': 'application/json', ...(signature === null ? {} : { 'peerage-signature': signature }) },
    });
    const message = (more) => JSON.stringify({ id: randomBytes(8).toString('hex'), event: 'message', order: 1, peer_id: 'ada', ...more });
    const post = async (more) => {
        const body = message(more);
        return (await posted(body, sign(now(), body))).json();
    };
    const pair = async (t, room) => {
        const members = await aiortcMembers(t, server, room, ['ada', 'bob']);
        await agreed(members, ['ada', 'bob']);
        return members;
    };

    test('keeps what is said, with who said it, beyond its own restart; drops what is forbidden, and makes what is rude milder', async (t) => {
        const [ada, bob] = await pair(t, 'lobby');
        // At once: the backend is asked about several at a time, in any order, and keeps them in theirs.
        await ada.say('hello');
        await ada.say('win at https://casino.example/now');
        await ada.say('what the heck');
        await ada.say({ not: 'a text' });
        await ada.emit('draw', { x: 1 });
        await bob.told('message', { value: { x: 1 } });
        const said = (value, event = null) => ({ sender: 'ada', value, event });
        assert.deepEqual(bob.messages, [said('hello'), said('what the ****'), said({ not: 'a text' }), said({ x: 1 }, 'draw')]);

        const history = async () => (await backend.get('/history/lobby')).map(({ peer, name, message }) => ({ peer, name, message }));
        const kept = (message, name = null) => ({ peer: 'ada', name, message });
        const expected = [kept('hello'), kept('what the ****'), kept({ not: 'a text' }), kept({ x: 1 }, 'draw')];
        assert.deepEqual(await history(), expected);
        await backend.proc.stop();
        await backend.start();
        assert.deepEqual(await history(), expected);
        assert.deepEqual(await backend.get('/history/elsewhere'), []);
    });

    test('knows who came and went', async (t) => {
        const [ada, bob] = await pair(t, 'door');
        await bob.leave();
        await ada.told('left', { peer: 'bob' });
        const events = async () => (await backend.get('/attendance/door')).map(({ peer, event }) => `${peer} ${event}`).sort();
        await until('it was told', async () => (await events()).length === 3);
        assert.deepEqual(await events(), ['ada joined', 'bob joined', 'bob left']);
    });

    test('believes nobody but the server: without its signature, with an old one, or one of another body, nothing is kept', async () => {
        const [body, at] = [message({ room: 'forged', message: 'hi' }), now()];
        const answer = async (signature) => (await posted(body, signature)).status;
        for (const signature of [null, '', 't=,v1=', 'v1=é', sign(at, body, 'another key'), sign(at - 3_600, body), sign(at, `${body} `), sign(at, body).replace(`${at}`, `${at + 1}`)]) {
            assert.equal(await answer(signature).catch((error) => (signature === 'v1=é' ? 401 : Promise.reject(error))), 401, String(signature));
        }
        assert.deepEqual(await backend.get('/history/forged'), []);
        // Twice the same: once.
        assert.deepEqual([await answer(sign(at, body)), await answer(sign(at, body))], [200, 200]);
        assert.equal((await backend.get('/history/forged')).length, 1);
    });

    test('keeps nothing that is for some alone in what everybody may read, and the rest in the order in which it was said', async () => {
        await post({ room: 'whispers', message: 'aside', to: ['bob'] });
        await post({ room: 'whispers', message: 'to the server', to: [] });
        await post({ room: 'whispers', message: 'aloud', order: 3 });
        // Overtaken on its way.
        await post({ room: 'whispers', message: 'first', order: 2 });
        assert.deepEqual((await backend.get('/history/whispers')).map(({ message }) => message), ['first', 'aloud']);
    });

    test('what it looks for takes no longer for a message of many beginnings: one of 900 KB, for which it would search for minutes', async () => {
        const many = post({ room: 'long', message: 'http://'.repeat(130_000), to: ['bob'] });
        assert.deepEqual(await within(PATIENCE, many, 'it searches'), { action: 'relay' });
    });

    test('that hangs or is gone delays what is said, and no more: it is relayed, and order stays', async (t) => {
        const [ada, bob] = await pair(t, 'patience');
        backend.proc.freeze();
        await ada.say(1);
        await ada.say(2);
        await bob.told('message', { value: 2 });
        await backend.proc.kill();
        await ada.say(3);
        await bob.told('message', { value: 3 });
        assert.deepEqual(bob.messages.map(({ value }) => value), [1, 2, 3]);
        await backend.start();
        await ada.say('what the heck');
        await bob.told('message', { value: 'what the ****' });
    });
});
