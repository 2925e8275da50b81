// The examples of rooms, each in two pages, as somebody tries them: one command, then two tabs.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { EXAMPLE, ROOT, folder, lastingPort } from '../lib/peerage.mjs';
import { PATIENCE, shared, start, until } from '../lib/process.mjs';

const PICTURES = join(ROOT, 'e2e', 'out', 'screenshots');
/** Does something where it becomes HTML. */
const MARKUP = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>';

suite('examples of rooms', () => {
    const all = shared(after);
    let browser;
    before(async () => {
        browser = await launch(all);
        mkdirSync(PICTURES, { recursive: true });
    });
    afterEach(() => browser.closeTabs());

    /** An example on a free port: `{ proc, url }`. */
    async function run(owner, name, ...args) {
        const port = args.includes('--port') ? [] : ['--port', '0'];
        const proc = start(owner, name, EXAMPLE(name), [...port, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
        const [, listening] = await proc.printed(/http:\/\/localhost:(\d+)/);
        return { proc, url: `http://localhost:${listening}`, port: Number(listening) };
    }

    /** A tab that has come in under a name. */
    async function enter({ url }, name, { hash = '' } = {}) {
        const page = await browser.tab(`${url}/?name=${encodeURIComponent(name)}${hash}`);
        page.setDefaultTimeout(PATIENCE);
        await connected(page);
        return page;
    }

    const connected = (page) => page.locator('#status[data-is="joined"]').waitFor({ state: 'attached' });

    const person = (page, name) => page.locator('.people:visible li').filter({ has: page.locator('.name', { hasText: new RegExp(`^${escaped(name)}$`) }) });

    const isHost = (page, name) => person(page, name).locator('.host').waitFor();

    async function say(page, text) {
        await page.locator('#say').fill(text);
        await page.locator('#say').press('Enter');
    }

    /** On a desk and on a phone, by day and by night. */
    async function picture(page, name) {
        // A tab behind another one draws nothing that could be shown.
        await page.bringToFront();
        for (const [width, height, colorScheme] of [[1180, 760, 'light'], [1180, 760, 'dark'], [390, 780, 'light'], [390, 780, 'dark']]) {
            await page.emulateMedia({ colorScheme });
            await page.setViewportSize({ width, height });
            await page.screenshot({ path: join(PICTURES, `${name}-${width < 500 ? 'phone' : 'desk'}-${colorScheme}.png`) });
        }
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, 'a phone need not scroll sideways');
        await page.setViewportSize({ width: 1180, height: 760 });
    }

    /** A tab with sixty members of a room, which `all` there are. */
    async function crowd({ url }, room) {
        const page = await browser.tab(`${url}/#elsewhere`);
        await connected(page);
        await page.evaluate(async (room) => {
            window.all = [];
            const ten = () => Array.from({ length: 10 }, (_, n) => Peerage.joinRoom(room, { id: `guest ${all.length + n} of many` }));
            while (all.length < 60) all.push(...await Promise.all(ten()));
        }, room);
        return page;
    }

    /** On a desk and on a phone these parts are in the window, below each other, each with at least so much height. */
    async function fits(page, parts) {
        await page.bringToFront();
        for (const [width, height] of [[390, 780], [1180, 760]]) {
            await page.setViewportSize({ width, height });
            let above = 0;
            for (const [part, least] of Object.entries(parts)) {
                const box = await page.locator(part).boundingBox();
                const where = `${part} at ${width}: ${JSON.stringify(box)}`;
                assert.ok(box.height >= least, where);
                assert.ok(box.x >= 0 && box.x + box.width <= width && box.y >= above && box.y + box.height <= height, where);
                above = Math.floor(box.y + box.height);
            }
            assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, `at ${width} one scrolls sideways`);
        }
    }

    const LONG_NAME = 'Maximiliane-'.repeat(40);
    const LONG_ROOM = 'r'.repeat(200);

    /** Nothing of what a stranger said has become an element, or would have run. */
    async function unharmed(page, text) {
        await page.getByText(text).first().waitFor();
        assert.equal(await page.evaluate(() => window.harmed), undefined);
        assert.equal(await page.locator('img, body script').count(), 0);
    }

    suite('chat', () => {
        const own = shared(after);
        let chat;
        before(async () => { chat = await run(own, 'chat', '--database', join(folder(own), 'chat.sqlite3')); });

        /** What is passed on is kept a moment later. */
        const isKept = ({ url }, room, ...texts) => until(`${texts} are kept`, async () => {
            const kept = await (await fetch(`${url}/history/${room}`)).json();
            return String(kept.map(({ text }) => text)) === String(texts);
        });
        const hears = (page, by, text) => page.locator('.log:visible .line', { hasText: text }).filter({ has: page.locator('.by', { hasText: by }) }).waitFor();
        const lines = (page) => page.locator('.log:visible .text').allTextContents();

        test('two pages talk, see who is there, who is host and who is typing', async () => {
            const [ann, ben] = [await enter(chat, 'Ann Ahlers'), await enter(chat, 'ben')];
            await person(ann, 'ben').waitFor();
            await isHost(ben, 'Ann Ahlers');
            assert.equal(await person(ben, 'ben').locator('.host').count(), 0);
            await say(ann, 'Did anybody water the tomatoes?');
            await hears(ben, 'Ann Ahlers', 'Did anybody water the tomatoes?');
            await say(ben, 'Yes, this morning.');
            await hears(ann, 'ben', 'Yes, this morning.');
            await say(ben, 'And the beans. They are climbing up the fence by now, you should come by and see it before the weekend is over.');
            await ben.locator('#say').pressSequentially('One m');
            await ann.getByText('ben is typing …').waitFor();
            await picture(ann, 'chat');
            await ben.locator('#say').press('Enter');
            await hears(ann, 'ben', 'One m');
            assert.equal(await ann.locator('#typing').textContent(), '', 'who has said it is not typing');
        });

        test('who comes late sees what was said, also when the server was started anew meanwhile', async (t) => {
            const database = join(folder(t), 'chat.sqlite3');
            const first = await run(t, 'chat', '--database', database);
            const ann = await enter(first, 'ann', { hash: '#garden' });
            await say(ann, 'one');
            await say(ann, 'two');
            await isKept(first, 'garden', 'one', 'two');
            const ben = await enter(first, 'ben', { hash: '#garden' });
            await hears(ben, 'ann', 'two');
            assert.deepEqual(await lines(ben), ['one', 'two']);
            await ann.close();
            await ben.close();
            await first.proc.stop();
            assert.equal(first.proc.ended.code, 0);
            const again = await run(t, 'chat', '--database', database);
            const cy = await enter(again, 'cy', { hash: '#garden' });
            await hears(cy, 'ann', 'two');
            assert.deepEqual(await lines(cy), ['one', 'two']);
            const dan = await enter(again, 'dan', { hash: '#workshop' });
            await dan.getByText('Nothing has been said here yet.').waitFor();
        });

        test('the moderator masks words and holds back advertising, for others and for the history, and who wrote it sees that', async () => {
            const [ann, ben] = [await enter(chat, 'ann', { hash: '#moderated' }), await enter(chat, 'ben', { hash: '#moderated' })];
            await person(ann, 'ben').waitFor();
            await say(ann, 'What the heck is that?');
            await say(ann, 'Buy now, free money!');
            await say(ann, 'Sorry.');
            await hears(ben, 'ann', 'Sorry.');
            assert.deepEqual(await lines(ben), ['What the **** is that?', 'Sorry.']);
            await ann.getByText('Changed before it was passed on').waitFor();
            await ann.getByText('Not passed on: advertising').waitFor();
            assert.deepEqual(await lines(ann), ['What the **** is that?', 'Buy now, free money!', 'Sorry.']);
            await picture(ann, 'chat-moderated');
            await isKept(chat, 'moderated', 'What the **** is that?', 'Sorry.');
            const cy = await enter(chat, 'cy', { hash: '#moderated' });
            await hears(cy, 'ann', 'Sorry.');
            assert.deepEqual(await lines(cy), ['What the **** is that?', 'Sorry.']);
        });

        test('a reload keeps the name and the rooms, and shows what was said', async () => {
            const [ann, ben] = [await enter(chat, 'ann', { hash: '#kept' }), await enter(chat, 'ben', { hash: '#kept' })];
            await person(ann, 'ben').waitFor();
            await say(ann, 'before');
            await hears(ben, 'ann', 'before');
            await isKept(chat, 'kept', 'before');
            await ann.reload();
            await connected(ann);
            await hears(ann, 'ann', 'before');
            await say(ben, 'after');
            await hears(ann, 'ben', 'after');
            assert.equal(await ann.locator('#name').inputValue(), 'ann');
            assert.equal(await person(ben, 'ann').count(), 1);
            assert.equal(await ben.locator('.people:visible li').count(), 2);
        });

        test('another name is taken where it is free, and refused where it is not', async () => {
            const [ann, ben] = [await enter(chat, 'ann', { hash: '#names' }), await enter(chat, 'ben', { hash: '#names' })];
            await ben.locator('#name').fill('ann');
            await ben.locator('#name').press('Enter');
            await ben.getByText('“ann” is somebody else here').waitFor();
            await ben.locator('#name').fill('bea');
            await ben.locator('#name').press('Enter');
            await person(ann, 'bea').waitFor();
            await person(ann, 'ben').waitFor({ state: 'detached' });
        });

        test('rooms are apart, and one that is not shown counts what is new in it', async () => {
            const [ann, ben] = [await enter(chat, 'ann', { hash: '#one' }), await enter(chat, 'ben', { hash: '#one' })];
            await person(ann, 'ben').waitFor();
            await ann.locator('#other').fill('two');
            await ann.locator('#other').press('Enter');
            await ann.getByText('Nothing has been said here yet.').waitFor();
            await say(ben, 'in one');
            await say(ben, 'in one again');
            await ann.locator('#rooms a', { hasText: 'one' }).locator('.unread', { hasText: '2' }).waitFor();
            assert.deepEqual(await lines(ann), []);
            await say(ann, 'in two');
            await ann.locator('#rooms a', { hasText: 'one' }).click();
            await hears(ann, 'ben', 'in one again');
            assert.equal(await ann.locator('#rooms a', { hasText: 'one' }).locator('.unread').textContent(), '');
            assert.deepEqual(await lines(ben), ['in one', 'in one again']);
        });

        test('when the host’s page is closed another one is host', async () => {
            const ann = await enter(chat, 'ann', { hash: '#hosts' });
            const [ben, cy] = [await enter(chat, 'ben', { hash: '#hosts' }), await enter(chat, 'cy', { hash: '#hosts' })];
            await isHost(cy, 'ann');
            await ann.close();
            await isHost(cy, 'ben');
            await ben.getByText('You are the host now').waitFor();
            await person(cy, 'ann').waitFor({ state: 'detached' });
        });

        test('while the server is away the page says so, and what is written waits until it is back', async (t) => {
            const args = ['--database', join(folder(t), 'chat.sqlite3'), '--port', String(await lastingPort())];
            const first = await run(t, 'chat', ...args);
            const [ann, ben] = [await enter(first, 'ann'), await enter(first, 'ben')];
            await person(ann, 'ben').waitFor();
            await say(ann, 'before');
            await hears(ben, 'ann', 'before');
            await isKept(first, 'lobby', 'before');
            await first.proc.stop();
            await ann.locator('#status[data-is="reconnecting"]').waitFor();
            await say(ann, 'meanwhile');
            await ann.locator('.line[data-waits]', { hasText: 'meanwhile' }).waitFor();
            await run(t, 'chat', ...args);
            await connected(ann);
            await connected(ben);
            await hears(ben, 'ann', 'meanwhile');
            await until('nothing waits', async () => (await ann.locator('.line[data-waits]').count()) === 0);
            await until('both show both lines', async () => [await lines(ann), await lines(ben)].every((seen) => String(seen) === 'before,meanwhile'));
        });

        test('long names, long words, many lines, many members and many messages break nothing, and do not grow without end', async () => {
            const ann = await enter(chat, LONG_NAME, { hash: `#${LONG_ROOM}` });
            const others = await crowd(chat, LONG_ROOM);
            await ann.locator('.people:visible', { hasText: 'and 11 more' }).waitFor();
            assert.equal(await ann.locator('.people:visible li').count(), 51);
            await isHost(ann, LONG_NAME);
            await others.evaluate(() => {
                for (let n = 0; n < 600; n++) all[n % 4].send(`line ${n}`);
                all[0].send('x'.repeat(1_900));
                all[0].send('line\n'.repeat(350));
                all[0].send('the last');
            });
            await say(ann, 'y'.repeat(700));
            await ann.locator('.log:visible .text', { hasText: 'the last' }).waitFor();
            const { count, highest } = await ann.evaluate(() => {
                const lines = [...document.querySelector('.log').children];
                return { count: lines.length, highest: Math.max(...lines.map((line) => line.offsetHeight)) };
            });
            assert.ok(count <= 500 && highest < 500, `${count} lines, one ${highest} high`);
            await fits(ann, { '.top': 30, '#logs': 300, '#say-form': 30 });
        });

        test('a history that cannot be fetched is said, and fetched when asked again; meanwhile the room is there', async () => {
            const hash = '#unfetched';
            const ann = await enter(chat, 'ann', { hash });
            await say(ann, 'before');
            await isKept(chat, 'unfetched', 'before');
            await browser.context.route('**/history/*', (route) => route.fulfill({ status: 500, contentType: 'application/json', body: '[]' }));
            const ben = await enter(chat, 'ben', { hash });
            await ben.getByText('What was said before could not be fetched.').waitFor();
            await say(ann, 'meanwhile');
            await hears(ben, 'ann', 'meanwhile');
            await isKept(chat, 'unfetched', 'before', 'meanwhile');
            await browser.context.unroute('**/history/*');
            await ben.getByText('Try again').click();
            await hears(ben, 'ann', 'before');
            assert.deepEqual(await lines(ben), ['before', 'meanwhile']);
            assert.equal(await ben.getByText('could not be fetched').count(), 0);
        });

        test('markup in words and in names stays text', async () => {
            const [ann, mallory] = [await enter(chat, 'ann', { hash: '#strangers' }), await enter(chat, MARKUP, { hash: '#strangers' })];
            await person(ann, MARKUP).waitFor();
            await say(mallory, MARKUP);
            await hears(ann, MARKUP, MARKUP);
            await unharmed(ann, MARKUP);
            await isKept(chat, 'strangers', MARKUP);
            await ann.reload();
            await hears(ann, MARKUP, MARKUP);
            await unharmed(ann, MARKUP);
            const answer = await fetch(`${chat.url}/`);
            assert.match(answer.headers.get('content-security-policy'), /default-src 'none'; script-src 'self'; style-src 'self'/);
        });
    });

    suite('whiteboard', () => {
        const own = shared(after);
        let board;
        before(async () => { board = await run(own, 'whiteboard'); });

        /** By mouse, between points of the board: 0 to 1 each way. */
        async function drawn(page, colour, size, ...points) {
            await page.bringToFront();
            await page.locator(`#colours label[title="${colour}"]`).click();
            await page.locator('#sizes label').nth(size).click();
            const { x, y, width, height } = await page.locator('#canvas').boundingBox();
            for (const [at, [across, down]] of points.entries()) {
                await page.mouse.move(x + across * width, y + down * height, { steps: 4 });
                if (at === 0) await page.mouse.down();
            }
            await page.mouse.up();
        }

        /** The colour there, as the page has it; none where nothing is drawn. */
        const colour = (page, across, down) => page.evaluate(([across, down]) => {
            const canvas = document.querySelector('#canvas');
            const [red, green, blue, opaque] = canvas.getContext('2d').getImageData(across * canvas.width, down * canvas.height, 1, 1).data;
            return opaque === 0 ? null : `#${[red, green, blue].map((one) => one.toString(16).padStart(2, '0')).join('')}`;
        }, [across, down]);

        const shows = (page, across, down, wanted) => until(`${wanted} at ${across}, ${down}`, async () => (await colour(page, across, down)) === wanted);

        test('what one draws the other sees, in its colour and size, and who comes late sees all of it', async () => {
            const [ann, ben] = [await enter(board, 'Ann Ahlers'), await enter(board, 'ben')];
            await drawn(ann, 'blue', 1, [0.1, 0.7], [0.25, 0.62], [0.4, 0.7], [0.55, 0.62], [0.7, 0.7], [0.9, 0.6]);
            await drawn(ann, 'orange', 3, [0.8, 0.15], [0.86, 0.22], [0.8, 0.29], [0.74, 0.22], [0.8, 0.15]);
            await shows(ben, 0.4, 0.7, '#2f6fde');
            await drawn(ben, 'red', 2, [0.3, 0.6], [0.42, 0.3], [0.55, 0.6], [0.3, 0.6]);
            await shows(ann, 0.42, 0.6, '#d43d3d');
            const cy = await enter(board, 'cy');
            await shows(cy, 0.4, 0.7, '#2f6fde');
            await shows(cy, 0.42, 0.6, '#d43d3d');
            await shows(cy, 0.74, 0.22, '#e98a15');
            // 60 of 1200 units high and 4 of them: half of it, and what lies beside.
            assert.equal(await colour(cy, 0.74 - 0.015, 0.22), '#e98a15');
            assert.equal(await colour(cy, 0.4, 0.7 + 0.008), null);
            assert.equal(await colour(cy, 0.05, 0.05), null);
            await ben.bringToFront();
            await ben.mouse.move(...await middle(ben));
            await ann.locator('.cursor:not([data-idle])', { hasText: 'ben' }).waitFor();
            await picture(ann, 'whiteboard');
        });

        const middle = async (page) => {
            const { x, y, width, height } = await page.locator('#canvas').boundingBox();
            return [x + width / 2, y + height / 2];
        };

        test('cursors stand where the others point, with their names, until those are gone', async () => {
            const hash = '#cursors';
            const [ann, ben] = [await enter(board, 'ann', { hash }), await enter(board, MARKUP, { hash })];
            await ben.setViewportSize({ width: 500, height: 900 });
            await ben.mouse.move(...await middle(ben));
            const cursor = ann.locator('.cursor', { hasText: MARKUP });
            await cursor.waitFor();
            await until('in the middle of another window, too', () => cursor.evaluate(({ style }) => Math.abs(Number.parseFloat(style.left) - 50) < 1 && Math.abs(Number.parseFloat(style.top) - 50) < 1));
            await unharmed(ann, MARKUP);
            await ben.close();
            await until('the cursor is gone', async () => (await cursor.count()) === 0);
        });

        test('a finger draws, on a screen of any size', async () => {
            const hash = '#fingers';
            const [ann, ben] = [await enter(board, 'ann', { hash }), await enter(board, 'ben', { hash })];
            await ben.setViewportSize({ width: 390, height: 780 });
            await ben.locator('#colours label[title="green"]').click();
            await ben.locator('#sizes label').nth(2).click();
            const { x, y, width, height } = await ben.locator('#canvas').boundingBox();
            const cdp = await ben.context().newCDPSession(ben);
            const touch = (type, ...touchPoints) => cdp.send('Input.dispatchTouchEvent', { type, touchPoints });
            await touch('touchStart', { x: x + 0.25 * width, y: y + 0.5 * height });
            for (const part of [0.35, 0.45, 0.55, 0.65, 0.75]) await touch('touchMove', { x: x + part * width, y: y + 0.5 * height });
            await touch('touchEnd');
            await shows(ann, 0.3, 0.5, '#2a9d5c');
            await shows(ann, 0.7, 0.5, '#2a9d5c');
            assert.equal(await ben.evaluate(() => scrollY), 0);
        });

        test('clearing clears everybody’s board, and that of who comes later', async () => {
            const hash = '#cleared';
            const [ann, ben] = [await enter(board, 'ann', { hash }), await enter(board, 'ben', { hash })];
            await drawn(ann, 'violet', 2, [0.2, 0.2], [0.8, 0.2]);
            await shows(ben, 0.5, 0.2, '#8347c4');
            await ben.locator('#clear').click();
            await shows(ann, 0.5, 0.2, null);
            await drawn(ann, 'pink', 2, [0.2, 0.8], [0.8, 0.8]);
            await shows(ben, 0.5, 0.8, '#e0559e');
            const cy = await enter(board, 'cy', { hash });
            await shows(cy, 0.5, 0.8, '#e0559e');
            assert.equal(await colour(cy, 0.5, 0.2), null);
        });

        test('long names and many members leave the board as large as it was', async () => {
            const ann = await enter(board, LONG_NAME, { hash: `#${LONG_ROOM}` });
            const others = await crowd(board, LONG_ROOM);
            await ann.locator('.people', { hasText: 'and 11 more' }).waitFor();
            await others.evaluate(() => { for (const one of all) one.emit('cursor', [1_600, 1_200]); });
            await until('all point', async () => (await ann.locator('.cursor').count()) === 60);
            await fits(ann, { '.top': 30, '#board': 250, '#tools': 30, '#people': 30 });
        });

        test('a picture that does not come is given up and said after a while, with what was drawn meanwhile, and is fetched when asked again', async () => {
            const hash = '#unfetched';
            const ann = await enter(board, 'ann', { hash });
            await drawn(ann, 'green', 2, [0.2, 0.2], [0.8, 0.2]);
            await browser.context.route('**/picture/*', () => {});
            const ben = await enter(board, 'ben', { hash });
            await drawn(ann, 'red', 2, [0.2, 0.6], [0.8, 0.6]);
            await ben.getByText('What was drawn before could not be fetched.').waitFor();
            await shows(ben, 0.5, 0.6, '#d43d3d');
            assert.equal(await colour(ben, 0.5, 0.2), null);
            await browser.context.unroute('**/picture/*');
            await ben.getByText('Try again').click();
            await shows(ben, 0.5, 0.2, '#2a9d5c');
            await shows(ben, 0.5, 0.6, '#d43d3d');
            await ben.getByText('What was drawn before could not be fetched.').waitFor({ state: 'hidden' });
        });

        test('what is no drawing is passed on to nobody', async () => {
            const hash = '#strangers';
            const ann = await enter(board, 'ann', { hash });
            const mallory = await browser.tab(`${board.url}/#elsewhere`);
            await connected(mallory);
            await mallory.evaluate(async () => {
                const room = await Peerage.joinRoom('strangers', { id: 'mallory' });
                for (const data of [null, {}, { colour: 99, size: 1, points: [1, 1] }, { colour: 1, size: 1, points: [-1, 1e9] }, { colour: 1, size: 1, points: 'x' }, new Uint8Array(9)]) room.emit('draw', data);
                room.emit('cursor', 'x');
                room.emit('clear', { all: true });
                room.emit('draw', { colour: 1, size: 3, points: [800, 600, 900, 600] });
            });
            await shows(ann, 0.5, 0.5, '#d43d3d');
            assert.deepEqual(ann.log, []);
            const picture = async () => (await fetch(`${board.url}/picture/strangers`)).json();
            await until('it is kept', async () => (await picture()).length > 0);
            assert.deepEqual(await picture(), [{ colour: 1, size: 3, points: [800, 600, 900, 600] }]);
        });
    });

    suite('echo', () => {
        const own = shared(after);
        let echo;
        before(async () => { echo = await run(own, 'echo'); });

        const answers = (page, id) => page.locator(`#times tr[data-id="${id}"] td:last-child`);
        const answered = (page, id, count) => until(`${count} answers of ${id}`, async () => (await answers(page, id).allTextContents()).join() === String(count));

        test('the server’s handler answers who asked, and nobody else; other pages acknowledge; both are timed', async () => {
            const [ann, ben] = [await enter(echo, 'Ann Ahlers'), await enter(echo, 'ben')];
            await person(ann, 'ben').waitFor();
            // A member that hears all echoes there are, as a page does not show those of others.
            await ben.evaluate(async () => {
                window.heard = [];
                window.spy = await Peerage.joinRoom('echo', { id: 'spy' });
                spy.on('echo', ({ text }, from) => heard.push(`${text} by ${from}`));
            });
            await say(ann, 'Hello, is there anybody?');
            const line = ann.locator('#log li', { hasText: 'Hello, is there anybody?' });
            assert.match(await line.locator('.time').textContent(), /^\d+\.\d ms$/);
            await answered(ann, 'server', 1);
            await answered(ann, 'ben', 1);
            await ann.locator('#many').click();
            await answered(ann, 'server', 51);
            await answered(ann, 'ben', 51);
            await ben.evaluate(() => spy.emit('echo', { n: 1, text: 'its own' }, { to: 'server' }));
            await until('the spy hears its own', () => ben.evaluate(() => heard.includes('its own by server')));
            assert.deepEqual(await ben.evaluate(() => heard), ['its own by server']);
            await ben.evaluate(() => spy.leave());
            await picture(ann, 'echo');
        });

        test('markup comes back as text', async () => {
            const hash = '#strangers';
            const [ann, mallory] = [await enter(echo, 'ann', { hash }), await enter(echo, MARKUP, { hash })];
            await person(ann, MARKUP).waitFor();
            await say(mallory, MARKUP);
            await unharmed(mallory, MARKUP);
            await say(ann, 'x');
            await ann.locator('#times tr', { hasText: MARKUP }).waitFor();
            await unharmed(ann, MARKUP);
        });
    });

    suite('terminal chat', () => {
        /** What the operator types. */
        const type = ({ proc }, line) => proc.child.stdin.write(`${line}\n`);
        const line = (page, by, text) => page.locator('#log li', { hasText: text }).filter({ has: page.locator('.by', { hasText: by }) });

        test('who sits at the terminal and who has the page talk with each other', async (t) => {
            const terminal = await run(t, 'terminal-chat');
            const [ann, ben] = [await enter(terminal, 'Ann Ahlers'), await enter(terminal, 'ben')];
            await terminal.proc.printed(/^# ben came in$/m);
            await say(ann, 'Is anybody at the machine?');
            await terminal.proc.printed(/^Ann Ahlers: Is anybody at the machine\?$/m);
            type(terminal, 'Yes. The update starts in five minutes, please save your work.');
            for (const page of [ann, ben]) await line(page, 'operator', 'The update starts').waitFor();
            assert.equal(await ann.locator('#log .operator').count(), 1);
            await say(ben, 'Thanks, done.');
            await line(ann, 'ben', 'Thanks, done.').waitFor();
            await picture(ann, 'terminal-chat');

            type(terminal, '/who');
            await terminal.proc.printed(/^Ann Ahlers \(host\)\nben$/m);
            type(terminal, '/kik ben');
            await terminal.proc.printed(/^\/who, \/kick NAME; /m);
            type(terminal, 'Last call.');
            await line(ben, 'operator', 'Last call.').waitFor();
            assert.equal(await ben.locator('#log li', { hasText: '/kik' }).count(), 0, 'a slip is said to nobody');
            type(terminal, '/kick ben');
            await ben.getByText('You were shown out.').waitFor();
            await terminal.proc.printed(/^# ben left$/m);
            terminal.proc.child.stdin.end();
            assert.equal((await terminal.proc.end()).code, 0);
        });

        test('what pages send can neither command the terminal nor a page, nor pass for the operator', async (t) => {
            const terminal = await run(t, 'terminal-chat');
            const ann = await enter(terminal, 'ann');
            const mallory = await enter(terminal, 'operator');
            await mallory.evaluate(async (markup) => {
                const room = await Peerage.joinRoom('terminal', { id: 'mallory' });
                room.send('\u001b[2J\u001b]0;owned\u0007\r\nann: yes\u009b1m\u202e');
                room.send({ not: 'a text' });
                room.send(markup);
            }, MARKUP);
            await terminal.proc.printed(/^mallory: \\u\{1b\}\[2J\\u\{1b\}\]0;owned\\u\{7\}\\u\{d\}\\u\{a\}ann: yes\\u\{9b\}1m\\u\{202e\}$/m);
            await unharmed(ann, MARKUP);
            assert.ok(![...terminal.proc.output].some((character) => character !== '\n' && /\p{Cc}/u.test(character)));
            await say(mallory, 'Give me your passwords.');
            await line(ann, 'operator', 'Give me your passwords.').waitFor();
            assert.equal(await ann.locator('#log .operator').count(), 0, 'a member called operator does not look like the operator');
        });
    });
});

function escaped(text) {
    return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
