// What the signalling server costs, beside peerjs-server and beside a bare relay of the same WebSocket library: the limit.
//
//   cargo build --release -p peerage --bin peerage && (cd bench/signal && cargo build --release) && node bench/signal.mjs
//
//   --quick             one short round of everything
//   --parts NAME,...    of saturation, latency, idle, start
//   --servers NAME,...  of peerjs-server, peerage, relay, relay-4k
//   --kinds NAME,...    of offer, candidate, mix
//   --sockets N,...     of idle sockets, default 1000,10000,19000
//   --rounds N          default 5, of idle sockets 3
//   --ways NAME,...     of saturation, default alone,bursts,spread
//   --first             before all other work of the machine, by the priority of the session: `setsid -w node bench/signal.mjs --first`, as root
//   --patience SECONDS  how long to wait before each measurement for the machine to be quiet, default 0; one that was disturbed is then repeated twice at most
//   --product FILE      another binary in place of target/release/peerage
//
// Prints Markdown; every figure of every round goes to bench/out/signal.json, where latency alone finds what each server's saturation was.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { start, until } from '../e2e/lib/process.mjs';
import { machine, median, range } from './figures.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PARTS = { saturation, latency, idle, start: starts };

const { values: options } = parseArgs({
    options: {
        quick: { type: 'boolean', default: false },
        parts: { type: 'string', default: Object.keys(PARTS).join() },
        servers: { type: 'string', default: 'peerjs-server,peerage,relay,relay-4k' },
        kinds: { type: 'string', default: 'offer,candidate,mix' },
        sockets: { type: 'string' },
        rounds: { type: 'string' },
        ways: { type: 'string', default: 'alone,bursts,spread' },
        first: { type: 'boolean', default: false },
        patience: { type: 'string', default: '0' },
        product: { type: 'string', default: join(HERE, '..', 'target', 'release', 'peerage') },
    },
});

const BENCH = join(HERE, 'signal', 'target', 'release', 'bench-signal');
const PEER = join(HERE, 'signal', 'node_modules', 'peer', 'dist', 'bin', 'peerjs.js');
const OUT = join(HERE, 'out', 'signal.json');
const LOADS = { offer: 'offers, 2 kB', candidate: 'candidates, 300 B', mix: '1 offer, 8 candidates' };

/** Of saturation: how many messages of a client are on the way, and whether the server has one core for itself or both with the generator. */
const WAYS = {
    alone: { window: 1, pinned: true, say: '1 on the way' },
    bursts: { window: 8, pinned: true, say: '8 on the way' },
    spread: { window: 8, pinned: false, say: '8 on the way, 2 cores' },
};

const PAIRS = 500;
const WARM = options.quick ? 1.5 : 2;
const SECONDS = options.quick ? 3 : 4;
const IDLE = { settle_seconds: 10, seconds: 20 };
/** Also asked of everyone, whatever it could do: messages a second. */
const SAME_RATE = 10_000;
/** Short enough that a heart that was not heard costs the socket within a measurement. */
const ALIVE_MS = 15_000;
/** Others that use more cores than this disturb. */
const DISTURBED = 0.2;
const rounds = (of) => Number(options.rounds ?? (options.quick ? 1 : of));
options.sockets ??= options.quick ? '1000' : '1000,10000,19000';
const kinds = options.kinds.split(',');

const run = promisify(execFile);
const state = mkdtempSync(join(tmpdir(), 'peerage-bench-'));
process.on('exit', () => rmSync(state, { recursive: true, force: true }));

if (options.first) writeFileSync('/proc/self/autogroup', '-20');

const known = execFileSync(options.product, ['serve', '--help'], { encoding: 'utf8' });
/** Those of the options that the product has. */
const raised = [['--message-rate', '1000000'], ['--message-burst', '1000000'], ['--octet-rate', '4000000000']].filter(([name]) => known.includes(`${name} `));
const alive = ['--alive-timeout', '--alive_timeout'].find((name) => known.includes(`${name} `));
const SERVERS = {
    'peerjs-server': (port) => [process.execPath, PEER, '--port', port, '--concurrent_limit', '100000', '--alive_timeout', ALIVE_MS],
    peerage: (port) => [options.product, 'serve', '--port', port, '--json', '--state', state, ...raised.flat(), ...(alive ? [alive, ALIVE_MS] : [])],
    relay: (port) => [BENCH, 'relay', port],
    'relay-4k': (port) => [BENCH, 'relay', port, 4096],
};
const RELAYS = ['relay', 'relay-4k'];
const servers = options.servers.split(',').filter((name) => SERVERS[name]);

