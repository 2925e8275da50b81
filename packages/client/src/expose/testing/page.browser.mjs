// The page in a real Chromium, behind a link that is none. Run: node --test src/expose/testing/page.browser.mjs
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, test } from 'node:test';
import { DOWNLOAD, makeApp } from './app.mjs';
import { SECRET, start } from './harness.mjs';

const app = makeApp();
/** @type {Awaited<ReturnType<typeof start>>} */
let t;
let stranger;

before(async () => {
  t = await start(app);
  stranger = createServer((request, response) => {
    const form = new URLSearchParams(request.url.slice(2));
    if (request.method === 'POST') return void response.writeHead(307, { location: form.get('to') }).end();
    response.writeHead(200, { 'content-type': 'text/html', ...(form.get('quiet') ? { 'referrer-policy': 'no-referrer' } : {}) });
    response.end(`<h1>Stranger</h1><form method=post action="${form.get('to')}"><input name=evil value=1><button>win</button></form>`);
  });
  await new Promise((resolve) => stranger.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  stranger.close();
  await t.stop();
});
afterEach(async () => {
  for (const page of t.browser.pages().slice(1)) await page.close();
  t.link.steps = {};
  t.control.frozen = false;
  // Whatever reaches the server reaches someone who should not see it.
  assert.deepEqual(t.misses.splice(0), []);
});

/** A tab with the app in it. */
async function open(device = t.device(), path = '/') {
  const page = await t.browser.newPage();
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
const strangerUrl = (to, quiet = '') => `http://127.0.0.1:${stranger.address().port}/?${new URLSearchParams({ to, quiet })}`;
async function until(what, condition) {
  for (let i = 0; i < 200; i++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`never: ${what}`);
}

test('a_link_leads_to_its_path_and_its_secret_leaves_the_address_before_the_app_is_there', async () => {
  const device = t.device();
  const page = await t.browser.newPage();
  await page.addInitScript(() => {
    if (top === self) return;
    globalThis.addressAtFirst = parent.location.href;
    const { activation } = parent.navigation;
    globalThis.readable = JSON.stringify([
      parent.performance.getEntries(), activation.entry?.url, activation.from?.url, parent.navigation.entries().map(({ url }) => url),
      parent.document.referrer, document.referrer, parent.history.state, { ...parent.sessionStorage }, { ...parent.localStorage },
    ]);
  });
  await page.goto(device.url('/deep/three?x=1#y'));
  const frame = await inApp(page);
  assert.equal(await frame.evaluate('addressAtFirst'), `${device.origin}/deep/three?x=1#y`);
  assert.ok(!(await frame.evaluate('readable')).includes(SECRET), 'the app reads the secret in what the page remembers of its beginning');
  assert.equal(page.url(), `${device.origin}/deep/three?x=1#y`);
  assert.equal(await page.title(), 'Three');
  const stored = await page.evaluate(async (secret) => {
    const all = [];
    for (const { name } of await indexedDB.databases()) {
      const db = await new Promise((done) => (indexedDB.open(name).onsuccess = (e) => done(e.target.result)));
      for (const store of db.objectStoreNames) {
        const values = await new Promise((done) => (db.transaction(store).objectStore(store).getAll().onsuccess = (e) => done(e.target.result)));
        all.push(`${name}/${store}: ${values.length}`, JSON.stringify(values).includes(secret));
      }
    }
    return all;
  }, SECRET);
  assert.deepEqual(stored, ['peerage/grants: 1', false, 'peerage/keys: 1', false, 'peerage-pending/proofs: 0', false]);
});

test('assets_by_relative_and_absolute_path_and_the_icon_come_from_the_device', async () => {
  const { page, frame, device } = await open(undefined, '/assets');
  await page.waitForFunction(() => document.querySelector('link[rel=icon]').href.startsWith('data:image/png'));
  assert.equal(await frame.evaluate('getComputedStyle(document.querySelector("h1")).color'), 'rgb(1, 2, 3)');
  assert.equal(await frame.evaluate('document.body.dataset.script'), `${device.origin}/js/a.js`);
  assert.equal(await frame.evaluate('document.querySelector("#i").naturalWidth'), 1);
});

test('a_visit_after_the_first_needs_no_secret', async () => {
  const { page, device } = await open();
  await page.close();
  const before = t.link.proven;
  const again = await t.browser.newPage();
  await again.goto(`${device.origin}/two`);
  await shows(again, 'Two');
  assert.equal(t.link.proven, before);
});

test('links_back_forward_and_reload_work_as_in_a_tab', async () => {
  const { page, device } = await open();
  await page.frameLocator('iframe').locator('#two').click();
  await shows(page, 'Two');
  await page.waitForURL(`${device.origin}/two`);
  await page.frameLocator('iframe').locator('#three').click();
  await page.waitForURL(`${device.origin}/deep/three?x=1#y`);
  await shows(page, 'Three');
  await page.goBack();
  await shows(page, 'Two');
  await page.reload();
  await shows(page, 'Two');
  await page.goBack();
  await shows(page, 'Start');
  assert.equal(page.url(), `${device.origin}/`);
  await page.goForward();
  await shows(page, 'Two');
  await page.goForward();
  await shows(page, 'Three');
  assert.equal(page.url(), `${device.origin}/deep/three?x=1#y`);
  await page.waitForFunction(() => document.title === 'Three');
});

test('a_form_by_get_is_a_page_like_any_other', async () => {
  const { page, device } = await open();
  await page.frameLocator('iframe').locator('#search button').click();
  await shows(page, 'Two');
  await page.waitForURL(`${device.origin}/two?q=x`);
  await page.goBack();
  await shows(page, 'Start');
});

test('scripts_that_change_the_address_change_the_tabs', async () => {
  const { page, frame, device } = await open();
  await frame.evaluate(() => history.pushState({ n: 1 }, '', '/spa/one'));
  await page.waitForURL(`${device.origin}/spa/one`);
  await frame.evaluate(() => (location.hash = 'part'));
  await page.waitForURL(`${device.origin}/spa/one#part`);
  await page.goBack();
  await page.waitForURL(`${device.origin}/spa/one`);
  await page.goBack();
  await page.waitForURL(`${device.origin}/`);
  await frame.evaluate(() => (document.title = 'Changed'));
  await page.waitForFunction(() => document.title === 'Changed');
});

test('an_app_of_one_page_finds_its_states_again_also_after_a_reload', async () => {
  const { page, frame, device } = await open(undefined, '/two');
  const listen = () => {
    globalThis.told = [];
    addEventListener('popstate', (e) => told.push(`pop ${JSON.stringify(e.state)} ${location.pathname}${location.hash}`));
    addEventListener('hashchange', (e) => told.push(`hash ${new URL(e.oldURL).hash}>${new URL(e.newURL).hash}`));
    document.body.style.height = '5000px';
  };
  await frame.evaluate(listen);
  await frame.evaluate(() => history.replaceState('zero', ''));
  await frame.evaluate(() => scrollTo(0, 700));
  await page.waitForFunction(() => history.state.scroll[1] === 700);
  await frame.evaluate(() => {
    history.pushState({ n: 1 }, '', '/two?1');
    scrollTo(0, 0);
  });
  await frame.evaluate(() => history.pushState({ n: 2 }, '', '/two?2'));
  await frame.evaluate(() => (location.hash = 'part'));
  assert.equal(await frame.evaluate(() => JSON.stringify(history.state)), 'null');
  await page.goBack();
  await page.waitForURL(`${device.origin}/two?2`);
  await frame.evaluate(() => history.go(-2));
  await page.waitForURL(`${device.origin}/two`);
  await frame.waitForFunction(() => scrollY === 700);
  assert.equal(await frame.evaluate('history.state'), 'zero');
  await frame.waitForFunction(() => globalThis.told.length === 5);
  assert.deepEqual(await frame.evaluate('told'), ['pop null /two#part', 'hash >#part', 'pop {"n":2} /two', 'hash #part>', 'pop "zero" /two']);
  await page.goForward();
  await page.goForward();
  await page.waitForURL(`${device.origin}/two?2`);

  await page.reload();
  await shows(page, 'Two');
  const reloaded = await inApp(page);
  assert.deepEqual(await reloaded.evaluate('history.state'), { n: 2 });
  await page.goBack();
  await page.waitForURL(`${device.origin}/two?1`);
  await page.waitForFunction(() => document.querySelector('iframe').contentWindow.location.search === '?1');
  await shows(page, 'Two');
  await until('the state is there', () => page.evaluate(() => document.querySelector('iframe').contentWindow.history.state?.n === 1));
});

test('target_top_stays_inside_and_breaking_out_of_frames_does_not_happen', async () => {
  const { page, device } = await open();
  const links = t.link.opened;
  await page.frameLocator('iframe').locator('#top').click();
  await shows(page, 'Two');
  await page.waitForURL(`${device.origin}/two`);
  const frame = await inApp(page);
  await frame.evaluate(() => location.assign('/bust'));
  await shows(page, 'Bust');
  await page.waitForURL(`${device.origin}/bust`);
  await page.goBack();
  await shows(page, 'Two');
  await frame.evaluate(() => (top.location.href = '/done'));
  await shows(page, 'Done');
  assert.equal(t.link.opened, links);
});

test('a_form_reaches_the_app_with_origin_referrer_and_length', async () => {
  const { page, device } = await open();
  await page.frameLocator('iframe').locator('#post button').click();
  await shows(page, 'Done');
  await page.waitForURL(`${device.origin}/done`);
  assert.equal(app.posted.body, 'a=1+%26+2');
  assert.equal(app.posted.headers.origin, device.origin);
  assert.equal(app.posted.headers.referer, `${device.origin}/`);
  assert.equal(app.posted.headers['content-length'], '9');
  assert.equal(app.posted.headers['content-type'], 'application/x-www-form-urlencoded');
});

test('a_form_for_another_tab_or_the_whole_tab_shows_its_answer_in_a_shell', async () => {
  const { page } = await open();
  const [other] = await Promise.all([page.waitForEvent('popup'), page.frameLocator('iframe').locator('#postblank button').click()]);
  await shows(other, 'Echo POST a=blank');
  await other.close();
  await page.frameLocator('iframe').locator('#posttop button').click();
  await shows(page, 'Echo POST a=top');
});

test('every_method_status_and_body_passes_fetch', async () => {
  const { frame } = await open(undefined, '/fetcher');
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const echo = await frame.evaluate(async (method) => (await fetch('/echo', { method, body: 'hello', headers: { 'x-own': 'v', 'content-type': 'text/x' } })).json(), method);
    assert.equal(echo.method, method);
    assert.equal(echo.body, 'hello');
    assert.equal(echo.headers['content-length'], '5');
    assert.equal(echo.headers['x-own'], 'v');
  }
  assert.equal((await frame.evaluate(async () => (await fetch('/echo', { method: 'POST' })).json())).headers['content-length'], '0');
  assert.equal((await frame.evaluate(async () => (await fetch('/echo', { method: 'DELETE' })).json())).method, 'DELETE');
  const long = await frame.evaluate(async () => (await fetch('/echo', { method: 'PUT', body: new Blob([new Uint8Array(5_000_000)]) })).json());
  assert.equal(long.length, 5_000_000);
  const made = await frame.evaluate(async () => {
    let n = 0;
    const body = new ReadableStream({ pull: (c) => (n++ < 5 ? c.enqueue(new TextEncoder().encode(`part${n} `)) : c.close()) });
    return (await fetch('/echo', { method: 'POST', body, duplex: 'half' })).json();
  });
  assert.equal(made.body, 'part1 part2 part3 part4 part5 ');
  for (const status of [200, 201, 204, 205, 304, 400, 404, 500]) {
    const answer = await frame.evaluate(async (s) => {
      const r = await fetch(`/status?s=${s}`);
      return [r.status, r.headers.get('x-own'), (await r.text()).length];
    }, status);
    assert.deepEqual(answer, [status, 'yes', 0]);
  }
  assert.deepEqual(await frame.evaluate(async () => {
    const r = await fetch('/range', { method: 'HEAD' });
    return [r.status, r.headers.get('accept-ranges')];
  }), [200, 'bytes']);
});

test('packed_answers_are_unpacked_and_ranges_pass', async () => {
  const { page, frame } = await open();
  assert.deepEqual(await frame.evaluate(async () => {
    const r = await fetch('/gzip');
    return [await r.text(), r.headers.get('content-encoding')];
  }), ['unpacked', null]);
  assert.deepEqual(await frame.evaluate(async () => {
    const r = await fetch('/range', { headers: { range: 'bytes=2-4' } });
    return [r.status, r.headers.get('content-range'), await r.text()];
  }), [206, 'bytes 2-4/10', '234']);
  await frame.evaluate(() => location.assign('/deflate'));
  await shows(page, 'Deflated');
});

test('an_answer_arrives_piece_by_piece_and_giving_it_up_reaches_the_app', async () => {
  const { frame } = await open();
  await frame.evaluate(() => {
    globalThis.heard = '';
    globalThis.stop = new AbortController();
    void fetch('/slow', { signal: stop.signal }).then(async (r) => {
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) heard += (await reader.read()).value;
    }).catch(() => {});
  });
  await until('the app is asked', () => app.slow.size === 1);
  for (const piece of ['a', 'b', 'c']) {
    for (const response of app.slow) response.write(piece);
    await frame.waitForFunction((piece) => globalThis.heard.endsWith(piece), piece);
  }
  await frame.evaluate(() => globalThis.stop.abort());
  await until('the app notices', () => app.slow.size === 0);
});

