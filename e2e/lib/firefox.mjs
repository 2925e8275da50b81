// A real Firefox with a new profile, driven over WebDriver BiDi; to a test it is what `browser.mjs` launches.

import puppeteer from 'puppeteer-core';

/** What WebRTC needs on a machine that may have no interface but loopback, and no multicast. */
const LOOPBACK = { 'media.peerconnection.ice.loopback': true, 'media.peerconnection.ice.obfuscate_host_addresses': false };

/** @param {{ after: (fn: () => unknown) => void }} owner */
export async function launch(owner) {
    const browser = await puppeteer.launch({
        browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true, extraPrefsFirefox: LOOPBACK, timeout: 60_000,
    });
    owner.after(() => browser.close());
    return new Firefox(browser);
}

class Firefox {
    constructor(browser) {
        this.browser = browser;
    }

    /** A new tab that keeps what went wrong in it, for failures to show. */
    async tab(url) {
        const page = await this.browser.newPage();
        page.log = [];
        page.on('console', (message) => page.log.push(`${message.type()}: ${message.text()}`));
        page.on('pageerror', (error) => page.log.push(`error: ${error.message}`));
        if (url) await page.goto(url);
        return page;
    }
}
