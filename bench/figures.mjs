// How benches tell what they measured.

import { readFileSync, readdirSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** What it was run on. */
export function machine() {
    return `${cpus().length} cores (${cpus()[0].model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
}

export function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    return (sorted[(values.length - 1) >> 1] + sorted[values.length >> 1]) / 2;
}

/** Median (least to most). */
export function range(values, digits) {
    const show = (value) => value.toFixed(digits);
    return values.length === 1 ? show(values[0]) : `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;
}

/** Seconds of processor time that the whole machine has used since it started. */
export function busy() {
    const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8').match(/^cpu .*/m)[0].trim().split(/\s+/).slice(1).map(Number);
    return (user + nice + system + irq + softirq) / 100;
}

/** Seconds of processor time that the living threads of a process have used. */
export function used(pid) {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
        try {
            nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
        } catch {
            // It ended meanwhile.
        }
    }
    return nanoseconds / 1e9;
}