test('event_source_comes_back_after_the_link_was_lost', async () => {
  const { page, frame } = await open();
  await frame.evaluate(() => {
    globalThis.events = 0;
    globalThis.source = new EventSource('/events');
    source.onmessage = () => globalThis.events++;
  });
  await frame.waitForFunction(() => globalThis.events === 1);
  t.link.drop('lost');
  await frame.waitForFunction(() => globalThis.events === 2, null, { timeout: 15_000 });
  await page.locator('#badge-text', { hasText: 'Direct' }).waitFor();
});

test('redirects_are_followed_inside_and_lead_the_tab_to_other_sites', async () => {
  const { page, frame, device } = await open();
  assert.equal(await frame.evaluate(async () => (await fetch('/redirect?to=/range')).text()), '0123456789');
  await frame.evaluate(() => location.assign('/redirect?to=/two'));
  await shows(page, 'Two');
  await page.waitForURL(`${device.origin}/two`);
  await page.frames()[1].evaluate((to) => location.assign(`/redirect?to=${encodeURIComponent(to)}`), strangerUrl('/'));
  await page.locator('body > h1', { hasText: 'Stranger' }).waitFor();
  assert.ok(page.url().startsWith('http://127.0.0.1'));
});

test('links_to_other_sites_lead_the_tab_there_and_back_returns', async () => {
  const { page, frame, device } = await open(undefined, '/two');
  await frame.evaluate((to) => location.assign(to), strangerUrl('/'));
  await page.locator('body > h1', { hasText: 'Stranger' }).waitFor();
  await page.goBack();
  await shows(page, 'Two');
  assert.equal(page.url(), `${device.origin}/two`);
});

