// Basic authentication of the app in a real Chromium. Run: node --test src/expose/testing/auth.browser.mjs
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { start } from './harness.mjs';

const PASSWORD = 'pass:wörd';
/** What the app was sent, newest last. */
const asked = [];
let posted = [];

async function app(request, response) {
  const { pathname } = new URL(request.url, 'http://x');
  const { authorization = '' } = request.headers;
  asked.push({ what: `${request.method} ${pathname}`, authorization });
  const html = (status, body, headers = {}) => response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(`<!doctype html><title>x</title><body>${body}</body>`);
  const pieces = await request.toArray();
  if (pathname === '/') return html(200, '<h1>Open</h1><form method=post action=/admin/form><input name=a value="1 2"><button>go</button></form>');
  if (pathname === '/outside') return html(200, '<h1>Outside</h1><iframe src=/inside/frame></iframe>');
  if (pathname === '/own') return response.end(authorization);
  const realm = pathname.startsWith('/inside') ? 'inside' : 'admin';
  if (pathname.startsWith('/digest')) return html(401, '<h1>Own digest page</h1>', { 'www-authenticate': 'Digest realm="d", nonce="n"' });
  if (authorization !== `Basic ${Buffer.from(`ada:${PASSWORD}`).toString('base64')}`) return html(401, '<h1>Own error page</h1>', { 'www-authenticate': `Basic realm="${realm}", charset="UTF-8"` });
  if (request.method === 'POST') posted.push(String(Buffer.concat(pieces)));
  if (pathname.endsWith('/data')) return response.end('data');
  return html(200, `<h1>Inside ${pathname}</h1>`);
}

/** @type {Awaited<ReturnType<typeof start>>} */
let t;
before(async () => {
  t = await start((request, response) => void app(request, response));
});
after(() => t.stop());
afterEach(async () => {
  for (const page of t.browser.pages().slice(1)) await page.close();
  posted = [];
  assert.deepEqual(t.misses.splice(0), []);
});

async function open(path, device = t.device()) {
  const page = await t.browser.newPage();
  await page.goto(device.url(path));
  return { page, device, app: page.frameLocator('iframe').first() };
}

const heading = (app, text) => app.locator('h1', { hasText: text }).waitFor();
async function logIn(app, password, name = 'ada') {
  await heading(app, 'Log in');
  await app.getByLabel('Name').fill(name);
  await app.getByLabel('Password').fill(password);
  await app.getByRole('button', { name: 'Log in' }).click();
}
const frameOf = (page) => page.frames().find((each) => each.parentFrame() === page.mainFrame());
const fetched = (page, path, init) => frameOf(page).evaluate(async ([path, init]) => {
  const response = await fetch(path, init);
  return [response.status, await response.text()];
}, [path, init]);

test('a_page_behind_a_password_asks_for_it_and_says_when_it_is_wrong', async () => {
  const { page, device, app } = await open('/admin/one#part');
  await logIn(app, 'wrong');
  await app.locator('#hint', { hasText: 'did not accept' }).waitFor();
  await page.screenshot({ path: `${process.env.SHOTS ?? '/tmp'}/peerage-login.png` });
  await logIn(app, PASSWORD);
  await heading(app, 'Inside /admin/one');
  assert.equal(page.url(), `${device.origin}/admin/one#part`);
  await frameOf(page).evaluate(() => location.assign('/admin/two'));
  await heading(app, 'Inside /admin/two');
  assert.deepEqual(await fetched(page, '/admin/data'), [200, 'data']);
  await page.goBack();
  await heading(app, 'Inside /admin/one');
});

test('cancelling_shows_the_apps_own_page', async () => {
  const { app } = await open('/admin/one');
  await heading(app, 'Log in');
  await app.getByRole('button', { name: 'Cancel' }).click();
  await heading(app, 'Own error page');
});

test('a_password_lives_in_the_tabs_memory_and_goes_where_browsers_send_it', async () => {
  const { page, device, app } = await open('/admin/one');
  await logIn(app, PASSWORD);
  await heading(app, 'Inside');
  assert.deepEqual(await fetched(page, '/own'), [200, '']);
  // Another folder of the same realm: the app asks once, the person is not.
  assert.deepEqual(await fetched(page, '/reports/data'), [200, 'data']);
  const before = asked.length;
  assert.deepEqual(await fetched(page, '/reports/data'), [200, 'data']);
  assert.equal(asked.length, before + 1);
  assert.deepEqual((await fetched(page, '/admin/data', { credentials: 'omit' }))[0], 401);
  assert.deepEqual((await fetched(page, '/admin/data', { headers: { authorization: 'Bearer x' } }))[0], 401);
  assert.deepEqual(await fetched(page, '/admin/data'), [200, 'data']);

  const session = await t.browser.newCDPSession(page);
  await session.send('ServiceWorker.enable');
  await session.send('ServiceWorker.stopAllWorkers');
  assert.deepEqual(await fetched(page, '/admin/data'), [200, 'data']);

  const stored = await page.evaluate(async (secrets) => {
    const all = [JSON.stringify({ ...localStorage, ...sessionStorage })];
    for (const name of await caches.keys()) {
      const cache = await caches.open(name);
      for (const key of await cache.keys()) all.push(JSON.stringify([...(await cache.match(key)).headers]), await (await cache.match(key)).text());
    }
    return secrets.filter((secret) => all.some((each) => each.includes(secret)));
  }, [PASSWORD, encodeURIComponent(PASSWORD), Buffer.from(`ada:${PASSWORD}`).toString('base64')]);
  assert.deepEqual(stored, []);

  await page.close();
  const again = await open('/admin/one', device);
  await heading(again.app, 'Log in');
});

test('a_form_that_meets_the_question_is_sent_after_the_log_in', async () => {
  const { app } = await open('/');
  await app.locator('button').click();
  await logIn(app, 'wrong');
  await app.locator('#hint', { hasText: 'did not accept' }).waitFor();
  assert.deepEqual(posted, []);
  await logIn(app, PASSWORD);
  await heading(app, 'Inside /admin/form');
  assert.deepEqual(posted, ['a=1+2']);
});

test('what_is_no_page_of_the_tab_is_never_asked_about', async () => {
  const { page, app } = await open('/outside');
  await heading(app.frameLocator('iframe'), 'Own error page');
  assert.deepEqual(await fetched(page, '/admin/data'), [401, '<!doctype html><title>x</title><body><h1>Own error page</h1></body>']);
  await frameOf(page).evaluate(() => location.assign('/digest'));
  await heading(app, 'Own digest page');
});

test('a_page_of_another_site_cannot_log_anyone_in', async () => {
  const { page, device, app } = await open('/');
  await heading(app, 'Open');
  await page.goto('about:blank');
  await page.setContent(`<form method=post enctype=text/plain action="${device.origin}/__peerage/login/x"><button>go</button></form>`);
  await page.locator('button').click();
  await page.waitForLoadState();
  assert.deepEqual(t.misses.splice(0), ['POST /__peerage/login/x']);
});
