// HTTP as an app knows it: every observation is made at the target's own address and through a link, and both are compared. The table of what is
// promised is ../../docs/compat-http.md; the last test holds table and tests against each other.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { caching } from '../compat/caching.mjs';
import { cookies } from '../compat/cookies.mjs';
import { ofTheLink } from '../compat/link.mjs';
import { pages } from '../compat/pages.mjs';
import { requests } from '../compat/requests.mjs';
import { responses } from '../compat/responses.mjs';
import { sockets, socketTarget } from '../compat/sockets.mjs';
import { launch } from '../lib/browser.mjs';
import { comparisons, compatTarget } from '../lib/compat.mjs';
import { folder, ROOT } from '../lib/peerage.mjs';
import { shared } from '../lib/process.mjs';
import { WAYS } from '../lib/ways.mjs';

suite('HTTP through a link is as without one', () => {
    const own = shared(after);
    const visits = {};
    before(async () => {
        const target = await compatTarget(own);
        const sockets = socketTarget(target);
        const other = await compatTarget(own);
        // For a browser this is another site than the app, whichever way that was reached.
        other.url = other.url.replace('127.0.0.1', 'other.localhost');
        const browser = await launch(own);
        for (const [name, way] of Object.entries({ direct: WAYS['at its own address'], link: WAYS['through a link'] })) {
            const place = await way(own, target.url);
            const person = await place.person(browser);
            await person.open('/');
            const { page } = person;
            const tab = (page) => ({ page, frame: () => person.look(page), close: () => page.close() });
            visits[name] = {
                ...place, way: name, target, other, sockets, browser, folder: folder(own, 'files'),
                /** The base page, which stays open. */
                frame: () => person.look(page),
                /** Another tab of the same person. */
                open: async (path) => {
                    await person.open(path);
                    return tab(person.page);
                },
                /** Another tab of the same person, at another site. */
                elsewhere: async (html) => {
                    other.on('/page', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html>${html}`));
                    const page = await person.context.newPage();
                    await page.goto(`${other.url}/page`);
                    return tab(page);
                },
            };
        }
    });

    const compare = comparisons(() => visits);
    suite('requests', () => requests(compare));
    suite('answers', () => responses(compare));
    suite('caching', () => caching(compare));
    suite('cookies', () => cookies(compare));
    suite('WebSocket', () => sockets(compare));
    suite('pages', () => pages(compare));
    suite('the link', () => ofTheLink(() => visits, own));
});

test('every row of the table names a test, and every test has a row', () => {
    const rows = [...readFileSync(join(ROOT, 'docs', 'compat-http.md'), 'utf8').matchAll(/^\| (.+?) \| (same|different|link) \|/gm)].map(([, name, verdict]) => `${verdict}: ${name}`);
    const tests = readdirSync(join(ROOT, 'e2e', 'compat')).flatMap((file) => [...readFileSync(join(ROOT, 'e2e', 'compat', file), 'utf8').matchAll(/^ {4}(same|different|test)\('((?:[^'\\]|\\.)*)'/gm)])
        .map(([, kind, name]) => `${kind === 'test' ? 'link' : kind}: ${name.replaceAll('\\\'', '\'')}`);
    assert.deepEqual(rows.sort(), tests.sort());
});
