// Networks in a machine: an internet, hosts on it, and clients behind NATs. For test files that run in a network of their own (`own-network.mjs`): nothing is taken down here,
// and no packet leaves. Its addresses are globally reachable ones by IANA's tables, so that whoever refuses private and reserved ones has nothing to refuse.
//
//   client 192.168.N.2 -- 192.168.N.1 router 5.N.0.2 -- 5.N.0.1 internet 5.M.0.1 -- 5.M.0.2 host

import { execFileSync, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folder } from './peerage.mjs';
import { PATIENCE, start, within } from './process.mjs';

/**
 * What a client's router does with IPv4. IPv6 it passes on with the client's own address. Nothing comes in that is no answer, in either family.
 *
 * - `port-restricted`: one outer port for an inner one, whatever the destination; answers come from where something was sent to, address and port.
 * - `symmetric`: another outer port for each destination.
 * - `udp-blocked`: the first one, and UDP goes nowhere.
 * - `tls-only`: the same, and TCP to 443 and 5349 alone.
 */
const NATS = {
    'port-restricted': { masquerade: 'masquerade' },
    symmetric: { masquerade: 'masquerade random,fully-random' },
    'udp-blocked': { masquerade: 'masquerade', forward: 'meta l4proto udp drop' },
    'tls-only': { masquerade: 'masquerade', forward: 'meta l4proto udp drop; iifname "lan" tcp dport != { 443, 5349 } drop' },
};

// What arrives for nobody must not be remembered (dropped, it is not): a router that did would give a client another outer port than before for that destination.
const rules = ({ masquerade, forward = '' }) => `
    table inet router {
        chain out { type nat hook postrouting priority srcnat; meta nfproto ipv4 oifname "wan" ${masquerade}; }
        chain to_itself { type filter hook input priority filter; iifname "wan" meta l4proto { tcp, udp } ct state != { established, related } drop; }
        chain through { type filter hook forward priority filter; ${forward}; iifname "wan" ct state != { established, related } drop; }
    }`;

export class Lab {
    #owner;
    #hosts = 0;
    #names;

    /** @param {{ after: (fn: () => unknown) => void }} owner of the lab's processes */
    constructor(owner) {
        this.#owner = owner;
        const files = folder(owner, 'lab');
        this.#names = join(files, 'hosts');
        this.resolve({});
        // Nobody else is asked for names: nobody is there.
        writeFileSync(join(files, 'resolv.conf'), '');
        for (const file of ['hosts', 'resolv.conf']) execFileSync('mount', ['--bind', join(files, file), join('/etc', file)]);
        machine('internet', { forwards: true });
    }

    /** Names, by address. */
    resolve(names) {
        const lines = Object.entries({ '127.0.0.1': 'localhost', ...names }).map((line) => `${line.join(' ')}\n`);
        writeFileSync(this.#names, lines.join(''));
    }

    /** A host on the internet, without anything in between. `families`: [4], [6] or both. */
    host(name, { families = [4, 6] } = {}) {
        machine(name);
        return this.#attach(name, families);
    }

    /**
     * A client behind a router of its own.
     *
     * @param {keyof typeof NATS} kind
     */
    client(name, kind, options) {
        machine(name);
        return this.#behind(new Host(this.#owner, name), kind, options);
    }

    /** The same for this process and all that it starts. */
    here(kind, options) {
        return this.#behind(new Host(this.#owner, null), kind, options);
    }

    #behind(host, kind, { families = [4] } = {}) {
        const name = `${host.name ?? 'this'}-router`;
        machine(name, { forwards: true });
        const router = this.#attach(name, families);
        const n = this.#hosts;
        ip(`-n ${name} link add lan type veth peer name wan netns ${host.name ?? process.pid}`, `-n ${name} link set dev lan up`, `${host.ip}link set dev wan up`);
        host.router = router;
        if (families.includes(4)) {
            host.v4 = `192.168.${n}.2`;
            ip(`-n ${name} addr add 192.168.${n}.1/24 dev lan`, `${host.ip}addr add ${host.v4}/24 dev wan`, `${host.ip}route add default via 192.168.${n}.1`);
        }
        if (families.includes(6)) {
            host.v6 = `2a0a:${n}:1::2`;
            ip(`-n ${name} addr add 2a0a:${n}:1::1/64 dev lan`, `${host.ip}addr add ${host.v6}/64 dev wan`, `${host.ip}route add default via 2a0a:${n}:1::1`,
                `-n internet route add 2a0a:${n}:1::/64 via 2a0a:${n}::2`);
        }
        host.behind(kind);
        return host;
    }

