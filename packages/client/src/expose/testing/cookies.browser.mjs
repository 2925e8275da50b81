// Cookies of the app in a real Chromium, with a stand-in for the device's jar. Run: node --test src/expose/testing/cookies.browser.mjs
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { start } from './harness.mjs';
import { makeJar } from './jar.mjs';

/** What the app was sent, newest last: `METHOD path`, the cookies, and where the request came from. */
const asked = [];
const jars = new Map();
const jarOf = (device) => {
  if (keepsNone) return null;
  if (!jars.has(device)) jars.set(device, makeJar());
  return jars.get(device);
};
let keepsNone = false;
/** @type {Awaited<ReturnType<typeof start>>} */
let t;
let stranger;

// An app with a session in a cookie, as most are: a form sets it, every page but the form asks for it.
async function app(request, response) {
  const url = new URL(request.url, 'http://x');
  const cookies = request.headers.cookie ?? '';
  asked.push({ what: `${request.method} ${request.url}`, cookies, headers: request.headers });
  const html = (body, headers = {}) => {
    response.writeHead(200, { 'content-type': 'text/html', ...headers });
    response.end(`<!doctype html><title>x</title><body>${body}</body>`);
  };
  switch (url.pathname) {
    case '/login':
      if (request.method === 'GET') return html('<h1>Log in</h1><form method=post action=/login><input name=name value=ada><button>go</button></form>');
      response.setHeader('set-cookie', ['session=s3cret; HttpOnly; SameSite=Strict; Path=/', 'theme=dark; Path=/', 'part=1; Path=/part', 'gone=1; Max-Age=0; Path=/']);
      return response.writeHead(303, { location: '/' }).end();
    case '/logout':
      response.setHeader('set-cookie', ['session=; Max-Age=0; Path=/', 'theme=; Max-Age=0; Path=/']);
      return response.writeHead(303, { location: '/' }).end();
    case '/echo':
      response.setHeader('content-type', 'application/json');
      return response.end(JSON.stringify({ cookies, headers: request.headers }));
    case '/set':
      response.setHeader('set-cookie', url.searchParams.getAll('c'));
      return response.end('set');
    case '/nested':
      return html('<h1>Nested</h1><iframe src="/inner/page"></iframe>');
    case '/frames':
      return html('<h1>Frames</h1><iframe srcdoc="x"></iframe>');
    default:
      return html(cookies.includes('session=s3cret') ? `<h1>Welcome</h1><p>${url.pathname}</p>` : '<h1>Who are you?</h1><a id=login href=/login>log in</a>');
  }
}