test('an_app_that_forbids_frames_is_shown_and_the_rest_of_its_policy_holds', async () => {
  const { page, frame } = await open();
  await frame.evaluate(() => location.assign('/denyframes'));
  await shows(page, 'Denied');
  assert.equal(await page.frames()[1].evaluate(() => {
    const s = document.createElement('script');
    s.textContent = 'globalThis.ran = true';
    document.body.append(s);
    return globalThis.ran ?? false;
  }), false);
});

test('downloads_go_to_disk_under_their_names_and_leave_page_and_address_alone', async () => {
  const { page, frame, device } = await open();
  const saved = async (act) => {
    const [download] = await Promise.all([page.waitForEvent('download'), act()]);
    return { name: download.suggestedFilename(), data: await readFile(await download.path()) };
  };
  const file = await saved(() => page.frameLocator('iframe').locator('#file').click());
  assert.equal(file.name, 'big.bin');
  assert.ok(file.data.equals(DOWNLOAD));
  assert.equal(page.url(), `${device.origin}/`);

  const named = await saved(() => page.frameLocator('iframe').locator('#named').click());
  assert.equal(named.name, 'wanted ü.txt');
  assert.equal(String(named.data), 'plain');
  assert.equal(await frame.evaluate(() => document.querySelector('#named').outerHTML), '<a id="named" href="/plain.txt" download="wanted ü.txt">named</a>');

  const made = await saved(() => frame.evaluate(() => Object.assign(document.createElement('a'), { href: '/plain.txt', download: 'made.txt' }).click()));
  assert.equal(made.name, 'made.txt');
  const blob = await saved(() => frame.evaluate(() => Object.assign(document.createElement('a'), { href: URL.createObjectURL(new Blob(['b'])), download: 'blob.txt' }).click()));
  assert.equal(blob.name, 'blob.txt');
  assert.equal(page.url(), `${device.origin}/`);
  await page.frameLocator('iframe').locator('#two').click();
  await page.waitForURL(`${device.origin}/two`);
  await page.goBack();
  await shows(page, 'Start');
});

