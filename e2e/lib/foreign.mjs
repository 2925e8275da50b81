// Other WebRTC stacks that speak PeerJS: processes with one set of arguments and one way to say what happens, written in `../foreign/aiortc_peer.py`.

import { join } from 'node:path';
import { installed } from './apps.mjs';
import { ROOT } from './peerage.mjs';
import { start } from './process.mjs';

const FOREIGN = join(ROOT, 'e2e', 'foreign');

/** Each stack: how it is started, and the longest message that it takes. Before 1.16, aiortc starts SCTP only as the controlling side of ICE. */
export const STACKS = {
    'aiortc 1.16': { command: python('aiortc'), longest: 65_535 },
    'aiortc 1.15': { command: python('aiortc-1-15'), longest: 65_535 },
    libdatachannel: { command: async () => [process.execPath, join(FOREIGN, 'libdatachannel_peer.mjs')], longest: 262_144 },
};

function python(environment) {
    return async () => [join(await installed(environment), 'python'), join(FOREIGN, 'aiortc_peer.py')];
}

/** Starts a peer of this stack, and waits until the server knows it. */
export async function foreign(owner, stack, server, id, ...args) {
    const { command, longest } = STACKS[stack];
    const [program, ...first] = await command();
    const proc = start(owner, stack, program, [...first, `${server.port}`, id, '--sizes', `1,1200,16384,${longest}`, ...args]);
    await proc.printed(/^ready /m);
    return proc;
}
