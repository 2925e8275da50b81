// Everything on this machine: the page, a server, and a receiver that asks here. `node start.mjs [port]`; `peerage` from the PATH, or from $PEERAGE.

import { spawn } from 'node:child_process';
import { serve } from './serve.mjs';

const peerage = process.env.PEERAGE ?? 'peerage';
const run = (...args) => spawn(peerage, args, { stdio: ['inherit', 'pipe', 'inherit'] }).on('error', (error) => {
    console.error(`${peerage}: ${error.message}. Is it on the PATH? PEERAGE=path/to/peerage npm start names another one.`);
    process.exit(1);
});

const server = run('serve', '--no-turn');
process.on('exit', () => server.kill());
process.on('SIGINT', () => process.exit(130));
await new Promise((resolve) => server.stdout.once('data', resolve));
const receiver = run('receive', '--anyone', '--id', 'file-drop', '--into', 'received');
receiver.stdout.pipe(process.stdout);
receiver.on('exit', (code) => process.exit(code ?? 1));
const page = await serve(Number(process.argv[2] ?? 5174));
console.log(`Drop  ${page}/\n`);
