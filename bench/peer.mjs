// What a data connection between two native peers costs, beside libdatachannel and aiortc.
//
//   cargo build --release -p peerage --bin peerage && (cd bench/peer && cargo build --release --features libdatachannel) && node bench/peer.mjs
//
//   --quick             one short round of everything
//   --parts NAME,...    of throughput, small, ping, set-up, idle
//   --stacks NAME,...   of peerage, libdatachannel, aiortc
//   --networks NAME,... of loopback, far, lossy
//   --rounds N          default 3
//   --first             before all other work of the machine, by the priority of the session: `setsid -w node bench/peer.mjs --first`, as root
//   --out FILE          where figures go, default bench/out/peer.json
//
// Makes network namespaces for itself (`unshare`), which end with it. aiortc comes from PyPI at the first run. Prints Markdown; every figure of every round goes to the file.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { resident } from '../e2e/lib/memory.mjs';
import { folder, serve } from '../e2e/lib/peerage.mjs';
import { start, within } from '../e2e/lib/process.mjs';
import { busy, machine, median, range, used } from './figures.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const OWN = 'peerage';
/** The product's way to a device: only its set-up is another. */
const DEVICE = 'peerage-device';
const RIVALS = ['libdatachannel', 'aiortc'];

const { values: options } = parseArgs({
    options: {
        quick: { type: 'boolean', default: false },
        parts: { type: 'string', default: 'throughput,small,ping,set-up,idle' },
        stacks: { type: 'string', default: [OWN, ...RIVALS].join() },
        networks: { type: 'string', default: 'loopback,far,lossy' },
        rounds: { type: 'string' },
        first: { type: 'boolean', default: false },
        out: { type: 'string', default: join(HERE, 'out', 'peer.json') },
    },
});

// A network of its own: IPv6 is off at the interface, so that all stacks find one and the same address.
if (!process.env.PEERAGE_BENCH_NETWORK) {
    // In there nothing can be fetched any more.
    if (options.stacks.includes('aiortc') && spawnSync(join(HERE, 'rival', 'python'), ['--version'], { stdio: ['ignore', 'ignore', 'inherit'] }).status !== 0) process.exit(1);
    const inside = 'ip link set lo up && ip link add near type veth peer name end && echo 1 > /proc/sys/net/ipv6/conf/near/disable_ipv6 && ip address add 10.78.0.1/24 dev near && ip link set end up && ip link set near up && exec "$@"';
    const { status } = spawnSync('unshare', [...(process.getuid() === 0 ? [] : ['--map-root-user']), '--net', 'sh', '-c', inside, 'sh', process.execPath, ...process.argv.slice(1)],
        { stdio: 'inherit', env: { ...process.env, PEERAGE_BENCH_NETWORK: '1' } });
    process.exit(status ?? 1);
}

const BENCH = join(HERE, 'peer', 'target', 'release', 'bench-peer');
const PYTHON = join(HERE, 'rival', 'python');
const ROUNDS = Number(options.rounds ?? (options.quick ? 1 : 3));
const PATIENCE = 120_000;
/** As the rivals, no STUN and TURN server; and more words from one client than anybody has who does not measure. */
const SERVER = ['--no-turn', '--message-rate', '100000', '--message-burst', '100000'];
/** Delay each way, loss, and how long is warmed up and measured, in seconds. */
const NETWORKS = {
    loopback: { warm: 1, seconds: 2, setUps: 15 },
    far: { delay: 10, loss: 0, warm: 1, seconds: 2, setUps: 10 },
    lossy: { delay: 10, loss: 0.01, warm: 2, seconds: 4, setUps: 15 },
};
const IDLE = options.quick ? { connections: 20, seconds: 3 } : { connections: 50, seconds: 10 };
const parts = options.parts.split(',');
const stacks = options.stacks.split(',');

if (options.first) writeFileSync('/proc/self/autogroup', '-20');

const all = existsSync(options.out) ? JSON.parse(readFileSync(options.out, 'utf8')) : {};
console.log(`${machine()}, Node ${process.versions.node}, \`node bench/peer.mjs${process.argv.slice(2).map((arg) => ` ${arg}`).join('')}\`.\n`);
for (const name of options.networks.split(',')) {
    const rows = await network(name);
    all[name] = { ...all[name], ...rows };
    print(name, rows);
    mkdirSync(dirname(options.out), { recursive: true });
    writeFileSync(options.out, JSON.stringify(all, null, 1));
}

