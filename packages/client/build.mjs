// Builds dist/: the bundles of the expose page, which the tree keeps so that `cargo build` needs no Node, and the npm entry.
// The same sources give the same bytes: no source maps, no timestamps, no paths of the machine.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
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
await Promise.all([
  script('shell'),
  // A function that knows itself: the shim puts itself into the app's workers.
  script('shim', { banner: { js: '(function peerageShim(){' }, footer: { js: '})();' } }),
  // For pages with stock PeerJS: the server gives it as `ice.js`.
  build({ ...common, entryPoints: ['src/compat/peerjs-ice.global.ts'], format: 'iife', minify: true, outfile: 'dist/peerjs-ice.js' }),
  build({ ...common, entryPoints: ['src/index.ts'], format: 'esm', outfile: 'dist/index.js' }),
  // For pages without a bundler: `<script src="peerage.global.js">` defines `Peerage`.
  build({ ...common, entryPoints: ['src/index.ts'], format: 'iife', globalName: 'Peerage', minify: true, outfile: 'dist/peerage.global.js' }),
  ...(await readdir(path('pages'))).map((file) => copyFile(path(`pages/${file}`), path(`dist/${file}`))),
]);

// The worker keeps the files of the page. A browser fetches them anew only when the worker itself differs, so it carries their digests.
const digests = {};
for (const file of ['shell.html', 'shell.css', 'shell.js', 'shim.js']) digests[file] = createHash('sha256').update(await readFile(path(`dist/${file}`))).digest('hex');
await script('worker', { define: { PEERAGE_FILES: JSON.stringify(digests) } });
