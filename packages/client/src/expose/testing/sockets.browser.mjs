// WebSockets of unmodified pages. Run: npm run test:page
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { visits } from './visit.mjs';

const visit = visits();
const { app, open, inApp, until } = visit;

/** In a page or worker: opens a WebSocket and says what happens to it. */
const HEAR = `globalThis.hear = (url, protocols, ...then) => new Promise((resolve) => {
  const told = [], socket = protocols ? new WebSocket(url, protocols) : new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  const tell = (what) => { told.push(what); const next = then.shift(); next?.(socket, told); if (what.startsWith('close') || what === 'enough') resolve(told) };
  socket.onopen = () => tell('open ' + socket.protocol);
  socket.onmessage = ({ data }) => tell(typeof data === 'string' ? 'text ' + data : 'bytes ' + new Uint8Array(data).join());
  socket.onerror = () => told.push('error');
  socket.onclose = (e) => tell('close ' + e.code + ' ' + e.reason + ' ' + e.wasClean);
})`;

async function openWithEar(...given) {
  const opened = await open(...given);
  await opened.frame.evaluate(HEAR);
  return opened;
}

test('a_page_talks_to_its_own_host_by_web_socket', async () => {
  const { frame, device } = await openWithEar();
  const told = await frame.evaluate(() => hear(`ws://${location.host}/ws/echo?x=1`, ['bad', 'good1'], (s) => s.send('hällo'), (s) => s.send(new Uint8Array([1, 2, 3])), (s) => s.send(''), (s) => s.close(3001, 'done')));
  assert.deepEqual(told, ['open good1', 'text hällo', 'bytes 1,2,3', 'text ', 'close 3001 done true']);
  assert.deepEqual(app.sockets.closed, [3001, 'done']);
  const { headers } = app.sockets;
  assert.equal(headers.origin, device.origin);
  assert.equal(headers['sec-fetch-mode'], 'websocket');
  assert.equal(headers['sec-fetch-site'], 'same-origin');
  assert.match(headers['user-agent'], /Chrome/);
  assert.equal(headers['peerage-cookies'], 'jar');
});

test('by_every_scheme_and_by_a_relative_address', async () => {
  const { frame } = await openWithEar(undefined, '/deep/three');
  for (const address of ['`wss://${location.host}/ws/echo`', '`http://${location.host}/ws/echo`', '"/ws/echo"', '"../ws/echo"', 'new URL("/ws/echo", location)']) {
    const told = await frame.evaluate(`hear(${address}, null, (s) => s.send('x'), (s) => s.close(1000))`);
    assert.deepEqual(told, ['open ', 'text x', 'close 1000  true'], address);
  }
});

test('a_refusal_a_close_of_the_app_and_a_broken_connection_are_told_as_by_the_browser', async () => {
  const { frame } = await openWithEar();
  assert.deepEqual(await frame.evaluate(() => hear('/ws/no')), ['error', 'close 1006  false']);
  const closed = frame.evaluate(() => hear('/ws/echo', null));
  await until('it is open', () => app.sockets.live.size === 1);
  for (const ws of app.sockets.live) ws.close(4321, 'späť');
  assert.deepEqual(await closed, ['open ', 'close 4321 späť true']);
  const broken = frame.evaluate(() => hear('/ws/echo', null));
  await until('it is open', () => app.sockets.live.size === 1);
  for (const ws of app.sockets.live) ws.terminate();
  assert.deepEqual(await broken, ['open ', 'error', 'close 1006  false']);
  assert.equal(await frame.evaluate(() => { try { new WebSocket('ws://'); } catch (e) { return e.name; } }), 'SyntaxError');
  assert.equal(await frame.evaluate(() => { try { new WebSocket('/ws', ['a', 'a']); } catch (e) { return e.name; } }), 'SyntaxError');
  assert.deepEqual(await frame.evaluate(() => hear('/__peerage/ws')), ['error', 'close 1006  false']);
});