/** All stacks in turn, as many rounds as are asked for: what is measured, then for each stack its figures. */
async function network(name) {
    const { delay, loss, warm, seconds, setUps } = NETWORKS[name];
    const rows = {};
    await owning(async (owner) => {
        const server = await serve(owner, ...SERVER);
        const path = delay && await line(start(owner, 'path', BENCH, ['path', String(delay), String(loss), String(server.port)], { stdio: ['pipe', 'pipe', 'inherit'], binary: true }));
        const places = path ? [path.first.caller, path.first.callee] : [null, null];
        const load = { warm: options.quick ? warm / 2 : warm, seconds: options.quick ? seconds / 2 : seconds, setUps: options.quick ? 5 : setUps };
        for (let round = 0; round < ROUNDS; round++) {
            for (const stack of stacks.map((_, n) => stacks[(n + round) % stacks.length])) {
                const others = await undisturbed([server.proc.pid, ...(path ? [path.pid] : [])], () => measure(rows, stack, { server, places, round, name, load }));
                add(rows, 'others', stack, others);
                process.stderr.write(`${name} ${round} ${stack}: others used ${others.toFixed(2)} cores\n`);
            }
        }
        if (path) add(rows, 'overflow', OWN, (await path.ask({})).overflow);
    });
    return rows;
}

async function measure(rows, stack, { server, places, round, name, load }) {
    const put = (what, figure) => add(rows, what, stack, figure);
    await owning(async (owner) => {
        const { caller, callee } = await ends(owner, stack, server, places);
        for (const size of parts.includes('throughput') ? [16, 64] : []) {
            const { octets, seconds, cpu } = await loaded(caller, callee, { do: 'send', size: size * 1024 }, load);
            put(`${size} KiB, MB/s`, octets / 1e6 / seconds);
            put(`${size} KiB, CPU ms/MB`, cpu * 1e3 / (octets / 1e6));
        }
        if (parts.includes('small')) {
            const { messages, seconds, cpu } = await loaded(caller, callee, { do: 'send', size: 64 }, load);
            put('64 B, messages/s', messages / seconds);
            put('64 B, CPU us a message', cpu * 1e6 / messages);
        }
        if (parts.includes('ping')) {
            const { median, p99, count, cpu } = await loaded(caller, callee, { do: 'ping', size: 64 }, load);
            put('ping-pong, median us', median);
            put('ping-pong, p99 us', p99);
            put('ping-pong, CPU us each', cpu * 1e6 / count);
        }
        if (parts.includes('set-up')) await setUp(caller, callee, server, load.setUps, (what, figure) => put(`set-up, ${what}`, figure));
    });
    if (parts.includes('idle') && name === 'loopback' && round === 0) {
        await owning(async (owner) => {
            const { caller, callee } = await ends(owner, stack, server, places);
            await idle(caller, callee, put);
        });
    }
    if (stack === OWN && parts.includes('set-up')) {
        await owning(async (owner) => {
            const { caller, callee } = await ends(owner, DEVICE, server, places);
            await setUp(caller, callee, server, load.setUps, (what, figure) => put(`set-up to a device, proven, ${what}`, figure));
        });
    }
}

/** Both ends of one stack, each in its place. */
async function ends(owner, stack, server, [there, here]) {
    const meeting = RIVALS.includes(stack) ? folder(owner, 'bench') : server.url;
    const begin = (place, role, ...args) => {
        const command = stack === 'aiortc' ? [PYTHON, join(HERE, 'peer', 'end.py'), role, ...args] : [BENCH, role, stack, ...args];
        const [program, ...rest] = place ? ['nsenter', `--net=${place}`, ...command] : command;
        return start(owner, `${stack}, ${role}`, program, rest, { stdio: ['pipe', 'pipe', 'inherit'], binary: true });
    };
    const callee = await line(begin(here, 'callee', meeting));
    return { callee, caller: orders(begin(there, 'caller', meeting, callee.first.address)) };
}

/** A load on a connection of its own: what both ends tell of the window. */
async function loaded(caller, callee, order, { warm, seconds }) {
    await caller.ask({ do: 'open', count: 1 });
    const from = Date.now() / 1e3 + warm;
    const window = { from, until: from + seconds };
    const [sent, came] = await Promise.all([caller.ask({ ...order, window }), callee.ask({ do: 'watch', window })]);
    await caller.ask({ do: 'close' });
    return { ...came, ...sent, seconds, cpu: sent.cpu + came.cpu };
}

