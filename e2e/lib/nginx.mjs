// A real nginx with somebody's configuration, put to where a test may listen and write.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { folder } from './peerage.mjs';
import { start } from './process.mjs';

/** Debian's lies where only root looks. */
const NGINX = process.env.NGINX ?? (existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx');

/**
 * Runs nginx with a `server` block; what it says of ports and paths is replaced first. Returns `{ url, port, proc }`.
 *
 * @param {string} block with `LISTEN` where the address goes
 */
export async function nginx(owner, block) {
    for (let tries = 5; ; tries--) {
        const port = await free();
        const root = folder(owner, 'nginx');
        mkdirSync(join(root, 'tmp'));
        const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${root}/tmp/${name};`);
        const file = join(root, 'nginx.conf');
        writeFileSync(file, `
            ${process.getuid() === 0 ? 'user root;' : ''}
            daemon off;
            worker_processes 1;
            pid ${root}/pid;
            error_log stderr notice;
            events {}
            http {
                include /etc/nginx/mime.types;
                access_log off;
                ${temporary.join('\n')}
                ${block.replace('LISTEN', `127.0.0.1:${port}`)}
            }`);
        const proc = start(owner, 'nginx', NGINX, ['-p', root, '-e', 'stderr', '-c', file]);
        try {
            await proc.printed(/start worker process \d+/);
            return { url: `http://127.0.0.1:${port}`, port, proc };
        } catch (error) {
            // Somebody was quicker.
            if (tries === 0 || !/Address already in use/.test(proc.output)) throw error;
        }
    }
}

function free() {
    return new Promise((resolve, reject) => {
        const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}
