// What rooms cost: the library's hub, PeerPyRTC behind Flask, and a bare fan-out loop on the hub's engine, which is the limit of what is to be had.
//
//   (cd bench/rooms && cargo build --release) && node bench/rooms.mjs
//
//   --quick             one short round of everything
//   --rounds N          default 3
//   --servers NAME,...  of peerpyrtc, peerage, peerage-native, bare
//   --sizes N,...       members of a room, default 5,20,50,200
//   --rates N,...       deliveries a second, default 1000,5000,10000,20000; peerpyrtc is not asked for more than 10000
//   --thousand          also a thousand members in one room
//   --first             before all other work of the machine, by the priority of the session: `setsid -w node bench/rooms.mjs --first`, as root
//
// Prints Markdown; every figure of every round goes to bench/out/rooms.json.

import { mkdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installed } from '../e2e/lib/apps.mjs';
import { start, within } from '../e2e/lib/process.mjs';
import { machine, median, range } from './figures.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const BENCH = join(ROOT, 'target', 'release', 'bench-rooms');
const OUT = join(ROOT, 'bench', 'out', 'rooms.json');
/** Joins of two hundred by Python take a while. */
const PATIENCE = 300_000;

const { values: options } = parseArgs({
    options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        servers: { type: 'string', default: 'peerpyrtc,peerage,peerage-native,bare' },
        sizes: { type: 'string', default: '5,20,50,200' },
        rates: { type: 'string', default: '1000,5000,10000,20000' },
        thousand: { type: 'boolean', default: false },
        first: { type: 'boolean', default: false },
    },
});

/** Deliveries a second that PeerPyRTC can do, about, on a core. */
const RIVAL_MOST = 10_000;
/** Messages that are on their way at a time, where nobody waits for anything else. */
const RUSH = 8;
const ROUNDS = Number(options.rounds ?? (options.quick ? 1 : 3));
const [WARM, SECONDS] = options.quick ? [0.5, 1.5] : [1, 5];
const SERVERS = {
    peerpyrtc: async () => [join(await installed('peerpyrtc'), 'python'), join(ROOT, 'e2e', 'rooms', 'upstream.py')],
    peerage: async () => [BENCH, 'hub'],
    'peerage-native': async () => [BENCH, 'hub'],
    bare: async () => [BENCH, 'bare'],
};
const servers = options.servers.split(',');
const [sizes, rates] = [options.sizes, options.rates].map((list) => list.split(',').map(Number));

if (options.first) writeFileSync('/proc/self/autogroup', '-20');

/** For each size and server the rounds' figures. */
const rows = {};
for (let round = 0; round < ROUNDS; round++) {
    for (const size of sizes) {
        for (let n = 0; n < servers.length; n++) {
            const name = servers[(n + round) % servers.length];
            await measure(name, size, name === 'peerpyrtc' ? rates.filter((rate) => rate <= RIVAL_MOST) : rates);
        }
    }
}
if (options.thousand) for (const name of servers.filter((name) => name !== 'peerpyrtc')) await measure(name, 1_000, rates);
print();

/** One room on a server of its own, with members of their own. */
async function measure(name, size, rates) {
    const ends = [];
    const owner = { after: (end) => void ends.push(end) };
    const on = (core) => ['taskset', '-c', String(core)];
    const put = (what, figures) => {
        process.stderr.write(`${size} ${name} ${what} ${JSON.stringify(figures)}\n`);
        (((rows[size] ??= {})[name] ??= {})[what] ??= []).push(figures);
    };
    try {
        const [command, ...args] = [...on(0), ...await SERVERS[name]()];
        const server = start(owner, name, command, args);
        const [, port] = await server.printed(/listening on (?:http:\/\/127\.0\.0\.1:)?(\d+)/);
        const kind = name === 'peerage-native' ? 'native' : 'old';
        const [generator, ...rest] = [...on(1), BENCH, 'members', `127.0.0.1:${port}`, `${server.pid}`, kind];
        const members = start(owner, 'members', generator, rest, { stdio: ['pipe', 'pipe', 'pipe'], binary: true });
        const answers = createInterface({ input: members.child.stdout })[Symbol.asyncIterator]();
        const ask = async (order) => {
            members.child.stdin.write(`${JSON.stringify(order)}\n`);
            const { value, done } = await within(PATIENCE, answers.next(), `no answer to ${JSON.stringify(order)}`);
            if (done) throw new Error(`the members ended: ${members.output.slice(-1_000)}`);
            return JSON.parse(value);
        };
        put('join', await ask({ do: 'join', room: 'bench', count: size }));
        for (const rate of rates) put(rate, await ask({ do: 'talk', rate, warm: WARM, seconds: SECONDS }));
        put('rush', await ask({ do: 'rush', messages: RUSH, warm: WARM, seconds: SECONDS }));
    } catch (error) {
        put('failed', String(error.message).slice(0, 500));
    } finally {
        for (const end of ends.reverse()) await end();
    }
    mkdirSync(dirname(OUT), { recursive: true });
    writeFileSync(OUT, JSON.stringify(rows, null, 1));
}

