// Rooms and their members, of every kind, seen in one way: what each was told, in order, and what it believes now.
//
// Old members speak PeerPyRTC's JSON: a page (`../pages/old-room.js`) and aiortc (`../rooms/old_member.py`). `ROOM_SERVER=peerpyrtc` has them at PeerPyRTC itself, behind Flask
// (`../rooms/upstream.py`), to see that a failure is ours and not theirs.

import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { installed } from './apps.mjs';
import { BINARY, ROOT, serve } from './peerage.mjs';
import { PATIENCE, start, within } from './process.mjs';

const own = (...path) => join(ROOT, 'e2e', ...path);

const built = (name) => join(ROOT, 'packages', 'client', 'dist', `${name}.global.js`);

/** Whether it is PeerPyRTC that is asked. */
export const UPSTREAM = process.env.ROOM_SERVER === 'peerpyrtc';

/** A member that says nothing any more is out after ten seconds. A browser by itself takes thirty to find a connection dead: what ends before this is the server's doing, also on a busy machine. */
export const LOST = 20_000;

/** A server of rooms whose operator asks without a token: `{ url, port, proc }`. */
export async function roomServer(owner, ...args) {
    return UPSTREAM ? upstream(owner) : serve(owner, '--rooms-admin-open', ...args);
}

/** PeerPyRTC behind Flask. */
export async function upstream(owner) {
    const proc = start(owner, 'PeerPyRTC', join(await installed('peerpyrtc'), 'python'), [own('rooms', 'upstream.py')]);
    const [, url, port] = await proc.printed(/^listening on (\S+:(\d+))$/m);
    return { url, port: Number(port), proc };
}

/** What the operator sees of a room. */
export async function status({ url }, room) {
    return (await fetch(`${url}/room-status/${encodeURIComponent(room)}`, { signal: AbortSignal.timeout(PATIENCE) })).json();
}

/** A POST of JSON, or of a text as it is: `{ status, body }`. `from`: the address for which a proxy on this machine passes it on. */
export async function post({ url }, path, body, from) {
    const headers = { 'content-type': 'application/json', ...(from && { 'x-forwarded-for': from }) };
    const response = await fetch(url + path, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE) });
    const text = await response.text();
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

/** One member. What happens to it is `{ at, k, … }`, where `k` is open, closed, received, joined, left, update, host, elected or message. */
export class Member {
    /** @type {{ at: number, k: string, [more: string]: unknown }[]} */
    seen = [];
    /** Whom it believes to be in the room, itself included, and who is host. */
    peers = new Set();
    host = null;

    #watchers = new Set();

    constructor(id, kind, act) {
        Object.assign(this, { id, kind, act });
    }

    get name() {
        return `${this.id} (${this.kind})`;
    }

