// Sockets of a machine of a lab, told over the IPC channel what to do (`Host.sockets` in `lab.mjs`).

import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const sockets = [];

const verbs = {
    udp: (family) => new Promise((resolve, reject) => {
        const socket = createSocket(`udp${family}`);
        const entry = { socket, queue: [], waiting: [] };
        socket.on('message', (data, { address, port }) => {
            const message = { text: String(data), address, port };
            const next = entry.waiting.shift();
            if (next) next(message);
            else entry.queue.push(message);
        });
        // Only its first one is a failure: ICMP may tell of others.
        socket.once('error', reject).bind(0, () => {
            socket.on('error', () => {});
            resolve({ id: sockets.push(entry) - 1, port: socket.address().port });
        });
    }),
    send: (id, text, address, port) => new Promise((resolve, reject) => {
        sockets[id].socket.send(text, port, address, (error) => (error ? reject(error) : resolve()));
    }),
    received: (id, ms) => new Promise((resolve) => {
        const { queue, waiting } = sockets[id];
        if (queue.length) return resolve(queue.shift());
        const timer = setTimeout(() => {
            waiting.splice(waiting.indexOf(take), 1);
            resolve(null);
        }, ms);
        const take = (message) => {
            clearTimeout(timer);
            resolve(message);
        };
        waiting.push(take);
    }),
    mirror: (family, port) => new Promise((resolve, reject) => {
        const server = createServer((socket) => socket.on('error', () => {}).end(JSON.stringify({ address: socket.remoteAddress.replace('::ffff:', ''), port: socket.remotePort })));
        server.once('error', reject).listen(port, family === 6 ? '::' : '0.0.0.0', () => resolve(server.address().port));
    }),
    reflection: (address, port, ms) => new Promise((resolve, reject) => {
        const socket = connect({ port, host: address, timeout: ms });
        let text = '';
        socket.on('data', (data) => { text += data; });
        socket.on('end', () => resolve(JSON.parse(text)));
        socket.on('timeout', () => socket.destroy(new Error(`no answer from ${address} in ${ms} ms`)));
        socket.on('error', reject);
    }),
};

process.on('message', async ({ n, verb, args }) => {
    try {
        process.send({ n, result: await verbs[verb](...args) });
    } catch (error) {
        process.send({ n, error: error.message });
    }
});
process.on('disconnect', () => process.exit());
