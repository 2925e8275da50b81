// The app's workers, and its policies. Run: npm run test:page
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { visits } from './visit.mjs';

const visit = visits();
const { app, open, serve, shows, until } = visit;

/** Says `given` by WebSocket and tells what comes back. */
const TALK = `const talk = (given, tell) => {
  const socket = new WebSocket('ws://' + new URL(self.origin).host + '/ws/echo');
  socket.onopen = () => socket.send(given);
  socket.onmessage = ({ data }) => { tell(data); socket.close(); };
  socket.onerror = () => tell('error');
};`;
/** In a page: the first thing that a worker says. */
const first = (expression) => `new Promise((resolve) => {
  const worker = globalThis.kept = ${expression};
  const { port } = worker;
  (port ?? worker).onmessage = ({ data }) => resolve(data);
  worker.onerror = (e) => resolve('failed: ' + e.message);
})`;
const blob = (script, options = '') => first(`new Worker(URL.createObjectURL(new Blob([${JSON.stringify(script)}], { type: 'text/javascript' }))${options})`);

test('workers_have_web_sockets', async () => {
  serve('/w/classic.js', 'text/javascript', `"use strict";\n${TALK} const sloppy = (function () { return this !== undefined })(); talk('classic ' + sloppy + ' ' + location.pathname, postMessage);`);
  serve('/w/module.js', 'text/javascript', `import { talk } from './dep.js';\ntalk('module ' + import.meta.url.endsWith('/w/module.js'), postMessage);`);
  // What a module takes hold of while it is loaded is the right one already.
  serve('/w/dep.js', 'text/javascript', `const Socket = WebSocket; export ${TALK.replaceAll('new WebSocket', 'new Socket')}`);
  serve('/w/nested.js', 'text/javascript', `new Worker('/w/classic.js').onmessage = ({ data }) => postMessage('nested ' + data)`);
  serve('/w/imports.js', 'text/javascript', `importScripts('/w/talk.js'); talk('imports', postMessage)`);
  serve('/w/talk.js', 'text/javascript', TALK);
  serve('/w/shared.js', 'text/javascript', `${TALK} onconnect = ({ ports: [port] }) => { port.onmessage = ({ data }) => port.postMessage('app said ' + data); talk('shared', (data) => port.postMessage(data)) }`);
  const { frame } = await open();
  assert.equal(await frame.evaluate(first(`new Worker('/w/classic.js')`)), 'classic false /w/classic.js');
  assert.equal(await frame.evaluate(first(`new Worker('/w/module.js', { type: 'module' })`)), 'module true');
  assert.equal(await frame.evaluate(first(`new Worker('/w/nested.js')`)), 'nested classic false /w/classic.js');
  assert.equal(await frame.evaluate(first(`new Worker('/w/imports.js')`)), 'imports');
  assert.equal(await frame.evaluate(first(`new SharedWorker('/w/shared.js')`)), 'shared');
  assert.equal(await frame.evaluate(first(`new SharedWorker('/w/shared.js')`)), 'shared');
  assert.equal(await frame.evaluate(blob(`${TALK} talk('blob', postMessage)`)), 'blob');
  assert.equal(await frame.evaluate(blob(`${TALK} talk('blob module', postMessage); export {}`, `, { type: 'module' }`)), 'blob module');
  assert.equal(await frame.evaluate(blob(`new Worker(URL.createObjectURL(new Blob([${JSON.stringify(`${TALK} talk('blob in blob', postMessage)`)}]))).onmessage = ({ data }) => postMessage(data)`)), 'blob in blob');
  // Nothing of the shim's is heard by the app, and the class is the browser's.
  serve('/w/heard.js', 'text/javascript', `const all = []; onmessage = ({ data }) => { all.push(data); if (data === 2) postMessage(all) }`);
  assert.deepEqual(await frame.evaluate(`new Promise((resolve) => {
    class Own extends Worker { own = 1 }
    const worker = new Own('/w/heard.js', { name: 'x' });
    worker.onmessage = ({ data }) => resolve([...data, worker.own, worker instanceof Worker, worker.constructor === Own, Worker.name]);
    worker.postMessage(1); worker.postMessage(2);
  })`), [1, 2, 1, true, true, 'Worker']);
});