test('a_form_of_another_site_is_not_forwarded', async () => {
  const { page, device } = await open();
  await page.goto(strangerUrl(`${device.origin}/form`));
  app.posted = null;
  await page.locator('button').click();
  await page.locator('h1', { hasText: 'Another site' }).waitFor();
  assert.equal(app.posted, null);
});

test('a_form_that_another_site_sends_back_is_not_the_apps_own', async () => {
  const { page, frame, device } = await open();
  app.posted = null;
  await frame.evaluate((action) => {
    document.body.insertAdjacentHTML('beforeend', `<form id=out method=post action="${action}"><input name=a value=1><button>go</button></form>`);
    document.querySelector('#out button').click();
  }, strangerUrl(`${device.origin}/form`));
  await page.locator('h1', { hasText: 'Send this to the device?' }).waitFor();
  assert.equal(app.posted, null);
});

test('a_form_whose_cause_cannot_be_told_waits_for_the_person', async () => {
  const { page, device } = await open();
  await page.goto(strangerUrl(`${device.origin}/form`, 'yes'));
  app.posted = null;
  await page.locator('button').click();
  await page.locator('h1', { hasText: 'Send this to the device?' }).waitFor();
  await page.getByRole('button', { name: 'Do not send it' }).click();
  await shows(page, 'Start');
  assert.equal(app.posted, null);

  await page.goto(strangerUrl(`${device.origin}/form`, 'yes'));
  await page.locator('button').click();
  await page.screenshot({ path: shot('question') });
  await page.getByRole('button', { name: 'Send it', exact: true }).click();
  await shows(page, 'Done');
  assert.equal(app.posted.body, 'evil=1');
});

