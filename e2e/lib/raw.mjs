// Sockets without manners: octets as the test wants them, with a WebSocket (RFC 6455) on top where one is needed.

import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { PATIENCE, within } from './process.mjs';

export const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];

/** A TCP connection to a server on this machine. */
export class Raw {
    /** Octets that came in all. */
    octets = 0;

    #pieces = [];
    #watchers = new Set();

    constructor({ port }, options = {}) {
        this.opened = performance.now();
        this.socket = connect({ port, host: '127.0.0.1', ...options });
        this.socket.on('error', () => {});      // `close` follows.
        this.socket.on('data', (data) => {
            this.octets += data.length;
            this.#pieces.push(data);
            this.#changed();
        });
        /** Milliseconds that it lived, when it is over. */
        this.over = new Promise((resolve) => this.socket.once('close', () => {
            this.ended = true;
            this.#changed();
            resolve(performance.now() - this.opened);
        }));
        this.connected = new Promise((resolve) => this.socket.once('connect', resolve));
    }

    /** What came and was not taken as frames yet. */
    get received() {
        if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
        return this.#pieces[0] ?? Buffer.alloc(0);
    }

    set received(rest) {
        this.#pieces = [rest];
    }

    write(data) {
        if (!this.socket.destroyed) this.socket.write(data);
        return this;
    }

    /** Writes the same again and again, as fast as it is taken, until the socket is over or told to stop. */
    pour(data, until = () => false) {
        const pour = () => {
            while (!this.socket.destroyed && !until()) if (!this.socket.write(data)) return void this.socket.once('drain', pour);
        };
        pour();
        return this;
    }

    /** Resolves when all that was written has gone to the system. */
    taken() {
        if (!this.socket.writableNeedDrain || this.socket.destroyed) return new Promise(setImmediate);
        return Promise.race([this.over, new Promise((resolve) => this.socket.once('drain', resolve))]);
    }

    /** Writes a piece every so often. */
    drip(pieces, every) {
        const timer = setInterval(() => {
            const { value, done } = pieces.next();
            if (done || this.ended) clearInterval(timer);
            else this.write(value);
        }, every);
        this.socket.once('close', () => clearInterval(timer));
        return this;
    }

    /** Resolves when `look` gives something; the connection's end is an error. */
    async until(what, look, ms = PATIENCE) {
        let watch;
        const seen = new Promise((resolve, reject) => {
            watch = () => {
                const value = look();
                if (value !== undefined) resolve(value);
                else if (this.ended) reject(new Error(`ended before ${what}; last came ${JSON.stringify(String(this.received.subarray(0, 200)))}`));
            };
            this.#watchers.add(watch);
            watch();
        });
        try {
            return await within(ms, seen, `not in ${ms} ms: ${what}`);
        } finally {
            this.#watchers.delete(watch);
        }
    }

    /** Ends it at once, without a word to the other end but RST. */
    drop() {
        this.socket.resetAndDestroy();
    }

    #changed() {
        for (const watch of [...this.#watchers]) watch();
    }
}

/** The request that opens a WebSocket, without its last line end. */
export function upgrade(id, token = 'token') {
    return `GET /peerjs?key=peerjs&id=${id}&token=${token} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
        + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n`;
}

/** A WebSocket of the PeerJS server that was let in. */
export async function raw(server, id, token) {
    const socket = new Raw(server);
    socket.write(`${upgrade(id, token)}\r\n`);
    const head = await socket.until('an answer to the hand-shake', () => {
        const end = socket.received.indexOf('\r\n\r\n');
        if (end < 0) return undefined;
        const head = String(socket.received.subarray(0, end));
        socket.received = socket.received.subarray(end + 4);
        return head;
    });
    if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`no WebSocket: ${head}`);
    const first = await frame(socket);
    if (String(first.payload) !== '{"type":"OPEN"}') throw new Error(`not let in: ${first.payload}`);
    return socket;
}

/** The next frame from the server. */
export function frame(socket, ms) {
    return socket.until('a frame', () => {
        const { received } = socket;
        if (received.length < 2) return undefined;
        let [length, at] = [received[1] & 127, 2];
        if (length === 126) {
            if (received.length < 4) return undefined;
            [length, at] = [received.readUInt16BE(2), 4];
        } else if (length === 127) {
            if (received.length < 10) return undefined;
            [length, at] = [Number(received.readBigUInt64BE(2)), 10];
        }
        if (received.length < at + length) return undefined;
        socket.received = received.subarray(at + length);
        return { opcode: received[0] & 15, fin: received[0] >= 128, payload: received.subarray(at, at + length) };
    }, ms);
}

/** The code with which the server closes, null for none; `undefined` if it goes without a close frame. */
export async function closeCode(socket, ms) {
    try {
        for (;;) {
            const { opcode, payload } = await frame(socket, ms);
            if (opcode === CLOSE) return payload.length < 2 ? null : payload.readUInt16BE(0);
        }
    } catch (error) {
        if (socket.ended) return undefined;
        throw error;
    }
}

/**
 * A frame as clients send it, unless something else is asked for.
 *
 * @param {{ opcode?: number, fin?: boolean, rsv?: number, masked?: boolean, length?: bigint | number, wide?: boolean }} [form] `length`: stated in place of the true one
 */
export function framed(payload, { opcode = TEXT, fin = true, rsv = 0, masked = true, length } = {}) {
    const octets = Buffer.from(payload);
    const stated = BigInt(length ?? octets.length);
    const head = [(fin ? 128 : 0) | (rsv << 4) | opcode];
    const mark = masked ? 128 : 0;
    if (stated < 126n) head.push(mark | Number(stated));
    else if (stated < 65_536n) head.push(mark | 126, ...bytes(stated, 2));
    else head.push(mark | 127, ...bytes(stated, 8));
    if (!masked) return Buffer.concat([Buffer.from(head), octets]);
    const mask = randomBytes(4);
    const hidden = Buffer.alloc(octets.length);
    for (let n = 0; n < octets.length; n++) hidden[n] = octets[n] ^ mask[n & 3];
    return Buffer.concat([Buffer.from(head), mask, hidden]);
}

/** An offer as a client sends it. */
export const offer = (dst, payload) => framed(JSON.stringify({ type: 'OFFER', dst, payload }));

function bytes(value, count) {
    return Array.from({ length: count }, (_, n) => Number((value >> BigInt(8 * (count - 1 - n))) & 255n));
}
