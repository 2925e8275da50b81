// A backend of chat rooms: what is said is kept in a file and may be moderated; the rooms themselves are `peerage serve`'s. See README.md.

import express from 'express';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';

const { WEBHOOK_SECRET_FILE = 'secret', LOG = 'rooms.jsonl', PORT = '5001' } = process.env;
const SECRET = readFileSync(WEBHOOK_SECRET_FILE, 'utf8').trim();
/** Requests older than this are not taken: somebody may have kept one to send it again. */
const FRESH_SECONDS = 300;

/** No more of an address is looked at than this: a pattern without an end takes seconds for a message of many beginnings. */
const FORBIDDEN = /https?:\/\/\S{0,200}?casino/i;
const RUDE = /\b(darn|heck)\b/gi;

/** Everything that happened, a line of JSON each. A last line that was cut off is left out. */
const happened = existsSync(LOG) ? readFileSync(LOG, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line)).sort(inOrder) : [];
const known = new Set(happened.map(({ id }) => id));
let written = Promise.resolve();

/** A request that was not answered in time comes again with the same id: it counts once. Resolves when it is on the disk. */
function keep(one) {
    if (!known.has(one.id)) {
        known.add(one.id);
        // Requests may overtake each other, by a little: `order` says what was first.
        let place = happened.length;
        while (place > 0 && inOrder(happened[place - 1], one) > 0) place--;
        happened.splice(place, 0, one);
        written = written.then(() => appendFile(LOG, `${JSON.stringify(one)}\n`));
    }
    return written;
}

function inOrder(one, other) {
    return one.order - other.order;
}

/** Whether the server sent this, and lately: `peerage-signature: t=<seconds>,v1=<hex HMAC-SHA-256 of "t.body">`. */
function signed(header = '', body) {
    const { t, v1 } = Object.fromEntries(header.split(',').map((part) => part.split('=', 2)));
    if (!/^\d+$/.test(t ?? '') || Math.abs(Date.now() / 1_000 - Number(t)) > FRESH_SECONDS) return false;
    const expected = createHmac('sha256', SECRET).update(`${t}.`).update(body).digest();
    const told = Buffer.from(v1 ?? '', 'hex');
    return told.length === expected.length && timingSafeEqual(told, expected);
}

/** What becomes of a message: `relay`, `drop`, or `replace` with another one. */
function verdict(message) {
    if (typeof message !== 'string') return { action: 'relay' };
    if (FORBIDDEN.test(message)) return { action: 'drop' };
    const milder = message.replace(RUDE, (word) => '*'.repeat(word.length));
    return milder === message ? { action: 'relay' } : { action: 'replace', message: milder };
}

const app = express();

// The signature is over the octets as they came, so they are not parsed before.
app.post('/rooms', express.raw({ type: () => true, limit: '1mb' }), async (request, response) => {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    if (!signed(request.get('peerage-signature'), body)) return void response.sendStatus(401);
    const { id, event, order, room, peer_id: peer, name, message, to } = JSON.parse(body);
    const answer = event === 'message' ? verdict(message) : {};
    // What is for some alone is nothing for a history that everybody reads.
    if (answer.action !== 'drop' && to === undefined) await keep({ id, order, at: Date.now(), event, room, peer, name, message: answer.message ?? message });
    response.json(answer);
});

const seen = (room, events) => happened.filter((one) => one.room === room && events.includes(one.event));

/** The last hundred messages of a room, oldest first. */
app.get('/history/:room', (request, response) => {
    response.json(seen(request.params.room, ['message']).slice(-100).map(({ at, peer, name, message }) => ({ at, peer, name: name ?? null, message })));
});

/** Who came and went, oldest first. */
app.get('/attendance/:room', (request, response) => {
    response.json(seen(request.params.room, ['joined', 'left']).map(({ at, peer, event }) => ({ at, peer, event })));
});

const server = app.listen(Number(PORT), '127.0.0.1', (error) => {
    if (error) throw error;
    console.log(`Running on http://127.0.0.1:${server.address().port}`);
});