test('a_second_tab_uses_the_link_of_the_first_and_takes_it_over', async () => {
  const { page, device } = await open();
  const links = t.link.opened;
  const second = await t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  await shows(second, 'Two');
  assert.equal(t.link.opened, links);
  const frame = await inApp(second);
  await frame.evaluate(() => {
    globalThis.ended = '';
    void fetch('/slow').then((r) => r.text()).catch((e) => (globalThis.ended = e.name));
  });
  await until('the app is asked', () => app.slow.size === 1);
  await page.close();
  await frame.waitForFunction(() => globalThis.ended === 'TypeError');
  assert.equal(await frame.evaluate(async () => (await fetch('/range')).text()), '0123456789');
  assert.equal(t.link.opened, links + 1);
});

test('a_tab_that_is_stuck_loses_the_link_to_one_that_is_looked_at', async () => {
  const { page, frame, device } = await open();
  const links = t.link.opened;
  let answer;
  page.once('dialog', (dialog) => (answer = dialog));
  void frame.evaluate(() => alert('stuck')).catch(() => {});
  await until('the dialog is there', () => answer !== undefined);
  const second = await t.browser.newPage();
  await second.goto(`${device.origin}/two`);
  await second.frameLocator('iframe').locator('h1', { hasText: 'Two' }).waitFor({ timeout: 25_000 });
  assert.equal(t.link.opened, links + 1);
  await answer.dismiss();
  assert.equal(await frame.evaluate(async () => (await fetch('/range')).text()), '0123456789');
  assert.equal(t.link.opened, links + 1);
});

