// Members of every kind in one room: old ones in pages and on aiortc, pages with `joinRoom` and with the old classes of the npm package, and `peerage chat --room`. And what becomes of them when somebody
// hangs, is killed, is loaded again, or when the server itself goes.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { launch } from '../lib/browser.mjs';
import { tree } from '../lib/memory.mjs';
import { lastingPort } from '../lib/peerage.mjs';
import { shared, until } from '../lib/process.mjs';
import { agreed, aiortcMember, aiortcMembers, classMembers, crash, LOST, nativeMember, newPageMember, newPageMembers, oldPageMember, oldPageMembers, roomServer, status } from '../lib/rooms.mjs';

/** How long one may hang and stay. */
const PAUSE = 4_000;

const ids = (members) => members.map(({ id }) => id);
const named = (what, count) => Array.from({ length: count }, (_, n) => `${what}-${n + 1}`);

suite('rooms of members of every kind', () => {
    const own = shared(after);
    let server, browser;
    before(async () => {
        [server, browser] = await Promise.all([roomServer(own), launch(own)]);
    });

    test('twenty: everyone sees everyone and one host, and hears everyone; one that hangs for 4 s stays; when the host is killed all know, long before a browser would, and the host moves once', async (t) => {
        const room = 'twenty';
        const first = await nativeMember(t, server, room, 'native-first');
        const second = await aiortcMember(t, server, room, 'aiortc-second');
        const groups = await Promise.all([
            aiortcMembers(t, server, room, named('aiortc', 4)),
            Promise.all(named('native', 4).map((id) => nativeMember(t, server, room, id))),
            oldPageMembers(browser, server, room, named('old-page', 5)),
            newPageMembers(browser, server, room, named('new-page', 3)),
            classMembers(browser, server, room, named('class', 2)),
        ]);
        const all = [first, second, ...groups.flat()];
        assert.equal(all.length, 20);
        await agreed(all, ids(all));
        await Promise.all(all.map((member) => member.wait('the first one is host', () => member.host === first.id)));

        const say = async (what, members = all) => {
            for (let n = 0; n < 3; n++) await Promise.all(members.map((member) => member.say(`${what} ${n}`)));
        };
        const heard = (member, what, members = all) => member.wait(`it hears ${what} of all`, () => {
            const said = member.messages.filter(({ value }) => String(value).startsWith(`${what} `));
            return said.length >= 3 * (members.length - (members.includes(member) ? 1 : 0)) && said;
        });
        const inOrder = async (what, members = all) => {
            for (const member of all.filter((one) => !one.gone)) {
                const said = await heard(member, what, members);
                for (const other of members) {
                    assert.deepEqual(said.filter(({ sender }) => sender === other.id).map(({ value }) => value), other === member ? [] : [0, 1, 2].map((n) => `${what} ${n}`), `${member.name} of ${other.id}`);
                }
            }
        };
        await say('hello');
        await inOrder('hello');

        // Two that hang, each of a process of its own: an old member and a native one.
        const hanging = [second, groups[1][0]];
        for (const { proc } of hanging) proc.freeze();
        const others = all.filter((member) => !hanging.includes(member));
        await Promise.all([delay(PAUSE), say('meanwhile', others)]);
        for (const { proc } of hanging) proc.thaw();
        await inOrder('meanwhile', others);
        await say('again');
        await inOrder('again');
        for (const member of all) {
            assert.deepEqual([...member.all('left'), ...member.all('closed')], [], member.name);
            assert.equal(member.peers.size, 20, member.name);
        }

        const before = all.map((member) => member.seen.length);
        const began = performance.now();
        first.gone = true;
        await first.proc.kill();
        const rest = all.filter((member) => member !== first);
        await Promise.all(rest.map((member) => member.told('left', { peer: first.id }, LOST)));
        const times = rest.map((member) => member.all('left', { peer: first.id })[0].at - began).sort((a, b) => a - b);
        t.diagnostic(`known after ${Math.round(times[0])} to ${Math.round(times.at(-1))} ms`);
        await Promise.all(rest.map((member) => member.wait('the second one is host', () => member.host === second.id)));
        await say('at last', rest);
        await inOrder('at last', rest);
        await agreed(rest, ids(rest));
        for (const member of rest) {
            const since = member.seen.slice(before[all.indexOf(member)]);
            assert.deepEqual(since.filter(({ k }) => k === 'host').map(({ peer }) => peer), [second.id], member.name);
            assert.deepEqual(since.filter(({ k }) => k === 'left').map(({ peer }) => peer), [first.id], member.name);
        }
        const seen = await status(server, room);
        assert.deepEqual([seen.count, seen.host_id], [19, second.id]);
        await Promise.all(rest.map((member) => member.leave()));
        await until('the room is gone', async () => (await status(server, room)).count === 0);
        await browser.closeTabs();
    });

    test('what one kind says means the same to every other: chat, events with data, bytes', async (t) => {
        const room = 'tongues';
        const speakers = [await oldPageMember(browser, server, room, 'old'), await aiortcMember(t, server, room, 'python'), await newPageMember(browser, server, room, 'new')];
        const [, , fresh] = speakers;
        const native = await nativeMember(t, server, room, 'native');
        const all = [...speakers, native];
        await agreed(all, ids(all));
        const value = { deep: ['tëxt ✓', { er: null }] };
        for (const from of speakers) {
            await from.say(value);
            await from.emit('draw', value);
            await from.do({ do: 'broadcast', event: 'draw', data: 1 });
            await from.do({ do: 'bytes', bytes: [0, 255, 7] });
            await from.say(`end of ${from.id}`);
        }
        await native.say('typed');
        for (const to of all) {
            const others = speakers.filter((other) => other !== to);
            for (const { id } of others) await to.told('message', { value: `end of ${id}` });
            // How each shows bytes: old members have no message of them.
            const bytes = { [fresh.id]: [[{ bytes: [0, 255, 7] }, null]], [native.id]: [[{ octets: 3 }, null]] }[to.id] ?? [];
            for (const { id } of others) {
                const said = to.messages.filter(({ sender }) => sender === id).map(({ value, event }) => [value, event]);
                assert.deepEqual(said, [[value, null], [value, 'draw'], [1, 'draw'], ...bytes, [`end of ${id}`, null]], `${id} to ${to.id}`);
            }
            if (bytes.length === 0) assert.equal(to.all('received', { bytes: [0, 255, 7] }).length, others.length, `bytes to ${to.id}`);
            if (to !== native) await to.told('message', { sender: 'native', value: 'typed', event: null });
        }
        await browser.closeTabs();
    });

    test('the old classes keep what their read-me said: connected when connect() resolves, one host, counts with oneself, events, and a reconnection when the server was away', async (t) => {
        const port = await lastingPort();
        const again = () => roomServer(t, '--port', `${port}`);
        const mortal = await again();
        const room = 'classes';
        const [a, b] = await classMembers(browser, mortal, room, ['ada', 'bob'], { reconnectDelay: 500, maxReconnectAttempts: 50 });
        const c = await aiortcMember(t, mortal, room, 'cy');
        await agreed([a, b, c], ['ada', 'bob', 'cy']);
        for (const member of [a, b]) {
            assert.deepEqual(member.all('connected').map(({ isConnected }) => isConnected), [true]);
            await member.wait('it counts three', () => member.all('update').at(-1)?.count === 3);
        }
        const { host_id: host } = await status(mortal, room);
        await Promise.all([a, b, c].map((member) => member.wait(`the host is ${host}`, () => member.host === host)));
        await a.emit('player-move', { x: 5 });
        for (const member of [b, c]) await member.told('message', { sender: 'ada', value: { x: 5 }, event: 'player-move' });
        await c.say('hi');
        for (const member of [a, b]) await member.told('message', { sender: 'cy', value: 'hi', event: null });

        await mortal.proc.kill();
        await Promise.all([a, b].map((member) => member.wait('it tries to reconnect', () => member.all('status').some(({ status }) => status.startsWith('Reconnecting')))));
        await again();
        await Promise.all([a, b].map((member) => member.wait('it is open again', () => member.all('open').length >= 2)));
        await a.wait('it sees bob again', () => a.peers.has('bob'));
        await a.say('again');
        await b.told('message', { sender: 'ada', value: 'again' });
        assert.deepEqual([a.all('closed'), b.all('closed')], [[], []]);
        await Promise.all([a.leave(), b.leave()]);
        await Promise.all([a, b].map((member) => member.told('closed')));
        assert.deepEqual([a, b].map((member) => member.all('closed').length), [1, 1]);
        await browser.closeTabs();
    });

    test('a page that is loaded again is back under its name, and keeps its new connection', async () => {
        const room = 'reload';
        const [watcher, page] = [await oldPageMember(browser, server, room, 'watcher'), await newPageMember(browser, server, room, 'page')];
        await agreed([watcher, page], ['watcher', 'page']);
        await page.page.reload();
        await page.page.evaluate(([room]) => window.join_room(room, 'page'), [room]);
        await page.wait('it is in again', () => page.all('open').length === 2);
        await page.say('here');
        await watcher.told('message', { sender: 'page', value: 'here' });
        await watcher.say('good');
        await page.told('message', { value: 'good' });
        assert.deepEqual([page.all('closed'), [...watcher.peers].sort()], [[], ['page', 'watcher']]);
        await browser.closeTabs();
    });

    test('a page that another one is shown in place of has left at once; shown again out of the back/forward cache it is in again by itself', async () => {
        const room = 'kept';
        const [watcher, page] = [await newPageMember(browser, server, room, 'watcher'), await newPageMember(browser, server, room, 'page')];
        await agreed([watcher, page], ['watcher', 'page']);
        const { page: tab } = page;
        await tab.evaluate(() => addEventListener('pageshow', ({ persisted }) => Object.assign(window, { persisted })));
        await tab.route('**/elsewhere', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>elsewhere</title>' }));
        await tab.goto(`${server.url}/elsewhere`);
        // By a word of its own: whom the server finds dead is `lost`.
        await watcher.told('left', { peer: 'page', reason: 'left' });
        // It has no load event any more.
        await tab.goBack({ waitUntil: 'commit' });
        // The browser itself says that this is no page loaded anew.
        await until('it is the page that was kept', () => tab.evaluate(() => window.persisted));
        await page.told('state', { state: 'joined' });
        await watcher.wait('it sees the page join again', () => watcher.all('joined', { peer: 'page' }).length === 2);
        await page.say('here again');
        await watcher.told('message', { sender: 'page', value: 'here again' });
        await watcher.say('good');
        await page.told('message', { value: 'good' });
        assert.deepEqual(page.all('closed'), []);
        await browser.closeTabs();
    });

    test('a page whose process crashes, and that is opened again with its token, has never been away, and keeps its new connection when the old one is found dead', async () => {
        const room = 'crash';
        const token = '0123456789abcdef0123456789abcdef';
        const [watcher, page, marker] = [await oldPageMember(browser, server, room, 'watcher'), await newPageMember(browser, server, room, 'page', { token }), await oldPageMember(browser, server, room, 'marker')];
        await agreed([watcher, page], ['watcher', 'page', 'marker']);
        await Promise.all([crash(page.page), crash(marker.page)]);
        const again = await newPageMember(browser, server, room, 'page', { token });
        // What died with the marker is known by now, so would be what died with the page.
        await watcher.told('left', { peer: 'marker' }, LOST);
        await watcher.say('still there?');
        await again.told('message', { value: 'still there?' });
        await again.say('yes');
        await watcher.told('message', { sender: 'page', value: 'yes' });
        assert.deepEqual([watcher.all('left').map(({ peer }) => peer), again.all('closed')], [['marker'], []]);
        await browser.closeTabs();
    });

    test('a page hangs for 4 s and stays; what was said meanwhile comes', async (t) => {
        const room = 'hang';
        const other = await launch(own);
        const [page, watcher] = [await newPageMember(other, server, room, 'page'), await aiortcMember(t, server, room, 'watcher')];
        await agreed([page, watcher], ['page', 'watcher']);
        const processes = tree(other.pid);
        for (const pid of processes) process.kill(pid, 'SIGSTOP');
        await Promise.all([delay(PAUSE), watcher.say('meanwhile')]);
        for (const pid of processes.toReversed()) process.kill(pid, 'SIGCONT');
        await page.told('message', { value: 'meanwhile' });
        assert.deepEqual([...watcher.all('left'), ...page.all('closed'), ...page.all('missed')], []);
    });

    test('when the server is killed and comes back, pages and natives are back in their room by themselves, under their names, with one host', async (t) => {
        const port = await lastingPort();
        const again = () => roomServer(t, '--port', `${port}`);
        const mortal = await again();
        const room = 'phoenix';
        const [a, b] = [await newPageMember(browser, mortal, room, 'ada'), await newPageMember(browser, mortal, room, 'bob')];
        const c = await nativeMember(t, mortal, room, 'cy');
        await agreed([a, b, c], ['ada', 'bob', 'cy']);
        await mortal.proc.kill();
        await Promise.all([a, b].map((member) => member.told('state', { state: 'reconnecting' })));
        const back = await again();
        const began = performance.now();
        await Promise.all([a, b].map((member) => member.told('state', { state: 'joined' })));
        await until('all are in', async () => (await status(back, room)).count === 3);
        t.diagnostic(`all were back after ${Math.round(performance.now() - began)} ms`);
        await a.say('here again');
        await Promise.all([b, c].map((member) => member.told('message', { sender: 'ada', value: 'here again' })));
        await c.say('me too');
        await Promise.all([a, b].map((member) => member.told('message', { sender: 'cy', value: 'me too' })));
        assert.ok(['ada', 'bob', 'cy'].includes((await status(back, room)).host_id));
        await until('one host', async () => {
            const { host_id: host } = await status(back, room);
            return [a, b, c].every((member) => member.host === host);
        });
        await browser.closeTabs();
    });
});
