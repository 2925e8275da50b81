// What a hostile server, a stranger and another site's page can try. Each attack must fail, and for the stated reason; README.md says how each
// of these tests was seen to fail with the check behind it taken out.

import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { WebSocket } from 'ws';
import { launch } from '../lib/browser.mjs';
import { expose, fetched, folder, linkBy, ROOT, serve } from '../lib/peerage.mjs';
import { shared, until } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';
import { app, visit, words } from '../lib/shell.mjs';
import { files, listen, specialTarget } from '../lib/sites.mjs';
import { fields, proof, signer, statement, time, unwrap, wrap } from '../lib/statement.mjs';

/** Exit codes of `peerage fetch`. */
const REFUSED = 6, ABSENT = 8, WRONG_DEVICE = 9, NO_ROUTE = 10;

const OTHER = [...Buffer.alloc(32, 0xab)].map((byte) => byte.toString(16).toUpperCase()).join(':');
const FINGERPRINT = /a=fingerprint:sha-256 [0-9A-Fa-f:]+\r\n/g;

/** What a server may do to the fingerprint in an SDP, to get between the two ends. */
const SWAPS = {
    'swaps the fingerprint in all lines': (sdp) => sdp.replace(FINGERPRINT, `a=fingerprint:sha-256 ${OTHER}\r\n`),
    'adds a second fingerprint behind the true one': (sdp) => sdp.replace(FINGERPRINT, (line) => `${line}a=fingerprint:sha-256 ${OTHER}\r\n`),
    'adds a second fingerprint before the true one': (sdp) => sdp.replace(FINGERPRINT, (line) => `a=fingerprint:sha-256 ${OTHER}\r\n${line}`),
    'adds a fingerprint of another hash': (sdp) => sdp.replace(FINGERPRINT, (line) => `a=fingerprint:sha-512 ${OTHER}:${OTHER}\r\n${line}`),
    'puts a fingerprint of another hash in its place': (sdp) => sdp.replace(FINGERPRINT, `a=fingerprint:sha-512 ${OTHER}:${OTHER}\r\n`),
    'states another fingerprint for the whole session': (sdp) => sdp.replace(FINGERPRINT, (line) => line).replace(/m=/, `a=fingerprint:sha-256 ${OTHER}\r\nm=`),
    'leaves the true one to the session and states another for the media': (sdp) => {
        const [line] = sdp.match(FINGERPRINT);
        return `${sdp.replace(FINGERPRINT, '').replace(/m=/, `${line}m=`)}a=fingerprint:sha-256 ${OTHER}\r\n`;
    },
};

