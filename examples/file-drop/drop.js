// The page: a stock PeerJS peer that calls the receiver, and a list of what was dropped.

import { OPTIONS, Sender } from './sender.js';

const find = (id) => document.getElementById(id);
const receiver = decodeURIComponent(location.hash.slice(1)) || 'file-drop';
const server = new URL(new URLSearchParams(location.search).get('server') ?? 'http://127.0.0.1:9000');

/** @type {{ file: File, row: ReturnType<typeof show> }[]} */
const queue = [];
let wake = () => {};

const peer = new Peer({ host: server.hostname, port: Number(server.port) || (server.protocol === 'https:' ? 443 : 80), path: server.pathname, secure: server.protocol === 'https:' });
peer.on('open', () => void run());
peer.on('error', (error) => status('failed', error.type === 'peer-unavailable' ? `nobody receives as “${receiver}”` : error.type));

/** Sends what is dropped, for as long as the page is open; calls again when the connection is gone. */
async function run() {
    for (;;) {
        const connection = await call();
        const sender = new Sender(connection);
        while (connection.open) {
            if (queue.length === 0) {
                // A receiver hangs up on who has nothing to send for a minute: it is called when there is something.
                await Promise.race([new Promise((resolve) => { wake = resolve; }), new Promise((resolve) => connection.once('close', resolve))]);
                continue;
            }
            const { file, row } = queue[0];
            try {
                row.is('sending', 'asking');
                const { name, sha256 } = await sender.send(file, (sent) => row.sent(sent));
                row.is('done', name === file.name ? 'received' : `received as ${name}`, sha256);
                queue.shift();
            } catch (error) {
                if (!connection.open) {
                    row.is('waiting', 'the connection broke; goes on from here');
                    break;
                }
                row.is('failed', error.message);
                queue.shift();
            }
        }
        status('closed', 'not connected');
        if (queue.length === 0) await new Promise((resolve) => { wake = resolve; });
    }
}

async function call() {
    for (;;) {
        status('', 'connecting');
        const connection = peer.connect(receiver, OPTIONS);
        const open = await new Promise((resolve) => {
            connection.once('open', () => resolve(true));
            connection.once('close', () => resolve(false));
            connection.once('error', () => resolve(false));
            peer.once('error', () => resolve(false));
            setTimeout(resolve, 15_000, false);
        });
        if (open) {
            status('open', `connected to ${receiver}`);
            return connection;
        }
        connection.close();
        await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
}

function add(files) {
    for (const file of files) queue.push({ file, row: show(file) });
    wake();
}

/** A row of the list. */
function show(file) {
    const row = find('item').content.cloneNode(true).firstElementChild;
    const part = (name) => row.querySelector(name);
    part('.name').textContent = file.name;
    part('.size').textContent = octets(file.size);
    find('list').prepend(row);
    const fill = (share) => { part('.track i').style.width = `${share * 100}%`; };
    return {
        sent(count) {
            fill(file.size === 0 ? 1 : count / file.size);
            part('.state').textContent = `${octets(count)} sent`;
        },
        is(state, text, hash = '') {
            row.dataset.is = state;
            part('.state').textContent = text;
            part('.hash').textContent = hash && `SHA-256 ${hash.slice(0, 16)}…`;
            part('.hash').title = hash;
            if (state === 'done') fill(1);
        },
    };
}

function status(is, text) {
    find('status').dataset.is = is;
    find('status').textContent = text;
}

function octets(count) {
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    const unit = Math.min(units.length - 1, count < 1 ? 0 : Math.floor(Math.log10(count) / 3));
    return `${(count / 1000 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

const drop = find('drop');
for (const name of ['dragenter', 'dragover']) addEventListener(name, (event) => { event.preventDefault(); drop.classList.add('over'); });
for (const name of ['dragleave', 'drop']) addEventListener(name, (event) => { event.preventDefault(); drop.classList.remove('over'); });
addEventListener('drop', (event) => add(event.dataTransfer.files));
find('files').addEventListener('change', ({ target }) => { add(target.files); target.value = ''; });
