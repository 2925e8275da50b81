// The page from this folder, as any static server would. `node serve.mjs [port]`

import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };

/** Listens on loopback; resolves with the address. */
export async function serve(port) {
    const server = createServer((request, response) => {
        const path = normalize(new URL(request.url, 'http://page').pathname).replace(/\/$/, '/index.html');
        const type = TYPES[extname(path)];
        if (!type || !statSync(join(HERE, path), { throwIfNoEntry: false })?.isFile()) return void response.writeHead(404).end('not found\n');
        response.writeHead(200, { 'content-type': type });
        createReadStream(join(HERE, path)).pipe(response);
    });
    await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${server.address().port}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await serve(Number(process.argv[2] ?? 5174)));
