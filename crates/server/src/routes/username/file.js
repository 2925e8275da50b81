// One file on a data channel of its own. Sender: `{"name","size"}`; receiver: `accept` or `decline`; sender: the octets; receiver: `received`.

/** Octets of one message: what every browser takes, and small enough not to hold up what is said meanwhile. */
const PIECE = 16 * 1024;
/** Octets read from the file at a time. */
const READ = 16 * PIECE;
/** Octets that may wait in the channel. */
const WAITING = 1024 * 1024;
/** Octets after which what was received is handed to the browser, which may keep it on disk. */
const HEAP = 8 * 1024 * 1024;
/** Largest file that is taken: 2 GiB. */
const LARGEST = 2 ** 31;

/** A file that we offer. */
export class Outgoing {
    #channel;
    #file;
    #on;

    /** @param {{ asked(): void, progress(octets: number): void, ended(state: 'sent' | 'declined' | 'broken'): void }} on */
    constructor(channel, file, on) {
        this.#channel = channel;
        this.#file = file;
        this.#on = on;
        channel.bufferedAmountLowThreshold = WAITING / 4;
        channel.onopen = () => {
            channel.send(JSON.stringify({ name: file.name.slice(0, 255), size: file.size }));
            on.asked();
        };
        channel.onmessage = ({ data }) => {
            if (data === 'accept') this.#pour().catch(() => this.#end('broken'));
            else if (data === 'decline') this.#end('declined');
            else if (data === 'received') this.#end('sent');
        };
        channel.onclose = () => this.#end('broken');
    }

    async #pour() {
        const channel = this.#channel;
        channel.onmessage = ({ data }) => {
            if (data === 'received') this.#end('sent');
        };
        for (let at = 0; at < this.#file.size; at += READ) {
            const octets = await this.#file.slice(at, at + READ).arrayBuffer();
            for (let piece = 0; piece < octets.byteLength; piece += PIECE) {
                if (channel.bufferedAmount > WAITING) await drained(channel);
                channel.send(octets.slice(piece, piece + PIECE));
            }
            this.#on.progress(Math.max(0, at + octets.byteLength - channel.bufferedAmount));
        }
    }

    #end(state) {
        const on = this.#on;
        this.#on = { asked() {}, progress() {}, ended() {} };
        this.#channel.onclose = null;
        this.#channel.close();
        on.ended(state);
    }
}

function drained(channel) {
    return new Promise((resolve, reject) => {
        channel.addEventListener('bufferedamountlow', resolve, { once: true });
        channel.addEventListener('close', () => reject(new Error('closed')), { once: true });
    });
}

/** A file that is offered to us. Nothing of it comes before a person accepts. */
export class Incoming {
    name = '';
    size = 0;
    #channel;
    #parts = [];
    #heap = [];
    #octets = 0;
    #decided;
    #on = { progress() {}, received() {}, broken() {} };

    /** @param {{ offered(file: Incoming): void, decided(): void }} on `decided`: accepted, declined, or withdrawn */
    constructor(channel, { offered, decided }) {
        this.#channel = channel;
        let open = true;
        this.#decided = () => {
            if (open) decided();
            open = false;
        };
        channel.binaryType = 'arraybuffer';
        channel.onclose = () => this.#break();
        channel.onmessage = ({ data }) => {
            if (!this.#announced(data)) return this.#break();
            channel.onmessage = () => this.#break();
            offered(this);
        };
    }

    /** @param {{ progress(octets: number): void, received(blob: Blob): void, broken(): void }} on */
    watch(on) {
        this.#on = on;
    }

    accept() {
        this.#decided();
        this.#channel.onmessage = ({ data }) => this.#take(data);
        this.#channel.send('accept');
        if (this.size === 0) this.#finish();
    }

    decline() {
        this.#decided();
        this.#channel.onclose = null;
        this.#channel.send('decline');
    }

    #announced(text) {
        try {
            const { name, size } = JSON.parse(text);
            if (typeof name !== 'string' || !Number.isSafeInteger(size) || size < 0 || size > LARGEST) return false;
            this.name = harmless(name);
            this.size = size;
            return true;
        } catch {
            return false;
        }
    }

    #take(octets) {
        if (!(octets instanceof ArrayBuffer) || this.#octets + octets.byteLength > this.size) return this.#break();
        this.#octets += octets.byteLength;
        this.#heap.push(octets);
        if (this.#octets % HEAP < octets.byteLength) this.#parts.push(new Blob(this.#heap.splice(0)));
        this.#on.progress(this.#octets);
        if (this.#octets === this.size) this.#finish();
    }

    #finish() {
        this.#channel.onmessage = null;
        this.#channel.onclose = null;
        this.#channel.send('received');
        // Never of the sender's kind: it is saved, not shown.
        this.#on.received(new Blob([...this.#parts.splice(0), ...this.#heap.splice(0)], { type: 'application/octet-stream' }));
    }

    #break() {
        this.#decided();
        this.#channel.onmessage = null;
        this.#channel.onclose = null;
        this.#channel.close();
        this.#parts = [];
        this.#heap = [];
        this.#on.broken();
    }
}

/** A file's name as one to save under: no path, nothing invisible, no turning of the direction that would disguise its end. */
export function harmless(name) {
    const plain = name.replace(/[\p{Cc}\p{Cf}]/gu, '').replace(/[/\\:*?"<>|]/g, '_').replace(/^[\s.]+|[\s.]+$/g, '').slice(0, 200);
    return plain || 'file';
}
