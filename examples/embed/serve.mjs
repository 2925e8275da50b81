// Bundles `src/main.ts` and serves this folder. `node serve.mjs [port]`

import { context } from 'esbuild';

const bundle = await context({ entryPoints: ['src/main.ts'], bundle: true, format: 'esm', target: 'es2022', outdir: 'dist' });
const { port } = await bundle.serve({ host: '127.0.0.1', port: Number(process.argv[2] ?? 5173), servedir: '.' });
console.log(`http://127.0.0.1:${port}/ by script tag, http://127.0.0.1:${port}/bundled.html by bundler`);
