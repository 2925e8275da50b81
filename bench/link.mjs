// What a link costs, native and in Chromium, beside the target itself and the bare data channel; then the server's start and idle memory.
//
//   cargo build --release -p peerage --bin peerage && (cd bench/link && cargo build --release) && node bench/link.mjs
//
// Needs e2e's npm packages (`./check setup`). Every load is measured in all ways, one after the other; the table gives medians and ranges. `LOADS=0,1 node bench/link.mjs` measures some.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { launch } from '../e2e/lib/browser.mjs';
import { resident, tree, watchMemory } from '../e2e/lib/memory.mjs';
import { BINARY, ROOT, expose, serve } from '../e2e/lib/peerage.mjs';
import { start, until } from '../e2e/lib/process.mjs';
import { visit } from '../e2e/lib/shell.mjs';
import { range } from './figures.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const BENCH = join(ROOT, 'target', 'release', 'bench-link');

/** What is asked for: octets, how often in all, at once; and how often of that in a browser. */
const LOADS = [
    { octets: 1_000, times: 300, atOnce: 1, inPage: 100 },
    { octets: 1_000, times: 6_400, atOnce: 32, inPage: 320 },
    { octets: 100_000, times: 100, atOnce: 1, inPage: 30 },
    { octets: 100_000, times: 640, atOnce: 32, inPage: 96 },
    { octets: 10_000_000, times: 3, atOnce: 1, inPage: 1 },
    { octets: 10_000_000, times: 32, atOnce: 32, inPage: 32 },
    { octets: 1_000_000_000, times: 1, atOnce: 1, inPage: 1 },
];

const ends = [];
const owner = { after: (end) => void ends.push(end) };
try {
    const starts = [];
    for (let round = 0; round < ROUNDS; round++) starts.push(await startOfServer());
    console.log(`server, start to listening: ${ms(starts.map((one) => one.ms))}; idle: ${range(starts.map((one) => one.mb), 1)} MB\n`);
    table(await links());
    console.log(await oldWay());
} finally {
    for (const end of ends.reverse()) await end();
}

async function startOfServer() {
    const begun = performance.now();
    const server = await serve(owner);
    const took = performance.now() - begun;
    const mb = resident(server.proc.pid) / 1e6;
    await server.proc.stop();
    return { ms: took, mb };
}

/** Every load in every way, one after the other, `ROUNDS` times. */
async function links() {
    const target = start(owner, 'target', BENCH, ['target']);
    const [address] = await target.printed(/http:\S+/);
    const server = await serve(owner);
    const source = start(owner, 'source', BENCH, ['source', server.url]);
    const [, id] = await source.printed(/id: (\S+)/);
    const device = await expose(owner, address, { server: server.url });
    const measure = start(owner, 'measure', BENCH, ['measure', address, device.link, server.url, id], { stdio: ['pipe', 'pipe', 'pipe'] });
    const browser = await launch(owner);
    const straight = (await browser.tab(address)).mainFrame();
    const page = await visit(browser, device.link);
    const linked = page.frames().find((frame) => frame.parentFrame());

    let asked = 0;
    const native = (way) => async ({ octets, times, atOnce }) => {
        measure.child.stdin.write(`${JSON.stringify({ way, octets, times, atOnce })}\n`);
        const n = asked++;
        return JSON.parse(await until('a figure', () => measure.output.split('\n')[n + 1] !== undefined && measure.output.split('\n')[n], { ms: 300_000 }));
    };
    const chromium = (frame) => ({ octets, atOnce, inPage: times }) => frame.evaluate(inPage, { octets, times, atOnce });
    // Whose processor time is counted: both ends of the way, and never the target's.
    const ways = [
        { name: 'native, target', ask: native('direct'), ends: [measure.pid] },
        { name: 'native, bare channel', ask: native('bare'), ends: [measure.pid, source.pid] },
        { name: 'native, link', ask: native('link'), ends: [measure.pid, device.proc.pid] },
        { name: 'Chromium, target', ask: chromium(straight), ends: [browser.pid] },
        { name: 'Chromium, link', ask: chromium(linked), ends: [browser.pid, device.proc.pid] },
    ];
    const rows = [];
    for (const load of LOADS.filter((_, n) => (process.env.LOADS ?? '0,1,2,3,4,5,6').split(',').includes(String(n)))) {
        const figures = new Map(ways.map(({ name }) => [name, []]));
        for (let round = 0; round < (load.octets > 1e8 ? 1 : ROUNDS); round++) {
            for (const { name, ask, ends } of ways) {
                if (name.endsWith('bare channel') && load.atOnce > 1) continue;    // It has no requests.
                const memory = watchMemory(Object.fromEntries(ends.map((pid) => [pid, pid])), 200);
                const before = ends.map(cpu).reduce(sum);
                const { firstByteMs, seconds } = await ask(load);
                const spent = ends.map(cpu).reduce(sum) - before;
                const times = name.startsWith('Chromium') ? load.inPage : load.times;
                const mb = (load.octets * times) / 1e6;
                const grown = Object.values(memory.stop()).map(({ growth }) => growth / 1e6);
                figures.get(name).push({ firstByteMs, requests: times / seconds, rate: mb / seconds, cpu: spent / mb, grown: grown.at(-1), asker: grown[0] });
            }
        }
        rows.push({ load, figures });
    }
    return rows;
}

