// What a hostile server can do, put in front of an honest one: everything passes through here and may be changed, kept, invented or dropped.
// Without a `rewrite` it only writes down what was asked of the server.

import { request as ask } from 'node:http';
import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';

/**
 * @param {{ after: (fn: () => unknown) => void }} owner
 * @param {{ port: number }} server the honest one
 */
export async function relay(owner, server) {
    const state = {
        /** Plain HTTP requests as `Host METHOD path`. */
        requests: [],
        /** Signalling frames as `{ to: 'server' | 'client', id, frame }`, after rewriting. */
        frames: [],
        /**
         * Called for each frame on its way: `(frame, { to, id })`, where `id` is the client at our end. Returns the frames that go on instead.
         * @type {(frame: any, way: { to: 'server' | 'client', id: string }) => any[]}
         */
        rewrite: (frame) => [frame],
        /** Sends a frame to the client with this id, as if the server had. */
        inject(id, frame) {
            const socket = state.clients.get(id);
            if (!socket) throw new Error(`no client ${id} here`);
            socket.send(JSON.stringify(frame));
        },
        /** @type {Map<string, WebSocket>} */
        clients: new Map(),
    };
    const http = createServer((request, response) => {
        state.requests.push(`${request.headers.host} ${request.method} ${request.url}`);
        const onward = ask({ host: '127.0.0.1', port: server.port, method: request.method, path: request.url, headers: request.headers }, (answer) => {
            response.writeHead(answer.statusCode, answer.headers);
            answer.pipe(response);
        });
        onward.on('error', () => response.destroy());
        request.pipe(onward);
    });
    const sockets = new WebSocketServer({ noServer: true });
    http.on('upgrade', (request, socket, head) => {
        const { host, origin } = request.headers;
        const onward = new WebSocket(`ws://127.0.0.1:${server.port}${request.url}`, { headers: { host, ...(origin ? { origin } : {}) } });
        onward.once('error', () => socket.destroy());
        onward.once('open', () => sockets.handleUpgrade(request, socket, head, (client) => join(client, onward, request.url)));
        // What the server says at once must not be lost before the client's end exists.
        onward.early = [];
        onward.on('message', (data) => onward.early?.push(data));
    });

    function join(client, onward, url) {
        const id = new URL(url, 'http://x').searchParams.get('id');
        state.clients.set(id, client);
        const pass = (to, target) => (data) => {
            let frame;
            try {
                frame = JSON.parse(String(data));
            } catch {
                return void (target.readyState === WebSocket.OPEN && target.send(data));
            }
            if (to === 'server') frame.src ??= id;      // What the server would put there.
            for (const changed of state.rewrite(frame, { to, id })) {
                state.frames.push({ to, id, frame: changed });
                if (target.readyState === WebSocket.OPEN) target.send(JSON.stringify(changed));
            }
        };
        const toClient = pass('client', client);
        for (const data of onward.early) toClient(data);
        onward.early = null;
        onward.on('message', toClient);
        client.on('message', pass('server', onward));
        client.on('close', () => {
            if (state.clients.get(id) === client) state.clients.delete(id);
            onward.close();
        });
        onward.on('close', () => client.close());
        for (const end of [client, onward]) end.on('error', () => end.terminate());
    }

    await new Promise((resolve, reject) => http.once('error', reject).listen(0, '127.0.0.1', resolve));
    owner.after(() => {
        for (const client of sockets.clients) client.terminate();
        http.closeAllConnections();
        return new Promise((resolve) => http.close(resolve));
    });
    const { port } = http.address();
    return Object.assign(state, { port, url: `http://127.0.0.1:${port}` });
}