    #attach(name, families) {
        const n = ++this.#hosts;
        ip(`-n internet link add to-${n} type veth peer name wan netns ${name}`, `-n internet link set to-${n} up`, `-n ${name} link set dev wan up`);
        const made = new Host(this.#owner, name);
        if (families.includes(4)) {
            made.v4 = `5.${n}.0.2`;
            ip(`-n internet addr add 5.${n}.0.1/24 dev to-${n}`, `-n ${name} addr add ${made.v4}/24 dev wan`, `-n ${name} route add default via 5.${n}.0.1`);
        }
        if (families.includes(6)) {
            made.v6 = `2a0a:${n}::2`;
            ip(`-n internet addr add 2a0a:${n}::1/64 dev to-${n}`, `-n ${name} addr add ${made.v6}/64 dev wan`, `-n ${name} route add default via 2a0a:${n}::1`);
        }
        return made;
    }
}

/** A machine of a lab. */
export class Host {
    #owner;

    /** `name`: null for this process's network. */
    constructor(owner, name) {
        this.#owner = owner;
        this.name = name;
        /** How commands of `ip` that are for it begin. */
        this.ip = name === null ? '' : `-n ${name} `;
    }

    /** Gives its router another kind of NAT, for connections that are made afterwards. */
    behind(kind) {
        execFileSync('ip', ['netns', 'exec', this.router.name, 'nft', '-f', '-'], { input: `flush ruleset\n${rules(NATS[kind])}` });
    }

    /** The command line that runs another one on this machine, in the same process. */
    command(...argv) {
        return this.name === null ? argv : ['ip', 'netns', 'exec', this.name, ...argv];
    }

    /** As `start` of `process.mjs`, on this machine. */
    start(owner, name, command, args, options) {
        const [first, ...rest] = this.command(command, ...args);
        return start(owner, `${name} on ${this.name ?? 'this machine'}`, first, rest, options);
    }

    /** A program that opens sockets here, and does what it is told: see `sockets.mjs`. */
    async sockets() {
        const [command, ...args] = this.command(process.execPath);
        const child = fork(fileURLToPath(new URL('sockets.mjs', import.meta.url)), [], { execPath: command, execArgv: args, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
        this.#owner.after(() => child.kill('SIGKILL'));
        const waiting = new Map();
        const exited = new Promise((_, reject) => child.once('exit', (code) => reject(new Error(`the sockets of ${this.name} ended: ${code}`))));
        exited.catch(() => {});
        child.on('message', ({ n, result, error }) => {
            const { resolve, reject } = waiting.get(n);
            waiting.delete(n);
            if (error) reject(new Error(error));
            else resolve(result);
        });
        let n = 0;
        const ask = (verb, ...args) => {
            const answer = new Promise((resolve, reject) => waiting.set(++n, { resolve, reject }));
            child.send({ n, verb, args });
            return within(PATIENCE, Promise.race([answer, exited]), `the sockets of ${this.name} did not answer to ${verb}`);
        };
        return {
            /** A UDP socket: `{ port, send(text, address, port), received(ms) }`; `received` gives `{ text, address, port }`, or null if nothing comes. */
            udp: async (family = 4) => {
                const { id, port } = await ask('udp', family);
                return { port, send: (text, address, to) => ask('send', id, text, address, to), received: (ms) => ask('received', id, ms) };
            },
            /** A TCP server that says to each client from where it came: its port. */
            mirror: (family = 4, port = 0) => ask('mirror', family, port),
            /** What such a server says. */
            reflection: (address, port, ms) => ask('reflection', address, port, ms),
        };
    }
}

/** Runs commands of `ip`, one an argument. */
function ip(...commands) {
    for (const command of commands) execFileSync('ip', command.split(' '), { stdio: ['ignore', 'inherit', 'pipe'] });
}

/** A namespace of that name. Addresses are used at once: none is looked for on the link first, as IPv6 does for a second. */
function machine(name, { forwards = false } = {}) {
    ip(`netns add ${name}`, `-n ${name} link set lo up`);
    const set = { 'ipv6/conf/default/accept_dad': 0, 'ipv6/conf/all/accept_dad': 0, ...(forwards ? { 'ipv4/ip_forward': 1, 'ipv6/conf/all/forwarding': 1 } : {}) };
    execFileSync('ip', ['netns', 'exec', name, 'sh', '-c', Object.entries(set).map(([key, value]) => `echo ${value} > /proc/sys/net/${key}`).join('; ')]);
}
