// Builds dist/: the bundles of the expose page, which the tree keeps so that `cargo build` needs no Node, and the npm entry.
// The same sources give the same bytes: no source maps, no timestamps, no paths of the machine.
import { build } from 'esbuild';
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
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

// What the server embeds: small, classic scripts, so that a service worker and a page without modules can take them.
const pages = ['shell', 'worker', 'shim'].filter((name) => existsSync(path(`src/expose/${name}.ts`)));
await mkdir(path('dist'), { recursive: true });
await Promise.all([
  ...pages.map((name) =>
    build({ ...common, entryPoints: [`src/expose/${name}.ts`], format: 'iife', minify: true, outfile: `dist/${name}.js` }),
  ),
  build({ ...common, entryPoints: ['src/index.ts'], format: 'esm', outfile: 'dist/index.js' }),
  ...(await readdir(path('pages'))).map((file) => copyFile(path(`pages/${file}`), path(`dist/${file}`))),
]);