test('a_worker_fetches_hears_events_and_leaves_no_socket_behind', async () => {
  serve('/w/both.js', 'text/javascript', `fetch('/range').then((r) => r.text()).then((text) => { const source = new EventSource('/events'); source.onmessage = ({ data }) => { source.close(); postMessage(text + ' ' + data) } })`);
  serve('/w/stays.js', 'text/javascript', `const socket = new WebSocket('/ws/echo'); socket.onopen = () => postMessage('open')`);
  const { frame } = await open();
  assert.equal(await frame.evaluate(first(`new Worker('/w/both.js')`)), '0123456789 one');
  assert.equal(await frame.evaluate(first(`new Worker('/w/stays.js')`)), 'open');
  assert.equal(app.sockets.live.size, 1);
  await frame.evaluate(() => globalThis.kept.terminate());
  await until('it is closed', () => app.sockets.live.size === 0);
});

test('workers_without_help_fail_at_once', async () => {
  const { frame, device } = await open();
  const host = new URL(device.origin).host;
  const script = `const socket = new WebSocket('ws://${host}/ws/echo'); socket.onopen = () => postMessage('open'); socket.onerror = () => postMessage('error')`;
  assert.equal(await frame.evaluate(first(`new Worker('data:text/javascript,' + encodeURIComponent(${JSON.stringify(script)}))`)), 'error');
  assert.equal(await frame.evaluate(first(`new SharedWorker(URL.createObjectURL(new Blob([${JSON.stringify(`onconnect = ({ ports: [port] }) => { const postMessage = (data) => port.postMessage(data); ${script} }`)}])))`)), 'error');
  // Pages that no worker sees: what is written by script.
  const written = (make) => frame.evaluate(`new Promise((resolve) => { const inner = document.createElement('iframe'); ${make}; document.body.append(inner);
    inner.onload = () => { const socket = new inner.contentWindow.WebSocket('ws://' + location.host + '/ws/echo'); socket.onopen = () => resolve('open'); socket.onerror = () => resolve('error') } })`);
  assert.equal(await written(`inner.srcdoc = '<h1>inner</h1>'`), 'error');
  assert.equal(app.sockets.live.size, 0);
});

const SOCKET = `const socket = new WebSocket('/ws/echo'); socket.onopen = () => { document.querySelector('h1').textContent = 'open'; socket.close() }; socket.onerror = () => (document.querySelector('h1').textContent = 'error');`;
const hash = `'sha256-${createHash('sha256').update(SOCKET).digest('base64')}'`;
for (const [name, policy, attribute = ''] of [
  ['of_hashes', `default-src 'none'; script-src ${hash}`],
  ['of_hashes_for_everything', `default-src ${hash}`],
  ['of_nonces', `script-src 'nonce-abc'`, ' nonce=abc'],
  ['of_nonces_and_what_they_load', `script-src 'strict-dynamic' 'nonce-abc'`, ' nonce=abc'],
  ['of_hashes_and_what_they_load', `script-src 'strict-dynamic' ${hash}`],
  ['of_inline_scripts', `script-src 'unsafe-inline'; connect-src 'self'`],
  ['that_is_two', `script-src 'self' ${hash}, script-src ${hash}`],
]) {
  test(`the_shim_runs_under_a_policy_${name}`, async () => {
    serve('/policy', 'text/html', `<!doctype html><title>p</title><h1>waits</h1><script${attribute}>${SOCKET}</script><script>document.title = 'broken policy'</script>`, { 'content-security-policy': policy });
    const { page, frame } = await open();
    await frame.evaluate(() => location.assign('/policy'));
    await shows(page, 'open');
    assert.equal(await page.frames()[1].title(), name === 'of_inline_scripts' ? 'broken policy' : 'p');
  });
}

test('a_policy_for_workers_holds_and_their_sockets_work_under_it', async () => {
  const script = `${TALK} talk('blob', postMessage)`;
  serve('/policy', 'text/html', `<!doctype html><title>p</title><h1>Policy</h1>`, { 'content-security-policy': `default-src 'none'; script-src 'unsafe-eval' 'sha256-x'; worker-src blob:` });
  serve('/w/module.js', 'text/javascript', `import './dep.js'; ${TALK} talk('module', postMessage)`, { 'content-security-policy': `default-src 'none'; script-src 'self'` });
  serve('/w/dep.js', 'text/javascript', '');
  serve('/w/none.js', 'text/javascript', `${TALK} talk('none', postMessage)`, { 'content-security-policy': `default-src 'none'` });
  const { page, frame } = await open();
  assert.equal(await frame.evaluate(first(`new Worker('/w/module.js', { type: 'module' })`)), 'module');
  assert.equal(await frame.evaluate(first(`new Worker('/w/none.js')`)), 'none');
  await frame.evaluate(() => location.assign('/policy'));
  await shows(page, 'Policy');
  assert.equal(await page.frames()[1].evaluate(blob(script)), 'blob');
  assert.match(await page.frames()[1].evaluate(first(`new Worker('/w/none.js')`)).catch((e) => `failed: ${e.message}`), /failed/);
});