if (servers.includes('peerjs-server') && !existsSync(PEER)) execFileSync('npm', ['ci'], { cwd: join(HERE, 'signal'), stdio: 'inherit' });
const all = existsSync(OUT) ? JSON.parse(readFileSync(OUT, 'utf8')) : {};
console.log(`${machine()}, Node ${process.versions.node}; loopback, every process on the same cores. ` +
    `Limits raised for the bench: ${raised.length ? raised.map((option) => option.join(' ')).join(', ') : 'none'}${alive ? `; ${alive} ${ALIVE_MS}` : ''}.\n`);
for (const part of options.parts.split(',')) {
    await PARTS[part]();
    mkdirSync(dirname(OUT), { recursive: true });
    writeFileSync(OUT, JSON.stringify(all, null, 1));
}

async function saturation() {
    const rows = table(kinds.flatMap((kind) => options.ways.split(',').map((way) => `${kind} ${way}`)));
    for (let round = 0; round < rounds(5); round++) {
        for (const row of Object.keys(rows)) {
            const [kind, way] = row.split(' ');
            const { window, pinned } = WAYS[way];
            for (const name of servers) {
                const one = await loaded(name, 'saturate', { pairs: PAIRS, kind, window, warm_seconds: WARM, seconds: SECONDS }, pinned);
                if (one) rows[row][name].push({ ...one, perCpu: one.messages / one.cpu_seconds, rate: one.messages / one.seconds, cores: one.cpu_seconds / one.seconds });
            }
        }
    }
    keep('saturation', rows);
    print(`Saturation: ${PAIRS} pairs both ways; each client always has some messages on the way to its partner`, ['load', 'of each', 'server', 'messages per CPU second', 'to peerjs-server', 'to the better relay', 'messages/s', 'cores used'], rows, (row, name, of) => {
        const [kind, way] = row.split(' ');
        return [LOADS[kind], WAYS[way].say, name, of('perCpu', 0), of.ratio('perCpu', 'peerjs-server'), of.ratio('perCpu', RELAYS, Math.max), of('rate', 0), of('cores', 2)];
    });
}

async function latency() {
    const at = { half: 'half of its saturation', same: `${SAME_RATE}/s` };
    const rows = table(kinds.flatMap((kind) => Object.keys(at).map((rate) => `${kind} ${rate}`)));
    for (let round = 0; round < rounds(5); round++) {
        for (const row of Object.keys(rows)) {
            const [kind, which] = row.split(' ');
            for (const name of servers) {
                const saturated = all.saturation?.[`${kind} alone`]?.[name];
                if (!saturated?.length) throw new Error(`latency needs the saturation of ${name} first`);
                // Of a core for itself: what the generator or others took from it does not count.
                const rate = which === 'half' ? Math.round(median(saturated.map((one) => one.perCpu)) / 2) : SAME_RATE;
                const one = await loaded(name, 'latency', { pairs: PAIRS, kind, rate, warm_seconds: WARM, seconds: SECONDS }, true);
                if (one) rows[row][name].push({ ...one, rate, perMessage: (one.cpu_seconds * 1e6) / one.messages });
            }
        }
    }
    keep('latency', rows);
    print('Latency: messages at a fixed rate, one after the other, from changing clients', ['load', 'at', 'server', 'CPU us a message', 'messages/s', 'p50 us', 'to the better relay', 'p99 us', 'to the better relay', 'generator late, p99 us'], rows, (row, name, of) => {
        const [kind, which] = row.split(' ');
        return [LOADS[kind], at[which], name, of('perMessage', 1), of('rate', 0), of('p50_us', 0), of.ratio('p50_us', RELAYS, Math.min), of('p99_us', 0), of.ratio('p99_us', RELAYS, Math.min), of('late_p99_us', 0)];
    });
}

async function idle() {
    const rows = table(options.sockets.split(','));
    for (let round = 0; round < rounds(3); round++) {
        for (const sockets of Object.keys(rows)) {
            for (const name of servers) {
                const one = await loaded(name, 'idle', { sockets: Number(sockets), ...IDLE });
                if (one) rows[sockets][name].push({ ...one, kb: one.octets_per_socket / 1e3, mb: one.resident_after / 1e6 });
            }
        }
    }
    keep('idle', rows);
    print('Idle sockets, a heartbeat every 5 s each', ['sockets', 'server', 'CPU us per socket and second', 'resident kB a socket', 'to peerjs-server', 'to the better relay', 'resident MB in all', 'CPU ms to open one', 'lost'], rows, (sockets, name, of) => [
        sockets, name, of('cpu_us_per_socket_second', 2), of('kb', 2), of.ratio('kb', 'peerjs-server'), of.ratio('kb', RELAYS, Math.min), of('mb', 1), of('open_cpu_ms', 3), of('lost', 0),
    ]);
}

