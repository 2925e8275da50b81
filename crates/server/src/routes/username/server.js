// The socket to the server: a name of one's own, and messages to and from others by theirs. The protocol is docs/protocol/username.md.

/** Longest wait for the server, in ms. */
const PATIENCE = 10_000;

const FAULTS = {
    'name-taken': ({ name }) => `The name “${name}” is taken. Choose another one.`,
    'too-many-names': () => 'This page has as many names as the server allows.',
    full: () => 'The server has no room for another name. Try again later.',
    malformed: () => 'The server did not understand that.',
    'not-logged-in': () => 'The server does not know you by a name yet.',
    'unknown-receiver': ({ to }) => `Nobody is logged in as “${to}”.`,
};

export class Server {
    #socket;
    #on;
    /** The login that waits for its proof. */
    #login = null;

    /** @param {{ message(message: object): void, fault(code: string, words: string, data: object): void, lost(): void }} on */
    constructor(on) {
        this.#on = on;
    }

    /** Resolves when connected; the error's message is for people. */
    open(url) {
        return bounded(`The server ${url} does not answer.`, (resolve, reject) => {
            const socket = new WebSocket(url);
            let opened = false;
            socket.onopen = () => {
                opened = true;
                resolve();
            };
            socket.onmessage = ({ data }) => this.#received(data);
            socket.onclose = () => {
                if (this.#socket !== socket) return;
                this.#socket = null;
                this.#settle(new Error('The connection to the server was lost.'));
                if (opened) this.#on.lost();
                else reject(new Error(`No connection to ${url}. Is the server running?`));
            };
            this.#socket = socket;
        }).catch((error) => {
            this.close();
            throw error;
        });
    }

    /** Resolves when the name is ours. The server does not answer a login, so a message to ourselves is the proof. */
    logIn(name) {
        return bounded('The server did not confirm the name.', (resolve, reject) => {
            const proof = String(crypto.getRandomValues(new Uint32Array(2)));
            this.#login = { name, proof, resolve, reject };
            this.#send({ action: 'login', data: name });
            this.#send({ from: name, to: name, action: 'echo', data: proof });
        }).finally(() => {
            this.#login = null;
        });
    }

    /** @param {'offer' | 'answer' | 'candidate'} action */
    send(from, to, action, data) {
        this.#send({ from, to, action, data });
    }

    close() {
        const socket = this.#socket;
        this.#socket = null;
        socket?.close();
    }

    #send(message) {
        if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
    }

    #received(text) {
        let message;
        try {
            message = JSON.parse(text);
        } catch {
            return;
        }
        if (typeof message !== 'object' || message === null) return;
        const { from, action, data } = message;
        if (action === 'error' && from === undefined) this.#fault(data ?? {});
        else if (action === 'echo') {
            if (this.#login && data === this.#login.proof) this.#settle();
        } else if (from !== undefined) this.#on.message(message);
    }

    #fault(data) {
        const words = Object.hasOwn(FAULTS, data.code) ? FAULTS[data.code](data) : `The server says: ${data.message}`;
        if (this.#login && data.code !== 'unknown-receiver') this.#settle(new Error(words));
        else this.#on.fault(data.code, words, data);
    }

    #settle(error) {
        const login = this.#login;
        this.#login = null;
        if (error) login?.reject(error);
        else login?.resolve();
    }
}

/** A promise that does not wait longer than PATIENCE. */
function bounded(words, executor) {
    return new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error(words)), PATIENCE);
        executor(resolve, reject);
    });
}