test('once_the_link_is_there_the_server_is_not_needed', async () => {
  const { page, device } = await open();
  t.control.frozen = true;
  await page.frameLocator('iframe').locator('#two').click();
  await shows(page, 'Two');
  // By now the browser looks for an update of the worker, and hears nothing.
  await until('an update is looked for', () => t.control.ignored.includes('/__peerage/worker.js'));
  const second = await t.browser.newPage();
  await second.goto(`${device.origin}/deep/three`);
  await shows(second, 'Three');
});

test('what_an_app_writes_over_the_stored_page_is_not_shown', async () => {
  const { page, frame, device } = await open();
  const replaced = await frame.evaluate(async () => {
    const [name] = (await caches.keys()).filter((each) => each.startsWith('peerage-shell-'));
    const cache = await caches.open(name);
    const paths = (await cache.keys()).map(({ url }) => new URL(url).pathname);
    const evil = { headers: { 'content-type': 'text/html', refresh: '0; url=/evil' } };
    for (const path of paths) await cache.put(path, path === '/__peerage/shell.css' ? new Response(await (await cache.match(path)).text(), evil) : new Response('evil()', evil));
    return paths.length;
  });
  assert.equal(replaced, 4);
  await page.close();
  const again = await t.browser.newPage();
  const answers = [];
  again.on('response', (response) => answers.push(response));
  await again.goto(`${device.origin}/two`);
  await shows(again, 'Two');
  for (const answer of answers) assert.equal((await answer.allHeaders()).refresh, undefined, answer.url());
});

test('a_page_and_a_worker_of_different_releases_come_together_by_one_reload', async () => {
  t.once.set('worker.js', t.files.get('worker.js').replace(/VERSION = \d+;/, 'VERSION = 0;'));
  assert.notEqual(t.once.get('worker.js'), t.files.get('worker.js'));
  const { page, device } = await open(undefined, '/two');
  await shows(page, 'Two');
  assert.equal(page.url(), `${device.origin}/two`);
  assert.equal(t.once.size, 0);
});

test('a_worker_that_was_stopped_finds_the_link_again', async () => {
  const { page, frame } = await open();
  const session = await t.browser.newCDPSession(page);
  await session.send('ServiceWorker.enable');
  await session.send('ServiceWorker.stopAllWorkers');
  assert.equal(await frame.evaluate(async () => (await fetch('/range')).text()), '0123456789');
});

test('a_lost_link_is_made_again_while_the_app_stays', async () => {
  const { page, frame } = await open();
  await frame.evaluate(() => (globalThis.stillHere = true));
  t.link.steps = { signalling: 'unreachable-server' };
  t.link.drop('lost');
  await page.locator('#badge-text', { hasText: 'The server does not answer' }).waitFor();
  await page.screenshot({ path: shot('lost') });
  const waiting = frame.evaluate(async () => (await fetch('/range')).text());
  t.link.steps = {};
  await page.locator('#badge-action').click();
  assert.equal(await waiting, '0123456789');
  await page.locator('#badge-text', { hasText: 'Direct' }).waitFor();
  assert.equal(await frame.evaluate('stillHere'), true);
});

test('the_badge_can_be_hidden_and_shows_trouble_all_the_same', async () => {
  const { page } = await open();
  await page.locator('#badge').hover();
  await page.screenshot({ path: shot('connected') });
  await page.locator('#badge-hide').click();
  await page.locator('#badge').waitFor({ state: 'hidden' });
  await page.reload();
  await shows(page, 'Start');
  assert.equal(await page.locator('#badge').isVisible(), false);
  t.link.steps = { signalling: 'unreachable-server' };
  t.link.drop('lost');
  await page.locator('#badge').waitFor();
});