before(async () => {
  t = await start((request, response) => void app(request, response), jarOf);
  stranger = createServer((request, response) => {
    const to = new URLSearchParams(request.url.slice(2)).get('to');
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<h1>Stranger</h1><a href="${to}">there</a>`);
  });
  await new Promise((resolve) => stranger.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  stranger.close();
  await t.stop();
});
afterEach(async () => {
  for (const page of t.browser.pages().slice(1)) await page.close();
  keepsNone = false;
  t.link.hold = null;
  assert.deepEqual(t.misses.splice(0), []);
  // No app's cookie reaches the server that serves the page, with whatever request.
  assert.deepEqual(t.control.cookies.splice(0), []);
});

async function open(device = t.device(), path = '/', page = undefined) {
  page ??= await t.browser.newPage();
  await page.goto(device.url(path));
  return { page, device, frame: await inApp(page) };
}

async function inApp(page) {
  await page.waitForSelector('iframe');
  const frame = page.frames().find((each) => each.parentFrame() === page.mainFrame());
  await frame.waitForSelector('h1');
  return frame;
}

const shows = (page, heading) => page.frameLocator('iframe').locator('h1', { hasText: heading }).waitFor();
const last = (what) => asked.findLast((each) => each.what === what);
const strangerUrl = (to) => `http://127.0.0.1:${stranger.address().port}/?${new URLSearchParams({ to })}`;

async function loggedIn(device) {
  const opened = await open(device, '/login');
  await opened.page.frameLocator('iframe').locator('button').click();
  await shows(opened.page, 'Welcome');
  return opened;
}

test('a_log_in_with_a_session_cookie_works_and_lasts_over_reload_other_tabs_and_until_log_out', async () => {
  const { page, device } = await loggedIn();
  await page.reload();
  await shows(page, 'Welcome');
  const second = await t.browser.newPage();
  await second.goto(`${device.origin}/other`);
  // The address was typed: SameSite=Strict holds the session back until the app itself, or a reload, leads there.
  await shows(second, 'Who are you?');
  await second.reload();
  await shows(second, 'Welcome');
  await second.close();
  const frame = await inApp(page);
  await frame.evaluate(() => location.assign('/logout'));
  await shows(page, 'Who are you?');
});

test('scripts_read_what_they_may_and_never_what_is_http_only', async () => {
  const { page } = await loggedIn();
  const frame = await inApp(page);
  assert.equal(await frame.evaluate('document.cookie'), 'theme=dark');
  assert.equal(await frame.evaluate('navigator.cookieEnabled'), true);
  const fields = await frame.evaluate(async () => [...(await fetch('/set?c=late%3D1%3B%20Path%3D/')).headers].map(([name]) => name));
  assert.deepEqual(fields.filter((name) => name.includes('cookie')), []);
  assert.equal(await frame.evaluate('document.cookie'), 'theme=dark; late=1');
  await frame.evaluate(() => location.assign('/part/of/it'));
  await page.waitForFunction(() => document.querySelector('iframe').contentWindow.location.pathname === '/part/of/it');
  await shows(page, 'Welcome');
  assert.equal(await (await inApp(page)).evaluate('document.cookie'), 'part=1; theme=dark; late=1');
});

test('what_a_script_sets_goes_with_the_very_next_request_whatever_kind_it_is', async () => {
  const { page, frame } = await open();
  let answer;
  t.link.hold = new Promise((resolve) => (answer = resolve));
  const echoed = frame.evaluate(async () => {
    document.cookie = 'first=1; Path=/';
    document.cookie = 'second=2';
    globalThis.seen = document.cookie;
    return (await (await fetch('/echo')).json()).cookies;
  });
  await frame.waitForFunction(() => globalThis.seen !== undefined);
  answer();
  t.link.hold = null;
  assert.equal(await frame.evaluate('seen'), 'first=1; second=2');
  assert.equal(await echoed, 'first=1; second=2');
  await frame.evaluate(() => {
    document.cookie = 'third=3';
    location.assign('/after');
  });
  await page.waitForFunction(() => document.querySelector('iframe').contentWindow.location.pathname === '/after');
  assert.equal(last('GET /after').cookies, 'first=1; second=2; third=3');
});

test('a_second_tab_sees_at_once_what_the_first_set_and_its_changes_come_before_its_requests', async () => {
  const { frame, device } = await open();
  await frame.evaluate(() => void (document.cookie = 'one=1; Path=/'));
  const second = await t.browser.newPage();
  await second.goto(`${device.origin}/second`);
  const other = await inApp(second);
  assert.equal(await other.evaluate('document.cookie'), 'one=1');
  const wrong = await other.evaluate(async () => {
    const wrong = [];
    for (let n = 0; n < 100; n++) {
      document.cookie = `count=${n}; Path=/`;
      const { cookies } = await (await fetch('/echo')).json();
      if (!cookies.split('; ').includes(`count=${n}`)) wrong.push(`${n}: ${cookies}`);
    }
    return wrong;
  });
  assert.deepEqual(wrong, []);
  await frame.waitForFunction(() => document.cookie === 'one=1; count=99');
  await other.evaluate(() => fetch('/set?c=two%3D2%3B%20Path%3D/'));
  await frame.waitForFunction(() => document.cookie === 'one=1; count=99; two=2');
});

test('a_tab_without_the_link_reads_what_its_own_request_set_as_soon_as_it_has_the_answer', async () => {
  const { device } = await open();
  const second = await t.browser.newPage();
  await second.goto(`${device.origin}/second`);
  const other = await inApp(second);
  const late = await other.evaluate(async () => {
    const late = [];
    for (let n = 0; n < 100; n++) {
      await fetch(`/set?c=${encodeURIComponent(`count=${n}; Path=/`)}`);
      if (document.cookie !== `count=${n}`) late.push(`${n}: ${document.cookie}`);
    }
    return late;
  });
  assert.deepEqual(late, []);
});

test('cookies_outlive_the_tab_that_has_the_link', async () => {
  const { page, frame, device } = await open();
  const second = await t.browser.newPage();
  await second.goto(`${device.origin}/second`);
  const other = await inApp(second);
  await frame.evaluate(() => void (document.cookie = 'one=1; Path=/'));
  await other.waitForFunction(() => document.cookie === 'one=1');
  const links = t.link.opened;
  await page.close();
  const seen = await other.evaluate(async () => {
    document.cookie = 'two=2; Path=/';
    return [document.cookie, (await (await fetch('/echo')).json()).cookies];
  });
  assert.deepEqual(seen, ['one=1; two=2', 'one=1; two=2']);
  assert.equal(t.link.opened, links + 1);
});

test('what_the_device_refuses_shows_only_until_it_has_said_so', async () => {
  const { page } = await loggedIn();
  const frame = await inApp(page);
  const seen = await frame.evaluate(() => {
    document.cookie = 'only=1; HttpOnly';
    document.cookie = '__Host-a=1';
    document.cookie = 'elsewhere=1; Domain=elsewhere.example';
    document.cookie = 'session=stolen; Path=/';
    document.cookie = 'old=1; Max-Age=0';
    return document.cookie;
  });
  assert.equal(seen, 'theme=dark; session=stolen');
  await frame.waitForFunction(() => !document.cookie.includes('session'));
  assert.match((await frame.evaluate(async () => (await (await fetch('/echo')).json()).cookies)), /session=s3cret/);
});

test('frames_inside_the_app_and_pages_without_an_address_have_the_same_cookies', async () => {
  const { page, frame } = await open(undefined, '/nested');
  await frame.evaluate(() => void (document.cookie = 'all=1; Path=/'));
  await frame.evaluate(() => void (document.cookie = 'inner=1; Path=/inner'));
  const inner = page.frames().find((each) => each.parentFrame() === frame);
  await inner.waitForSelector('h1');
  assert.equal(await inner.evaluate('document.cookie'), 'inner=1; all=1');
  assert.equal(await inner.evaluate(() => new DOMParser().parseFromString('x', 'text/html').cookie), '');
  assert.equal(await inner.evaluate(() => {
    document.cookie = 'from=inside; Path=/';
    return document.cookie;
  }), 'inner=1; all=1; from=inside');
  assert.equal(await frame.evaluate('document.cookie'), 'all=1; from=inside');
});

test('cookie_store_reads_and_writes_the_same_cookies_and_tells_of_changes', async () => {
  const { frame } = await open();
  const told = await frame.evaluate(async () => {
    const told = [];
    const next = () => new Promise((resolve) => (cookieStore.onchange = (e) => resolve({ changed: e.changed.map(({ name, value }) => `${name}=${value}`), deleted: e.deleted.map(({ name }) => name) })));
    let change = next();
    await cookieStore.set('a', '1');
    told.push(await change, document.cookie, (await cookieStore.get('a')).value, await cookieStore.get('none'));
    change = next();
    document.cookie = 'b=2';
    told.push(await change, (await cookieStore.getAll()).map(({ name, value }) => `${name}=${value}`));
    change = next();
    await cookieStore.delete('a');
    told.push(await change, document.cookie, await cookieStore.set('c=', '1').catch((e) => e.name));
    return told;
  });
  assert.deepEqual(told, [
    { changed: ['a=1'], deleted: [] }, 'a=1', '1', null,
    { changed: ['b=2'], deleted: [] }, ['a=1', 'b=2'],
    { changed: [], deleted: ['a'] }, 'b=2', 'TypeError',
  ]);
  assert.equal(await frame.evaluate(async () => (await (await fetch('/echo')).json()).cookies), 'b=2');
});

test('requests_without_credentials_have_no_cookies_and_no_field_of_ours_can_be_made_by_the_app', async () => {
  const { frame } = await loggedIn();
  const page = frame.page();
  const inside = await inApp(page);
  const echo = (init) => inside.evaluate(async (init) => (await fetch('/echo', init)).json(), init);
  assert.match((await echo({})).cookies, /session=s3cret/);
  assert.equal((await echo({ credentials: 'omit' })).cookies, '');
  const forged = await echo({ credentials: 'omit', headers: { 'peerage-cookies': 'jar', 'peerage-login': 'none' } });
  assert.equal(forged.cookies, '');
  assert.deepEqual(Object.keys(forged.headers).filter((name) => name.startsWith('peerage-')), []);
});

test('another_sites_link_brings_no_strict_cookie_and_the_apps_own_links_do', async () => {
  const { page, device } = await loggedIn();
  await page.goto(strangerUrl(`${device.origin}/from-outside`));
  await page.locator('a').click();
  await shows(page, 'Who are you?');
  const frame = await inApp(page);
  assert.equal(last('GET /from-outside').headers['sec-fetch-site'], 'cross-site');
  assert.equal(last('GET /from-outside').headers.referer, undefined);
  assert.equal(last('GET /from-outside').cookies, 'theme=dark');
  assert.equal(await frame.evaluate('document.referrer'), `http://127.0.0.1:${stranger.address().port}/`);
  await frame.evaluate(() => location.assign('/inside'));
  await shows(page, 'Welcome');
  assert.equal(await (await inApp(page)).evaluate('document.referrer'), `${device.origin}/from-outside`);
  assert.equal(last('GET /inside').headers['sec-fetch-site'], 'same-origin');
  await page.goto(strangerUrl(`${device.origin}/from-outside`));
  await page.locator('a').click();
  await shows(page, 'Who are you?');
  // As after a log-in by script.
  await (await inApp(page)).evaluate(() => location.reload());
  await shows(page, 'Welcome');
});

test('a_link_with_a_secret_does_not_wash_off_that_another_site_led_here', async () => {
  const { page, device } = await loggedIn();
  await page.goto(strangerUrl(device.url('/by-link')));
  await page.locator('a').click();
  await shows(page, 'Who are you?');
  assert.equal(last('GET /by-link').headers['sec-fetch-site'], 'cross-site');
  await page.reload();
  await shows(page, 'Welcome');
});

test('a_link_opened_in_the_tab_of_the_app_counts_as_another_sites', async () => {
  const { page, device } = await loggedIn();
  await page.goto(device.url('/pasted'));
  await shows(page, 'Who are you?');
  assert.equal(last('GET /pasted').headers['sec-fetch-site'], 'cross-site');
  assert.equal(page.url(), `${device.origin}/pasted`);
  await page.goBack();
  await shows(page, 'Welcome');
});

test('devices_have_their_cookies_apart', async () => {
  const { frame: one } = await open();
  await one.evaluate(() => void (document.cookie = `mine=1; Path=/; Domain=${location.hostname.replace(/^[^.]*\./, '')}`));
  await one.evaluate(() => void (document.cookie = 'mine=1; Path=/'));
  await one.evaluate(() => fetch('/set?c=theirs%3D1'));
  const { frame: other } = await open();
  assert.equal(await other.evaluate('document.cookie'), '');
  assert.equal(await other.evaluate(async () => (await (await fetch('/echo')).json()).cookies), '');
});

test('changes_made_while_the_link_is_lost_reach_the_device_before_anything_else', async () => {
  const { page, frame } = await open();
  t.link.steps = { signalling: 'unreachable-server' };
  t.link.drop('lost');
  await page.locator('#badge-text', { hasText: 'The server does not answer' }).waitFor();
  const echoed = frame.evaluate(async () => {
    document.cookie = 'meanwhile=1; Path=/';
    globalThis.kept = document.cookie;
    return (await (await fetch('/echo')).json()).cookies;
  });
  await frame.waitForFunction(() => globalThis.kept === 'meanwhile=1');
  t.link.steps = {};
  await page.locator('#badge-action').click();
  assert.equal(await echoed, 'meanwhile=1');
  assert.equal(await frame.evaluate('document.cookie'), 'meanwhile=1');
});

test('a_device_that_keeps_no_jar_leaves_scripts_their_cookies_in_memory', async () => {
  keepsNone = true;
  const { page, frame } = await open();
  await frame.evaluate(() => void (document.cookie = 'local=1; Path=/'));
  assert.equal(await frame.evaluate(async () => (await (await fetch('/echo')).json()).cookies), '');
  assert.equal(await frame.evaluate('document.cookie'), 'local=1');
  await frame.evaluate(() => location.assign('/on'));
  await page.waitForFunction(() => document.querySelector('iframe').contentWindow.location.pathname === '/on');
  await shows(page, 'Who');
  assert.equal(await (await inApp(page)).evaluate('document.cookie'), 'local=1');
});

test('cookies_that_the_browser_has_from_before_are_expired', async () => {
  const device = t.device();
  const { hostname } = new URL(device.origin);
  await t.browser.addCookies([{ name: 'old', value: '1', domain: hostname, path: '/' }, { name: 'other', value: '1', domain: `.${hostname}`, path: '/' }]);
  const { frame } = await open(device);
  assert.deepEqual(await t.browser.cookies(device.origin), []);
  assert.equal(await frame.evaluate('document.cookie'), '');
  t.control.cookies.splice(0);
});
