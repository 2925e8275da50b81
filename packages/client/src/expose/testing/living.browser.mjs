// What apps do in a browser besides asking for things. Run: npm run test:page
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { visits } from './visit.mjs';

const visit = visits();
const { app, open, serve, inApp, shows, until } = visit;

/** Another site, which people log in at: it leads back to where it is told. */
let site;
before(async () => {
  site = createServer((request, response) => {
    const back = new URL(request.url, 'http://x').searchParams.get('back');
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<h1>Log in</h1><script>location.href = ${JSON.stringify(back)}</script>`);
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
});
after(() => void site.close());

const popups = () => visit.t.browser.pages().slice(2);

test('a_window_that_the_app_opens_is_steered_talked_to_and_closed_by_it', async () => {
  serve('/inner', 'text/html', `<!doctype html><h1>Inner</h1><script>onmessage = (e) => e.source === opener ? e.source.postMessage(['echo', e.data, e.origin === location.origin], location.origin) : 0; opener.postMessage('ready', '*')</script>`);
  const { frame, device } = await open();
  const said = await frame.evaluate(() => new Promise((resolve) => {
    const all = [];
    globalThis.w = window.open('/inner', 'helper');
    onmessage = (e) => {
      all.push(e.data, e.source === w, e.origin === location.origin);
      if (e.data === 'ready') e.source.postMessage('hello', location.origin);
      else resolve(all);
    };
  }));
  assert.deepEqual(said, ['ready', true, true, ['echo', 'hello', true], true, true]);
  assert.equal(popups().length, 1);
  // The name leads to the same window.
  assert.equal(await frame.evaluate(() => window.open('/two', 'helper') === w), true);
  await shows(popups()[0], 'Two');
  await frame.evaluate(() => void (w.location = '/done'));
  await shows(popups()[0], 'Done');
  await frame.waitForFunction((address) => w.location.href === address, `${device.origin}/done`);
  assert.equal(popups().length, 1);
  await frame.evaluate(() => w.close());
  await until('it is closed', () => popups().length === 0);
  assert.equal(await frame.evaluate(() => w.closed), true);
});

test('a_log_in_at_another_site_comes_back_in_its_own_window', async () => {
  serve('/callback', 'text/html', `<!doctype html><h1>Back</h1><script>opener.postMessage('token ' + location.search, location.origin); opener.sessionStorage.seen = '1'; if (location.hash === '#reload') opener.location.reload(); window.close()</script>`);
  const { frame, page, device } = await open();
  const back = (hash) => `http://127.0.0.1:${site.address().port}/?${new URLSearchParams({ back: `${device.origin}/callback?code=7${hash}` })}`;
  const token = await frame.evaluate((address) => new Promise((resolve) => {
    onmessage = (e) => resolve([e.data, e.source === globalThis.w]);
    globalThis.w = window.open(address, 'login', 'width=400,height=300');
  }), back(''));
  assert.deepEqual(token, ['token ?code=7', true]);
  await until('it is closed', () => popups().length === 0);
  await frame.evaluate((address) => {
    globalThis.before = true;
    window.open(address, 'login', 'width=400,height=300');
  }, back('#reload'));
  await until('the app is loaded anew', async () => (await page.frames()[1].evaluate('globalThis.before ?? "new"').catch(() => '')) === 'new');
  await until('it is closed', () => popups().length === 0);
  await shows(page, 'Start');
});

test('frames_of_the_app_are_the_devices_and_have_the_shim', async () => {
  const { frame } = await open();
  await frame.evaluate(() => (document.body.innerHTML += '<iframe src="/two"></iframe>'));
  await until('the frame is there', () => frame.childFrames().length === 1 && frame.childFrames()[0].url().endsWith('/two'));
  const [inner] = frame.childFrames();
  await inner.waitForSelector('h1');
  assert.equal(await inner.evaluate(() => Symbol.for('peerage-shim') in globalThis), true);
  assert.equal(await inner.evaluate(() => parent !== top && parent.document.querySelector('h1').textContent), 'Start');
});

test('objects_and_embeds_are_shown_from_the_device', async () => {
  serve('/objects', 'text/html', '<!doctype html><h1>Objects</h1><object id=o data="/two" width=300></object><embed id=e src="/done"><object id=foreign data="data:text/plain,x"></object>');
  serve('/drawing.svg', 'image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg"><text id="t">drawn</text></svg>');
  const { page, frame } = await open(undefined, '/objects');
  for (const [selector, heading] of [['#o > iframe', 'Two'], ['#e', 'Done']]) await frame.frameLocator(selector).locator('h1', { hasText: heading }).waitFor();
  assert.deepEqual(await frame.evaluate(() => [o.contentDocument.querySelector('h1').textContent, o.firstChild.width, foreign.data]), ['Two', '300', 'data:text/plain,x']);
  const drawn = await frame.evaluate(() => new Promise((resolve) => {
    const object = document.createElement('object');
    object.type = 'image/svg+xml';
    object.onload = () => resolve(object.contentDocument.getElementById('t').textContent);
    object.data = '/drawing.svg';
    document.body.append(object);
  }));
  assert.equal(drawn, 'drawn');
  assert.ok(page);
});

// By the page around it: a frame's own would be lost now and then, and that never when somebody looks.
for (const [name, prepare] of [['what_is_sent_while_a_page_goes_arrives', () => {}], ['what_is_sent_while_a_page_goes_wakes_the_worker', stopWorkers]]) {
  test(name, async () => {
    const { frame, page } = await open();
    const got = [];
    for (const path of ['/beacon', '/kept', '/request']) {
      app.own.set(path, async (request, response) => {
        let body = '';
        for await (const piece of request) body += piece;
        got.push([request.method, path, body, request.headers['content-type'], new URL(request.headers.referer).pathname].join(' '));
        response.writeHead(204).end();
      });
    }
    await frame.evaluate(() => {
      history.replaceState(null, '', '/here?');
      addEventListener('pagehide', () => {
        navigator.sendBeacon('beacon', 'by beacon');
        sessionStorage.tooLarge = navigator.sendBeacon('beacon', new Uint8Array(70_000));
        void fetch('/kept', { method: 'POST', body: new URLSearchParams({ kept: 'alive' }), keepalive: true });
        void fetch(new Request('request', { method: 'PUT', body: 'made before', keepalive: true }));
      });
    });
    await prepare(page);
    const senders = new Set();
    page.on('request', (request) => request.method() !== 'GET' && senders.add(request.frame() === page.mainFrame() ? 'shell' : 'frame'));
    await frame.evaluate(() => location.assign('/two'));
    await shows(page, 'Two');
    await until('all are there', () => got.length === 3).catch((e) => { console.log('#', got, app.asked.slice(-5)); throw e });
    assert.deepEqual(got.sort(), [
      'POST /beacon by beacon text/plain;charset=UTF-8 /here',
      'POST /kept kept=alive application/x-www-form-urlencoded;charset=UTF-8 /here',
      'PUT /request made before text/plain;charset=UTF-8 /here',
    ]);
    assert.deepEqual([...senders], ['shell']);
    assert.equal(await page.frames()[1].evaluate(() => sessionStorage.tooLarge), 'false');
  });
}

async function stopWorkers(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('ServiceWorker.enable');
  await session.send('ServiceWorker.stopAllWorkers');
}

test('modules_import_maps_and_preloads_load', async () => {
  serve('/modern', 'text/html', `<!doctype html><title>m</title><link rel=preload as=script href="/js/pre.js"><link rel=modulepreload href="/js/m.js"><script type=importmap>{"imports":{"named":"/js/m.js"}}</script>
    <h1>waits</h1><script type=module>import { value } from 'named'; const { other } = await import('./js/n.js'); document.querySelector('h1').textContent = value + other + globalThis.pre</script><script src="/js/pre.js"></script>`);
  serve('/js/m.js', 'text/javascript', 'export const value = "module "');
  serve('/js/n.js', 'text/javascript', 'export const other = "dynamic "');
  serve('/js/pre.js', 'text/javascript', 'globalThis.pre = "preloaded"');
  const before = app.asked.length;
  const { page } = await open(undefined, '/modern');
  await shows(page, 'module dynamic preloaded');
  const asked = app.asked.slice(before);
  for (const path of ['/js/pre.js', '/js/m.js']) assert.equal(asked.filter((each) => each === `GET ${path}`).length, 1, path);
});

test('a_film_plays_and_seeks_by_ranges', async () => {
  const film = wave(40_000_000);
  const ranges = [];
  app.own.set('/film.wav', (request, response) => {
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [null, '0', ''];
    ranges.push(Number(from));
    const part = film.subarray(Number(from), to ? Number(to) + 1 : undefined);
    response.writeHead(206, { 'content-type': 'audio/wav', 'accept-ranges': 'bytes', 'content-length': part.length, 'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${film.length}` });
    response.end(part);
  });
  const { frame } = await open();
  const [duration, at] = await frame.evaluate(async () => {
    const video = document.createElement('video');
    video.muted = true;
    video.src = '/film.wav';
    document.body.append(video);
    const once = (name) => new Promise((resolve, reject) => { video.addEventListener(name, resolve, { once: true }); video.addEventListener('error', () => reject(new Error(video.error.message))); });
    await once('loadedmetadata');
    video.currentTime = video.duration - 2;
    await once('seeked');
    await video.play();
    await once('ended');
    return [video.duration, video.currentTime];
  });
  assert.ok(at > duration - 0.1);
  assert.ok(ranges.some((from) => from > 30_000_000), `asked from ${ranges}`);
});

test('event_source_in_pages_and_workers_comes_back_without_saying_where_it_was', async () => {
  const ids = [];
  app.own.set('/numbers', (request, response) => {
    ids.push(request.headers['last-event-id'] ?? null);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`retry: 10\nid: ${ids.length}\ndata: n${ids.length}\n\n`);
  });
  serve('/w/events.js', 'text/javascript', `const source = new EventSource('/numbers'); source.onmessage = ({ data }) => { postMessage(data); if (data === 'n4') source.close() }`);
  const { frame } = await open();
  assert.equal(await frame.evaluate(() => new Promise((resolve) => {
    const source = new EventSource('/numbers');
    source.onmessage = ({ data, lastEventId }) => data === 'n2' && (source.close(), resolve(lastEventId));
  })), '2');
  await frame.evaluate(() => new Promise((resolve) => (new Worker('/w/events.js').onmessage = ({ data }) => data === 'n4' && resolve())));
  assert.deepEqual(ids, [null, null, null, null]);
});

test('a_new_release_of_the_server_while_the_app_is_open_disturbs_nothing', async () => {
  const { page, frame } = await open();
  await frame.evaluate(() => new Promise((resolve) => ((globalThis.socket = new WebSocket('/ws/echo')).onopen = resolve)));
  visit.t.once.set('worker.js', `${visit.t.files.get('worker.js')}\n// newer`);
  await page.evaluate(async () => {
    const changed = new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve));
    await (await navigator.serviceWorker.ready).update();
    // Chromium lets the old worker finish what it is at before the new one takes over, for minutes if need be: then this is about the old one.
    await Promise.race([changed, new Promise((resolve) => setTimeout(resolve, 10_000))]);
  });
  assert.equal(await frame.evaluate(async () => (await fetch('/range')).text()), '0123456789');
  assert.equal(await frame.evaluate(() => new Promise((resolve) => {
    socket.onmessage = ({ data }) => resolve(data);
    socket.send('still here');
  })), 'still here');
  assert.equal(await frame.evaluate(() => new Promise((resolve) => (new WebSocket('/ws/echo').onopen = () => resolve('open')))), 'open');
});

/** Sound of high rate, so that a few seconds are many octets. */
function wave(length) {
  const data = Buffer.alloc(length);
  data.write('RIFF', 0);
  data.writeUInt32LE(length - 8, 4);
  data.write('WAVEfmt ', 8);
  data.writeUInt32LE(16, 16);
  data.writeUInt16LE(1, 20);
  data.writeUInt16LE(2, 22);
  data.writeUInt32LE(192_000, 24);
  data.writeUInt32LE(768_000, 28);
  data.writeUInt16LE(4, 32);
  data.writeUInt16LE(16, 34);
  data.write('data', 36);
  data.writeUInt32LE(length - 44, 40);
  return data;
}

test('synchronous_requests_fail_at_once_and_reach_no_server', async () => {
  serve('/sync-worker.js', 'text/javascript', `onmessage = () => { ${synchronously.toString()}; postMessage(synchronously()); }`);
  const { frame } = await open();
  assert.equal(await frame.evaluate(synchronously), 'NetworkError');
  assert.equal(await frame.evaluate(() => new Promise((resolve) => {
    const worker = new Worker('/sync-worker.js');
    worker.onmessage = (e) => resolve(e.data);
    worker.postMessage('');
  })), 'NetworkError');
  assert.deepEqual(visit.t.misses, []);
  assert.equal(await frame.evaluate(() => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('GET', '/plain.txt');
    request.onload = () => resolve(request.responseText);
    request.send();
  })), 'plain');
});

function synchronously() {
  const request = new XMLHttpRequest();
  request.open('GET', '/plain.txt', false);
  try {
    request.send();
    return request.status;
  } catch (error) {
    return error.name;
  }
}