/** The way that is replaced (`rival/`), beside the same target: a client and a proxy in Python, one request at a time, bodies of up to 256 KiB. */
async function oldWay() {
    const target = start(owner, 'target', BENCH, ['target']);
    const [address] = await target.printed(/http:\S+/);
    const rival = start(owner, 'rival', join(ROOT, 'bench', 'rival', 'run'), [address], { stdio: ['pipe', 'pipe', 'pipe'] });
    const lines = () => rival.output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    for (let round = 1; round <= ROUNDS; round++) {
        rival.child.stdin.write('\n');
        await until('a round', () => lines().length === round, { ms: 300_000 });
    }
    const rounds = lines().map((line) => JSON.parse(line));
    const column = (of, digits) => range(rounds.map(of), digits);
    return `\n| the old way | first byte ms | requests/s, one by one | MB/s | CPU ms/MB, both ends |\n| --- | --- | --- | --- | --- |\n| aiortc at both ends | ${column((r) => r.firstByteMs, 2)} | ${column((r) => r.requests, 0)} | ${column((r) => r.rate, 1)} | ${column((r) => r.cpuMsPerMb.proxy + r.cpuMsPerMb.client, 1)} |`;
}

/** Runs in the page. */
async function inPage({ octets, times, atOnce }) {
    const firsts = [];
    const begun = performance.now();
    await Promise.all(Array.from({ length: atOnce }, async () => {
        for (let i = 0; i < times / atOnce; i++) {
            const asked = performance.now();
            const reader = (await fetch(`/bytes?n=${octets}`, { cache: 'no-store' })).body.getReader();
            let { value, done } = await reader.read();
            firsts.push(performance.now() - asked);
            let read = 0;
            for (; !done; { value, done } = await reader.read()) read += value.length;
            if (read !== octets) throw new Error(`${read} octets came, not ${octets}`);
        }
    }));
    firsts.sort((a, b) => a - b);
    return { firstByteMs: firsts[firsts.length >> 1], seconds: (performance.now() - begun) / 1e3 };
}

/** Milliseconds of processor time that a process and its descendants have used. */
function cpu(pid) {
    const ticks = tree(pid).map((member) => {
        const stat = readFileSync(`/proc/${member}/stat`, 'utf8');
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return Number(fields[11]) + Number(fields[12]);
    });
    return ticks.reduce(sum, 0) * 10;
}

function table(rows) {
    console.log('| load | way | first byte ms | requests/s | MB/s | CPU ms/MB | memory, other end MB | asker MB |\n| --- | --- | --- | --- | --- | --- | --- | --- |');
    for (const { load, figures } of rows) {
        for (const [way, rounds] of figures) {
            if (rounds.length === 0) continue;
            const column = (name, digits) => range(rounds.map((one) => one[name]), digits);
            const large = load.octets > 1e8;
            const size = load.octets < 1e6 ? `${load.octets / 1e3} kB` : `${load.octets / 1e6} MB`;
            console.log(`| ${size}, ${load.atOnce === 1 ? 'one by one' : `${load.atOnce} at once`} | ${way} | ${column('firstByteMs', 2)} | ${column('requests', 0)} | ${column('rate', 1)} | ${column('cpu', 1)} | ${large ? `+${column('grown', 1)}` : ''} | ${large ? `+${column('asker', 1)}` : ''} |`);
        }
    }
}

function sum(a, b) { return a + b; }

function ms(values) { return `${range(values, 1)} ms`; }