test('libraries_find_the_browsers_own_class', async () => {
  const { frame } = await openWithEar();
  const found = await frame.evaluate(async () => {
    class Own extends WebSocket {
      own = 1;
      send(data) { super.send(`own ${data}`); }
    }
    const own = new Own('/ws/echo');
    const heard = await new Promise((resolve) => {
      own.onopen = () => own.send('x');
      own.addEventListener('message', (e) => resolve(e.data));
    });
    const foreign = new WebSocket(`ws://127.0.0.1:1/`);
    const native = Object.getOwnPropertyDescriptor(EventTarget.prototype, 'constructor').value;
    const result = [
      heard, own.own, own instanceof Own, own instanceof WebSocket, own instanceof native, foreign instanceof WebSocket, foreign instanceof Own,
      WebSocket.OPEN, own.OPEN, own.readyState, foreign.readyState, own.constructor === Own, foreign.constructor === WebSocket,
      WebSocket.name, WebSocket.length, /\[native code\]/.test(WebSocket.toString()), WebSocket.prototype.send.name, Object.prototype.toString.call(own),
      new URL(own.url).pathname, foreign.url, 'WebSocket' in globalThis, Object.keys(globalThis).includes('WebSocket'), own.onmessage, typeof own.onopen,
    ];
    try { WebSocket('/x'); } catch (e) { result.push(e.name); }
    try { WebSocket.prototype.send.call({}, 'x'); } catch (e) { result.push(e.name); }
    try { new WebSocket(); } catch (e) { result.push(e.name); }
    own.close();
    return result;
  });
  assert.deepEqual(found, [
    'own x', 1, true, true, true, true, false, 1, 1, 1, 0, true, true, 'WebSocket', 1, true, 'send', '[object WebSocket]',
    '/ws/echo', 'ws://127.0.0.1:1/', true, false, null, 'function', 'TypeError', 'TypeError', 'TypeError',
  ]);
});

test('frames_in_the_app_and_other_tabs_have_them_too', async () => {
  const { frame, device } = await openWithEar();
  await frame.evaluate(() => {
    const inner = document.createElement('iframe');
    inner.src = '/two';
    document.body.append(inner);
  });
  await until('the inner frame is there', () => frame.childFrames()[0]?.url().endsWith('/two'));
  const inner = frame.childFrames()[0];
  await inner.waitForSelector('h1');
  await inner.evaluate(HEAR);
  const second = await visit.t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  const other = await inApp(second);
  await other.evaluate(HEAR);
  for (const each of [inner, other]) assert.deepEqual(await each.evaluate(() => hear('/ws/echo', null, (s) => s.send('x'), (s) => s.close(1000))), ['open ', 'text x', 'close 1000  true']);
});

test('a_reader_that_does_not_run_stops_the_app_after_a_bounded_amount', async () => {
  const { device } = await openWithEar();
  const second = await visit.t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  const frame = await inApp(second);
  app.sockets.poured = 0;
  let answer;
  second.once('dialog', (dialog) => (answer = dialog));
  const read = frame.evaluate(async () => {
    const socket = new WebSocket('/ws/pour');
    socket.binaryType = 'arraybuffer';
    let octets = 0;
    await new Promise((resolve) => (socket.onopen = resolve));
    socket.onmessage = ({ data }) => (octets += data.byteLength);
    // The page does not run while this is open; the tab with the link does.
    alert('stuck');
    const stuck = octets;
    while (octets < 32_000_000) await new Promise((resolve) => setTimeout(resolve, 10));
    socket.close();
    return stuck;
  });
  await until('the dialog is there', () => answer !== undefined);
  let before = -1;
  await until('the app is stopped', async () => {
    const still = app.sockets.poured === before && before > 0;
    before = app.sockets.poured;
    await new Promise((resolve) => setTimeout(resolve, 250));
    return still;
  });
  // The page's window, and what the sockets of the test hold: not what a second of loopback brings.
  assert.ok(before < 16_000_000, `${before} octets were poured`);
  await answer.dismiss();
  assert.ok((await read) < before);
});

