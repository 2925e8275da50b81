// A PeerJS peer on libdatachannel, for `../lib/foreign.mjs`; what it does and prints is written in `aiortc_peer.py`, whose twin it is.

import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import nodeDataChannel from 'node-datachannel';
import WebSocket from 'ws';

const TEXT = 'tëxt ✓';
const LABEL = 'called by libdatachannel';

const { values: options, positionals: [port, id] } = parseArgs({
    allowPositionals: true,
    options: {
        call: { type: 'string' },
        reliable: { type: 'boolean', default: false },
        sizes: { type: 'string', default: '1,1200,16384,65535' },
        then: { type: 'string', default: 'wait' },
    },
});

const tell = (...what) => console.log(...what);
const octets = (size) => Buffer.from(Uint8Array.from({ length: size }, (_, n) => (n * 31 + size) % 251));

let pc, connection, other;
const early = [];
const socket = new WebSocket(`ws://127.0.0.1:${port}/peerjs?key=peerjs&id=${id}&token=t`);
socket.on('message', (text) => handle(JSON.parse(text)));
socket.on('close', () => process.exit(1));

function send(type, payload) {
    socket.send(JSON.stringify({ type, payload: { ...payload, type: 'data', connectionId: connection }, dst: other }));
}

function open() {
    pc = new nodeDataChannel.PeerConnection(id, { iceServers: [] });
    pc.onStateChange((state) => tell('state', state));
    pc.onLocalDescription((sdp, type) => {
        const more = type === 'offer' ? { label: LABEL, metadata: { by: 'libdatachannel' }, reliable: options.reliable, serialization: 'raw' } : {};
        send(type.toUpperCase(), { sdp: { sdp, type }, ...more });
    });
    pc.onLocalCandidate((candidate, sdpMid) => send('CANDIDATE', { candidate: { candidate, sdpMid, sdpMLineIndex: 0 } }));
}

function handle({ type, payload, src }) {
    if (type === 'OPEN') {
        tell('ready', id);
        if (!options.call) return;
        [connection, other] = [`dc_${randomUUID()}`, options.call];
        open();
        use(pc.createDataChannel(LABEL, { unordered: !options.reliable }));
    } else if (type === 'OFFER') {
        [connection, other] = [payload.connectionId, src];
        const { label, metadata = null, reliable, serialization } = payload;
        tell('offer', JSON.stringify({ label, metadata, reliable, serialization }));
        open();
        pc.onDataChannel(use);
        apply(payload.sdp);
    } else if (type === 'ANSWER') {
        apply(payload.sdp);
    } else if (type === 'CANDIDATE') {
        early.push(payload.candidate);
        if (pc?.remoteDescription()) candidates();
    } else {
        tell('frame', JSON.stringify({ type, payload }));
    }
}

function apply({ sdp, type }) {
    pc.setRemoteDescription(sdp, type);
    candidates();
}

function candidates() {
    for (const { candidate, sdpMid } of early.splice(0)) pc.addRemoteCandidate(candidate, sdpMid ?? '0');
}

function use(channel) {
    const received = [];
    let wake = () => {};
    const next = async () => {
        while (received.length === 0) await new Promise((resolve) => { wake = resolve; });
        return received.shift();
    };
    channel.onMessage((message) => { received.push(message); wake(); });
    channel.onClosed(() => { tell('closed'); pc.close(); finish(); });
    if (channel.isOpen()) talk(channel, next);
    else channel.onOpen(() => talk(channel, next));
}

async function talk(channel, next) {
    tell('open', JSON.stringify({ label: channel.getLabel() }));
    if (!options.call) tell('greeted', await next());
    const sent = [TEXT, ...options.sizes.split(',').map(Number).map(octets)];
    for (const one of ['', Buffer.alloc(0), ...sent]) {
        if (typeof one === 'string') channel.sendMessage(one);
        else channel.sendMessageBinary(one);
    }
    const back = [];
    while (back.length < sent.length) back.push(await next());
    const seen = (list) => list.map((one) => typeof one === 'string' ? `text ${one}` : `bytes ${one.toString('hex')}`);
    const [a, b] = [seen(sent), seen(back)];
    const same = (options.reliable || !options.call ? a.join() === b.join() : true) && a.sort().join() === b.sort().join();
    tell(same ? 'same' : 'different', back.length);
    if (options.then === 'close') { pc.close(); finish(); }
    if (options.then === 'reset') channel.close();
    if (options.then === 'ask') channel.sendMessage('close');
}

/** The library's threads keep a process alive; its last words are on their way after a turn. */
function finish() {
    setImmediate(() => {
        nodeDataChannel.cleanup();
        process.exit(0);
    });
}
