// Memory of whole process trees: proportional set size, so that shared pages count once.

import { readFileSync, readdirSync } from 'node:fs';

/** The process and all its descendants. */
export function tree(pid) {
    const parents = new Map();
    for (const entry of readdirSync('/proc')) {
        if (!/^\d+$/.test(entry)) continue;
        const stat = read(`/proc/${entry}/stat`);
        // The name in brackets may hold anything: the fields begin behind the last one.
        const ppid = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
        if (ppid) parents.set(Number(entry), Number(ppid));
    }
    const found = [pid];
    for (const ancestor of found) {
        for (const [child, parent] of parents) if (parent === ancestor) found.push(child);
    }
    return found;
}

/** Bytes of memory of a process tree. */
export function resident(pid) {
    let kib = 0;
    for (const member of tree(pid)) {
        kib += Number(read(`/proc/${member}/smaps_rollup`)?.match(/^Pss:\s+(\d+) kB/m)?.[1] ?? 0);
    }
    return kib * 1024;
}

/**
 * Samples process trees until `stop`, which returns for each what it held at first, at most, and by how much it grew.
 *
 * @param {Record<string, number>} pids
 */
export function watchMemory(pids, every = 300) {
    const seen = Object.fromEntries(Object.entries(pids).map(([name, pid]) => {
        const first = resident(pid);
        return [name, { pid, first, most: first }];
    }));
    const sample = () => {
        for (const one of Object.values(seen)) one.most = Math.max(one.most, resident(one.pid));
    };
    const timer = setInterval(sample, every);
    return {
        stop() {
            clearInterval(timer);
            sample();
            return Object.fromEntries(Object.entries(seen).map(([name, { first, most }]) => [name, { first, most, growth: most - first }]));
        },
    };
}

function read(path) {
    try {
        return readFileSync(path, 'utf8');
    } catch {
        return null;    // It ended meanwhile.
    }
}
