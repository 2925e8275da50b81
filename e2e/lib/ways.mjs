// The two ways to a web app: at its own address, and through a link. What a person does is the same in both.

import { expose, serve } from './peerage.mjs';
import { app, shown } from './shell.mjs';

/** For each way: given a target's URL, `person(browser)` makes one who uses it, in a browser profile of their own. */
export const WAYS = {
    'at its own address': async (owner, target) => ({
        origin: target,
        person: (browser) => Person.make(owner, browser, { origin: target, ready: (page) => page.mainFrame(), look: (page) => page.mainFrame() }),
    }),
    'through a link': async (owner, target) => {
        const server = await serve(owner);
        const device = await expose(owner, target, { server: server.url });
        const { origin } = new URL(device.link);
        return { origin, server, device, person: (browser) => Person.make(owner, browser, { origin, first: device.link, ready: shown, look: app }) };
    },
};

class Person {
    /** The tab that was opened last. */
    page;

    static async make(owner, browser, way) {
        const person = Object.assign(new Person(), { way, context: await browser.browser.newContext({ acceptDownloads: true, viewport: { width: 1100, height: 720 } }) });
        owner.after(() => person.context.close().catch(() => {}));
        return person;
    }

    /** Opens a path of the app in a new tab; the first time by the link, if there is one. */
    async open(path) {
        this.page = await this.context.newPage();
        this.page.log = [];
        this.page.on('console', (message) => this.page.log.push(`${message.type()}: ${message.text()}`));
        this.page.on('pageerror', (error) => this.page.log.push(`error: ${error.message}`));
        const { origin, first } = this.way;
        this.way = { ...this.way, first: undefined };
        await this.page.goto((first ?? origin) + path);
        return this.way.ready(this.page);
    }

    async reload() {
        await this.page.reload();
        return this.way.ready(this.page);
    }

    /** The document of the app in the tab that was opened last. */
    frame() {
        return this.look(this.page);
    }

    /** The document of the app in a tab. */
    look(page) {
        return this.way.look(page);
    }
}
