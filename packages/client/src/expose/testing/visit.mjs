// A visit to the tests' app through the page: what each file of tests begins with.
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { makeApp } from './app.mjs';
import { start } from './harness.mjs';

export function visits() {
  const app = makeApp();
  const visit = { app, t: null, open, inApp, shows, until };
  before(async () => void (visit.t = await start(app)));
  after(() => visit.t.stop());
  afterEach(async () => {
    const { t } = visit;
    for (const page of t.browser.pages().slice(1)) await page.close();
    t.link.steps = {};
    t.control.frozen = false;
    app.sockets.held = null;
    // Whatever reaches the server reaches someone who should not see it.
    assert.deepEqual(t.misses.splice(0), []);
  });

  /** A tab with the app in it. */
  async function open(device = visit.t.device(), path = '/') {
    const page = await visit.t.browser.newPage();
    await page.goto(device.url(path));
    return { page, device, frame: await inApp(page) };
  }
  return visit;
}

async function inApp(page) {
  await page.waitForSelector('iframe');
  const frame = page.frames().find((each) => each.parentFrame() === page.mainFrame());
  await frame.waitForSelector('h1');
  return frame;
}

const shows = (page, heading) => page.frameLocator('iframe').locator('h1', { hasText: heading }).waitFor();

async function until(what, condition) {
  for (let i = 0; i < 200; i++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`never: ${what}`);
}
