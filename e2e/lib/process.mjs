// Processes that a test owns: they end with it, and what they print is waited for, never guessed by a pause.

import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/** How long anything in these tests may take before it counts as hanging. */
export const PATIENCE = 30_000;

/**
 * Starts a process that is ended when `owner` (a test, or `{ after }` for a whole file) is done.
 *
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param {string} name shown in failures
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions & { binary?: boolean }} [options] `binary`: stdout is left to the test
 */
export function start(owner, name, command, args, { binary = false, ...options } = {}) {
    const proc = new Proc(name, spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options }), binary);
    owner.after(() => proc.stop());
    return proc;
}

const living = new Set();

// A test file that is broken off takes its processes with it.
process.on('exit', () => {
    for (const child of living) child.kill('SIGKILL');
});
process.once('SIGTERM', () => process.exit(143));
process.once('SIGINT', () => process.exit(130));

export class Proc {
    /** Everything printed so far, both streams as they came. */
    output = '';
    /** @type {{ code: number | null, signal: string | null } | null} */
    ended = null;

    #watchers = new Set();

    constructor(name, child, binary) {
        this.name = name;
        this.child = child;
        this.pid = child.pid;
        living.add(child);
        for (const stream of binary ? [child.stderr] : [child.stdout, child.stderr]) {
            stream?.setEncoding('utf8').on('data', (text) => {
                this.output += text;
                this.#changed();
            });
        }
        this.exited = new Promise((resolve) => {
            const end = (code, signal) => {
                this.ended = { code, signal };
                living.delete(child);
                this.#changed();
                resolve(this.ended);
            };
            child.once('close', end);
            child.once('error', (error) => {
                this.output += String(error);
                end(null, null);
            });
        });
    }

    /**
     * Waits until what was printed since `from` matches, and returns the match.
     *
     * @param {RegExp} pattern
     * @param {{ ms?: number, from?: number }} [options]
     */
    printed(pattern, { ms = PATIENCE, from = 0 } = {}) {
        return new Promise((resolve, reject) => {
            const look = () => {
                const match = this.output.slice(from).match(pattern);
                if (match) done(() => resolve(match));
                else if (this.ended) done(() => reject(this.#error(`ended (${JSON.stringify(this.ended)}) without printing ${pattern}`)));
            };
            const timer = setTimeout(() => done(() => reject(this.#error(`did not print ${pattern} in ${ms} ms`))), ms);
            const done = (settle) => {
                clearTimeout(timer);
                this.#watchers.delete(look);
                settle();
            };
            this.#watchers.add(look);
            look();
        });
    }

    /** Waits for the end and returns code and signal. */
    async end(ms = PATIENCE) {
        const ended = await within(ms, this.exited, () => this.#error(`did not end in ${ms} ms`));
        return ended;
    }

    /** Takes the process off the processor, as a machine that hangs: its sockets stay open and nothing answers. */
    freeze() {
        this.child.kill('SIGSTOP');
    }

    thaw() {
        this.child.kill('SIGCONT');
    }

    /** Ends it as a power cut would. */
    async kill() {
        this.child.kill('SIGKILL');
        await this.exited;
    }

    /** Asks it to end; insists after five seconds. */
    async stop() {
        if (this.ended || this.pid === undefined) return;
        this.child.kill('SIGCONT');
        this.child.kill('SIGTERM');
        const ended = await Promise.race([this.exited, delay(5_000, null, { ref: false })]);
        if (!ended) await this.kill();
    }

    #changed() {
        for (const look of [...this.#watchers]) look();
    }

    #error(what) {
        return new Error(`${this.name} ${what}\n--- it printed:\n${this.output.slice(-4_000)}`);
    }
}

/** The promise, or an error after `ms`: every wait is bounded. */
export async function within(ms, promise, error) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(typeof error === 'function' ? error() : new Error(error)), ms);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

/** Looks again and again until `look` gives something, and returns that: for what announces itself in no other way. */
export async function until(what, look, { ms = PATIENCE, every = 50 } = {}) {
    const deadline = performance.now() + ms;
    for (;;) {
        const seen = await look();
        if (seen) return seen;
        if (performance.now() > deadline) throw new Error(`not in ${ms} ms: ${what}`);
        await delay(every);
    }
}

/** The owner of what a whole suite shares; call it in the suite's body. What was made last goes first. */
export function shared(after) {
    const ends = [];
    after(async () => {
        for (const end of ends.reverse()) await end();
    });
    return { after: (end) => void ends.push(end) };
}
