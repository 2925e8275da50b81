// A visit through a link: the shell page, and the app in its frame.

import { within, until, PATIENCE } from './process.mjs';

/** Opens a link in a new tab and waits until the app is shown. */
export async function visit(browser, link) {
    const page = await browser.tab(link);
    await shown(page);
    return page;
}

/** Waits until the page says that it is connected and the app's frame has loaded something. */
export async function shown(page, ms = PATIENCE) {
    try {
        await page.getByText(/^(Direct|Relayed|Connected)\b/).first().waitFor({ timeout: ms });
        return await app(page, ms);
    } catch (error) {
        throw new Error(`the app was not shown: ${error.message}\n--- the page said: ${await words(page)}\n--- ${page.log?.join('\n--- ')}`);
    }
}

/** The app's frame, once it is there. */
export async function app(page, ms = PATIENCE) {
    const frame = await until('a frame with the app', () => page.frames().find((frame) => frame.parentFrame() === page.mainFrame() && /^https?:/.test(frame.url())), { ms });
    await within(ms, frame.waitForLoadState('load'), 'the app did not load');
    return frame;
}

/** What the shell shows to a person. */
export async function words(page) {
    return within(5_000, page.locator('body').innerText(), 'the page does not answer').catch((error) => error.message);
}
