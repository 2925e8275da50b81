// A member of a room on libdatachannel with an old member's channel, and no manners of its own: it says what it is told to, and asks as if it came through a proxy from whatever address.

import { request } from 'node:http';
import nodeDataChannel from 'node-datachannel';

/** A POST that a proxy on this machine passes on for an address: `{ status, text }`. */
export function postFrom(from, port, path, body) {
    return new Promise((resolve, reject) => {
        const asked = request({ host: '127.0.0.1', port, path, method: 'POST', headers: { 'content-type': 'application/json', 'x-forwarded-for': from } }, (response) => {
            let text = '';
            response.setEncoding('utf8').on('data', (part) => { text += part; });
            response.on('end', () => resolve({ status: response.statusCode, text }));
        });
        asked.on('error', reject).end(JSON.stringify(body));
    });
}

export class ChannelMember {
    onmessage = () => {};
    /** Whether its channel is open. */
    isOpen = false;

    constructor(port, room, id, { from = '198.51.100.1', label = 'chat', reliable = false } = {}) {
        Object.assign(this, { port, room, id, from });
        this.pc = new nodeDataChannel.PeerConnection(id, { iceServers: [] });
        this.offer = new Promise((resolve) => this.pc.onGatheringStateChange((state) => {
            if (state === 'complete') resolve(this.pc.localDescription());
        }));
        this.channel = this.pc.createDataChannel(label, reliable ? {} : { maxRetransmits: 3 });
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
        return postFrom(this.from, this.port, path, { room: this.room, peer_id: this.id, ...more });
    }

    /** Resolves when it is in. */
    async join() {
        const { sdp, type } = await this.offer;
        const { status, text } = await this.post('/offer', { offer: { sdp, type } });
        if (status !== 200) throw new Error(`${this.id} was not let in: ${status} ${text}`);
        const { answer } = JSON.parse(text);
        this.pc.setRemoteDescription(answer.sdp, answer.type);
        await Promise.race([this.opened, this.closed.then(() => { throw new Error(`${this.id} was closed`); })]);
        if (this.channel.getLabel() === 'chat') this.system('PEER_JOIN', { userAgent: 'libdatachannel', timestamp: Date.now() });
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

/** The library's threads keep a process alive. */
export const end = (code = 0) => {
    nodeDataChannel.cleanup();
    process.exit(code);
};
