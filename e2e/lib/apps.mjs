// Real applications: installed by name in the versions of ../apps/, started as their own documentation says, with nothing set for us.

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { folder, ROOT } from './peerage.mjs';
import { start } from './process.mjs';

const run = promisify(execFile);
const OUT = join(ROOT, 'e2e', 'out', 'apps');

export const PASSWORD = 'lovelace-1843';

/** copyparty, a file server with accounts: `{ url, root }`. One account may do everything, a stranger sees nothing. */
export async function copyparty(owner) {
    const bin = await installed('copyparty');
    const [root, home, port] = [folder(owner, 'files'), folder(owner, 'home'), await freePort()];
    const proc = start(owner, 'copyparty', join(bin, 'copyparty'), ['-i', '127.0.0.1', '-p', `${port}`, '-a', `ada:${PASSWORD}`, '-v', `${root}::A,ada`], { env: { ...process.env, HOME: home } });
    await proc.printed(/listening @/);
    return { proc, root, url: `http://127.0.0.1:${port}` };
}

/** JupyterLab, where people program and use a terminal in the browser: `{ url, root }`. */
export async function jupyterlab(owner) {
    const bin = await installed('jupyterlab');
    const [root, home] = [folder(owner, 'notebooks'), folder(owner, 'home')];
    // A setting for people who use a screen reader: the terminal, which is a canvas, has its text beside it. So a test can read it, too.
    const settings = join(home, '.jupyter', 'lab', 'user-settings', '@jupyterlab', 'terminal-extension');
    mkdirSync(settings, { recursive: true });
    writeFileSync(join(settings, 'plugin.jupyterlab-settings'), '{ "screenReaderMode": true }');
    const env = { ...process.env, HOME: home, PATH: `${bin}${delimiter}${process.env.PATH}`, SHELL: '/bin/bash', JUPYTER_TOKEN: PASSWORD };
    const proc = start(owner, 'jupyterlab', join(bin, 'jupyter'), ['lab', '--no-browser', '--port=0', '--allow-root'], { env, cwd: root });
    const [, port] = await proc.printed(/http:\/\/127\.0\.0\.1:(\d+)/);
    return { proc, root, url: `http://127.0.0.1:${port}` };
}

/** py-media-server, a video library with a player of its own, and in it one film: `{ url }`. */
export async function mediaServer(owner) {
    const bin = await installed('py-media-server');
    const [root, port] = [folder(owner, 'films'), await freePort()];
    await film(join(root, 'Seconds.webm'));
    const proc = start(owner, 'py-media-server', join(bin, 'py-media-server'), [root, '--host', '127.0.0.1', '--port', `${port}`], { env: { ...process.env, PYTHONUNBUFFERED: '1' } });
    await proc.printed(/Media Server running/);
    return { proc, root, url: `http://127.0.0.1:${port}` };
}

export const FILM_SECONDS = 64;

/**
 * A film that tells its own position: along the top edge six squares of 32 pixels show the second as a binary number, lowest bit first.
 * Below them it is noise, so that its 20 MB cannot be had all at once.
 */
async function film(into) {
    const cached = join(OUT, 'seconds.webm');
    if (!existsSync(cached)) {
        mkdirSync(OUT, { recursive: true });
        const bits = [0, 1, 2, 3, 4, 5].map((bit) => `drawbox=x=${32 * bit}:y=0:w=32:h=32:color=white:t=fill:enable='eq(mod(floor(t/${1 << bit}),2),1)'`);
        const picture = ['noise=alls=30:allf=t', 'drawbox=x=0:y=0:w=iw:h=32:color=black:t=fill', ...bits].join(',');
        const part = `${cached}.part.webm`;
        await run('ffmpeg', ['-v', 'error', '-y', '-f', 'lavfi', '-i', `testsrc2=size=640x360:rate=12:duration=${FILM_SECONDS}`, '-vf', picture,
            '-c:v', 'libvpx', '-b:v', '3M', '-minrate', '3M', '-maxrate', '3M', '-deadline', 'realtime', '-cpu-used', '8', '-g', '24', part]);
        renameSync(part, cached);
    }
    writeFileSync(into, readFileSync(cached));
}

/** The `bin` folder of an environment with exactly what a list names, `../apps/NAME.txt` if no other one is given; made once for each content of that list. */
export async function installed(name, list = join(ROOT, 'e2e', 'apps', `${name}.txt`)) {
    const [into, wanted] = [join(OUT, name), readFileSync(list, 'utf8')];
    const mark = join(into, 'installed.txt');
    if (!existsSync(mark) || readFileSync(mark, 'utf8') !== wanted) {
        rmSync(into, { recursive: true, force: true });
        await run('python3', ['-m', 'venv', into]);
        await run(join(into, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', '--no-deps', '-r', list]);
        writeFileSync(mark, wanted);
    }
    return join(into, 'bin');
}

/** A port that was free a moment ago, for programs that cannot choose one themselves. */
async function freePort() {
    const server = createServer();
    await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}
