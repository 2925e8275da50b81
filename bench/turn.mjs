// What the TURN server costs, beside coturn and beside bare relays: the limits.
//
//   cargo build --release -p peerage --bin peerage && (cd bench/turn && cargo build --release) && node bench/turn.mjs
//
//   --quick              one short round of everything
//   --parts NAME,...     of relay, allocate, idle, tcp
//   --servers NAME,...   of coturn, peerage, bare, bare-mmsg, bare-gso
//   --allocations N,...  of relay, default 1,10,500
//   --rounds N           default 3, of allocate 5
//   --first              before all other work of the machine, by the priority of the session: `setsid -w node bench/turn.mjs --first`, as root
//   --product FILE       another binary in place of target/release/peerage
//   --out FILE           where figures go, default bench/out/turn.json
//
// coturn is Debian's package `coturn`, which need not run. Makes a network namespace for itself (`unshare`). Prints Markdown; every figure of every round goes to the file.

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { start, until } from '../e2e/lib/process.mjs';
import { machine, median, range } from './figures.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PARTS = { relay, allocate, idle, tcp };
const OWN = 'peerage';
const RIVAL = 'coturn';

const { values: options } = parseArgs({
    options: {
        quick: { type: 'boolean', default: false },
        parts: { type: 'string', default: Object.keys(PARTS).join() },
        servers: { type: 'string', default: 'coturn,peerage,bare,bare-mmsg,bare-gso' },
        allocations: { type: 'string', default: '1,10,500' },
        rounds: { type: 'string' },
        first: { type: 'boolean', default: false },
        product: { type: 'string', default: join(HERE, '..', 'target', 'release', 'peerage') },
        out: { type: 'string', default: join(HERE, 'out', 'turn.json') },
    },
});

// A network of its own: 10.0.0.0/8 is all this machine's, so that clients and peers have addresses as strangers have them.
if (!process.env.PEERAGE_BENCH_NETWORK) {
    const inside = `ip link set lo up && ip address add 10.0.0.1/8 dev lo && exec "$@"`;
    const { status } = spawnSync('unshare', [...(process.getuid() === 0 ? [] : ['--map-root-user']), '--net', 'sh', '-c', inside, 'sh', process.execPath, ...process.argv.slice(1)],
        { stdio: 'inherit', env: { ...process.env, PEERAGE_BENCH_NETWORK: '1' } });
    process.exit(status ?? 1);
}

const ADDRESS = '10.0.0.1';
const BENCH = join(HERE, 'turn', 'target', 'release', 'bench-turn');
const SECRET = 'sesame';
const RATE = 40_000;
const TIMES = options.quick ? { warm_seconds: 0.1, seconds: 0.5 } : { warm_seconds: 0.2, seconds: 1 };
/** Allocations that come and go, and that stay. */
const COMING = 2000;
const IDLE = 1000;
const rounds = (of) => Number(options.rounds ?? (options.quick ? 1 : of));

const run = promisify(execFile);
const state = mkdtempSync(join(tmpdir(), 'peerage-bench-'));
process.on('exit', () => rmSync(state, { recursive: true, force: true }));

if (options.first) writeFileSync('/proc/self/autogroup', '-20');

/** The peers' network is a private one, and one allocation may carry all there is: counted, as by default. */
const RAISED = ['--turn-allow-peer', '10.128.0.0/9', '--turn-bandwidth', '3GiB'];
const SERVERS = {
    coturn: (port) => ['turnserver', '-n', '--no-cli', '--listening-ip', ADDRESS, '--relay-ip', ADDRESS, '--listening-port', port, '--use-auth-secret', `--static-auth-secret=${SECRET}`,
        '--realm', 'peerage', '--no-dtls', '--no-tls', '-m', '1', '--log-file', 'stdout', '--pidfile', join(state, 'coturn.pid'), '--db', join(state, 'coturn.db')],
    peerage: (port) => [options.product, 'serve', '--port', '0', '--json', '--state', state, '--turn-listen', `${ADDRESS}:${port}`, '--turn-relay-address', ADDRESS, '--turn-secret', SECRET, ...RAISED],
    bare: (port) => [BENCH, 'relay', `${ADDRESS}:${port}`, 'one'],
    'bare-mmsg': (port) => [BENCH, 'relay', `${ADDRESS}:${port}`, 'mmsg'],
    'bare-gso': (port) => [BENCH, 'relay', `${ADDRESS}:${port}`, 'gso'],
};
const servers = options.servers.split(',').filter((name) => SERVERS[name]);
const isBare = (name) => name.startsWith('bare');

