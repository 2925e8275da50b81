// Statements of docs/protocol/identity.md, written from that page alone: what an attacker would have.

import { createHash, createSign, createVerify, generateKeyPairSync, createHmac, hkdfSync } from 'node:crypto';

const OFFER = ['context', 'key', 'fingerprint', 'from', 'to', 'connection', 'label', 'kid', 'time', 'nonce', 'reply'];
const FIELDS = {
    'peerage/1 offer': OFFER,
    'peerage/1 answer': OFFER,
    'peerage/1 refusal': ['context', 'key', 'from', 'to', 'connection', 'code', 'time', 'nonce', 'reply'],
    'peerage/1 register': ['context', 'key', 'host', 'id', 'token', 'time'],
};

/** The fields of a statement's bytes, by name, as buffers. */
export function fields(bytes) {
    const values = [];
    for (let at = 0; at < bytes.length;) {
        const length = bytes.readUInt16BE(at);
        values.push(bytes.subarray(at + 2, at + 2 + length));
        at += 2 + length;
    }
    return Object.fromEntries(FIELDS[String(values[0])].map((name, n) => [name, values[n]]));
}

/** The bytes of a statement; text is taken as UTF-8. */
export function statement(values) {
    return Buffer.concat(FIELDS[String(values.context)].flatMap((name) => {
        const value = Buffer.from(values[name]);
        const length = Buffer.alloc(2);
        length.writeUInt16BE(value.length);
        return [length, value];
    }));
}

/** A signing key of one's own: its 65-byte point, the id it stands for, and its signature as raw r and s. */
export function signer() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-65);
    return {
        point,
        id: base32(createHash('sha256').update(point).digest()),
        sign: (bytes) => createSign('sha256').update(bytes).sign({ key: privateKey, dsaEncoding: 'ieee-p1363' }),
        verify: (bytes, signature) => createVerify('sha256').update(bytes).verify({ key: publicKey, dsaEncoding: 'ieee-p1363' }, signature),
    };
}

/** What the secret of a link gives: the link's name, and a MAC over a statement. */
export function proof(secret, device) {
    const derive = (info, octets) => Buffer.from(hkdfSync('sha256', secret, '', info, octets));
    const key = derive(Buffer.from(`peerage/1 mac\0${device}`), 32);
    return { kid: derive('peerage/1 kid', 8), mac: (bytes) => createHmac('sha256', key).update(bytes).digest() };
}

/** The `peerage` member of a payload, taken apart; and put together again. */
export const unwrap = (member) => fields(Buffer.from(member.statement, 'base64'));
export const wrap = (values, signer, more = {}) => {
    const bytes = statement(values);
    return { ...more, statement: bytes.toString('base64'), signature: signer.sign(bytes).toString('base64') };
};

/** A time as statements have it. */
export function time(ms = Date.now()) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(ms));
    return bytes;
}

export function base32(bytes) {
    let bits = '';
    for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
    return bits.match(/.{1,5}/g).map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five.padEnd(5, '0'), 2)]).join('');
}
