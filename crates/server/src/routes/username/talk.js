// One conversation: a WebRTC connection with a data channel from each side, and one more for each file.
//
// Written so that the page that this one replaces can be at the other end: it makes a channel `data_channel` of its own for what it says, knows texts only,
// and ignores what it does not know. See docs/protocol/username.md, section 4.

import { Incoming, Outgoing } from './file.js';

const LABEL = 'data_channel';
/** The channels' protocol: who says it understands files. */
const PROTOCOL = 'peerage-talk-1';
/** How long a call may take, in ms. */
const PATIENCE = 30_000;
/** Candidates kept until there is a description to add them to. */
const EARLY = 64;
/** Files offered to us and not decided on. */
const OFFERS = 4;

export class Talk {
    #on;
    #send;
    #connection;
    #channel;
    #early = [];
    /** Descriptions and candidates are applied one after the other. */
    #steps = Promise.resolve();
    #timer;
    #offers = 0;
    /** `calling`, `open` or `ended`. */
    state = 'calling';

    /**
     * @param {unknown} peer the other's name: a text, or what else the server takes for a name
     * @param {RTCIceServer[]} iceServers
     * @param {(action: string, data: unknown) => void} send to the other by way of the server
     * @param {{ open(): void, text(text: string): void, files(): void, offered(file: Incoming): void, ended(words: string): void }} on
     */
    constructor(peer, iceServers, send, on) {
        this.peer = peer;
        this.#send = send;
        this.#on = on;
        const connection = this.#connection = new RTCPeerConnection({ iceServers });
        connection.onicecandidate = ({ candidate }) => {
            if (candidate?.candidate) send('candidate', candidate.toJSON());
        };
        connection.ondatachannel = ({ channel }) => this.#opened(channel);
        connection.onconnectionstatechange = () => {
            if (connection.connectionState !== 'failed') return;
            this.#end(this.state === 'open' ? 'The connection was lost.' : 'No direct way to the other browser was found.');
        };
        this.#channel = connection.createDataChannel(LABEL, { protocol: PROTOCOL });
        this.#channel.onopen = () => {
            clearTimeout(this.#timer);
            this.state = 'open';
            this.#on.open();
        };
        this.#channel.onclose = () => this.#end('The other side has hung up.');
        this.#listen(this.#channel);
        this.#timer = setTimeout(() => this.#end('There was no answer.'), PATIENCE);
    }

    /** Calls the other. */
    call() {
        this.#step(async () => {
            await this.#connection.setLocalDescription();
            this.#send('offer', this.#connection.localDescription.toJSON());
        });
    }

    /** Takes the other's call. */
    answer(offer) {
        this.#step(async () => {
            await this.#describe(offer);
            await this.#connection.setLocalDescription();
            this.#send('answer', this.#connection.localDescription.toJSON());
        });
    }

    /** The other took our call. */
    answered(answer) {
        this.#step(async () => {
            if (this.#connection.signalingState === 'have-local-offer') await this.#describe(answer);
        });
    }

    candidate(candidate) {
        this.#step(async () => {
            if (this.#connection.remoteDescription) await this.#add(candidate);
            else if (this.#early.length < EARLY) this.#early.push(candidate);
        });
    }

    say(text) {
        this.#channel.send(text);
    }

    /** To be called only after `on.files`. */
    offer(file, on) {
        return new Outgoing(this.#connection.createDataChannel('file', { protocol: PROTOCOL }), file, on);
    }

    /** Ends it without a word to `on`. */
    close() {
        this.state = 'ended';
        clearTimeout(this.#timer);
        this.#connection.close();
    }

    #opened(channel) {
        const understood = channel.protocol === PROTOCOL;
        if (understood && channel.label === 'file') {
            if (this.#offers >= OFFERS) return channel.close();
            this.#offers += 1;
            new Incoming(channel, { offered: (file) => this.#on.offered(file), decided: () => { this.#offers -= 1; } });
            return;
        }
        if (channel.label !== LABEL) return channel.close();
        this.#listen(channel);
        if (understood) this.#on.files();
    }

    #listen(channel) {
        channel.onmessage = ({ data }) => {
            if (typeof data === 'string') this.#on.text(data);
        };
    }

    async #describe(description) {
        await this.#connection.setRemoteDescription(description);
        for (const candidate of this.#early.splice(0)) await this.#add(candidate);
    }

    async #add(candidate) {
        // One of an earlier call, or of a kind that this browser does not know: the others remain.
        await this.#connection.addIceCandidate(candidate).catch(() => {});
    }

    #step(step) {
        this.#steps = this.#steps.then(() => (this.state === 'ended' ? undefined : step())).catch((error) => {
            console.warn(error);
            this.#end('The other browser sent what this one does not understand.');
        });
    }

    #end(words) {
        if (this.state === 'ended') return;
        this.close();
        this.#on.ended(words);
    }
}
