// A small STUN and TURN client (RFC 8489, RFC 8656) that says what it is told to, right or wrong. Nothing is sent twice and nothing is refreshed by itself.

import { createHash, createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6, connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { PATIENCE, within } from './process.mjs';

export const METHOD = { binding: 1, allocate: 3, refresh: 4, send: 6, data: 7, permit: 8, bind: 9 };
export const CLASS = { request: 0, indication: 1, success: 2, error: 3 };
export const ATTRIBUTE = {
    username: 0x06, integrity: 0x08, error: 0x09, unknown: 0x0a, channel: 0x0c, lifetime: 0x0d, peer: 0x12, data: 0x13, realm: 0x14, nonce: 0x15, relayed: 0x16,
    family: 0x17, evenPort: 0x18, transport: 0x19, mapped: 0x20, token: 0x22, additionalFamily: 0x8000, fingerprint: 0x8028,
};
const COOKIE = 0x2112a442;
const UDP = [ATTRIBUTE.transport, Buffer.from([17, 0, 0, 0])];

/** A message's octets; signed with `key`, if there is one. */
export function encode({ method, class: kind = CLASS.request, id = randomBytes(12), attributes = [], key, fingerprint = false }) {
    const type = (method & 0xf80) << 2 | (method & 0x70) << 1 | method & 0xf | (kind & 2) << 7 | (kind & 1) << 4;
    const body = attributes.map(([type, value]) => attribute(type, Buffer.from(value)));
    const head = (more) => {
        const octets = Buffer.alloc(8);
        octets.writeUInt16BE(type);
        octets.writeUInt16BE(body.reduce((sum, { length }) => sum + length, more), 2);
        octets.writeUInt32BE(COOKIE, 4);
        return Buffer.concat([octets, id]);
    };
    if (key) body.push(attribute(ATTRIBUTE.integrity, createHmac('sha1', key).update(Buffer.concat([head(24), ...body])).digest()));
    if (fingerprint) body.push(attribute(ATTRIBUTE.fingerprint, uint32(crc32(Buffer.concat([head(8), ...body])) ^ 0x5354554e)));
    return Buffer.concat([head(0), ...body]);
}

/** What stands in a message: `{ method, class, id, get(attribute), address(attribute), code, signedWith(key) }`; null for what is none. */
export function decode(octets) {
    if (octets.length < 20 || octets[0] & 0xc0 || octets.readUInt32BE(4) !== COOKIE || octets.readUInt16BE(2) + 20 !== octets.length) return null;
    const type = octets.readUInt16BE(0);
    const attributes = [];
    for (let at = 20; at < octets.length;) {
        const length = octets.readUInt16BE(at + 2);
        attributes.push({ type: octets.readUInt16BE(at), at, value: octets.subarray(at + 4, at + 4 + length) });
        at += 4 + Math.ceil(length / 4) * 4;
    }
    const id = octets.subarray(8, 20);
    const get = (wanted) => attributes.find(({ type }) => type === wanted)?.value;
    return {
        method: (type & 0x3e00) >> 2 | (type & 0xe0) >> 1 | type & 0xf, class: type >> 7 & 2 | type >> 4 & 1, id, octets: octets.length, get,
        address: (wanted) => get(wanted) && readAddress(get(wanted), id),
        get code() {
            const error = get(ATTRIBUTE.error);
            return error && error[2] * 100 + error[3];
        },
        signedWith(key) {
            const { at, value } = attributes.find(({ type }) => type === ATTRIBUTE.integrity) ?? {};
            if (!value) return false;
            const signed = Buffer.from(octets.subarray(0, at));
            signed.writeUInt16BE(at + 4, 2);
            return createHmac('sha1', key).update(signed).digest().equals(value);
        },
    };
}

/** An XOR address attribute's value. */
export function address(ip, port, id) {
    const octets = isIPv6(ip) ? ipv6(ip) : Buffer.from(ip.split('.').map(Number));
    return xor(Buffer.concat([Buffer.from([0, octets.length === 16 ? 2 : 1, port >> 8, port & 255]), octets]), id);
}

function readAddress(value, id) {
    const octets = xor(value, id);
    const ip = octets.subarray(4);
    const text = ip.length === 4 ? ip.join('.') : Array.from({ length: 8 }, (_, n) => ip.readUInt16BE(2 * n).toString(16)).join(':');
    return { address: ip.length === 4 ? text : new URL(`http://[${text}]`).hostname.slice(1, -1), port: octets.readUInt16BE(2) };
}

/** Credentials of the REST form: `{ username, password }`. */
export function credentials(secret, { name, expires = Math.floor(Date.now() / 1_000) + 3_600 } = {}) {
    const username = name === undefined ? `${expires}` : `${expires}:${name}`;
    return { username, password: createHmac('sha1', secret).update(username).digest('base64') };
}

/**
 * A client at one address.
 *
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param {{ host: string, port: number }} server
 * @param {{ transport?: 'udp' | 'tcp' | 'tls', from?: string, ca?: Buffer, username?: string, password?: string }} [options] `from`: the own address
 */
export async function client(owner, server, { transport = 'udp', ...options } = {}) {
    const made = new Client(server, options, transport !== 'udp');
    await made.open(transport);
    owner.after(() => made.close());
    return made;
}

export class Client {
    /** @type {Set<(message: any) => boolean>} */
    #waiting = new Set();
    #options;
    #stream;
    #rest = Buffer.alloc(0);
    realm;
    nonce;
    /** Data that came: `{ channel, peer, data }`, and what is none of ours asked for. */
    onData = () => {};
    /** Messages that nobody waited for. */
    strays = [];
    /** Octets that went out and came in, without the headers below. */
    sent = 0;
    received = 0;

    constructor(server, options, stream) {
        this.server = server;
        this.#options = options;
        this.#stream = stream;
    }

    async open(transport) {
        const { host, port } = this.server;
        const { from, ca } = this.#options;
        if (transport === 'udp') {
            this.socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
            await new Promise((resolve, reject) => this.socket.once('error', reject).bind({ address: from, port: 0 }, resolve));
            await new Promise((resolve, reject) => this.socket.connect(port, host, (error) => (error ? reject(error) : resolve())));
            this.socket.on('message', (octets) => this.#take(octets));
            this.socket.on('error', () => {});
        } else {
            this.socket = transport === 'tls' ? connectTls({ host, port, ca, servername: 'localhost', localAddress: from }) : connectTcp({ host, port, localAddress: from, noDelay: true });
            const event = transport === 'tls' ? 'secureConnect' : 'connect';
            await within(PATIENCE, new Promise((resolve, reject) => this.socket.once('error', reject).once(event, resolve)), `no connection to ${host}:${port}`);
            this.socket.on('error', () => {});
            this.ended = new Promise((resolve) => this.socket.once('close', resolve));
            this.socket.on('data', (octets) => this.#takeStream(octets));
        }
    }

    /** The key of its credentials in the realm that the server named. */
    get key() {
        const { username, password } = this.#options;
        return createHash('md5').update(`${username}:${this.realm}:${password}`).digest();
    }

    get name() {
        return this.#options.username;
    }

    /** Other credentials from now on. */
    become({ username, password }) {
        Object.assign(this.#options, { username, password });
    }

    /** Sends octets as they are. */
    raw(octets) {
        this.sent += octets.length;
        if (this.#stream) this.socket.write(octets);
        else this.socket.send(octets);
    }

    /** Sends one request as it is told, and waits for its answer; null if there is none in `ms`. */
    async ask(method, attributes = [], { id = randomBytes(12), key, ms = PATIENCE, fingerprint } = {}) {
        const answered = new Promise((resolve) => {
            const take = (message) => {
                if (message.class < CLASS.success || !message.id.equals(id)) return false;
                this.#waiting.delete(take);
                resolve(message);
                return true;
            };
            this.#waiting.add(take);
        });
        this.raw(encode({ method, id, attributes: typeof attributes === 'function' ? attributes(id) : attributes, key, fingerprint }));
        return within(ms, answered, 'no answer').catch(() => null);
    }

    /** The same with credentials; begins with a request without, as clients do, and takes a new nonce once. */
    async request(method, attributes = [], options = {}) {
        if (!this.nonce) this.#challenge(await this.ask(method, attributes, { ms: options.ms }));
        const signed = () => this.ask(method, (id) => [
            ...(typeof attributes === 'function' ? attributes(id) : attributes),
            [ATTRIBUTE.username, this.name], [ATTRIBUTE.realm, this.realm], [ATTRIBUTE.nonce, this.nonce],
        ], { key: this.key, ...options });
        const answer = await signed();
        if (answer?.code !== 438) return answer;
        this.#challenge(answer);
        return signed();
    }

    #challenge(answer) {
        if (!answer?.get(ATTRIBUTE.nonce)) throw new Error(`no nonce in the answer: ${answer ? answer.code ?? 'a success' : 'there was none'}`);
        this.realm = String(answer.get(ATTRIBUTE.realm));
        this.nonce = answer.get(ATTRIBUTE.nonce);
    }

    /** Asks for a relay: the answer, which has the address in `relayed`. */
    async allocate({ family, lifetime, also = [], ...options } = {}) {
        const answer = await this.request(METHOD.allocate, [
            UDP, ...(family ? [[ATTRIBUTE.family, [family === 6 ? 2 : 1, 0, 0, 0]]] : []), ...(lifetime === undefined ? [] : [[ATTRIBUTE.lifetime, uint32(lifetime)]]), ...also,
        ], options);
        if (answer?.class === CLASS.success) this.relayed = answer.address(ATTRIBUTE.relayed);
        return answer;
    }

    refresh(lifetime, options) {
        return this.request(METHOD.refresh, [[ATTRIBUTE.lifetime, uint32(lifetime)]], options);
    }

    permit(ip, options) {
        return this.request(METHOD.permit, (id) => [[ATTRIBUTE.peer, address(ip, 0, id)]], options);
    }

    bind(channel, ip, port, options) {
        return this.request(METHOD.bind, (id) => [[ATTRIBUTE.channel, [channel >> 8, channel & 255, 0, 0]], [ATTRIBUTE.peer, address(ip, port, id)]], options);
    }

    /** A send indication. */
    send(ip, port, data) {
        const id = randomBytes(12);
        this.raw(encode({ method: METHOD.send, class: CLASS.indication, id, attributes: [[ATTRIBUTE.peer, address(ip, port, id)], [ATTRIBUTE.data, data]] }));
    }

    /** Channel data. */
    say(channel, data) {
        this.raw(channelData(channel, data, this.#stream));
    }

    /** The next data that comes, or null. */
    heard(ms) {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, ms, null);
            this.onData = (data) => {
                clearTimeout(timer);
                this.onData = () => {};
                resolve(data);
            };
        });
    }

    close() {
        if (this.#stream) return this.socket.destroy();
        // A socket that is closed already says so.
        try {
            this.socket.close();
        } catch {}
    }

    #takeStream(octets) {
        this.#rest = Buffer.concat([this.#rest, octets]);
        for (;;) {
            const rest = this.#rest;
            if (rest.length < 4) return;
            const length = rest[0] & 0xc0 ? 4 + Math.ceil(rest.readUInt16BE(2) / 4) * 4 : 20 + rest.readUInt16BE(2);
            if (rest.length < length) return;
            this.#rest = rest.subarray(length);
            this.#take(rest.subarray(0, length));
        }
    }

    #take(octets) {
        this.received += octets.length;
        if ((octets[0] & 0xc0) === 0x40) {
            return this.onData({ channel: octets.readUInt16BE(0), data: octets.subarray(4, 4 + octets.readUInt16BE(2)) });
        }
        const message = decode(octets);
        if (message?.method === METHOD.data && message.class === CLASS.indication) {
            return this.onData({ peer: message.address(ATTRIBUTE.peer), data: message.get(ATTRIBUTE.data) });
        }
        for (const take of this.#waiting) if (message && take(message)) return;
        this.strays.push(message ?? octets);
    }
}

/** Filled up to four octets where it goes by a stream. */
export function channelData(channel, data, stream = false) {
    const octets = Buffer.from(data);
    const framed = Buffer.alloc(4 + (stream ? Math.ceil(octets.length / 4) * 4 : octets.length));
    framed.writeUInt16BE(channel);
    framed.writeUInt16BE(octets.length, 2);
    octets.copy(framed, 4);
    return framed;
}

function attribute(type, value) {
    const octets = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    octets.writeUInt16BE(type);
    octets.writeUInt16BE(value.length, 2);
    value.copy(octets, 4);
    return octets;
}

/** RFC 8489 section 14.2; its own inverse. */
function xor(value, id) {
    const mask = Buffer.concat([uint32(COOKIE), id]);
    const octets = Buffer.from(value);
    for (let n = 2; n < octets.length; n++) octets[n] ^= mask[n < 4 ? n - 2 : n - 4];
    return octets;
}

function ipv6(text) {
    // The URL parser knows all notations, and answers with groups of hexadecimal digits.
    const [before, after = ''] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::');
    const groups = (part) => part.split(':').filter(Boolean).map((group) => parseInt(group, 16));
    const [high, low] = [groups(before), groups(after)];
    return Buffer.from([...high, ...Array(8 - high.length - low.length).fill(0), ...low].flatMap((group) => [group >> 8, group & 255]));
}

function uint32(value) {
    const octets = Buffer.alloc(4);
    octets.writeUInt32BE(value >>> 0);
    return octets;
}

function crc32(octets) {
    let crc = ~0;
    for (const octet of octets) {
        crc ^= octet;
        for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc >>> 0;
}