test('every_failure_is_said_in_words_and_can_be_tried_again', async () => {
  for (const [step, code] of [['calling', 'peer-unavailable'], ['verifying', 'wrong-device'], ['connecting', 'no-route'], ['calling', 'denied']]) {
    const device = t.device();
    t.link.steps = { [step]: code };
    const page = await t.browser.newPage();
    await page.goto(device.url('/two'));
    await page.locator('#remedies li').first().waitFor();
    await page.screenshot({ path: shot(`failed-${code}`) });
    assert.equal(page.url(), `${device.origin}/two`);
    if (code !== 'denied') {
      t.link.steps = {};
      await page.locator('#action').click();
      await shows(page, 'Two');
    }
    await page.close();
  }
});

test('a_proof_outlives_a_reload_until_the_device_has_answered', async () => {
  const device = t.device();
  t.link.steps = { calling: 'peer-unavailable' };
  const page = await t.browser.newPage();
  await page.goto(device.url('/two'));
  await page.locator('#remedies li').first().waitFor();
  t.link.steps = {};
  await page.reload();
  await shows(page, 'Two');
});

test('connecting_is_shown_step_by_step', async () => {
  let go;
  t.link.steps = { verifying: new Promise((resolve) => (go = resolve)) };
  const page = await t.browser.newPage();
  await page.goto(t.device().url());
  await page.locator('#title', { hasText: 'Verifying' }).waitFor();
  assert.deepEqual(await page.locator('#steps li').evaluateAll((items) => items.map((item) => item.dataset.state)), ['done', 'now', 'later']);
  await page.screenshot({ path: shot('verifying') });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: shot('verifying-dark') });
  go('');
  await shows(page, 'Start');
});

test('without_a_link_the_page_asks_for_one_and_takes_it_in_the_same_tab', async () => {
  const device = t.device();
  const page = await t.browser.newPage();
  await page.goto(`${device.origin}/`);
  await page.locator('#title', { hasText: 'Open the link' }).waitFor();
  await page.screenshot({ path: shot('no-link') });
  await page.goto(device.url('/two'));
  await shows(page, 'Two');
  assert.equal(page.url(), `${device.origin}/two`);
});

test('a_damaged_link_is_told_from_none', async () => {
  const page = await t.browser.newPage();
  await page.goto(`${t.device().origin}/#1.${SECRET.slice(0, 20)}`);
  await page.locator('#title', { hasText: 'not complete' }).waitFor();
});

test('a_link_pasted_into_the_tab_of_the_app_is_never_shown_to_the_app', async () => {
  const { page, frame, device } = await open(undefined, '/');
  await frame.evaluate(() => {
    globalThis.seen = [];
    navigation.addEventListener('navigate', (e) => seen.push(e.destination.url));
    onhashchange = () => seen.push(location.href);
  });
  await page.goto(`${device.origin}/#1.${SECRET}/two`);
  await page.waitForURL(`${device.origin}/two`);
  await shows(page, 'Two');
});

test('plain_http_on_a_network_says_why_it_cannot_work', async () => {
  const page = await t.browser.newPage();
  const device = t.device();
  await page.goto(`http://${device.id}.peerage.test:${t.port}/#1.${SECRET}`);
  await page.locator('#title', { hasText: 'needs https' }).waitFor();
  await page.screenshot({ path: shot('insecure') });
});

test('the_apps_own_worker_fails_safely', async () => {
  const { frame } = await open();
  const rejected = await frame.evaluate(() => navigator.serviceWorker.register('/sw.js').then(() => 'registered', (e) => e.name));
  assert.equal(rejected, 'TypeError');
  assert.deepEqual(t.misses.splice(0), ['GET /sw.js']);
});

test('a_popup_finds_its_opener_and_hears_it', async () => {
  const { page, frame } = await open();
  await frame.evaluate(() => {
    globalThis.heard = [];
    onmessage = (e) => {
      heard.push(e.data);
      if (e.data === 'hello') globalThis.popup.postMessage('ping', '*');
    };
    globalThis.popup = window.open('/popup');
  });
  await frame.waitForFunction(() => globalThis.heard.includes('got ping'));
  const popup = t.browser.pages().at(-1);
  const [inside] = popup.frames().slice(1);
  await Promise.all([popup.waitForEvent('close'), inside.evaluate(() => window.close()).catch(() => {})]);
  assert.ok(page);
});

function shot(name) {
  return `${process.env.SHOTS ?? '/tmp'}/peerage-${name}.png`;
}
