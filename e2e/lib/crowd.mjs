// Many clients of a PeerJS server in this process, each with an id and a token that it keeps: it comes back by itself, as clients do who cannot know why they were cut.

import { randomBytes } from 'node:crypto';
import { WebSocket } from 'ws';

/** Between tries, spread so that a thousand do not come in the same instant. */
const PAUSE = { least: 50, most: 450 };

/**
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param {number} port of a server on this machine
 * @param {string[]} ids
 */
export function crowd(owner, port, ids) {
    const all = new Crowd(port, ids);
    owner.after(() => all.leave());
    return all;
}

export class Crowd {
    /** What a client heard that was not meant for it, or not from whom it says: must stay empty. */
    astray = [];
    /** Offers and answers that arrived. */
    frames = 0;

    constructor(port, ids) {
        this.port = port;
        this.members = ids.map((id) => new Member(this, id));
    }

    come() {
        for (const member of this.members) member.come();
        return this;
    }

    leave() {
        for (const member of this.members) member.leave();
    }

    /** How many are in. */
    get open() {
        return this.members.filter((member) => member.open).length;
    }

    /** Each of `some` asks the next one, and has its answer when this resolves. */
    ring(some = this.members) {
        return Promise.all(some.map((member, n) => member.ask(some[(n + 1) % some.length])));
    }

    /** Each of `some` asks the next one again and again, until its server is gone. */
    talk(some = this.members) {
        for (const [n, member] of some.entries()) member.talk(some[(n + 1) % some.length]);
    }
}

export class Member {
    token = randomBytes(8).toString('hex');
    /** Whether `OPEN` came on the socket that there is now. */
    open = false;
    /** How often it was let in, and how often it heard `ID-TAKEN`. */
    opened = 0;
    taken = 0;
    /** Close codes, one for each socket that ended. */
    closes = [];

    #socket;
    #retry;
    #asked = new Map();
    #asks = 0;
    #onward;

    constructor(crowd, id) {
        this.crowd = crowd;
        this.id = id;
    }

    come() {
        this.#retry = null;
        const socket = new WebSocket(`ws://127.0.0.1:${this.crowd.port}/peerjs?key=peerjs&id=${this.id}&token=${this.token}`, { perMessageDeflate: false });
        this.#socket = socket;
        socket.on('error', () => {});       // `close` follows.
        socket.on('message', (data) => this.#heard(JSON.parse(String(data))));
        socket.on('close', (code) => {
            this.open = false;
            this.#onward = null;
            this.closes.push(code);
            if (this.#retry !== false) this.#retry = setTimeout(() => this.come(), PAUSE.least + Math.random() * (PAUSE.most - PAUSE.least));
        });
    }

    /** Ends its socket and comes no more until told to. */
    leave() {
        clearTimeout(this.#retry);
        this.#retry = false;
        this.#socket?.terminate();
    }

    /** Resolves when the other one answered. The question may meet nobody, for the other one is away: then it is put again. */
    ask(other) {
        const n = ++this.#asks;
        return new Promise((resolve) => {
            this.#asked.set(n, { other, resolve });
            this.#put(n, other);
        });
    }

    talk(other) {
        this.#onward = other;
        this.#put(++this.#asks, other);
    }

    #put(n, other) {
        this.#send({ type: 'OFFER', dst: other.id, payload: { n, from: this.id, to: other.id } });
    }

    #send(frame) {
        if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
    }

    #heard({ type, src, dst, payload }) {
        switch (type) {
            case 'OPEN':
                this.open = true;
                this.opened++;
                for (const [n, { other }] of this.#asked) this.#put(n, other);
                break;
            case 'ID-TAKEN':
                this.taken++;
                break;
            case 'EXPIRE':
                for (const [n, { other }] of this.#asked) if (other.id === src) this.#put(n, other);
                break;
            case 'OFFER':
            case 'ANSWER':
                this.crowd.frames++;
                if (!this.open || dst !== this.id || payload.to !== this.id || payload.from !== src) {
                    this.crowd.astray.push({ at: this.id, type, src, dst, payload });
                } else if (type === 'OFFER') {
                    this.#send({ type: 'ANSWER', dst: src, payload: { n: payload.n, from: this.id, to: src } });
                } else {
                    this.#answered(payload.n, src);
                }
                break;
            default:
                this.crowd.astray.push({ at: this.id, type, src, dst });
        }
    }

    #answered(n, src) {
        const asked = this.#asked.get(n);
        if (asked) {
            this.#asked.delete(n);
            asked.resolve();
        } else if (this.#onward?.id === src) {
            this.#put(++this.#asks, this.#onward);
        }
    }
}
