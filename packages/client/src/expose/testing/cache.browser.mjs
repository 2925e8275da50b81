// HTTP caching of the app's answers in a real Chromium. Run: node --test src/expose/testing/cache.browser.mjs
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { start } from './harness.mjs';

/** What the app was asked since the test began: the path, and what it was asked by. */
let asked = [];
let user = 'ada';
const streams = new Set();

async function app(request, response) {
  const { pathname } = new URL(request.url, 'http://x');
  const condition = request.headers['if-none-match'] ?? '';
  asked.push(`${request.method === 'GET' ? '' : `${request.method} `}${pathname}${condition && ` ${condition}`}`);
  const send = (status, body, headers) => response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(body);
  const tagged = (body, headers) => (condition === '"1"' ? send(304, '', { etag: '"1"', ...headers }) : send(200, body, { etag: '"1"', ...headers }));
  switch (pathname) {
    case '/style.css':
      return send(200, gzipSync('h1 { color: rgb(1, 2, 3) }'), { 'content-type': 'text/css', 'content-encoding': 'gzip', 'cache-control': 'max-age=600, immutable' });
    case '/script.js':
      return tagged('document.body.dataset.script = "ran"', { 'content-type': 'text/javascript', 'cache-control': 'no-cache' });
    case '/fresh':
      return request.method === 'GET' ? tagged('fresh', { 'cache-control': 'max-age=600' }) : send(204);
    case '/private':
      return send(200, user, { 'cache-control': 'max-age=600', vary: 'Cookie' });
    case '/secret':
      return send(200, user, { 'cache-control': 'no-store', etag: '"1"' });
    case '/clear':
      return send(200, '', { 'clear-site-data': '"cache"' });
    case '/range':
      return send(206, '23', { 'cache-control': 'max-age=600', 'content-range': 'bytes 2-3/10' });
    case '/big':
      return send(200, Buffer.alloc(9 * 1024 * 1024), { 'cache-control': 'max-age=600' });
    case '/stream':
      response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'max-age=600' });
      response.flushHeaders();
      streams.add(response);
      return undefined;
    case '/favicon.ico':
      return send(404, '');
    default:
      return tagged(`<!doctype html><title>x</title><link rel=stylesheet href=/style.css><h1>${pathname} for ${user}</h1><script src=/script.js></script>`, {
        'content-type': 'text/html', 'cache-control': 'max-age=600', etag: `"${user}"`,
      });
  }
}

/** @type {Awaited<ReturnType<typeof start>>} */
let t;
let page;
let frame;
let device;
before(async () => {
  t = await start((request, response) => void app(request, response));
});
after(() => t.stop());
beforeEach(async () => {
  user = 'ada';
  device = t.device();
  page = await t.browser.newPage();
  await page.goto(device.url('/one'));
  await shows('/one for ada');
  // The shell's own request, which comes last.
  await until(() => asked.includes('/favicon.ico'));
  asked = [];
});
afterEach(async () => {
  for (const each of t.browser.pages().slice(1)) await each.close();
  assert.deepEqual(t.misses.splice(0), []);
});

async function shows(heading) {
  await page.frameLocator('iframe').locator('h1', { hasText: heading }).waitFor();
  await page.frameLocator('iframe').locator('body[data-script=ran]').waitFor();
  frame = page.frames().find((each) => each.parentFrame() === page.mainFrame());
}

/** Status and body of a request of the app. */
const get = (path, init = {}) => frame.evaluate(async ([path, init]) => {
  try {
    const response = await fetch(path, init);
    return [response.status, await response.text()];
  } catch (error) {
    return error.name;
  }
}, [path, init]);
const text = async (path, init) => (await get(path, init))[1];

