// Members of rooms that speak PeerPyRTC's JSON, in a browser and on aiortc, unaware that it is another server: what its read-mes promise them.

import assert from 'node:assert/strict';
import { after, before, beforeEach, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { shared, until } from '../lib/process.mjs';
import { agreed, aiortcMember, aiortcMembers, crash, LOST, oldPageMember, opened, post, roomServer, status } from '../lib/rooms.mjs';

suite('old members', () => {
    const own = shared(after);
    let server, browser, room, rooms = 0;
    before(async () => {
        [server, browser] = await Promise.all([roomServer(own), launch(own)]);
    });
    beforeEach(() => { room = `room ${++rooms}`; });
    const page = (id, options) => oldPageMember(browser, server, room, id, options);
    const python = (t, id) => aiortcMember(t, server, room, id);

    test('a page and aiortc hear each other: chat, events, broadcasts, any JSON, plain text, each as it was sent', async (t) => {
        const [a, b] = [await page('ada'), await python(t, 'bob')];
        await agreed([a, b], ['ada', 'bob']);
        for (const [from, to] of [[a, b], [b, a]]) {
            const sender = from.id;
            await from.say('hi');
            await from.say({ deep: [1, { er: null }] });
            await from.emit('player-move', { x: 5, y: 3 });
            await from.do({ do: 'broadcast', event: 'game-start', data: { level: 1 } });
            await from.do({ do: 'raw', text: '{"event":"chat-list-update","items":[1]}' });
            await from.do({ do: 'raw', text: '{"foo":1}' });
            await from.do({ do: 'raw', text: 'plain tëxt ✓' });
            await from.say('end');
            await to.told('message', { value: 'end' });
            assert.deepEqual(to.messages.filter(({ value }) => value !== 'end'), [
                { sender, value: 'hi', event: null },
                { sender, value: { deep: [1, { er: null }] }, event: null },
                { sender, value: { x: 5, y: 3 }, event: 'player-move' },
                { sender, value: { level: 1 }, event: 'game-start' },
                { sender: 'server', value: { event: 'chat-list-update', items: [1] }, event: 'chat-list-update' },
                { sender: 'unknown', value: { foo: 1 }, event: null },
                { sender: 'unknown', value: 'plain tëxt ✓', event: null },
            ]);
        }
        assert.deepEqual([a.all('closed'), b.all('closed')], [[], []]);
    });

    test('lists, numbers, broken JSON and bytes cut nobody off, and come as they went', async (t) => {
        const [a, b] = [await page('ada'), await python(t, 'bob')];
        await agreed([a, b], ['ada', 'bob']);
        for (const [from, to] of [[a, b], [b, a]]) {
            const texts = ['[1,2]', '"x"', '5', 'null', 'true', '{', '{"peer_id":', '{"type":"SYSTEM"}', ''];
            for (const text of texts) await from.do({ do: 'raw', text });
            await from.do({ do: 'bytes', bytes: [0, 1, 254, 255] });
            await from.say('still here');
            await to.told('message', { value: 'still here' });
            const came = to.all('received');
            for (const text of texts.filter((text) => text && !text.includes('SYSTEM'))) assert.equal(came.filter((one) => one.text === text).length, 1, text);
            assert.deepEqual(came.filter(({ bytes }) => bytes?.length).map(({ bytes }) => bytes), [[0, 1, 254, 255]]);
        }
    });

    test('candidates are used: a page that knows no way to the server is found by what it told of itself', async () => {
        const a = await page('ada', { unreachable: true });
        await opened(a);
    });

    test('there is exactly one host, who came first, and everybody is told; it moves once, to who came next, when it leaves', async (t) => {
        const a = await page('ada');
        const [b, c] = await aiortcMembers(t, server, room, ['bob', 'cy']);
        const d = await page('dan');
        const all = [a, b, c, d];
        await agreed(all, ['ada', 'bob', 'cy', 'dan']);
        await Promise.all(all.map((member) => member.wait('the host is ada', () => member.host === 'ada')));
        assert.equal((await status(server, room)).host_id, 'ada');

        const from = all.map((member) => member.seen.length);
        await a.leave();
        const rest = all.slice(1);
        await agreed(rest, ['bob', 'cy', 'dan']);
        const next = await until('the operator sees another host', async () => (await status(server, room)).host_id, {});
        // What each concludes by itself is not what it is told.
        await Promise.all(rest.map((member) => member.told('host', { peer: next })));
        for (const [n, member] of rest.entries()) {
            await member.told('left', { peer: 'ada' });
            assert.deepEqual(member.seen.slice(from[n + 1]).filter(({ k }) => k === 'host').map(({ peer }) => peer), [next], member.name);
            assert.equal(member.all('left', { peer: 'ada' }).length, 1);
        }
    });

    test('nobody makes itself host, takes another\'s name, or says that another leaves', async (t) => {
        const [a, b, c] = [await page('ada'), await python(t, 'bob'), await page('cy')];
        const all = [a, b, c];
        await agreed(all, ['ada', 'bob', 'cy']);
        await c.do({ do: 'raw', text: '{"type":"SYSTEM","action":"HOST_CHANGE","payload":"cy","peer_id":"cy","target":null,"timestamp":1}' });
        await c.do({ do: 'raw', text: '{"type":"SYSTEM","action":"PEER_LEAVE","payload":{},"peer_id":"bob","target":null,"timestamp":1}' });
        await c.do({ do: 'raw', text: '{"type":"SYSTEM","action":"EVENT","payload":{"event":"pay","data":1},"peer_id":"bob","target":null,"timestamp":1}' });
        await c.do({ do: 'raw', text: '{"peer_id":"server","message":"forged"}' });
        await c.do({ do: 'raw', text: '{"peer_id":"bob","message":"forged"}' });
        await c.say('end');
        for (const member of [a, b]) {
            await member.told('message', { value: 'end' });
            assert.deepEqual(member.messages.filter(({ sender, value }) => sender !== 'cy' && value !== 'end'), [], member.name);
            assert.deepEqual([...member.peers].sort(), ['ada', 'bob', 'cy']);
            assert.equal(member.host, 'ada');
        }
        assert.equal((await status(server, room)).host_id, 'ada');
    });

    for (const how of ['a page whose process crashes', 'an aiortc process that is killed']) {
        test(`${how} leaves no ghost: everyone is told, long before a browser would notice, and the operator sees it gone`, async (t) => {
            const [a, b] = [await page('ada'), await python(t, 'bob')];
            const gone = how.startsWith('a page') ? await page('gone') : await python(t, 'gone');
            await agreed([a, b, gone], ['ada', 'bob', 'gone']);
            const began = performance.now();
            await (gone.page ? crash(gone.page) : gone.proc.kill());
            await agreed([a, b], ['ada', 'bob'], LOST);
            t.diagnostic(`known after ${Math.round(performance.now() - began)} ms`);
            const { peers, count } = await status(server, room);
            assert.deepEqual([peers.map(({ id }) => id).sort(), count], [['ada', 'bob'], 2]);
        });
    }

    test('what the operator says reaches everybody, as from the server', async (t) => {
        const all = [await page('ada'), await python(t, 'bob')];
        await agreed(all, ['ada', 'bob']);
        assert.equal((await post(server, '/broadcast', { room, message: 'hello from the server' })).status, 200);
        for (const member of all) {
            await member.told('message', { value: 'hello from the server' });
            assert.deepEqual(member.messages, [{ sender: 'server', value: 'hello from the server', event: null }]);
        }
    });

    test('the operator sees who is in, since when, with what, and who is host; a room that everybody left is gone', async (t) => {
        const all = [await page('ada'), await python(t, 'bob')];
        await agreed(all, ['ada', 'bob']);
        const expected = [{ id: 'ada', isHost: true }, { id: 'bob', isHost: false }];
        const seen = (peers) => peers.map(({ id, isHost }) => ({ id, isHost })).sort((x, y) => (x.id < y.id ? -1 : 1));
        const one = await status(server, room);
        assert.deepEqual([one.count, one.host_id, seen(one.peers)], [2, 'ada', expected]);
        for (const { id, joinTime, lastSeen, userAgent } of one.peers) {
            assert.ok(Math.abs(Date.now() - joinTime) < 60_000, `${id} joined ${joinTime}`);
            assert.equal(typeof lastSeen, 'number');
            assert.match(userAgent, id === 'ada' ? /Chrom/ : /aiortc/);
        }
        const rooms = async () => (await fetch(`${server.url}/rooms`)).json();
        const { peer_count: count, host_id: host, peers } = (await rooms())[room];
        assert.deepEqual([count, host, seen(peers)], [2, 'ada', expected]);

        await all[1].leave();
        await all[0].told('left', { peer: 'bob' });
        await all[0].leave();
        await until('the room is gone', async () => !(room in await rooms()));
        assert.deepEqual(await status(server, room), { peers: [], count: 0, host_id: null });
    });

    test('a page that is loaded again keeps its new connection, whatever becomes of the old one, and all see it', async (t) => {
        const [a, b, marker] = [await page('ada'), await python(t, 'bob'), await page('marker')];
        await agreed([a, b], ['ada', 'bob', 'marker']);
        // The old connection and the marker die in the same moment, so they are found dead at the same time.
        await Promise.all([a.page.reload(), crash(marker.page)]);
        await a.page.evaluate(([room]) => window.join_room(room, 'ada'), [room]);
        await a.wait('it is in again', () => a.all('open').length === 2);
        await b.told('left', { peer: 'marker' }, LOST);
        await b.say('still there?');
        await a.told('message', { value: 'still there?' });
        await a.say('yes');
        await b.told('message', { sender: 'ada', value: 'yes' });
        // A browser may close the connections of a page that goes, and then it has left for a moment; never after it came back.
        assert.notEqual(b.seen.findLast(({ k, peer }) => (k === 'joined' || k === 'left') && peer === 'ada')?.k, 'left');
        for (const member of [a, b]) assert.deepEqual([...member.peers].sort(), ['ada', 'bob'], member.name);
        const { peers, host_id: host } = await status(server, room);
        assert.deepEqual(peers.map(({ id }) => id).sort(), ['ada', 'bob']);
        await Promise.all([a, b].map((member) => member.wait(`the host is ${host}`, () => member.host === host)));
    });

    test('a second page under the same id takes the place, the first is closed, and what becomes of it does not matter', async (t) => {
        const [first, b] = [await page('ada'), await python(t, 'bob')];
        await agreed([first, b], ['ada', 'bob']);
        const second = await page('ada');
        await first.told('closed');
        await first.page.close();
        await second.say('it is me');
        await b.told('message', { sender: 'ada', value: 'it is me' });
        await b.say('hello you');
        await second.told('message', { sender: 'bob', value: 'hello you' });
        assert.deepEqual([b.all('left'), second.all('closed')], [[], []]);
        assert.equal((await status(server, room)).count, 2);
    });

    test('requests that lack something get the old words, and never a 500', async () => {
        const answers = async (path, bodies) => Promise.all(bodies.map(async (body) => {
            const { status, body: { error } } = await post(server, path, body);
            return [status, error];
        }));
        const missing = 'Missing required fields';
        assert.deepEqual(await answers('/offer', ['{}', '{"room":"x"}', '{"room":"x","peer_id":"p"}']), [[400, 'No JSON data received'], ...Array(2).fill([400, `${missing}: room, peer_id, offer`])]);
        assert.deepEqual(await answers('/candidate', ['{}', '{"room":"x","peer_id":"p"}']), [[400, 'No JSON data received'], [400, missing]]);
        assert.deepEqual(await answers('/leave', ['{}', '{"room":"x"}']), [[400, 'No JSON data received'], [400, missing]]);
        const wrong = ['{', 'x', '[1]', '5', 'null', '{"room":"x","peer_id":"p","offer":{"sdp":"bad","type":"offer"}}', '{"room":"x","peer_id":"p","offer":{"sdp":"v=0"}}',
            '{"room":5,"peer_id":"p","offer":{"sdp":"v=0","type":"offer"}}', `{"room":"${'x'.repeat(300)}","peer_id":"p","offer":{"sdp":"v=0","type":"offer"}}`];
        for (const [n, [status, error]] of (await answers('/offer', wrong)).entries()) {
            assert.equal(status, 400, wrong[n]);
            assert.equal(typeof error, 'string', wrong[n]);
        }
        const ok = [200, { status: 'ok' }];
        const asked = async (path, body) => {
            const { status, body: told } = await post(server, path, body);
            return [status, told];
        };
        assert.deepEqual(await asked('/leave', { room: 'nobody is here', peer_id: 'p' }), ok);
        assert.deepEqual(await asked('/candidate', { room: 'nobody is here', peer_id: 'p', candidate: { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0 } }), ok);
    });
});
