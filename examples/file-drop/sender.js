// The sender's side of docs/protocol/file.md on a stock PeerJS connection: everything that is not the look of the page.

import { sha256 } from './node_modules/@noble/hashes/sha2.js';
import { bytesToHex } from './node_modules/@noble/hashes/utils.js';

export const OPTIONS = { label: 'peerage-file', serialization: 'binary', reliable: true };

/** Octets of a message: a value of this size travels in one, without being cut by PeerJS. */
const PIECE = 16_000;
/** Octets that are read at once, and that may wait in the data channel. */
const BLOCK = 1 << 20;

const REASONS = {
    declined: 'not wanted', name: 'no name that is taken', size: 'the size changed', storage: 'no room, or no right, to write it', digest: 'arrived damaged',
    source: 'cannot be read', busy: 'busy, try again later', timeout: 'no answer', protocol: 'not understood', version: 'the receiver is older',
};

/** Sends files over one open connection, one after the other. */
export class Sender {
    #connection;
    #next = 0;
    #waiting = [];
    #heard = null;

    constructor(connection) {
        this.#connection = connection;
        connection.on('data', (message) => { this.#waiting.push(message); this.#heard?.(); });
        connection.on('close', () => { this.#waiting.push(null); this.#heard?.(); });
    }

    /** Resolves with `{ name, sha256, from }` when the receiver has the whole file; `progress(octets)` is called on the way. */
    async send(file, progress = () => {}) {
        const number = this.#next++;
        const say = (type, more) => this.#connection.send({ type, file: number, ...more });
        say('offer', { version: 1, name: file.name, size: file.size });

        let answer = await this.#answer(number);
        if (answer.type === 'compare') {
            say('prefixes', { sha256: await prefixes(file, answer.lengths) });
            answer = await this.#answer(number);
        }
        const { from } = answer;
        const hash = sha256.create();
        for await (const block of blocks(file, 0, from)) hash.update(block);
        let sent = from;
        progress(sent);
        for await (const block of blocks(file, from, file.size)) {
            hash.update(block);
            for (let at = 0; at < block.length; at += PIECE) this.#connection.send(block.slice(at, at + PIECE));
            await this.#room();
            this.#mustGoOn(number);
            progress(sent += block.length);
        }
        const digest = bytesToHex(hash.digest());
        say('end', { sha256: digest });
        const done = await this.#answer(number);
        if (done.sha256 !== digest) throw new Error(REASONS.digest);
        return { name: done.name, sha256: digest, from };
    }

    /** The receiver's next word on this file. */
    async #answer(number) {
        for (;;) {
            while (this.#waiting.length === 0) await new Promise((resolve) => { this.#heard = resolve; });
            const message = this.#waiting.shift();
            if (message === null) throw new Error('the connection is gone');
            if (message.file !== number) continue;
            if (message.type === 'stop') throw new Error(REASONS[message.reason] ?? message.reason);
            return message;
        }
    }

    /** Throws where the receiver has had enough. */
    #mustGoOn(number) {
        const stop = this.#waiting.find((message) => message === null || (message.type === 'stop' && message.file === number));
        if (stop === null) throw new Error('the connection is gone');
        if (stop) throw new Error(REASONS[stop.reason] ?? stop.reason);
    }

    /** Waits until the channel has room: what is sent beyond is held in memory. */
    async #room() {
        const channel = this.#connection.dataChannel;
        channel.bufferedAmountLowThreshold = BLOCK / 4;
        while (channel.readyState === 'open' && channel.bufferedAmount > BLOCK) {
            await new Promise((resolve) => {
                channel.addEventListener('bufferedamountlow', resolve, { once: true });
                channel.addEventListener('close', resolve, { once: true });
            });
        }
    }
}

async function* blocks(file, from, to) {
    for (let at = from; at < to; at += BLOCK) yield new Uint8Array(await file.slice(at, Math.min(to, at + BLOCK)).arrayBuffer());
}

/** The hashes of a file's beginnings. */
async function prefixes(file, lengths) {
    const hashes = [];
    for (const length of lengths) {
        const hash = sha256.create();
        for await (const block of blocks(file, 0, Math.min(length, file.size))) hash.update(block);
        hashes.push(bytesToHex(hash.digest()));
    }
    return hashes;
}
