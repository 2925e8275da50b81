// What ambianic-ui's `PeerFetch` does with a data connection: tickets, polling, pings, its times and its weaknesses.

class OldPeerFetch {
    tickets = new Map();
    drawn = 0;
    lowest = 0;
    pongs = 0;

    constructor(connection) {
        this.connection = connection;
        connection.on('data', (data) => this.take(data));
        const pinging = setInterval(() => { if (this.tickets.size === 0) this.request({ url: 'ping' }).then(() => { this.pongs += 1; }, () => {}); }, 1_000);
        connection.on('close', () => clearInterval(pinging));
    }

    /** Resolves with `{ header, content }`; gives up after 20 s, and never sends anything again then. */
    async request({ url, method = 'GET', params = {}, ...members }) {
        const ticket = this.drawn++;
        const request = { url: `${url}?${new URLSearchParams(params)}`, ...members, method };
        const entry = { request, header: undefined, content: undefined, receivedAll: false };
        this.tickets.set(ticket, entry);
        if (this.tickets.size === 1) this.next();
        const deadline = performance.now() + 20_000;
        while (!entry.receivedAll) {
            await new Promise((resolve) => setTimeout(resolve, 200));
            if (performance.now() > deadline) throw new Error(`no answer within 20 s: ${JSON.stringify(request)}`);
        }
        return entry;
    }

    next() {
        const [lowest] = this.tickets.keys();
        if (lowest === undefined) return;
        this.lowest = lowest;
        this.connection.send(JSON.stringify(this.tickets.get(lowest).request));
    }

    take(data) {
        const entry = this.tickets.get(this.lowest);
        if (!entry) return;
        if (entry.header) {
            entry.content = data;
            return this.done(entry);
        }
        const { status } = JSON.parse(data);
        if (status === undefined || status === 202) return;
        entry.header = JSON.parse(data);
        if (status === 204) this.done(entry);
    }

    done(entry) {
        entry.receivedAll = true;
        this.tickets.delete(this.lowest);
        setTimeout(() => this.next(), 50);
    }
}

/** Connects as the old UI does, and waits a second as it does. */
window.connect_old = async (id) => {
    await join(id, { label: 'http-proxy', reliable: true, serialization: 'raw' });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    window.old = new OldPeerFetch(connection);
};

window.ask_old = async (request) => {
    const { header, content } = await old.request(request);
    if (content === undefined || typeof content === 'string') return { header, text: content };
    const bytes = new Uint8Array(content instanceof Blob ? await content.arrayBuffer() : content);
    return { header, size: bytes.length, bytes: [...bytes.subarray(0, 64)], text: new TextDecoder().decode(bytes.subarray(0, 1_000)) };
};

window.pings_old = (count) => settle(`${count} pings`, (resolve) => {
    const begun = old.pongs;
    const look = setInterval(() => {
        if (old.pongs - begun < count) return;
        clearInterval(look);
        resolve(count);
    }, 50);
});

/** What an offer is answered with, as it came. */
window.refusal = (id, options) => settle(`an answer of ${id}`, (resolve) => {
    peer.socket.on('message', ({ type, payload }) => { if (type === 'ANSWER') resolve(payload); });
    peer.connect(id, options);
});