function print() {
    console.log(`${machine()}, Node ${process.versions.node}, \`node bench/rooms.mjs${process.argv.slice(2).map((arg) => ` ${arg}`).join('')}\`; ${ROUNDS} rounds, median (least to most).\n`);
    const figures = (size, name, what, column) => (rows[size]?.[name]?.[what] ?? []).map((one) => one[column]);
    const cell = (size, name, what, column, digits, scale = 1) => {
        const values = figures(size, name, what, column);
        return values.length ? range(values.map((value) => value * scale), digits) : '';
    };
    const ratio = (size, name, what, column, to) => {
        const [own, other] = [name, to].map((one) => figures(size, one, what, column));
        return own.length && other.length && name !== to ? (median(own) / median(other)).toFixed(2) : '';
    };
    const others = [];
    for (const rate of rates) {
        console.log(`${rate} deliveries a second:\n`);
        table(['members', 'server', 'CPU us a delivery', 'to bare', 'to peerpyrtc', 'p50 ms', 'p99 ms', 'lost', 'cores used', 'members late, p99 ms'], (size, name) => {
            if (!rows[size][name]?.[rate]) return null;
            others.push(...figures(size, name, rate, 'others'));
            const lost = rows[size][name][rate].map(({ expected, delivered }) => 100 * (1 - delivered / expected));
            return [
                size, name, cell(size, name, rate, 'cpu_us', 1), ratio(size, name, rate, 'cpu_us', 'bare'), ratio(size, name, rate, 'cpu_us', 'peerpyrtc'),
                cell(size, name, rate, 'p50_us', 2, 1e-3), cell(size, name, rate, 'p99_us', 2, 1e-3), `${range(lost, 1)} %`, cell(size, name, rate, 'cores', 2), cell(size, name, rate, 'late_us', 2, 1e-3),
            ];
        });
    }
    console.log(`As fast as it goes, ${RUSH} messages on their way:\n`);
    table(['members', 'server', 'CPU us a delivery', 'to bare', 'to peerpyrtc', 'deliveries/s', 'p50 ms', 'p99 ms', 'cores used'], (size, name) => {
        if (!rows[size][name]?.rush) return null;
        others.push(...figures(size, name, 'rush', 'others'));
        for (const one of rows[size][name].rush) one.per_second = one.delivered / SECONDS;
        return [
            size, name, cell(size, name, 'rush', 'cpu_us', 1), ratio(size, name, 'rush', 'cpu_us', 'bare'), ratio(size, name, 'rush', 'cpu_us', 'peerpyrtc'), cell(size, name, 'rush', 'per_second', 0),
            cell(size, name, 'rush', 'p50_us', 2, 1e-3), cell(size, name, 'rush', 'p99_us', 2, 1e-3), cell(size, name, 'rush', 'cores', 2),
        ];
    });
    console.log('Joins, eight at a time:\n');
    table(['members', 'server', 'CPU ms to join one', 'to bare', 'to peerpyrtc', 'seconds for all', 'kB a member'], (size, name) => (rows[size][name]?.join ? [
        size, name, cell(size, name, 'join', 'cpu_ms', 2), ratio(size, name, 'join', 'cpu_ms', 'bare'), ratio(size, name, 'join', 'cpu_ms', 'peerpyrtc'), cell(size, name, 'join', 'ms', 2, 1e-3),
        cell(size, name, 'join', 'octets', 0, 1e-3),
    ] : null));
    console.log(others.length ? `Other processes used ${range(others, 2)} cores meanwhile.\n` : '');
    for (const [size, of] of Object.entries(rows)) for (const [name, { failed = [] }] of Object.entries(of)) for (const why of failed) console.log(`${name} with ${size} members failed: ${why}\n`);
}

function table(head, line) {
    console.log(`| ${head.join(' | ')} |\n|${' --- |'.repeat(head.length)}`);
    for (const size of Object.keys(rows)) for (const name of servers) {
        const cells = line(size, name);
        if (cells) console.log(`| ${cells.join(' | ')} |`);
    }
    console.log('');
}
