// Three applications that people run, unmodified and unaware of us, used in Chromium as their users use them: first at their own address, then
// through a link. The steps are the same; the pictures of them are kept in ../out/screenshots.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { copyparty, FILM_SECONDS, jupyterlab, mediaServer, PASSWORD } from '../lib/apps.mjs';
import { launch } from '../lib/browser.mjs';
import { folder, ROOT } from '../lib/peerage.mjs';
import { shared, until } from '../lib/process.mjs';
import { WAYS } from '../lib/ways.mjs';

/** How copyparty calls who is not logged in. */
const STRANGER = '*';

const PICTURES = join(ROOT, 'e2e', 'out', 'screenshots');

for (const [name, way] of Object.entries(WAYS)) {
    const picture = (person, what) => {
        mkdirSync(PICTURES, { recursive: true });
        return person.page.screenshot({ path: join(PICTURES, `${what} ${name}.png`.replaceAll(' ', '-')) });
    };

    suite(`a file manager with a log-in, ${name}`, () => {
        const own = shared(after);
        const file = { name: 'Übersicht 1843.bin', data: randomBytes(20_000_000) };
        let app, browser, place, ada;
        before(async () => {
            app = await copyparty(own);
            browser = await launch(own);
            place = await way(own, app.url);
            ada = await place.person(browser);
        });

        const says = (person, words) => until(`the app says ${words}`, async () => words.test(await (await person.frame()).locator('body').innerText().catch(() => '')));
        const logIn = async (person, password) => {
            const frame = await person.frame();
            await frame.locator('input[name=cppwd]').fill(password);
            await frame.locator('input[type=submit][value=login]').click();
        };
        /** Whether the app takes the person for logged in, and what its scripts can read of why. */
        const state = async (person) => (await person.frame()).evaluate(async () => ({ account: (await (await fetch('/?ls')).json()).acct, cookies: document.cookie }));
        const loggedIn = async (person) => (await person.frame()).locator('#blogout[value="Logout ada"], a:has-text("Logout ada")').first().waitFor();

        test('shows a stranger nothing and refuses a wrong password', async () => {
            await ada.open('/?h');
            await says(ada, /howdy stranger/);
            await logIn(ada, 'babbage');
            await says(ada, /naw dude/);
            assert.equal((await state(ada)).account, STRANGER);
        });

        test('lets in who has the password, by a cookie that no script can read, and only that browser', async () => {
            await ada.open('/?h');
            await logIn(ada, PASSWORD);
            await loggedIn(ada);
            const { account, cookies } = await state(ada);
            assert.equal(account, 'ada');
            assert.ok(!/cppwd/.test(cookies), cookies);
            const stranger = await place.person(browser);
            await stranger.open('/?h');
            assert.equal((await state(stranger)).account, STRANGER);
        });

        test('takes the log-in along over a reload and into a new tab', async () => {
            await ada.reload();
            await loggedIn(ada);
            await ada.open('/');
            // Nothing tells a typed address from another site's link, so the app's SameSite=Strict cookie is left out of the first page: docs/limits.md.
            if (place.device) {
                await says(ada, /howdy stranger/);
                await ada.reload();
            }
            await loggedIn(ada);
        });

        test('uploads a file of 20 MB with a name of its own', async (t) => {
            const path = join(folder(t, 'upload'), file.name);
            writeFileSync(path, file.data);
            const frame = await ada.frame();
            await frame.locator('#opa_up').click();
            await frame.locator('#file1').setInputFiles(path);
            await frame.getByText('Ok', { exact: true }).or(frame.locator('#modal-ok')).first().click();
            await until('the file is at the app', () => existsSync(join(app.root, file.name)) && readFileSync(join(app.root, file.name)).equals(file.data), { every: 200 });
        });

        test('lists the file and downloads it unchanged', async () => {
            await ada.reload();
            const frame = await ada.frame();
            const link = frame.locator('#files a', { hasText: file.name }).first();
            await link.waitFor();
            await picture(ada, 'file manager');
            const [download] = await Promise.all([ada.page.waitForEvent('download'), link.click()]);
            assert.equal(download.suggestedFilename(), file.name);
            assert.equal(hash(readFileSync(await download.path())), hash(file.data));
        });

        test('logs out for good', async () => {
            await loggedIn(ada);
            await (await ada.frame()).locator('#blogout').click();
            await says(ada, /howdy stranger|logged out|login/i);
            await ada.open('/?h');
            await says(ada, /howdy stranger/);
            assert.equal((await state(ada)).account, STRANGER);
        });
    });

    suite(`a terminal in the browser, ${name}`, () => {
        const own = shared(after);
        let app, browser, place, ada;
        before(async () => {
            app = await jupyterlab(own);
            browser = await launch(own);
            place = await way(own, app.url);
            ada = await place.person(browser);
        });

        const logIn = async (password) => {
            const frame = await ada.frame();
            await frame.locator('#password_input').fill(password);
            await frame.locator('#login_submit').click();
        };
        const screen = async () => (await ada.frame()).locator('.jp-Terminal .xterm-accessibility-tree').innerText().catch(() => '');
        const shows = (what, pattern) => until(`the terminal shows ${what}`, async () => (await screen()).replaceAll('\u00a0', ' ').match(pattern), { every: 100 });
        const type = async (line) => {
            await (await ada.frame()).locator('.jp-Terminal .xterm-screen').click();
            await ada.page.keyboard.type(`${line}\n`);
        };

        test('refuses a wrong password and takes the right one', async () => {
            await ada.open('/lab');
            await logIn('babbage');
            await (await ada.frame()).getByText('Invalid credentials').waitFor();
            await logIn(PASSWORD);
            await (await ada.frame()).locator('.jp-Launcher').waitFor();
        });

        test('runs what is typed and shows its output', async () => {
            await (await ada.frame()).locator('.jp-LauncherCard', { hasText: 'Terminal' }).click();
            await shows('a prompt', /[#$] *$/m);
            await type('echo "six by nine: $((6*7))" | tee answer.txt');
            await shows('the output', /^six by nine: 42$/m);
            assert.equal(readFileSync(join(app.root, 'answer.txt'), 'utf8'), 'six by nine: 42\n');
            await picture(ada, 'terminal');
        });

        test('shows output that is long, and comes in many pieces', async () => {
            await type('for n in $(seq 1 20000); do echo "line $n of many"; done; echo don"e"');
            await shows('the end', /^line 20000 of many\ndone$/m);
        });

        test('passes on interrupts', async () => {
            // What is typed while the shell still gives the terminal away is not echoed.
            await type('echo gi"v"en; cat');
            await shows('that it reads', /^given$/m);
            await ada.page.keyboard.type('echoed\n');
            await shows('what was typed, twice', /^echoed\nechoed$/m);
            await ada.page.keyboard.press('Control+c');
            await type('echo interrupte"d"');
            await shows('the next output', /^interrupted$/m);
        });

        test('follows the size of the window', async () => {
            const size = async (mark) => {
                await type(`echo ${mark}: $(stty size)`);
                return (await shows('its size', new RegExp(`^${mark}: (\\d+) (\\d+)$`, 'm'))).slice(1).map(Number);
            };
            const [rows, columns] = await size('before');
            await ada.page.setViewportSize({ width: 900, height: 560 });
            const smaller = await until('a smaller terminal', async () => {
                const now = await size(`after${Math.random().toString(36).slice(2, 8)}`);
                return now[0] < rows && now[1] < columns && now;
            });
            assert.ok(smaller[0] > 5 && smaller[1] > 20, `${smaller}`);
        });

        test('keeps its session over a reload of the page', async () => {
            await type('kept="of the session"; clear; echo rea"dy"');
            await shows('that it is done', /^ready$/m);
            await ada.reload();
            await shows('what was there', /^ready$/m);
            await type('echo "still $kept"');
            await shows('the variable', /^still of the session$/m);
        });

        test('runs a notebook, whose kernel answers over a socket of its own', async () => {
            const frame = await ada.frame();
            await frame.locator('[data-command="launcher:create"], button[title^="New Launcher"]').first().click();
            await frame.locator('.jp-LauncherCard[data-category="Notebook"]').first().click();
            await frame.getByText('Python 3 (ipykernel) | Idle').waitFor();
            await frame.locator('.jp-Notebook .cm-content').first().click();
            await ada.page.keyboard.type('sum(range(101))');
            await ada.page.keyboard.press('Shift+Enter');
            await frame.locator('.jp-OutputArea-output', { hasText: '5050' }).waitFor();
            await picture(ada, 'notebook');
        });

        test('logs out', async () => {
            const frame = await ada.frame();
            await frame.locator('.lm-MenuBar-item', { hasText: 'File' }).click();
            await frame.locator('.lm-Menu-item', { hasText: 'Log Out' }).click();
            await (await ada.frame()).getByText('Successfully logged out').waitFor();
            await ada.open('/lab');
            await (await ada.frame()).locator('#password_input').waitFor();
        });
    });

    suite(`a video library, ${name}`, () => {
        const own = shared(after);
        let app, browser, place, ada;
        before(async () => {
            app = await mediaServer(own);
            browser = await launch(own, { args: ['--autoplay-policy=no-user-gesture-required'] });
            place = await way(own, app.url);
            ada = await place.person(browser);
        });

        const video = async () => (await ada.frame()).locator('#video').evaluate((video) => ({
            at: video.currentTime, duration: video.duration, size: [video.videoWidth, video.videoHeight],
            frames: video.getVideoPlaybackQuality().totalVideoFrames, error: video.error?.message, ended: video.ended,
        }));
        /** The second that the picture itself shows: see `film` in ../lib/apps.mjs. */
        const shown = async () => (await ada.frame()).locator('#video').evaluate((video) => {
            const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
            const context = canvas.getContext('2d');
            context.drawImage(video, 0, 0, 640, 360);
            return [0, 1, 2, 3, 4, 5].reduce((second, bit) => second + (context.getImageData(32 * bit + 16, 16, 1, 1).data[1] > 127 ? 1 << bit : 0), 0);
        });
        const ranges = () => (app.proc.output.match(/"GET \/\S*webm\S* HTTP\/1\.1" 206/g) ?? []).length;

        test('lists the film with a picture made by the app, and finds it by a search', async () => {
            const frame = await ada.open('/');
            await frame.locator('.tile', { hasText: 'Seconds' }).waitFor();
            await until('the picture', () => frame.locator('.tile img').first().evaluate((image) => image.complete && image.naturalWidth > 0));
            await frame.locator('#search').fill('nothing of the kind');
            await frame.locator('#empty').waitFor();
            await frame.locator('#search').fill('secon');
            await frame.locator('.tile', { hasText: 'Seconds' }).waitFor();
        });

        test('plays the film', async () => {
            await (await ada.frame()).locator('.tile').first().click();
            const first = await until('frames of the film', async () => {
                const now = await video().catch(() => null);
                return now && (now.error !== undefined || now.frames > 12) && now;
            });
            assert.equal(first.error, undefined);
            assert.deepEqual(first.size, [640, 360]);
            assert.ok(Math.abs(first.duration - FILM_SECONDS) < 1, `${first.duration}`);
            await until('the film goes on', async () => (await video()).at > first.at + 1 && (await video()).frames > first.frames);
            const [picture, { at }] = [await shown(), await video()];
            assert.ok(Math.abs(picture - at) < 2, `the picture of second ${picture} at ${at}`);
        });

        test('jumps to any place, and shows what is there', async () => {
            const frame = await ada.frame();
            for (const second of [48, 20, 59, 5]) {
                const before = ranges();
                await frame.locator('#seek').evaluate((bar, second) => {
                    bar.value = second;
                    bar.dispatchEvent(new Event('input', { bubbles: true }));
                    bar.dispatchEvent(new Event('change', { bubbles: true }));
                }, second);
                await until(`the picture of second ${second}`, async () => {
                    const picture = await shown();
                    return picture >= second && picture < second + 3 && Math.abs((await video()).at - picture) < 2;
                });
                if (second === 48) {
                    await picture(ada, 'video');
                    assert.ok(ranges() > before, 'a part of the film was asked for');
                }
            }
        });

        test('goes on where it was left', async () => {
            const frame = await ada.frame();
            await frame.locator('#video').evaluate((video) => {
                video.pause();
                video.currentTime = 32.5;
            });
            await until('second 32', async () => await shown() === 32);
            // The player tells the app by a beacon when its page goes away.
            await frame.locator('.topbar button', { hasText: 'Library' }).click();
            await frame.locator('#resume-grid .tile').first().click();
            await frame.locator('#notice-yes', { hasText: 'Resume' }).click();
            await until('the film where it was', async () => {
                const second = await shown().catch(() => 0);
                return second >= 32 && second < 40;
            });
        });
    });
}

const hash = (data) => createHash('sha256').update(data).digest('hex');