test('what_waits_to_be_sent_is_counted_until_the_link_has_taken_it', async () => {
  const { frame } = await openWithEar();
  const counted = await frame.evaluate(async () => {
    const socket = new WebSocket('/ws/echo');
    await new Promise((resolve) => (socket.onopen = resolve));
    socket.send('äx');
    socket.send(new Uint8Array(1000));
    socket.send(new Blob(['abc']));
    const atOnce = socket.bufferedAmount;
    const told = [];
    await new Promise((resolve) => (socket.onmessage = ({ data }) => told.push(data.size ?? data) === 3 && resolve()));
    while (socket.bufferedAmount > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.close();
    return [atOnce, ...told];
  });
  assert.deepEqual(counted, [1006, 'äx', 1000, 3]);
  const stuck = await frame.evaluate(async () => {
    const socket = new WebSocket('/ws/deaf');
    await new Promise((resolve) => (socket.onopen = resolve));
    for (let n = 0; n < 32; n++) socket.send(new Uint8Array(1_000_000));
    let before = -1;
    // Until nothing moves any more.
    while (socket.bufferedAmount !== before) {
      before = socket.bufferedAmount;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    return before;
  });
  assert.ok(stuck > 4_000_000, `${stuck} octets wait`);
});

test('the_end_of_the_link_or_of_the_tab_that_has_it_is_told_at_once', async () => {
  const { page, frame, device } = await openWithEar();
  const first = frame.evaluate(() => hear('/ws/echo', null, () => (globalThis.isOpen = true)));
  await frame.waitForFunction('globalThis.isOpen');
  visit.t.link.drop('lost');
  assert.deepEqual(await first, ['open ', 'error', 'close 1006  false']);
  await page.locator('#badge-text', { hasText: 'Direct' }).waitFor();

  const second = await visit.t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  const other = await inApp(second);
  await other.evaluate(HEAR);
  const told = other.evaluate(() => hear('/ws/echo', null, () => (globalThis.isOpen = true)));
  await other.waitForFunction('globalThis.isOpen');
  const closed = performance.now();
  await page.close();
  assert.deepEqual(await told, ['open ', 'error', 'close 1006  false']);
  assert.ok(performance.now() - closed < 3_000);
  // The other tab has the link now.
  assert.deepEqual(await other.evaluate(() => hear('/ws/echo', null, (s) => s.close(1000))), ['open ', 'close 1000  true']);
});

test('one_that_is_being_opened_when_the_tab_with_the_link_goes_is_opened_by_the_next', async () => {
  const { page, device } = await openWithEar();
  const second = await visit.t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  const other = await inApp(second);
  await other.evaluate(HEAR);
  let go;
  app.sockets.headers = null;
  app.sockets.held = new Promise((resolve) => (go = resolve));
  const told = other.evaluate(() => hear('/ws/echo', null, (s) => s.close(1000)));
  await until('the app is asked', () => app.sockets.headers !== null);
  await page.close();
  go();
  assert.deepEqual(await told, ['open ', 'close 1000  true']);
});

test('one_that_is_opened_while_the_link_is_being_made_waits_for_it', async () => {
  const { page, frame } = await openWithEar();
  let go;
  visit.t.link.steps = { signalling: new Promise((resolve) => (go = resolve)) };
  visit.t.link.drop('lost');
  await page.locator('#badge-text', { hasText: 'Reconnecting' }).waitFor();
  const told = frame.evaluate(() => hear('/ws/echo', null, (s) => s.close(1000)));
  go('');
  assert.deepEqual(await told, ['open ', 'close 1000  true']);
});

test('a_page_that_goes_leaves_no_socket_behind', async () => {
  const { page, frame, device } = await openWithEar();
  void frame.evaluate(() => hear('/ws/echo', null)).catch(() => {});
  await until('it is open', () => app.sockets.live.size === 1);
  await frame.evaluate(() => location.assign('/two'));
  await until('it is closed', () => app.sockets.live.size === 0);
  const second = await visit.t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  const other = await inApp(second);
  await other.evaluate(() => void (globalThis.kept = new WebSocket('/ws/echo')));
  await until('it is open', () => app.sockets.live.size === 1);
  await second.close();
  await until('it is closed', () => app.sockets.live.size === 0);
  assert.ok(page);
});
