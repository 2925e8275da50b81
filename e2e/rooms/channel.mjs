// A member of a room on libdatachannel with an old member's channel, and no manners of its own: it says what it is told to, and asks as if it came through a proxy from whatever address.

import nodeDataChannel from 'node-datachannel';
import { PATIENCE, within } from '../lib/process.mjs';
import { post } from '../lib/rooms.mjs';

export class ChannelMember {
    onmessage = () => {};
    /** Whether its channel is open. */
    isOpen = false;

    constructor(server, room, id, { from = '198.51.100.1', label = 'chat', reliable = false } = {}) {
        Object.assign(this, { server, room, id, from, label, reliable });
        this.#begin();
    }

    #begin() {
        this.pc = new nodeDataChannel.PeerConnection(this.id, { iceServers: [] });
        this.offer = new Promise((resolve) => this.pc.onGatheringStateChange((state) => {
            if (state === 'complete') resolve(this.pc.localDescription());
        }));
        this.channel = this.pc.createDataChannel(this.label, this.reliable ? {} : { maxRetransmits: 3 });
        this.channel.onMessage((message) => this.onmessage(message));
        this.opened = new Promise((resolve) => this.channel.onOpen(() => { this.isOpen = true; resolve(); }));
        /** Resolves when it is over, or will never be. */
        this.closed = new Promise((resolve) => {
            const over = () => { this.isOpen = false; resolve(); };
            this.channel.onClosed(over);
            this.pc.onStateChange((state) => { if (state === 'failed' || state === 'closed') over(); });
        });
    }

    post(path, more) {
        return post(this.server, path, { room: this.room, peer_id: this.id, ...more }, this.from);
    }

    /** Resolves when it is in. Once in some hundred times the library's threads stumble over each other while it takes the answer: then it begins anew. */
    async join() {
        for (let tries = 1; ; tries++) {
            try {
                return await this.#join();
            } catch (error) {
                this.pc.close();
                if (tries === 3 || !error.message.includes('without ICE transport')) throw error;
                this.#begin();
            }
        }
    }

    async #join() {
        const { sdp, type } = await this.offer;
        const { status, body } = await this.post('/offer', { offer: { sdp, type } });
        if (status !== 200) throw new Error(`${this.id} was not let in: ${status} ${JSON.stringify(body)}`);
        this.pc.setRemoteDescription(body.answer.sdp, body.answer.type);
        await within(PATIENCE, Promise.race([this.opened, this.closed.then(() => { throw new Error(`${this.id} was closed`); })]), `${this.id} does not get in`);
        if (this.label === 'chat') this.system('PEER_JOIN', { userAgent: 'libdatachannel', timestamp: Date.now() });
        return this;
    }

    /** A text or octets, as they are; false if it cannot any more. */
    send(data) {
        if (!this.isOpen) return false;
        try {
            return typeof data === 'string' ? this.channel.sendMessage(data) : this.channel.sendMessageBinary(data);
        } catch {
            return false;
        }
    }

    system(action, payload) {
        return this.send(JSON.stringify({ type: 'SYSTEM', action, payload, peer_id: this.id, target: null, timestamp: Date.now() }));
    }

    say(value) {
        return this.send(JSON.stringify({ peer_id: this.id, message: value }));
    }

    /** Octets that wait to go out. */
    get waiting() {
        return this.isOpen ? this.channel.bufferedAmount() : 0;
    }

    /** Ends without a word. */
    close() {
        this.pc.close();
    }
}

/**
 * For a suite's last hook: the library's threads keep the process alive, and its own `cleanup` crashes once in some ten times. What is left to do then is the runner's report of the suite, which waits
 * for nothing; the exit code is the runner's.
 */
export const end = () => void setTimeout(() => process.exit(), 100);