const all = existsSync(options.out) ? JSON.parse(readFileSync(options.out, 'utf8')) : {};
console.log(`${machine()}, coturn ${coturnVersion()}; loopback, server on core 0, generator on core 1. ` +
    `Given to peerage for the bench: ${RAISED.join(' ')}.\n`);
for (const part of options.parts.split(',')) {
    await PARTS[part]();
    mkdirSync(dirname(options.out), { recursive: true });
    writeFileSync(options.out, JSON.stringify(all, null, 1));
}

async function relay() {
    const rows = {};
    for (let round = 0; round < rounds(3); round++) {
        for (const allocations of options.allocations.split(',').map(Number)) {
            for (const name of servers) {
                for (const one of (await loaded(name, 'relay-load', { allocations, rate: RATE, ...TIMES })) ?? []) {
                    add(rows, `${one.direction} | ${allocations} | ${one.order} | ${one.rate}`, name, perPacket(one));
                }
            }
        }
    }
    keep('relay', rows);
    const head = ['direction', 'allocations', 'order', 'rate'];
    const at = (rate) => Object.fromEntries(Object.entries(rows).filter(([row]) => row.endsWith(rate)));
    print(`CPU us of the server for each packet that arrived; fixed is ${RATE} packets a second`, head, at('fixed'), 'us', 2);
    print('The same under saturation', head, at('saturation'), 'us', 2);
    print('Thousands of packets a second that arrived, under saturation', head, at('saturation'), 'kpps', 0);
    print('Cores that the server used meanwhile: well below 1, and it waited for the generator', head, at('saturation'), 'cores', 2);
    print('Loss in %, at the fixed rate', head, at('fixed'), 'loss', 2);
    print('Loss in %, under saturation: of what the generator could send, which is the more, the less it has to read', head, at('saturation'), 'loss', 0);
    tellOthers(rows);
}

async function allocate() {
    const rows = {};
    for (let round = 0; round < rounds(5); round++) {
        for (const name of servers) {
            const one = await loaded(name, 'allocate', { warm: 200, allocations: COMING });
            if (one) add(rows, 'come and go', name, { ...one, us: (one.cpu_seconds * 1e6) / one.allocations });
        }
    }
    keep('allocate', rows);
    print('CPU us of the server for 401, allocation and its end; the bare relays check nothing', [''], rows, 'us', 1);
    tellOthers(rows);
}

async function idle() {
    const rows = {};
    for (let round = 0; round < rounds(3); round++) {
        for (const name of servers) {
            const one = await loaded(name, 'idle', { warm: 10, allocations: IDLE });
            if (one) {
                add(rows, 'kB for each allocation', name, { value: one.octets_per_allocation / 1e3 });
                add(rows, 'MB before', name, { value: one.resident_before / 1e6 });
            }
        }
    }
    keep('idle', rows);
    print(`Resident memory, ${IDLE} idle allocations with a channel each`, [''], rows, 'value', 1);
}

async function tcp() {
    const rows = {};
    for (let round = 0; round < rounds(3); round++) {
        for (const name of servers.filter((name) => !isBare(name))) {
            for (const one of (await loaded(name, 'tcp', { allocations: 10, rate: RATE, ...TIMES })) ?? []) add(rows, `${one.direction} | ${one.rate}`, name, perPacket(one));
        }
    }
    keep('tcp', rows);
    const head = ['direction', 'rate'];
    print('Clients by TCP, 10 allocations: CPU us of the server for each packet that arrived', head, rows, 'us', 2);
    print('Clients by TCP: thousands of packets a second that arrived', head, rows, 'kpps', 0);
    print('Clients by TCP: loss in %', head, rows, 'loss', 2);
    tellOthers(rows);
}