async function setUp(caller, callee, server, count, put) {
    // The first one pays for what is made once.
    await caller.ask({ do: 'set-up', count: 1 });
    const spent = async () => ({ ends: (await caller.ask({ do: 'cpu' })).cpu + (await callee.ask({ do: 'cpu' })).cpu, server: used(server.proc.pid) });
    const before = await spent();
    const { ms, failed } = await caller.ask({ do: 'set-up', count });
    await delay(300);
    const after = await spent();
    put('ms', median(ms));
    put('slowest ms', Math.max(...ms));
    put('failed', failed);
    put('CPU ms', (after.ends - before.ends) * 1e3 / count);
    put('CPU ms of the server', (after.server - before.server) * 1e3 / count);
}

async function idle(caller, callee, put) {
    const { connections, seconds } = IDLE;
    // What the first ones need stays.
    await caller.ask({ do: 'set-up', count: 10 });
    await delay(1_000);
    const memory = () => [caller, callee].map(({ pid }) => resident(pid));
    const before = memory();
    await caller.ask({ do: 'open', count: connections });
    await delay(2_000);
    const after = memory();
    const spent = async () => (await caller.ask({ do: 'cpu' })).cpu + (await callee.ask({ do: 'cpu' })).cpu;
    const cpu = await spent();
    await delay(seconds * 1e3);
    put('idle, kB a connection at the caller', (after[0] - before[0]) / 1e3 / connections);
    put('idle, kB a connection at the callee', (after[1] - before[1]) / 1e3 / connections);
    put('idle, CPU us a second and connection', (await spent() - cpu) * 1e6 / seconds / connections);
    await caller.ask({ do: 'close' });
}

/** An end that answers each line with a line, in order. */
function orders(proc) {
    const lines = createInterface({ input: proc.child.stdout })[Symbol.asyncIterator]();
    const next = async (what) => {
        const { value, done } = await within(PATIENCE, lines.next(), `${proc.name}: no answer to ${what}`);
        if (done) throw new Error(`${proc.name} ended at ${what}: ${proc.output}`);
        return JSON.parse(value);
    };
    return {
        pid: proc.pid,
        next,
        ask(order) {
            proc.child.stdin.write(`${JSON.stringify(order)}\n`);
            return next(JSON.stringify(order));
        },
    };
}

/** The same for one whose first line says where it is. */
async function line(proc) {
    const end = orders(proc);
    return { ...end, first: await end.next('its start') };
}

/** Runs with an owner of processes that ends them. */
async function owning(run) {
    const ends = [];
    try {
        return await run({ after: (end) => void ends.push(end) });
    } finally {
        for (const end of ends.reverse()) await end();
    }
}

/** Cores that others used while it ran. */
async function undisturbed(own, run) {
    const begun = performance.now();
    const spent = () => {
        const children = process.resourceUsage();
        return (children.userCPUTime + children.systemCPUTime) / 1e6 + own.map(used).reduce((a, b) => a + b, 0) + reaped();
    };
    const before = [busy(), spent()];
    await run();
    const after = [busy(), spent()];
    return Math.max(0, (after[0] - before[0] - (after[1] - before[1])) / ((performance.now() - begun) / 1e3));
}

/** Seconds of processor time of this process's children that ended. */
function reaped() {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[13]) + Number(fields[14])) / 100;
}

function add(rows, row, stack, figure) {
    rows[row] ??= {};
    (rows[row][stack] ??= []).push(figure);
}

/** A column for each stack, and how the product stands to each rival. */
function print(name, rows) {
    const rivals = stacks.includes(OWN) ? stacks.filter((stack) => stack !== OWN) : [];
    const columns = [name, ...stacks, ...rivals.map((rival) => `to ${rival}`)];
    console.log(`| ${columns.join(' | ')} |\n|${' --- |'.repeat(columns.length)}`);
    for (const [row, of] of Object.entries(rows)) {
        if (row === 'others' || row === 'overflow' || (row.endsWith('of the server') && !of[OWN])) continue;
        const cells = stacks.map((stack) => (of[stack] && !(row.endsWith('of the server') && stack !== OWN) ? range(of[stack], digits(of[stack])) : ''));
        const ratios = rivals.map((rival) => (of[OWN] && of[rival] && !row.endsWith('of the server') ? ratio(median(of[OWN]), median(of[rival])) : ''));
        console.log(`| ${[row, ...cells, ...ratios].join(' | ')} |`);
    }
    const overflow = rows.overflow?.[OWN][0] ? ` The path's queues were full for ${rows.overflow[OWN][0]} packets.` : '';
    console.log(`\nOther processes used ${range(Object.values(rows.others).flat(), 2)} cores meanwhile.${overflow}\n`);
}

/** Three figures, or a whole number. */
function digits(values) {
    const size = Math.abs(median(values));
    return size >= 100 ? 0 : size >= 10 ? 1 : 2;
}

function ratio(own, other) {
    return other === 0 ? '' : (own / other).toFixed(2);
}
