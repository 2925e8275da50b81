// A real Chromium with a new profile, driven over its debugging port. Started by ourselves: its process tree is measured and, in one test, put into a network namespace.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { start } from './process.mjs';

const QUIET = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** What WebRTC needs on a machine that may have no interface but loopback, and no multicast. */
const LOOPBACK = ['--allow-loopback-in-peer-connection', '--disable-features=WebRtcHideLocalIpsWithMdns'];

/**
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param {{ webrtcFlags?: boolean, args?: string[] }} [options] `webrtcFlags: false`: as a user's browser is
 */
export async function launch(owner, { webrtcFlags = true, args = [] } = {}) {
    const profile = mkdtempSync(join(tmpdir(), 'peerage-e2e-profile-'));
    owner.after(() => rmSync(profile, { recursive: true, force: true, maxRetries: 10 }));
    const proc = start(owner, 'chromium', process.env.CHROMIUM ?? 'chromium', [
        ...QUIET, ...(webrtcFlags ? LOOPBACK : []), ...args, `--user-data-dir=${profile}`, '--remote-debugging-port=0', 'about:blank',
    ]);
    const [, endpoint] = await proc.printed(/DevTools listening on (ws:\S+)/);
    const browser = await chromium.connectOverCDP(endpoint);
    owner.after(() => browser.close().catch(() => {}));
    return new Browser(proc, browser);
}

export class Browser {
    constructor(proc, browser) {
        this.proc = proc;
        this.pid = proc.pid;
        this.browser = browser;
        this.context = browser.contexts()[0];
    }

    /** A new tab that keeps what went wrong in it, and what it asked for, for failures to show. */
    async tab(url) {
        const page = await this.context.newPage();
        page.log = [];
        page.on('console', (message) => page.log.push(`${message.type()}: ${message.text()}`));
        page.on('pageerror', (error) => page.log.push(`error: ${error.message}`));
        if (url) await page.goto(url);
        return page;
    }

    /** Closes all tabs, also those that a failed test left behind. */
    async closeTabs() {
        await Promise.all(this.context.pages().slice(1).map((page) => page.close()));
    }

    /** Downloads go into `folder` under the ids that the browser makes up; resolves with the id when one is complete. */
    async download(folder, begin, ms) {
        const cdp = await this.browser.newBrowserCDPSession();
        await cdp.send('Browser.setDownloadBehavior', { behavior: 'allowAndName', downloadPath: folder, eventsEnabled: true });
        const finished = new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error(`no download was complete after ${ms} ms`)), ms);
            let name;
            cdp.on('Browser.downloadWillBegin', (event) => { name = event.suggestedFilename; });
            cdp.on('Browser.downloadProgress', (event) => {
                if (event.state === 'inProgress') return;
                clearTimeout(timer);
                if (event.state === 'completed') resolve({ guid: event.guid, name, bytes: event.receivedBytes });
                else reject(new Error(`the download was ${event.state} after ${event.receivedBytes} bytes`));
            });
        });
        finished.catch(() => {});
        await begin();
        return finished;
    }
}