async function starts() {
    const rows = table(['']);
    for (let round = 0; round < rounds(7); round++) {
        for (const name of servers) {
            const port = await freePort();
            const one = JSON.parse((await run(BENCH, ['start', port, ...SERVERS[name](port)].map(String))).stdout);
            rows[''][name].push({ ...one, mb: one.resident / 1e6 });
        }
    }
    keep('start', rows);
    print('Start, to the first socket opened; memory a second later', ['server', 'CPU ms', 'ms', 'resident MB'], rows, (_, name, of) => [name, of('cpu_ms', 1), of('ms', 1), of('mb', 1)]);
}

/** Figures of one load; none if it failed, which is told. */
async function loaded(name, mode, load, pinned = false) {
    const patience = Number(options.patience);
    let best = null;
    for (let tries = 0; tries < (patience ? 3 : 1); tries++) {
        await quiet(patience);
        const one = await once(name, mode, load, pinned);
        if (one && (!best || others(one) < others(best))) best = one;
        if (best && others(best) < DISTURBED) break;
    }
    return best;
}

/** Cores that others used. */
function others(one) {
    return one.others_cpu_seconds / one.seconds;
}

/** Waits until the machine does little, but not for ever. */
async function quiet(patience) {
    const busy = () => cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
    for (const end = performance.now() + patience * 1e3; performance.now() < end;) {
        const before = busy();
        await delay(500);
        if (busy() - before < 500 * DISTURBED) return;
    }
}

/** One measurement, on a server of its own. */
async function once(name, mode, load, pinned) {
    const ends = [];
    const owner = { after: (end) => void ends.push(end) };
    const on = (core) => (pinned ? ['taskset', '-c', String(core)] : []);
    const begun = performance.now();
    let told;
    try {
        const port = await freePort();
        const [command, ...args] = [...on(0), ...SERVERS[name](port)].map(String);
        const server = start(owner, name, command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
        await until(`${name} listens`, () => accepts(port), { every: 5 });
        const [generator, ...rest] = [...on(1), BENCH, mode, JSON.stringify({ server: `127.0.0.1:${port}`, pid: server.pid, ...load })];
        told = (await run(generator, rest, { timeout: 180_000 })).stdout.trim();
        return JSON.parse(told);
    } catch (error) {
        told = `FAILED: ${error.stderr ?? error}`;
        return null;
    } finally {
        for (const end of ends.reverse()) await end();
        process.stderr.write(`${mode} ${name} ${JSON.stringify(load)} ${((performance.now() - begun) / 1e3).toFixed(1)} s ${told}\n`);
    }
}

function freePort() {
    return new Promise((resolve, reject) => {
        const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

function accepts(port) {
    return new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1', () => done(true)).once('error', () => done(false));
        const done = (result) => { socket.destroy(); resolve(result); };
    });
}

/** Beside what earlier runs found about others. */
function keep(part, rows) {
    all[part] ??= {};
    for (const [row, figures] of Object.entries(rows)) {
        const found = Object.entries(figures).filter(([, rounds]) => rounds.length > 0);
        all[part][row] = { ...all[part][row], ...Object.fromEntries(found) };
    }
}

/** For each row and server the rounds' figures. */
function table(rows) {
    return Object.fromEntries(rows.map((row) => [row, Object.fromEntries(servers.map((name) => [name, []]))]));
}

function print(title, head, rows, line) {
    console.log(`${title}:\n\n| ${head.join(' | ')} |\n|${' --- |'.repeat(head.length)}`);
    const disturbed = [];
    for (const [row, figures] of Object.entries(rows)) {
        for (const name of servers.filter((name) => figures[name].length > 0)) {
            const middle = (column, server) => (figures[server]?.length ? median(figures[server].map((one) => one[column])) : NaN);
            const of = (column, digits) => range(figures[name].map((one) => one[column]), digits);
            /** To one server, or to the better one of some. */
            of.ratio = (column, to, better = Math.max) => {
                const base = better(...[to].flat().map((server) => middle(column, server)).filter((value) => !Number.isNaN(value)));
                return Number.isFinite(base) ? (middle(column, name) / base).toFixed(2) : '';
            };
            console.log(`| ${line(row, name, of).join(' | ')} |`);
            disturbed.push(...figures[name].filter((one) => one.seconds).map(others));
        }
    }
    console.log(disturbed.length ? `\nOther processes used ${range(disturbed, 2)} cores meanwhile.\n` : '');
}
