// A well-behaved pair in a room, a process of its own: witness.mjs URL ROOM
//
// It begins a round trip through the room every 10 ms, beside it one through a plain echo by UDP, and lets a newcomer into a room of its own every 500 ms. `begin` on standard
// input forgets what was seen; `end` prints it, in milliseconds, once there was enough to see.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { ChannelMember } from './channel.mjs';

const EVERY = 10;
const NEWCOMER_EVERY = 500;
const FILL = 'x'.repeat(100);

const [url, room] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));

const echo = createSocket('udp4').bind(0, '127.0.0.1');
await once(echo, 'listening');
echo.on('message', (data, { port }) => echo.send(data, port, '127.0.0.1'));
const bare = createSocket('udp4').bind(0, '127.0.0.1');
await once(bare, 'listening');

const member = (id, room) => new ChannelMember({ url }, room, id, { from: '198.51.100.2', reliable: true }).join();
const [a, b] = [await member('witness a', room), await member('witness b', room)];
for (const one of [a, b]) one.closed.then(() => { tell({ failed: `${one.id} was closed` }); process.exit(1); });

let seen, n = 0;
const [begun, echoed] = [new Map(), new Map()];
const begin = () => { seen = { trips: [], bare: [], newcomers: [] }; };
const took = (times, from, key) => {
    if (from.has(key)) times.push(performance.now() - from.get(key));
    from.delete(key);
};
begin();
// What others say is not read further than it takes to know that it is not theirs.
b.onmessage = (text) => { if (typeof text === 'string' && text.startsWith('{"peer_id":"witness a"')) b.say(JSON.parse(text).message); };
a.onmessage = (text) => { if (typeof text === 'string' && text.startsWith('{"peer_id":"witness b"')) took(seen.trips, begun, JSON.parse(text).message.n); };
bare.on('message', (data) => took(seen.bare, echoed, Number(data)));

setInterval(() => {
    begun.set(++n, performance.now());
    a.say({ n, FILL });
    echoed.set(n, performance.now());
    bare.send(String(n), echo.address().port, '127.0.0.1');
}, EVERY);

void (async () => {
    for (let count = 0; ; count++) {
        const began = performance.now();
        const one = await member(`newcomer ${count}`, `${room}, newcomers`);
        seen.newcomers.push(performance.now() - began);
        one.system('PEER_LEAVE', {});
        await one.post('/leave');
        one.close();
        await delay(NEWCOMER_EVERY);
    }
})().catch((error) => { tell({ failed: String(error) }); process.exit(1); });

tell('ready');
for await (const what of createInterface({ input: process.stdin })) {
    if (what === 'begin') begin();
    if (what !== 'end') continue;
    // What was begun has to come back, and a hundredth of it must be more than one.
    const last = n;
    while ([...begun.keys()].some((trip) => trip <= last) || seen.trips.length < 150 || seen.newcomers.length < 3) await delay(EVERY);
    const at = (times, part) => times.toSorted((x, y) => x - y)[Math.ceil(times.length * part) - 1];
    const { trips, bare: plain, newcomers } = seen;
    tell({ trips: trips.length, p50: at(trips, 0.5), p99: at(trips, 0.99), most: at(trips, 1), bare: at(plain, 0.99), newcomers: newcomers.length, slowest: Math.max(...newcomers) });
}
