// What a link costs, native and in Chromium, beside the target itself and the bare data channel; then the server's start and idle memory.
//
//   cargo build --release -p peerage --bin peerage && (cd bench/link && cargo build --release) && node bench/link.mjs
//
// Needs e2e's npm packages (`./check setup`). Every round measures all ways one after the other; the table gives medians and ranges.

import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { launch } from '../e2e/lib/browser.mjs';
import { resident } from '../e2e/lib/memory.mjs';
import { BINARY, ROOT, expose, serve } from '../e2e/lib/peerage.mjs';
import { start, until } from '../e2e/lib/process.mjs';
import { visit } from '../e2e/lib/shell.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const BENCH = join(ROOT, 'target', 'release', 'bench-link');

const ends = [];
const owner = { after: (end) => void ends.push(end) };
try {
    const starts = [];
    for (let round = 0; round < ROUNDS; round++) starts.push(await startOfServer());
    console.log(`server, start to listening: ${ms(starts.map((one) => one.ms))}; idle: ${range(starts.map((one) => one.mb), 1)} MB\n`);
    table(await links());
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

    const rows = { 'native, target': [], 'native, bare channel': [], 'native, link': [], 'Chromium, target': [], 'Chromium, link': [] };
    for (let round = 0; round < ROUNDS; round++) {
        measure.child.stdin.write('\n');
        const line = await until('a round', () => measure.output.split('\n')[round + 1] !== undefined && measure.output.split('\n')[round], { ms: 120_000 });
        const { direct, bare, link } = JSON.parse(line);
        rows['native, target'].push(direct);
        rows['native, bare channel'].push(bare);
        rows['native, link'].push(link);
        rows['Chromium, target'].push(await straight.evaluate(inPage, 256));
        rows['Chromium, link'].push(await linked.evaluate(inPage, 32));
    }
    return rows;
}

/** Runs in the page: as `bench-link measure`, with fetch. */
async function inPage(mib) {
    const firsts = [];
    const ask = async () => {
        const begun = performance.now();
        const reader = (await fetch('/small', { cache: 'no-store' })).body.getReader();
        await reader.read();
        firsts.push(performance.now() - begun);
        while (!(await reader.read()).done);
    };
    for (let i = 0; i < 120; i++) await ask();
    firsts.splice(0, 20);
    firsts.sort((a, b) => a - b);
    const firstByteMs = firsts[firsts.length >> 1];
    const begun = performance.now();
    await Promise.all(Array.from({ length: 32 }, async () => { for (let i = 0; i < 10; i++) await ask(); }));
    const requests = 320 / ((performance.now() - begun) / 1e3);
    const started = performance.now();
    const octets = mib << 20;
    const reader = (await fetch(`/bytes?n=${octets}`, { cache: 'no-store' })).body.getReader();
    while (!(await reader.read()).done);
    return { firstByteMs, requests, rate: octets / 1e6 / ((performance.now() - started) / 1e3) };
}

function table(rows) {
    console.log('| way | first byte ms | requests/s, 32 at once | MB/s |\n| --- | --- | --- | --- |');
    for (const [way, rounds] of Object.entries(rows)) {
        const column = (name, digits) => rounds[0][name] === undefined ? '' : range(rounds.map((one) => one[name]), digits);
        console.log(`| ${way} | ${column('firstByteMs', 2)} | ${column('requests', 0)} | ${column('rate', 1)} |`);
    }
}

function ms(values) { return `${range(values, 1)} ms`; }

/** Median (least to most). */
function range(values, digits) {
    const sorted = [...values].sort((a, b) => a - b);
    const show = (value) => value.toFixed(digits);
    return `${show(sorted[sorted.length >> 1])} (${show(sorted[0])} to ${show(sorted.at(-1))})`;
}
