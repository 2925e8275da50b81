// Links that are lost, tabs that close, and many requests at once. Run: npm run test:page
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOWNLOAD } from './app.mjs';
import { visits } from './visit.mjs';

const visit = visits();
const { app, open, inApp, shows, until } = visit;

/** A path whose first answer never comes; later ones do. */
function held(path) {
  let asked = 0;
  app.own.set(path, (_, response) => {
    if (++asked > 1) response.writeHead(200, { 'content-type': 'text/html' }).end(`<h1>answer ${asked}</h1>`);
  });
  return () => asked;
}

const fetched = (frame, path, init) => frame.evaluate(([path, init]) => fetch(path, init).then((r) => r.text(), (e) => e.name), [path, init]);

test('what_changes_nothing_is_asked_again_over_the_new_link_and_the_rest_fails_at_once', async () => {
  for (const [method, again] of [['GET', true], ['OPTIONS', true], ['POST', false], ['PUT', false], ['DELETE', false]]) {
    const { frame } = await open();
    const asked = held('/held');
    const answer = fetched(frame, '/held', { method });
    await until('the app is asked', () => asked() === 1);
    visit.t.link.drop('lost');
    assert.equal(await answer, again ? '<h1>answer 2</h1>' : 'TypeError', method);
    assert.equal(asked(), again ? 2 : 1, method);
  }
});

test('a_page_that_was_posted_says_why_it_is_not_there', async () => {
  const { page, frame } = await open();
  const asked = held('/held');
  await frame.evaluate(() => {
    const form = document.querySelector('#post');
    form.action = '/held';
    form.submit();
  });
  await until('the app is asked', () => asked() === 1);
  visit.t.link.drop('lost');
  await shows(page, 'The connection was lost');
  assert.equal(asked(), 1);
});

test('the_next_tab_asks_again_when_the_one_with_the_link_closes', async () => {
  const { page, device } = await open();
  const second = await visit.t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  const other = await inApp(second);
  const [gets, posts] = [held('/get'), held('/post')];
  const answers = Promise.all([fetched(other, '/get'), fetched(other, '/post', { method: 'POST', body: 'x' })]);
  await until('the app is asked', () => gets() === 1 && posts() === 1);
  await page.close();
  assert.deepEqual(await answers, ['<h1>answer 2</h1>', 'TypeError']);
  assert.equal(posts(), 1);
});

test('a_body_that_breaks_in_the_middle_says_so_at_once', async () => {
  const { frame } = await open();
  const broken = frame.evaluate(async () => {
    const reader = (await fetch('/slow')).body.getReader();
    await reader.read();
    globalThis.begun = true;
    return reader.read().then(() => 'more', (e) => e.name);
  });
  await until('the app is asked', () => app.slow.size === 1);
  for (const response of app.slow) response.write('a');
  await frame.waitForFunction('globalThis.begun');
  const lost = performance.now();
  visit.t.link.drop('lost');
  assert.equal(await broken, 'TypeError');
  assert.ok(performance.now() - lost < 2_000);
});

test('thousands_of_requests_in_one_go_are_all_answered_and_leave_nothing_behind', async () => {
  const { page, frame } = await open();
  const session = await visit.t.browser.newCDPSession(page);
  const burst = (count) => frame.evaluate(async (count) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, n) => fetch(`/range?${n}`).then((r) => r.text())));
    return answers.filter((text) => text === '0123456789').length;
  }, count);
  const heap = async () => {
    await session.send('HeapProfiler.collectGarbage');
    return (await session.send('Runtime.getHeapUsage')).usedSize;
  };
  assert.equal(await burst(300), 300);
  const before = await heap();
  assert.equal(await burst(3_000), 3_000);
  const grown = (await heap()) - before;
  assert.ok(grown < 5_000_000, `the heap grew by ${grown}`);
});

test('a_hundred_downloads_at_once_are_all_whole', async () => {
  const { frame } = await open();
  const whole = await frame.evaluate(async ({ length, piece }) => {
    const files = await Promise.all(Array.from({ length: 100 }, async () => new Uint8Array(await (await fetch('/file')).arrayBuffer())));
    return files.filter((file) => file.length === length && file.every((octet, at) => octet === piece.charCodeAt(at % piece.length))).length;
  }, { length: DOWNLOAD.length, piece: 'peerage ' });
  assert.equal(whole, 100);
});

test('a_link_that_died_in_a_sleep_is_replaced_in_seconds', async () => {
  const { page, frame } = await open();
  const links = visit.t.link.opened;
  // A link that lives stays.
  await page.evaluate(() => void dispatchEvent(new Event('online')));
  assert.equal(await fetched(frame, '/range'), '0123456789');
  visit.t.link.silent = true;
  const waiting = fetched(frame, '/range');
  const woke = performance.now();
  await page.evaluate(() => void document.dispatchEvent(new Event('visibilitychange')));
  await until('there is another link', () => visit.t.link.opened > links);
  assert.ok(performance.now() - woke < 4_500);
  assert.equal(await waiting, '0123456789');
  assert.equal(visit.t.link.opened, links + 1);
});

test('a_sleep_is_noticed_by_the_clock', async () => {
  const { page } = await open();
  const links = visit.t.link.opened;
  visit.t.link.silent = true;
  // As after a sleep: the clock is ahead of what the page has lived through.
  await page.evaluate(() => {
    const { now } = Date;
    Date.now = () => now() + 60_000;
  });
  await until('there is another link', async () => visit.t.link.opened > links || (await new Promise((resolve) => setTimeout(resolve, 25))));
});

test('an_app_that_is_down_is_no_answer_to_scripts_and_a_page_that_tries_again_to_people', async () => {
  const down = (_, response) => response.writeHead(502, { 'content-type': 'text/plain', 'peerage-error': 'unreachable' }).end('down');
  app.own.set('/down', down);
  const { page, frame } = await open();
  assert.equal(await frame.evaluate(() => fetch('/down').then(() => 'answered', (error) => error.name)), 'TypeError');
  assert.equal(await frame.evaluate(() => new Promise((resolve) => {
    globalThis.events = new EventSource('/down');
    events.onerror = () => resolve(events.readyState);
  })), 0, 'it tries again');
  await frame.evaluate(() => (location.href = '/down'));
  await page.frameLocator('iframe').getByRole('heading', { name: 'The app is not running' }).waitFor();
  app.own.set('/down', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><h1>Back</h1>'));
  await shows(page, 'Back');
});
