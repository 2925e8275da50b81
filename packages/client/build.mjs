// Builds dist/: the bundles of the expose page, which the tree keeps so that `cargo build` needs no Node, and the npm entry.
// The same sources give the same bytes: no source maps, no timestamps, no paths of the machine.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const common = {
  absWorkingDir: path('.'),
  bundle: true,
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'warning',
  platform: 'browser',
  target: 'es2022',
};

await mkdir(path('dist'), { recursive: true });

// What the server embeds: small, classic scripts, so that a service worker and a page without modules can take them.
const script = (name, more = {}) => build({ ...common, entryPoints: [`src/expose/${name}.ts`], format: 'iife', minify: true, outfile: `dist/${name}.js`, ...more });
// What the package has: each of these is a module of its own, for `import`, for `require`, and for pages without a bundler.
const entries = { index: 'src/index.ts', rooms: 'src/rooms/index.ts', peerpyrtc: 'src/compat/peerpyrtc.ts' };
const globals = { peerage: 'src/index.global.ts', rooms: 'src/rooms/index.global.ts', peerpyrtc: 'src/compat/peerpyrtc.global.ts' };

await Promise.all([
  script('shell'),
  // A function that knows itself: the shim puts itself into the app's workers.
  script('shim', { banner: { js: '(function peerageShim(){' }, footer: { js: '})();' } }),
  // For pages with stock PeerJS: the server gives it as `ice.js`.
  build({ ...common, entryPoints: ['src/compat/peerjs-ice.global.ts'], format: 'iife', minify: true, outfile: 'dist/peerjs-ice.js' }),
  build({ ...common, entryPoints: entries, format: 'esm', outdir: 'dist' }),
  build({ ...common, entryPoints: entries, format: 'cjs', outdir: 'dist/cjs' }),
  // They define `Peerage`, and `WebRTCConnection`.
  ...Object.entries(globals).map(([name, entry]) => build({ ...common, entryPoints: [entry], format: 'iife', minify: true, outfile: `dist/${name}.global.js` })),
  ...(await readdir(path('pages'))).map((file) => copyFile(path(`pages/${file}`), path(`dist/${file}`))),
]);

// Below it `.js` and `.d.ts` are CommonJS.
await writeFile(path('dist/cjs/package.json'), '{ "type": "commonjs" }\n');

// The worker keeps the files of the page. A browser fetches them anew only when the worker itself differs, so it carries their digests.
const digests = {};
for (const file of ['shell.html', 'shell.css', 'shell.js', 'shim.js']) digests[file] = createHash('sha256').update(await readFile(path(`dist/${file}`))).digest('hex');
await script('worker', { define: { PEERAGE_FILES: JSON.stringify(digests) } });