function perPacket(one) {
    return { ...one, us: (one.cpu_seconds * 1e6) / one.arrived, kpps: one.arrived / one.seconds / 1e3, cores: one.cpu_seconds / one.seconds, loss: 100 * Math.max(0, 1 - one.arrived / one.sent) };
}

/** Figures of one load, on a server of its own; none if it failed, which is told. */
async function loaded(name, mode, load) {
    const ends = [];
    const owner = { after: (end) => void ends.push(end) };
    const begun = performance.now();
    let told;
    try {
        const port = await freePort();
        const [command, ...args] = ['taskset', '-c', '0', ...SERVERS[name](port)].map(String);
        // What it prints is thrown away unread.
        const server = start(owner, name, command, args, { stdio: ['ignore', 'ignore', 'ignore'] });
        if (!isBare(name)) await until(`${name} listens`, () => accepts(port), { every: 20 });
        const { stdout } = await run('taskset', ['-c', '1', BENCH, mode, JSON.stringify({ server: `${ADDRESS}:${port}`, pid: server.pid, secret: SECRET, ...load })], { timeout: 120_000 });
        told = 'done';
        return JSON.parse(stdout);
    } catch (error) {
        told = `FAILED: ${error.stderr || error}`;
        return null;
    } finally {
        for (const end of ends.reverse()) await end();
        process.stderr.write(`${mode} ${name} ${JSON.stringify(load)} ${((performance.now() - begun) / 1e3).toFixed(1)} s ${told}\n`);
    }
}

function coturnVersion() {
    try {
        return execFileSync('turnserver', ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim().split('\n').at(-1);
    } catch {
        return 'none';
    }
}

function freePort() {
    return new Promise((resolve, reject) => {
        const server = createServer().once('error', reject).listen(0, ADDRESS, () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

function accepts(port) {
    return new Promise((resolve) => {
        const socket = connect(port, ADDRESS, () => done(true)).once('error', () => done(false));
        const done = (result) => { socket.destroy(); resolve(result); };
    });
}

function add(rows, row, name, figures) {
    rows[row] ??= {};
    (rows[row][name] ??= []).push(figures);
}

/** Beside what earlier runs found about others. */
function keep(part, rows) {
    all[part] ??= {};
    for (const [row, figures] of Object.entries(rows)) all[part][row] = { ...all[part][row], ...figures };
}

/** A column for each server, and how the product stands to its rival. */
function print(title, head, rows, figure, digits) {
    const hasBoth = servers.includes(OWN) && servers.includes(RIVAL);
    const columns = [...head, ...servers, ...(hasBoth ? [`${OWN} to ${RIVAL}`] : [])];
    console.log(`${title}:\n\n| ${columns.join(' | ')} |\n|${' --- |'.repeat(columns.length)}`);
    for (const [row, of] of Object.entries(rows)) {
        const cells = servers.map((name) => (of[name] ? range(of[name].map((one) => one[figure]), digits) : ''));
        const middle = (name) => median((of[name] ?? []).map((one) => one[figure]));
        const ratio = middle(OWN) / middle(RIVAL);
        console.log(`| ${[row, ...cells, ...(hasBoth ? [Number.isFinite(ratio) ? ratio.toFixed(2) : ''] : [])].join(' | ')} |`);
    }
    console.log('');
}

/** Cores that others used: figures that were measured beside others' work are worth less. */
function tellOthers(rows) {
    const others = Object.values(rows).flatMap((of) => Object.values(of).flat().map((one) => one.others_cpu_seconds / one.seconds));
    console.log(`Other processes used ${range(others, 2)} cores meanwhile.\n`);
}