    take(k, more = {}) {
        this.seen.push({ at: performance.now(), k, ...more });
        if (k === 'open') this.peers = new Set([this.id]);
        if (k === 'joined') this.peers.add(more.peer);
        if (k === 'left') this.peers.delete(more.peer);
        if (k === 'update' || (k === 'open' && more.peers)) this.peers = new Set(more.peers);
        if (k === 'host' || k === 'elected' || (k === 'open' && more.host)) this.host = more.peer ?? more.host;
        for (const look of [...this.#watchers]) look();
    }

    /** Waits until `look(this)` gives something, and returns that. */
    async wait(what, look, ms = PATIENCE) {
        let watch;
        const found = new Promise((resolve, reject) => {
            watch = () => {
                try {
                    const value = look(this);
                    if (value) resolve(value);
                } catch (error) {
                    reject(error);
                }
            };
            this.#watchers.add(watch);
            watch();
        });
        try {
            return await within(ms, found, () => new Error(`${this.name}: not in ${ms} ms: ${what}; last it was told\n${this.seen.slice(-12).map((one) => JSON.stringify(one)).join('\n')}`));
        } finally {
            this.#watchers.delete(watch);
        }
    }

    /** The first event of that kind that has these members, now or later. */
    told(k, members = {}, ms = PATIENCE) {
        return this.wait(`${k} ${JSON.stringify(members)}`, () => this.all(k, members)[0], ms);
    }

    /** All events of that kind so far that have these members. */
    all(k, members = {}) {
        return this.seen.filter((one) => one.k === k && Object.entries(members).every(([name, value]) => JSON.stringify(one[name]) === JSON.stringify(value)));
    }

    /** What was said to it, without times. */
    get messages() {
        return this.all('message').map(({ sender, value, event }) => ({ sender, value, event: event ?? null }));
    }

    do(order) {
        return this.act(order);
    }
    say(value) {
        return this.act({ do: 'say', value });
    }
    emit(event, data) {
        return this.act({ do: 'emit', event, data });
    }
    leave() {
        return this.act({ do: 'leave' });
    }
}

/** Members on aiortc in one process of their own, all in the room when this resolves. */
export async function aiortcMembers(owner, server, room, ids, ...args) {
    const python = join(await installed('aiortc'), 'python');
    const proc = start(owner, `aiortc ${ids}`, python, [own('rooms', 'old_member.py'), ...args, server.url, room, ...ids], { stdio: ['pipe', 'pipe', 'pipe'] });
    const act = (id) => (order) => void proc.child.stdin.write(`${JSON.stringify({ id, ...order })}\n`);
    const members = new Map(ids.map((id) => [id, Object.assign(new Member(id, 'aiortc', act(id)), { proc })]));
    follow(proc, ({ id, k, ...more }) => members.get(id).take(k, more));
    proc.exited.then(() => members.forEach((member) => member.take('ended', { output: proc.output.slice(-2_000) })));
    await Promise.all([...members.values()].map((member) => opened(member)));
    return [...members.values()];
}

export async function aiortcMember(owner, server, room, id, ...args) {
    return (await aiortcMembers(owner, server, room, [id], ...args))[0];
}

/** `peerage chat --room`, in the room when this resolves. Its lines are what it says. */
export async function nativeMember(owner, server, room, id) {
    const proc = start(owner, `native ${id}`, BINARY, ['chat', '--room', room, '--name', id, '--json', '--server', server.url], { stdio: ['pipe', 'pipe', 'pipe'] });
    const member = Object.assign(new Member(id, 'native', (order) => {
        if (order.do === 'say') proc.child.stdin.write(`${order.value}\n`);
        else if (order.do === 'leave') proc.child.stdin.end();
        else throw new Error(`a native member does not ${order.do}`);
    }), { proc });
    follow(proc, (line) => takeNative(member, line));
    proc.exited.then(() => member.take('ended', { output: proc.output.slice(-2_000) }));
    return opened(member);
}

function takeNative(member, { event: kind, id, ...more }) {
    switch (kind) {
        case 'ready': return member.take('open', { peers: more.members.map((one) => one.id), host: more.host });
        case 'joined':
        case 'left':
        case 'host': return member.take(kind, { peer: id, reason: more.reason });
        case 'message': return member.take('message', { sender: more.from ?? 'server', value: more.value, event: more.said ?? null });
        default: return member.take(kind, more);
    }
}

/** Waits for a member to be in; a process that ends instead is an error at once. */
export async function opened(member) {
    await member.wait('it is in the room', () => {
        const [ended] = member.all('ended');
        if (ended) throw new Error(`${member.name} ended: ${ended.output}`);
        return member.all('open')[0];
    });
    return member;
}

/**
 * A well-behaved pair of members in a room, and newcomers (`../rooms/witness.mjs`): what an attack on the server does to people who have no part in it.
 *
 * @returns `begin` forgets what was seen; `end` resolves with what was seen since.
 */
export async function roomWitness(owner, { url }, room) {
    const proc = start(owner, 'the pair', process.execPath, [own('rooms', 'witness.mjs'), url, room], { stdio: ['pipe', 'pipe', 'pipe'] });
    await proc.printed(/^"ready"$/m);
    const order = (what) => void proc.child.stdin.write(`${what}\n`);
    return {
        begin: () => order('begin'),
        async end() {
            const from = proc.output.length;
            order('end');
            const [line] = await proc.printed(/^\{.*\}$/m, { from });
            const seen = JSON.parse(line);
            if (seen.failed) throw new Error(seen.failed);
            return seen;
        },
    };
}

/** Takes each line of a process that is JSON. */
export function follow(proc, take) {
    createInterface({ input: proc.child.stdout }).on('line', (line) => {
        if (line.startsWith('{')) take(JSON.parse(line));
    });
}

/** Where pages of rooms are: an address of the server itself, as old pages were served by it. */
const PAGE = '/a-page-of-rooms';

/** Old members in one tab, all in the room when this resolves; `unreachable` ones are waited for by the test. */
export function oldPageMembers(browser, server, room, ids, options) {
    return pageMembers(browser, server, room, ids, options, 'old page', { '/member.js': own('pages', 'old-room.js') });
}

/** Members that a page has by `joinRoom` of the npm package, in the room when this resolves; `options` are those of `joinRoom`. */
export function newPageMembers(browser, server, room, ids, options) {
    return pageMembers(browser, server, room, ids, options, 'new page', { '/package.js': built('rooms'), '/member.js': own('pages', 'new-room.js') });
}

/** The same by the npm package's `WebRTCConnection`, whose options they are. */
export function classMembers(browser, server, room, ids, options) {
    return pageMembers(browser, server, room, ids, options, 'old class', { '/package.js': built('peerpyrtc'), '/member.js': own('pages', 'classes-room.js') });
}

export async function oldPageMember(browser, server, room, id, options) {
    return (await oldPageMembers(browser, server, room, [id], options))[0];
}

export async function newPageMember(browser, server, room, id, options) {
    return (await newPageMembers(browser, server, room, [id], options))[0];
}

/**
 * Members in one tab of the server's own origin, whose page has `scripts`: files by their paths there. They are there again when it is loaded again.
 *
 * @param {import('./browser.mjs').Browser} browser
 */
async function pageMembers(browser, server, room, ids, options = {}, kind, scripts) {
    const page = await browser.tab();
    const act = (id) => (order) => page.evaluate(([id, order]) => window.do_room(id, order), [id, order]);
    const members = new Map(ids.map((id) => [id, Object.assign(new Member(id, kind, act(id)), { page })]));
    await page.exposeFunction('tell_room', (id, k, more) => members.get(id).take(k, more));
    const html = `<!doctype html><title>${kind}</title>${Object.keys(scripts).map((path) => `<script src="${path}"></script>`).join('')}`;
    await page.route(`**${PAGE}`, (route) => route.fulfill({ contentType: 'text/html', body: html }));
    for (const [path, file] of Object.entries(scripts)) await page.route(`**${path}`, (route) => route.fulfill({ contentType: 'text/javascript', path: file }));
    await page.goto(server.url + PAGE);
    await page.evaluate(([room, ids, options]) => Promise.all(ids.map((id) => window.join_room(room, id, options))), [room, ids, options]);
    if (!options.unreachable) await Promise.all([...members.values()].map(opened));
    return [...members.values()];
}

/** Takes a tab's process away, as the system does when memory is short: it says nothing to anybody. */
export async function crash(page) {
    const cdp = await page.context().newCDPSession(page);
    const gone = new Promise((resolve) => page.once('crash', resolve));
    cdp.send('Page.crash').catch(() => {});     // It never answers.
    await within(PATIENCE, gone, 'the tab did not crash');
}

/** Waits until all see the same members and the same host, and returns that host. */
export async function agreed(members, ids, ms = PATIENCE) {
    const expected = JSON.stringify([...ids].sort());
    await Promise.all(members.map((member) => member.wait(`it sees ${ids}`, () => JSON.stringify([...member.peers].sort()) === expected, ms)));
    return members[0].host;
}
