// Words and files between terminals and pages: `peerage chat`, `send`, `receive`, and examples/file-drop.

import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { BINARY, HELLO, ROOT, folder, serve } from '../lib/peerage.mjs';
import { shared, start, until } from '../lib/process.mjs';
import { stockPeer, stockSite } from '../lib/stock.mjs';
import { staticSite } from '../lib/sites.mjs';

const own = shared(after);
let server, browser, stock;
before(async () => {
    server = await serve(own, '--no-turn');
    browser = await launch(own);
    stock = await stockSite(own);
});

/** A command with its stdin open: `.say(text)`, `.done()`. */
function run(t, command, ...args) {
    const proc = start(t, `peerage ${command}`, BINARY, [command, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    proc.child.stdin.on('error', () => {});
    return Object.assign(proc, { say: (text) => proc.child.stdin.write(text), done: () => proc.child.stdin.end() });
}

suite('chat between a terminal and a page with stock PeerJS', () => {
    const chat = (t, ...args) => run(t, 'chat', '--server', server.url, ...args);

    for (const serialization of ['binary', 'json', 'raw']) {
        test(`the terminal calls, serialization ${serialization}`, async (t) => {
            const { page, id } = await stockPeer(browser, stock, server);
            const terminal = chat(t, id, '--serialization', serialization, '--name', 'Ann');
            await terminal.printed(/is here, direct/);
            terminal.say('hello\nsecond line\n');
            const heard = await page.evaluate(async () => {
                const connection = await incoming(0);
                const data = await received(connection, 2);
                connection.send('and you');
                return { data, metadata: connection.metadata, serialization: connection.serialization };
            });
            assert.deepEqual(heard, { data: ['hello', 'second line'], metadata: { name: 'Ann' }, serialization });
            await terminal.printed(new RegExp(`^${id}: and you$`, 'm'));
            terminal.done();
            assert.deepEqual(await terminal.end(), { code: 0, signal: null });
        });
    }

    test('the page calls, says more than text, and the next caller gets through when it has left', async (t) => {
        const id = randomUUID();
        const terminal = chat(t, '--id', id);
        await terminal.printed(new RegExp(`peerage chat ${id} --server ${server.url}`));
        const { page } = await stockPeer(browser, stock, server);
        await page.evaluate((id) => join(id, { metadata: { name: 'Bob' } }), id);
        await page.evaluate(() => { connection.send('tëxt ✓'); connection.send({ a: [1, null] }); connection.send(new Uint8Array(5)); });
        await terminal.printed(/^Bob: tëxt ✓\nBob: \{"a":\[1,null\]\}\nBob: \[5 octets\]$/m);
        terminal.say('welcome\n');
        assert.deepEqual(await page.evaluate(() => received(connection, 1)), ['welcome']);
        await page.evaluate(() => connection.close());
        await terminal.printed(/Bob is gone/);
        const next = await stockPeer(browser, stock, server);
        await next.page.evaluate((id) => join(id, { reliable: true }), id);
        await next.page.evaluate(() => connection.send('me now'));
        await terminal.printed(new RegExp(`^${next.id}: me now$`, 'm'));
    });

    test('what a page says does nothing to the terminal', async (t) => {
        const id = randomUUID();
        const terminal = chat(t, '--id', id);
        await terminal.printed(/^Id /m);
        const { page } = await stockPeer(browser, stock, server);
        await page.evaluate((id) => join(id, { metadata: { name: '\x1b]0;x\x07' } }), id);
        await page.evaluate(() => connection.send('\x1b[2J\x1b[31mred\u202egpj\nboss: pay'));
        await terminal.printed(/u\{1b\}\[2J.*red.*\n {4}boss: pay$/m);
        assert.doesNotMatch(terminal.output, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    });

    test('two terminals talk through pipes, and the end of one ends the other', async (t) => {
        const id = randomUUID();
        const waits = run(t, 'chat', '--id', id, '--server', server.url, '--json');
        await waits.printed(/"event":"ready"/);
        const calls = chat(t, id);
        calls.say('one\n'.repeat(1_000));
        calls.done();
        assert.equal((await calls.end()).code, 0);
        await waits.printed(/"event":"disconnected"/);
        const said = waits.output.split('\n').filter((line) => line.includes('"event":"message"')).map((line) => JSON.parse(line).value);
        assert.deepEqual(said, Array(1_000).fill('one'));
    });

    test('a second caller is told that the first is still there', async (t) => {
        const id = randomUUID();
        const waits = chat(t, '--id', id);
        await waits.printed(/^Id /m);
        const first = chat(t, id);
        await first.printed(/is here/);
        const second = chat(t, id);
        assert.equal((await second.end()).code, 6);
        assert.match(second.output, /no room/);
    });

    test('a peer that falls silent and is heard again is told of, and nothing is lost', async (t) => {
        const id = randomUUID();
        const waits = chat(t, '--id', id);
        await waits.printed(/^Id /m);
        const calls = chat(t, id);
        await calls.printed(/is here/);
        await waits.printed(/is here/);
        waits.freeze();
        await calls.printed(/nothing heard|looking for another path/);
        calls.say('while you slept\n');
        waits.thaw();
        await calls.printed(/heard again|path to .* again/);
        await waits.printed(/: while you slept$/m);
    });

    test('who is not there, and a server that is not there, are told apart', async (t) => {
        const nobody = chat(t, randomUUID());
        assert.equal((await nobody.end()).code, 8);
        const nowhere = run(t, 'chat', 'x', '--server', 'http://127.0.0.1:9');
        assert.equal((await nowhere.end()).code, 7);
    });
});

test("the smallest program of the crate's docs says hello to a page, and hears it", async (t) => {
    const hello = start(t, 'hello', HELLO, [server.url]);
    await hello.printed(/^ready greeter$/m);
    const { page, id } = await stockPeer(browser, stock, server);
    await page.evaluate(() => join('greeter'));
    assert.deepEqual(await page.evaluate(() => received(connection, 1)), ['hello from Rust']);
    await page.evaluate(() => connection.send('hello from the page'));
    await hello.printed(new RegExp(`^${id}: .*hello from the page`, 'm'));
});

suite('files from terminal to terminal', () => {
    /** `peerage receive` by a link: `{ proc, to, into, state }`. */
    async function receive(t, { state = folder(t), into = folder(t, 'into'), args = [] } = {}) {
        const proc = run(t, 'receive', '--into', into, '--state', state, '--server', server.url, '--json', ...args);
        const [line] = await proc.printed(/^\{"event":"ready".*$/m);
        return { proc, state, into, ...JSON.parse(line) };
    }

    const send = (t, to, path, { state = folder(t), args = [] } = {}) => run(t, 'send', path, '--to', to, '--server', server.url, '--state', state, '--json', ...args);

    /** A file with this many MB, each different: `{ path, hash, size }`. */
    function large(t, name, mb) {
        const path = join(folder(t, 'from'), name);
        const data = Buffer.alloc(mb * 1_000_000);
        for (let at = 0; at < data.length; at += 4_096) data.writeUInt32BE((at * 2_654_435_761) >>> 0, at);
        writeFileSync(path, data);
        return { path, size: data.length, hash: createHash('sha256').update(data).digest('hex') };
    }

    const events = (proc, name) => proc.output.split('\n').filter((line) => /^{.*}$/.test(line)).map((line) => JSON.parse(line)).filter(({ event }) => event === name);
    const told = (proc, name) => until(`${name} is told`, () => events(proc, name)[0]);
    const names = (into) => readdirSync(into).sort();
    const halfway = (into, name, octets = 2_000_000) => until('the file is under way', () => statSync(join(into, `${name}.peerage-part`), { throwIfNoEntry: false })?.size > octets, { every: 2 });

    async function hash(path) {
        const hash = createHash('sha256');
        for await (const block of createReadStream(path)) hash.update(block);
        return hash.digest('hex');
    }

    test('50 MB arrive whole by a link, verified, and both sides show the same hash; the link stays the same', async (t) => {
        const receiver = await receive(t);
        const file = large(t, 'film.bin', 50);
        const sender = send(t, receiver.to, file.path);
        assert.equal((await sender.end(120_000)).code, 0);
        const [sent] = events(sender, 'sent');
        const received = await told(receiver.proc, 'received');
        assert.equal(sent.sha256, file.hash);
        assert.equal(received.sha256, file.hash);
        assert.equal(received.verified, true);
        assert.equal(await hash(join(receiver.into, 'film.bin')), file.hash);
        assert.deepEqual(names(receiver.into), ['film.bin']);
        await receiver.proc.stop();
        assert.equal((await receive(t, receiver)).to, receiver.to);
    });

    test('several files, an empty one among them, and nothing that is there is written over', async (t) => {
        const receiver = await receive(t, { args: ['--once'] });
        writeFileSync(join(receiver.into, 'a.txt'), 'mine');
        const from = folder(t, 'from');
        writeFileSync(join(from, 'a.txt'), 'yours');
        writeFileSync(join(from, 'empty'), '');
        const sender = run(t, 'send', join(from, 'a.txt'), join(from, 'empty'), '--to', receiver.to, '--state', folder(t));
        assert.equal((await sender.end()).code, 0);
        assert.match(sender.output, /a\.txt {2}5 B {2}as a \(2\)\.txt/);
        assert.equal((await receiver.proc.end()).code, 0);
        assert.deepEqual(names(receiver.into), ['a (2).txt', 'a.txt', 'empty']);
        assert.equal(readFileSync(join(receiver.into, 'a.txt'), 'utf8'), 'mine');
        assert.equal(readFileSync(join(receiver.into, 'a (2).txt'), 'utf8'), 'yours');
    });

    test('a sender that is killed in the middle goes on from there when it is started again', async (t) => {
        const receiver = await receive(t);
        const file = large(t, 'film.bin', 50);
        const state = folder(t);
        const first = send(t, receiver.to, file.path, { state });
        await halfway(receiver.into, 'film.bin');
        await first.kill();
        assert.deepEqual(names(receiver.into), ['film.bin.peerage-part']);
        const second = send(t, receiver.to, file.path, { state });
        assert.equal((await second.end(120_000)).code, 0);
        const [sent] = events(second, 'sent');
        assert.ok(sent.sent <= file.size - 2_000_000, `sent ${sent.sent} again`);
        assert.equal(sent.sha256, file.hash);
        assert.equal(await hash(join(receiver.into, 'film.bin')), file.hash);
        assert.deepEqual(names(receiver.into), ['film.bin']);
    });

    test('a receiver that is killed in the middle and started again gets the rest from the same sender', async (t) => {
        const receiver = await receive(t);
        const file = large(t, 'film.bin', 50);
        const sender = send(t, receiver.to, file.path);
        await halfway(receiver.into, 'film.bin');
        await receiver.proc.kill();
        const again = await receive(t, receiver);
        assert.equal((await sender.end(120_000)).code, 0);
        const received = await told(again.proc, 'received');
        assert.ok(received.came <= file.size - 2_000_000, `${received.came} came again`);
        assert.equal(received.sha256, file.hash);
        assert.equal(await hash(join(receiver.into, 'film.bin')), file.hash);
    });

    test('both killed, and another file under the name: its beginning is not used', async (t) => {
        const receiver = await receive(t);
        const file = large(t, 'film.bin', 50);
        const first = send(t, receiver.to, file.path);
        await halfway(receiver.into, 'film.bin');
        await Promise.all([first.kill(), receiver.proc.kill()]);
        const other = Buffer.alloc(60_000_000, 7);
        writeFileSync(file.path, other);
        const again = await receive(t, receiver);
        const second = send(t, again.to, file.path);
        assert.equal((await second.end(120_000)).code, 0);
        assert.equal(events(second, 'sent')[0].sent, other.length);
        assert.equal(await hash(join(receiver.into, 'film.bin')), createHash('sha256').update(other).digest('hex'));
        // Somebody's half a film is not ours to delete.
        assert.deepEqual(names(receiver.into), ['film.bin', 'film.bin.peerage-part']);
    });

    test('without the secret, with a wrong one, and from a page nobody gets in', async (t) => {
        const receiver = await receive(t);
        const file = large(t, 'a.bin', 1);
        const secret = receiver.to.split('#1.')[1];
        const wrong = receiver.to.replace(secret, [...secret].reverse().join(''));
        for (const to of [receiver.id, receiver.to.split('#')[0], wrong]) {
            const sender = send(t, to, file.path);
            assert.equal((await sender.end()).code, 6, to);
            assert.doesNotMatch(sender.output, new RegExp(secret));
        }
        const { page } = await stockPeer(browser, stock, server);
        const state = await page.evaluate(async (id) => {
            const connection = peer.connect(id, { label: 'peerage-file', serialization: 'binary', reliable: true });
            await new Promise((resolve) => { connection.on('open', resolve); connection.on('close', resolve); connection.on('error', resolve); setTimeout(resolve, 3_000); });
            return { open: connection.open, remote: connection.peerConnection?.remoteDescription ?? null };
        }, receiver.id);
        assert.deepEqual(state, { open: false, remote: null });
        assert.deepEqual(names(receiver.into), []);
    });

    test('a key that came in by the link once needs no secret any more', async (t) => {
        const receiver = await receive(t);
        const file = large(t, 'a.bin', 1);
        const state = folder(t);
        assert.equal((await send(t, receiver.to, file.path, { state }).end()).code, 0);
        assert.equal((await send(t, receiver.id, file.path, { state }).end()).code, 0);
        assert.deepEqual(names(receiver.into), ['a (2).bin', 'a.bin']);
    });

    test('a command line that makes no sense ends with 2 before anybody is called', async (t) => {
        const from = folder(t, 'from');
        writeFileSync(join(from, '.hidden'), 'x');
        mkdirSync(join(from, 'deep'));
        const id = 'a'.repeat(52);
        for (const args of [
            [join(from, 'none'), '--to', id], [join(from, 'deep'), '--to', id], [join(from, '.hidden'), '--to', id], [join(from, '.hidden'), '--to', id, '--as', '../x'],
            [join(from, '.hidden'), '--to', `http://${id}.localhost:9/#1.x`, '--as', 'x'],
        ]) {
            const sender = run(t, 'send', ...args, '--state', folder(t));
            assert.equal((await sender.end()).code, 2, args.join(' '));
        }
        const receiver = run(t, 'receive', '--anyone', '--into', from);
        assert.equal((await receiver.end()).code, 2);
        assert.match(receiver.output, /no terminal to ask on/);
    });
});

suite('files from a page with stock PeerJS', () => {
    async function receive(t, ...args) {
        const into = folder(t, 'into');
        const id = randomUUID();
        const proc = run(t, 'receive', '--anyone', '--yes', '--id', id, '--into', join(into, 'in'), '--server', server.url, ...args);
        await proc.printed(/^Send {2}/m);
        return { proc, id, into: join(into, 'in'), above: into };
    }

    test('names that lead elsewhere are refused, and nothing is written', async (t) => {
        const receiver = await receive(t);
        const { page } = await stockPeer(browser, stock, server);
        await page.evaluate((id) => join(id, { label: 'peerage-file', serialization: 'binary', reliable: true }), receiver.id);
        const hostile = ['../up', '..', '/etc/passwd', 'a/b', 'a\\b', '.bashrc', 'a\0b', 'a\x1b[2Jb', 'gpj.\u202eexe', ' a', '', 'x'.repeat(231), 'a.peerage-part'];
        const answers = await page.evaluate(async (names) => {
            names.forEach((name, file) => connection.send({ type: 'offer', file, version: 1, name, size: 1 }));
            return received(connection, names.length);
        }, hostile);
        assert.deepEqual(answers, hostile.map((_, file) => ({ type: 'stop', file, reason: 'name' })));
        assert.deepEqual(readdirSync(receiver.into), []);
        assert.deepEqual(readdirSync(receiver.above), ['in']);
    });

    test('more than was announced, and a wrong hash, leave nothing', async (t) => {
        const receiver = await receive(t);
        const { page } = await stockPeer(browser, stock, server);
        await page.evaluate((id) => join(id, { label: 'peerage-file', serialization: 'binary', reliable: true }), receiver.id);
        const answers = await page.evaluate(async () => {
            connection.send({ type: 'offer', file: 0, version: 1, name: 'a', size: 3 });
            await received(connection, 1);
            connection.send(new Uint8Array(3));
            connection.send({ type: 'end', file: 0, sha256: '0'.repeat(64) });
            await received(connection, 2);
            connection.send({ type: 'offer', file: 1, version: 1, name: 'a', size: 3 });
            await received(connection, 3);
            connection.send(new Uint8Array(4));
            return received(connection, 4);
        });
        assert.deepEqual(answers.filter(({ type }) => type === 'stop'), [{ type: 'stop', file: 0, reason: 'digest' }, { type: 'stop', file: 1, reason: 'size' }]);
        assert.deepEqual(readdirSync(receiver.into), []);
    });

    test('another channel than that for files is not opened', async (t) => {
        const receiver = await receive(t);
        const { page } = await stockPeer(browser, stock, server);
        for (const options of [{ label: 'chat', reliable: true }, { label: 'peerage-file', reliable: false }, { label: 'peerage-file', reliable: true, serialization: 'json' }]) {
            const open = await page.evaluate(async ([id, options]) => {
                const connection = peer.connect(id, options);
                await new Promise((resolve) => { connection.on('open', resolve); connection.on('close', resolve); setTimeout(resolve, 2_000); });
                return connection.open;
            }, [receiver.id, options]);
            assert.equal(open, false, JSON.stringify(options));
        }
    });

    test('files dropped on the page of examples/file-drop arrive, with the same hash on both sides', async (t) => {
        const receiver = await receive(t);
        const pages = await staticSite(t, join(ROOT, 'examples', 'file-drop'));
        const page = await browser.tab(`${pages.url}/index.html?server=${server.url}#${receiver.id}`);
        await page.locator('#status[data-is=open]').waitFor();
        const data = Buffer.alloc(5_000_001, 'peerage ');
        const digest = createHash('sha256').update(data).digest('hex');
        await page.locator('#files').setInputFiles([{ name: 'plan.pdf', mimeType: 'application/pdf', buffer: data }, { name: 'empty.txt', mimeType: 'text/plain', buffer: Buffer.alloc(0) }]);
        await page.locator('li[data-is=done]').nth(1).waitFor();
        assert.equal(await page.locator('li', { hasText: 'plan.pdf' }).locator('.hash').getAttribute('title'), digest);
        await receiver.proc.printed(new RegExp(`^${digest} .*plan\\.pdf`, 'm'));
        assert.ok(readFileSync(join(receiver.into, 'plan.pdf')).equals(data));
        assert.equal(statSync(join(receiver.into, 'empty.txt')).size, 0);
        // A third one, by a real drop event, under a name that is taken.
        await page.evaluate(() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(['again'], 'plan.pdf'));
            document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
        });
        await page.getByText('received as plan (2).pdf').waitFor();
        assert.equal(readFileSync(join(receiver.into, 'plan (2).pdf'), 'utf8'), 'again');
        mkdirSync(join(ROOT, 'e2e', 'out', 'screenshots'), { recursive: true });
        await page.screenshot({ path: join(ROOT, 'e2e', 'out', 'screenshots', 'file-drop.png') });
    });

    test('a terminal sends to an id, too, where anyone may', async (t) => {
        const receiver = await receive(t);
        const path = join(folder(t, 'from'), 'a.txt');
        writeFileSync(path, 'hello');
        const sender = run(t, 'send', path, '--to', receiver.id, '--server', server.url, '--state', folder(t));
        assert.equal((await sender.end()).code, 0);
        assert.match(sender.output, /the server's word alone/);
        assert.equal(readFileSync(join(receiver.into, 'a.txt'), 'utf8'), 'hello');
    });

    test('the person at the terminal is asked before a file is taken', async (t) => {
        const into = folder(t, 'into');
        const id = randomUUID();
        // A terminal around the command, as `script` makes one.
        const command = `${BINARY} receive --anyone --id ${id} --into ${into} --server ${server.url}`;
        const receiver = start(t, 'peerage receive', 'script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe'] });
        await receiver.printed(/Send {2}/);
        const path = join(folder(t, 'from'), 'a.txt');
        writeFileSync(path, 'hello');
        const send = () => run(t, 'send', path, '--to', id, '--server', server.url, '--state', folder(t));
        const first = send();
        await receiver.printed(/offers a\.txt \(5 B\)\. Take it\? \[y\/N\]/);
        assert.equal(existsSync(join(into, 'a.txt')), false);
        receiver.child.stdin.write('n\n');
        assert.equal((await first.end()).code, 6);
        const from = receiver.output.length;
        const second = send();
        await receiver.printed(/Take it\?/, { from });
        receiver.child.stdin.write('y\n');
        assert.equal((await second.end()).code, 0);
        assert.equal(readFileSync(join(into, 'a.txt'), 'utf8'), 'hello');
    });
});