suite('attacks', () => {
    const own = shared(after);
    let server, evil, target, device, browser;
    before(async () => {
        server = await serve(own);
        evil = await relay(own, server);
        target = await specialTarget(own);
        device = await expose(own, target.url, { server: evil.url });
        browser = await launch(own);
    });
    afterEach(() => browser.closeTabs());

    const secret = () => device.link.match(/#1\.([a-z2-7]{26})/)[1];
    const framesOf = (type, from = 0) => evil.frames.slice(from).map(({ frame }) => frame).filter((frame) => frame.type === type);

    /** The link of the device by way of a server that changes frames of one kind, or keeps them back when `change` gives nothing. */
    async function tampered(t, type, change) {
        const way = await relay(t, server);
        way.rewrite = (frame) => {
            if (frame.type !== type || !frame.payload) return [frame];
            return [change(structuredClone(frame), way) ?? []].flat();
        };
        return linkBy(device.link, way);
    }

    const withSdp = (change) => (frame) => {
        if (!frame.payload.sdp) return frame;
        const before = frame.payload.sdp.sdp;
        frame.payload.sdp.sdp = change(before);
        assert.notEqual(frame.payload.sdp.sdp, before, 'the attack found nothing to change');
        return frame;
    };

    /** Tries both kinds of callers, each new to the device; neither may get in, and both must say why. */
    async function bothFail(t, link, exit, said) {
        const path = `/?attempt=${randomUUID()}`;
        const native = async () => {
            const { code, body, complaint } = await fetched(t, link, [path], { ms: 90_000 });
            assert.equal(code, exit, complaint);
            assert.equal(body, '');
        };
        const inBrowser = async () => {
            // A browser that was never here: a context of its own.
            const context = await browser.browser.newContext();
            t.after(() => context.close());
            const page = await context.newPage();
            await page.goto(link + path);
            await until(`the page says ${said}`, async () => said.test(await words(page)), { ms: 90_000, every: 200 });
            assert.equal(page.frames().filter((frame) => /^https?:/.test(frame.url()) && frame !== page.mainFrame()).length, 0, 'no app is shown');
        };
        await Promise.all([native(), inBrowser()]);
        assert.deepEqual(target.requests.filter((line) => line.includes(path)), [], 'nothing reached the target');
    }

    const DENIED = /does not let you in/, WRONG = /Someone else answers/;

    test('without an attack both get in', async (t) => {
        assert.equal((await fetched(t, device.link, ['/'])).code, 0);
        await visit(browser, `${device.link}/`);
    });

    // Each with a server of its own, several at a time: a caller that was lied to waits for the true answer until its deadline.
    suite('a server between the two ends', { concurrency: 4 }, () => {
        for (const [name, swap] of Object.entries(SWAPS)) {
            test(`that ${name} of the caller is denied by the device`, async (t) => {
                await bothFail(t, await tampered(t, 'OFFER', withSdp(swap)), REFUSED, DENIED);
            });
            test(`that ${name} of the device is seen by the caller`, async (t) => {
                await bothFail(t, await tampered(t, 'ANSWER', withSdp(swap)), WRONG_DEVICE, WRONG);
            });
        }

        test('that swaps the public key beside an honest MAC is denied by the device', async (t) => {
            const mallory = signer();
            const link = await tampered(t, 'OFFER', (frame) => {
                const { mac, statement } = frame.payload.peerage;
                frame.payload.peerage = wrap({ ...unwrap({ statement }), key: mallory.point }, mallory, { mac });
                return frame;
            });
            await bothFail(t, link, REFUSED, DENIED);
        });

        test('that takes the signature off an honest MAC is denied by the device', async (t) => {
            const link = await tampered(t, 'OFFER', (frame) => {
                frame.payload.peerage.signature = Buffer.alloc(64, 1).toString('base64');
                return frame;
            });
            await bothFail(t, link, REFUSED, DENIED);
        });

        test('that puts its own fingerprint into statement and SDP of an OFFER is denied by the device', async (t) => {
            const mallory = signer();
            const link = await tampered(t, 'OFFER', (frame) => {
                const { mac, statement } = frame.payload.peerage;
                frame.payload.peerage = wrap({ ...unwrap({ statement }), key: mallory.point, fingerprint: Buffer.alloc(32, 0xab) }, mallory, { mac });
                return withSdp(SWAPS['swaps the fingerprint in all lines'])(frame);
            });
            await bothFail(t, link, REFUSED, DENIED);
        });

        /**
         * A link by way of a server that puts an endpoint of its own in the device's place: a real one, with a real certificate, that takes every call.
         * `member` makes the `peerage` member of its answers from the device's and its own fingerprint. Returns the link, and how many were fooled.
         */
        async function impersonated(t, member) {
            const page = await (await browser.browser.newContext()).newPage();
            t.after(() => page.context().close());
            await page.goto((await files(t, { '/': join(ROOT, 'e2e', 'pages', 'mallory.html') })).url);
            const way = await relay(t, server);
            const offers = new Map();
            way.rewrite = (frame, { to }) => {
                const { connectionId, sdp, peerage } = frame.payload ?? {};
                if (to === 'server' && frame.type === 'OFFER') offers.set(connectionId, sdp.sdp);
                if (to !== 'client' || !connectionId) return [frame];
                // The device's own addresses are kept back, too.
                if (frame.type === 'ANSWER' && sdp) {
                    page.evaluate((sdp) => take(sdp), offers.get(connectionId)).then((taken) => {
                        const fingerprint = Buffer.from(taken.match(/a=fingerprint:sha-256 (\S+)/)[1].replaceAll(':', ''), 'hex');
                        way.inject(frame.dst, { ...frame, payload: { ...frame.payload, sdp: { type: 'answer', sdp: taken }, peerage: member(peerage, fingerprint) } });
                    }, (error) => t.diagnostic(error.message));
                }
                return [];
            };
            return { link: linkBy(device.link, way), fooled: () => page.evaluate(() => fooled) };
        }

        test('that takes the call itself, beside the true statement of the device, is seen by the caller', async (t) => {
            const { link, fooled } = await impersonated(t, (honest) => honest);
            await bothFail(t, link, WRONG_DEVICE, WRONG);
            assert.equal(await fooled(), 0);
        });

        test('that takes the call itself, and states so with a key of its own, is seen by the caller', async (t) => {
            const mallory = signer();
            const { link, fooled } = await impersonated(t, (honest, fingerprint) => wrap({ ...unwrap(honest), key: mallory.point, fingerprint }, mallory));
            await bothFail(t, link, WRONG_DEVICE, WRONG);
            assert.equal(await fooled(), 0);
        });

        test('that takes the call itself, and changes the device\'s statement to say so, is seen by the caller', async (t) => {
            const { link, fooled } = await impersonated(t, (honest, fingerprint) => ({ ...honest, statement: statement({ ...unwrap(honest), fingerprint }).toString('base64') }));
            await bothFail(t, link, WRONG_DEVICE, WRONG);
            assert.equal(await fooled(), 0);
        });

        test('that replays an old ANSWER is seen by the caller', async (t) => {
            let old;
            const recording = await tampered(t, 'ANSWER', (frame) => (old = frame));
            assert.equal((await fetched(t, recording, ['/'])).code, 0);
            const link = await tampered(t, 'ANSWER', (frame) => ({ ...old, dst: frame.dst, payload: { ...old.payload, connectionId: frame.payload.connectionId } }));
            await bothFail(t, link, WRONG_DEVICE, WRONG);
        });

        test('that sends a false ANSWER first does not keep the true one out', async (t) => {
            const link = await tampered(t, 'ANSWER', (frame) => [withSdp(SWAPS['swaps the fingerprint in all lines'])(structuredClone(frame)), frame]);
            assert.equal((await fetched(t, link, ['/'])).code, 0);
        });

        test('that invents a refusal only denies', async (t) => {
            const link = await tampered(t, 'OFFER', (frame, way) => {
                way.inject(frame.src, { type: 'ANSWER', src: frame.dst, dst: frame.src, payload: { type: 'data', connectionId: frame.payload.connectionId, peerage: { refusal: 'denied' } } });
            });
            await bothFail(t, link, REFUSED, DENIED);
        });

        test('that drops all ANSWERs gives a reason in bounded time', async (t) => {
            await bothFail(t, await tampered(t, 'ANSWER', () => null), ABSENT, /The device does not answer/);
        });

        test('that drops all candidates gives a reason in bounded time', async (t) => {
            const way = await relay(t, server);
            way.rewrite = (frame) => {
                if (frame.type === 'CANDIDATE') return [];
                // Gathered early, they stand in the SDP.
                if (frame.payload?.sdp) frame.payload.sdp.sdp = frame.payload.sdp.sdp.replace(/a=candidate:.*\r\n/g, '');
                return [frame];
            };
            await bothFail(t, linkBy(device.link, way), NO_ROUTE, /No path to the device/);
        });

        test('sees no candidate of the caller before the device has proven itself', async (t) => {
            const way = await relay(t, server);
            const order = [];
            way.rewrite = (frame, { id }) => {
                order.push({ type: frame.type, id, sdp: frame.payload?.sdp?.sdp });
                return [frame];
            };
            assert.equal((await fetched(t, linkBy(device.link, way), ['/'])).code, 0);
            const answered = order.findIndex(({ type }) => type === 'ANSWER');
            const early = order.slice(0, answered).filter(({ type, sdp }) => type === 'CANDIDATE' || /a=candidate/.test(sdp ?? ''));
            assert.ok(answered > 0);
            assert.deepEqual(early, []);
            assert.ok(order.slice(answered).some(({ type }) => type === 'CANDIDATE'), 'afterwards it does');
        });
    });

    suite('a stranger', () => {
        /** A bare signalling client: `{ send, frames, next(type) }`. */
        async function stranger(t, id = randomUUID(), { token = randomBytes(8).toString('hex'), proof } = {}) {
            const query = new URLSearchParams({ key: 'peerjs', id, token, version: '1.5.5', ...(proof ? { proof } : {}) });
            const socket = new WebSocket(`${server.url.replace('http', 'ws')}/peerjs?${query}`);
            t.after(() => socket.terminate());
            const frames = [];
            let closed = false;
            socket.on('message', (data) => frames.push(JSON.parse(String(data))));
            socket.on('close', () => { closed = true; });
            socket.on('error', () => { closed = true; });
            return {
                id,
                frames,
                closed: () => closed,
                send: (frame) => socket.send(JSON.stringify(frame)),
                next: (type) => until(`a frame ${type}`, () => frames.find((frame) => frame.type === type)),
            };
        }

        const SDP = ['v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0', 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', 'a=ice-ufrag:abcd',
            'a=ice-pwd:abcdefghijklmnopqrstuvwx', `a=fingerprint:sha-256 ${OTHER}`, 'a=setup:actpass', 'a=mid:0', 'a=sctp-port:5000', 'a=max-message-size:262144', ''].join('\r\n');

        const offer = (from, connection, member) => ({
            type: 'OFFER',
            dst: device.device,
            payload: { sdp: { type: 'offer', sdp: SDP }, type: 'data', connectionId: connection, label: 'peerage-http', reliable: true, serialization: 'raw', ...(member ? { peerage: member } : {}) },
        });

        const claims = (from, connection, more) => ({
            context: 'peerage/1 offer', fingerprint: Buffer.alloc(32, 0xab), from, to: device.device, connection, label: 'peerage-http', kid: '', time: time(), nonce: randomBytes(16), reply: '', ...more,
        });

        /** All that came back for a connection id: never an SDP, an address or a signature; at most one code. */
        async function onlyRefused(caller, connection, code) {
            const answer = await caller.next('ANSWER');
            assert.deepEqual(answer.payload, { type: 'data', connectionId: connection, peerage: { refusal: code } });
            // Something of the device that surely comes later than anything about this offer would.
            const probe = `probe-${randomUUID()}`;
            caller.send(offer(caller.id, probe));
            await until('the next refusal', () => caller.frames.find((frame) => frame.payload?.connectionId === probe));
            assert.deepEqual(caller.frames.filter((frame) => frame.type === 'CANDIDATE'), []);
            assert.equal(caller.frames.filter((frame) => frame.payload?.connectionId === connection).length, 1);
            assert.ok(!JSON.stringify(caller.frames).includes('a=ice-ufrag'));
        }

        test('without a statement gets one refusal code, no SDP and no address', async (t) => {
            const caller = await stranger(t);
            await caller.next('OPEN');
            for (let n = 0; n < 5; n++) caller.send(offer(caller.id, 'dc_1'));
            await onlyRefused(caller, 'dc_1', 'denied');
        });

        test('with a signature but no link gets one refusal code, no SDP and no address', async (t) => {
            const caller = await stranger(t);
            await caller.next('OPEN');
            const key = signer();
            caller.send(offer(caller.id, 'dc_1', wrap(claims(caller.id, 'dc_1', { key: key.point }), key)));
            await onlyRefused(caller, 'dc_1', 'denied');
        });

        test('with the MAC of a wrong secret is answered as one with an unknown link', async (t) => {
            const answers = [];
            for (const wrong of ['a'.repeat(26), secret()]) {
                const caller = await stranger(t);
                await caller.next('OPEN');
                const key = signer();
                const { kid } = proof(wrong, device.device);
                const { mac } = proof('b'.repeat(26), device.device);
                const values = claims(caller.id, 'dc_1', { key: key.point, kid });
                caller.send(offer(caller.id, 'dc_1', wrap(values, key, { mac: mac(statement(values)).toString('base64') })));
                await onlyRefused(caller, 'dc_1', 'denied');
                answers.push((await caller.next('ANSWER')).payload);
            }
            assert.deepEqual(answers[0], answers[1]);
        });

        test('with the secret is answered: the attacks above fail for what they change, not for being ours', async (t) => {
            const caller = await stranger(t);
            await caller.next('OPEN');
            const key = signer();
            const { kid, mac } = proof(secret(), device.device);
            const values = claims(caller.id, 'dc_1', { key: key.point, kid });
            caller.send(offer(caller.id, 'dc_1', wrap(values, key, { mac: mac(statement(values)).toString('base64') })));
            const { payload } = await caller.next('ANSWER');
            assert.match(payload.sdp.sdp, /a=ice-ufrag/);
            const answer = fields(Buffer.from(payload.peerage.statement, 'base64'));
            assert.equal(String(answer.context), 'peerage/1 answer');
            assert.deepEqual(answer.reply, createHash('sha256').update(statement(values)).digest());
        });

        test('who replays an OFFER of the past is told that it is stale, and gets no SDP', async (t) => {
            const mark = evil.frames.length;
            assert.equal((await fetched(t, device.link, ['/'])).code, 0);
            const [old] = framesOf('OFFER', mark);
            const caller = await stranger(t, old.src);
            await caller.next('OPEN');
            caller.send({ type: 'OFFER', dst: old.dst, payload: old.payload });
            const { payload } = await caller.next('ANSWER');
            assert.equal(payload.peerage.refusal, 'stale');
            assert.equal(payload.sdp, undefined);
        });

        for (const [name, shift] of [['six minutes ago', -6], ['six minutes ahead', 6]]) {
            test(`with the secret and a clock ${name} gets in with the nonce of the refusal, once`, async (t) => {
                const caller = await stranger(t);
                await caller.next('OPEN');
                const key = signer();
                const { kid, mac } = proof(secret(), device.device);
                const call = (connection, more) => {
                    const values = claims(caller.id, connection, { key: key.point, kid, time: time(Date.now() + shift * 60_000), ...more });
                    caller.send(offer(caller.id, connection, wrap(values, key, { mac: mac(statement(values)).toString('base64') })));
                    return until(`an answer for ${connection}`, () => caller.frames.find((frame) => frame.type === 'ANSWER' && frame.payload.connectionId === connection));
                };
                const refused = await call('dc_1');
                assert.equal(refused.payload.peerage.refusal, 'stale');
                const { nonce } = fields(Buffer.from(refused.payload.peerage.statement, 'base64'));
                assert.ok((await call('dc_2', { reply: nonce })).payload.sdp);
                assert.equal((await call('dc_3', { reply: nonce })).payload.peerage.refusal, 'stale', 'the nonce is spent');
            });
        }

        test('cannot register a key-shaped id', async (t) => {
            const squatter = await stranger(t, signer().id);
            const error = await squatter.next('ERROR');
            assert.match(error.payload.msg, /This id belongs to a key: proof required/);
            await until('the socket is closed', squatter.closed);
        });

        /** A proof for a key-shaped id, as docs/protocol/identity.md section 8 has it. */
        const registering = (key, id, token, more) => {
            const bytes = statement({ context: 'peerage/1 register', key: key.point, host: '127.0.0.1', id, token, time: time(), ...more });
            return `${bytes.toString('base64url')}.${key.sign(bytes).toString('base64url')}`;
        };

        test('registers the id of a key of its own with a proof, once', async (t) => {
            const own = signer();
            const proof = registering(own, own.id, 'a-token');
            const first = await stranger(t, own.id, { token: 'a-token', proof });
            await first.next('OPEN');
            // With a proof of another token the same key takes its id over.
            const second = await stranger(t, own.id, { token: 'b-token', proof: registering(own, own.id, 'b-token') });
            await second.next('OPEN');
            await until('the first socket is closed', first.closed);
        });

        for (const [name, spoil] of Object.entries({
            'by another key': ({ mallory, victim }) => registering(mallory, victim.id, 'a-token'),
            'for another server': ({ victim }) => registering(victim, victim.id, 'a-token', { host: 'elsewhere.example' }),
            'for another token': ({ victim }) => registering(victim, victim.id, 'b-token'),
            'of ten minutes ago': ({ victim }) => registering(victim, victim.id, 'a-token', { time: time(Date.now() - 600_000) }),
        })) {
            test(`cannot register a key-shaped id with a proof ${name}`, async (t) => {
                const keys = { mallory: signer(), victim: signer() };
                const squatter = await stranger(t, keys.victim.id, { token: 'a-token', proof: spoil(keys) });
                await squatter.next('ERROR');
                await until('the socket is closed', squatter.closed);
            });
        }

        test('who holds a device id by its own half-open socket is evicted by the owner', async (t) => {
            const state = folder(t);
            const first = await expose(t, target.url, { server: server.url, state });
            const copy = folder(t);
            cpSync(state, copy, { recursive: true });
            first.proc.freeze();
            const second = await expose(t, target.url, { server: server.url, state: copy });
            assert.equal(second.link, first.link);
            assert.equal((await fetched(t, second.link, ['/'])).code, 0);
        });
    });

    suite('a link', () => {
        const spoilt = {
            'with a wrong secret': (link) => link.replace(/#1\.[a-z2-7]{26}/, `#1.${'a'.repeat(26)}`),
            'without its secret': (link) => link.replace(/#.*/, ''),
        };
        for (const [name, spoil] of Object.entries(spoilt)) {
            test(`${name} lets nobody in`, async (t) => {
                const native = await fetched(t, spoil(device.link), ['/']);
                assert.equal(native.code, REFUSED, native.complaint);
                const context = await browser.browser.newContext();
                t.after(() => context.close());
                const page = await context.newPage();
                await page.goto(spoil(device.link));
                await until('the page says why', async () => /does not let you in|Open the link/.test(await words(page)));
            });
        }

        test('with a shortened secret is told from a wrong one before anyone is asked', async (t) => {
            const short = device.link.slice(0, -1);
            const mark = evil.frames.length;
            const native = await fetched(t, short, ['/']);
            assert.equal(native.code, 2, native.complaint);
            const context = await browser.browser.newContext();
            t.after(() => context.close());
            const page = await context.newPage();
            await page.goto(short);
            await until('the page says why', async () => /not complete/.test(await words(page)));
            assert.deepEqual(framesOf('OFFER', mark), []);
        });
    });

    suite('a page of another site', () => {
        test('cannot post to the app', async (t) => {
            await visit(browser, `${device.link}/`);
            const site = await listen(t, (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html>
                <form method="post" action="${new URL(device.link).origin}/echo"><input name="word" value="forged"></form>`));
            const asked = target.requests.length;
            const page = await browser.tab(site.url);
            await page.evaluate(() => document.forms[0].submit());
            await until('the page says so', async () => /It was not sent/.test(await words(page)));
            assert.deepEqual(target.requests.slice(asked).filter((line) => line.startsWith('POST')), []);
        });

        test('cannot post to the app without saying where it comes from, unless the person agrees', async (t) => {
            await visit(browser, `${device.link}/`);
            const site = await listen(t, (_, response) => response.writeHead(200, { 'content-type': 'text/html', 'referrer-policy': 'no-referrer' }).end(`<!doctype html>
                <form method="post" action="${new URL(device.link).origin}/echo"><input name="word" value="forged"></form>`));
            const asked = target.requests.length;
            const page = await browser.tab(site.url);
            await page.evaluate(() => document.forms[0].submit());
            await until('a question', async () => /Send this to the device\?/.test(await words(page)));
            assert.deepEqual(target.requests.slice(asked).filter((line) => line.startsWith('POST')), []);
            await page.getByRole('button', { name: 'Send it', exact: true }).click();
            await until('what the person agreed to', () => target.requests.slice(asked).includes('POST /echo'));
        });

        test('cannot ask for anything by fetch, image or frame', async (t) => {
            await visit(browser, `${device.link}/`);
            const { origin } = new URL(device.link);
            const site = await listen(t, (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>other</title>'));
            const asked = target.requests.length;
            const page = await browser.tab(site.url);
            await page.evaluate(async (origin) => {
                await fetch(`${origin}/echo`, { method: 'POST', mode: 'no-cors', body: 'forged' }).catch(() => {});
                await new Promise((resolve) => Object.assign(new Image(), { onload: resolve, onerror: resolve, src: `${origin}/second` }));
                await new Promise((resolve) => document.body.append(Object.assign(document.createElement('iframe'), { onload: resolve, src: `${origin}/second` })));
            }, origin);
            // The visit's own tab asks for the app's icon when it gets to it.
            assert.deepEqual(target.requests.slice(asked).filter((request) => request !== 'GET /favicon.ico'), []);
        });

        test('cannot open a WebSocket to the app', async (t) => {
            await visit(browser, `${device.link}/`);
            let upgrades = 0;
            target.server.on('upgrade', (_, socket) => {
                upgrades++;
                socket.destroy();
            });
            t.after(() => target.server.removeAllListeners('upgrade'));
            const site = await listen(t, (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>other</title>'));
            const page = await browser.tab(site.url);
            const codes = await page.evaluate((origin) => Promise.all(['/', '/socket', '/__peerage/socket'].map((path) => new Promise((resolve) => {
                const socket = new WebSocket(origin.replace('http', 'ws') + path);
                socket.onopen = () => resolve('open');
                socket.onclose = ({ code }) => resolve(code);
            }))), new URL(device.link).origin);
            assert.deepEqual(codes, [1006, 1006, 1006]);
            assert.equal(upgrades, 0);
        });
    });

    suite('cookies of an app', () => {
        /** A target that says what cookies it got, and sets those it is told to, in its page. */
        const jarTarget = (t) => {
            const cookies = [];
            return listen(t, (request, response) => {
                const { pathname, searchParams } = new URL(request.url, 'http://x');
                cookies.push([request.method, pathname, request.headers.cookie ?? '']);
                response.writeHead(200, { 'content-type': 'text/html', 'cache-control': 'no-store', ...(searchParams.has('set') ? { 'set-cookie': searchParams.getAll('set') } : {}) })
                    .end(`<!doctype html><link rel="icon" href="data:,"><pre>${request.headers.cookie ?? ''}</pre><form method="post" action="/order"><button>order</button></form>`);
            }).then((site) => ({ ...site, cookies }));
        };
        const inApp = async (page, fn, arg) => (await app(page)).evaluate(fn, arg);
        const got = (page) => inApp(page, async () => (await (await fetch('/cookies')).text()).match(/<pre>(.*)<\/pre>/)[1]);

        test('do not make another site\'s form one of the person\'s', async (t) => {
            const shop = await jarTarget(t);
            const { link } = await expose(t, shop.url, { server: server.url });
            const page = await visit(browser, `${link}/`);
            await inApp(page, () => fetch('/in?set=session%3Dof-ada%3B%20HttpOnly%3B%20SameSite%3DNone%3B%20Secure'));
            assert.equal(await got(page), 'session=of-ada', 'the person is logged in');
            const site = await listen(t, (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html><form method="post" action="${new URL(link).origin}/order"></form>`));
            const other = await browser.tab(site.url);
            await other.evaluate(() => document.forms[0].submit());
            await until('the page says so', async () => /It was not sent/.test(await words(other)));
            assert.deepEqual(shop.cookies.filter(([method]) => method === 'POST'), []);
            // What the app itself posts is sent, with the cookie.
            await (await app(page)).locator('button').click();
            await until('the order', () => shop.cookies.some(([method, , cookie]) => method === 'POST' && cookie === 'session=of-ada'));
        });

        test('are neither read nor set by another device\'s app on the same server', async (t) => {
            const [mine, theirs] = [await jarTarget(t), await jarTarget(t)];
            const [first, second] = [await expose(t, mine.url, { server: server.url }), await expose(t, theirs.url, { server: server.url })];
            const [page, sibling] = [await visit(browser, `${first.link}/`), await visit(browser, `${second.link}/`)];
            const [own, parent] = [new URL(first.link).hostname, new URL(first.link).hostname.split('.').slice(1).join('.')];
            await inApp(page, () => fetch('/in?set=mine%3Dsecret'));
            await inApp(page, () => { document.cookie = 'script=secret'; });
            assert.equal(await got(page), 'mine=secret; script=secret');
            // All ways of a hostile app: its target, its scripts, and a document in which no shim runs.
            await inApp(sibling, async (domains) => {
                for (const domain of domains) {
                    await fetch(`/in?${new URLSearchParams({ set: `tossed=by-target; Domain=${domain}` })}`);
                    document.cookie = `tossed=by-script; domain=${domain}; path=/`;
                    const bare = document.body.appendChild(document.createElement('iframe'));
                    bare.contentDocument.cookie = `tossed=by-frame; domain=${domain}; path=/`;
                }
            }, [own, parent]);
            const seenBySibling = await inApp(sibling, () => [document.cookie, document.body.appendChild(document.createElement('iframe')).contentDocument.cookie]);
            assert.ok(!/secret/.test(String(seenBySibling)), `${seenBySibling}`);
            assert.ok(!/secret/.test(await got(sibling)));
            await page.reload();
            assert.equal(await got(page), 'mine=secret; script=secret');
            assert.ok(!/tossed/.test(await inApp(page, () => document.cookie)));
            assert.deepEqual(mine.cookies.filter(([, , cookie]) => /tossed/.test(cookie)), []);
        });
    });
});