test('the_next_page_asks_only_for_what_it_must', async () => {
  await frame.evaluate(() => location.assign('/two'));
  await shows('/two');
  assert.equal(await frame.evaluate('getComputedStyle(document.querySelector("h1")).color'), 'rgb(1, 2, 3)');
  assert.deepEqual(asked, ['/two', '/script.js "1"']);
  const session = await t.browser.newCDPSession(page);
  await session.send('ServiceWorker.enable');
  await session.send('ServiceWorker.stopAllWorkers');
  assert.equal(await text('/style.css'), 'h1 { color: rgb(1, 2, 3) }');
  assert.ok(!asked.includes('/style.css'));
});

test('a_page_is_asked_about_each_time_so_that_who_logs_out_is_out', async () => {
  await page.reload();
  await shows('/one for ada');
  assert.ok(asked.includes('/one "ada"'));
  user = 'nobody';
  await page.reload();
  await shows('/one for nobody');
  for (user of ['ada', 'eve']) {
    assert.equal(await text('/private'), user);
    assert.equal(await text('/secret'), user);
  }
});

test('each_cache_mode_does_what_fetch_says', async () => {
  assert.equal(await get('/fresh', { cache: 'only-if-cached', mode: 'same-origin' }), 'TypeError');
  for (const [cache, expected] of Object.entries({
    default: ['/fresh'], 'force-cache': [], 'no-cache': ['/fresh "1"'], reload: ['/fresh'], 'no-store': ['/fresh'], 'only-if-cached': [],
  })) {
    asked = [];
    assert.deepEqual(await get('/fresh', { cache, mode: 'same-origin' }), [200, 'fresh'], cache);
    assert.deepEqual(asked, expected, cache);
  }
});

test('what_the_app_does_itself_is_left_to_it', async () => {
  await get('/fresh');
  assert.deepEqual(await get('/fresh', { headers: { 'if-none-match': '"1"' } }), [304, '']);
  assert.deepEqual(await get('/range', { headers: { range: 'bytes=2-3' } }), [206, '23']);
  assert.deepEqual(await get('/range', { headers: { range: 'bytes=2-3' } }), [206, '23']);
  await get('/fresh', { credentials: 'omit' });
  assert.deepEqual(asked, ['/fresh', '/fresh "1"', '/range', '/range', '/fresh']);
});

test('a_change_and_the_apps_own_wish_empty_it', async () => {
  await get('/fresh');
  await get('/fresh', { method: 'POST' });
  await get('/fresh');
  await get('/clear');
  await get('/fresh');
  await get('/fresh');
  assert.deepEqual(asked, ['/fresh', 'POST /fresh', '/fresh', '/clear', '/fresh']);
});

test('what_streams_goes_on_streaming_and_is_stored_at_its_end', async () => {
  await frame.evaluate(() => {
    globalThis.heard = '';
    void fetch('/stream').then(async (r) => {
      for await (const piece of r.body.pipeThrough(new TextDecoderStream())) heard += piece;
      heard += '.';
    });
  });
  for (const piece of ['a', 'b', 'c']) {
    await until(() => streams.size === 1);
    for (const response of streams) response.write(piece);
    await frame.waitForFunction((piece) => globalThis.heard.endsWith(piece), piece);
  }
  for (const response of streams) response.end();
  await frame.waitForFunction(() => globalThis.heard === 'abc.');
  assert.equal(await text('/stream'), 'abc');
  assert.equal(streams.size, 1);
});

test('what_is_too_long_passes_and_no_room_harms_nobody', async () => {
  assert.equal((await text('/big')).length, 9 * 1024 * 1024);
  assert.ok(!(await stored()).includes(`${device.origin}/big`));
  const session = await t.browser.newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin: device.origin, quotaSize: 1 });
  for (let turn = 0; turn < 2; turn++) assert.equal(await text('/fresh'), 'fresh');
});

const stored = () => frame.evaluate(async () => {
  const keys = await (await caches.open('peerage-http')).keys();
  return keys.map(({ url }) => decodeURIComponent(new URL(url).search.slice(1)));
});

async function until(condition) {
  for (let i = 0; i < 200; i++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail('it never came');
}
