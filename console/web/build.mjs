// Writes the console's files into dist, or into the directory that is named: node build.mjs [DIR].
// The same sources and the same versions (package-lock.json) give the same bytes on every machine.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

const here = import.meta.dirname;
const out = path.resolve(process.argv[2] ?? path.join(here, 'dist'));

await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.tsx' },
  outdir: out,
  bundle: true,
  format: 'esm',
  target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  minify: true,
  charset: 'utf8',
  legalComments: 'none', // licenses.txt has them whole.
  banner: { js: '// Licences: licenses.txt' },
  logLevel: 'warning',
});
for (const name of ['index.html', 'icon.svg']) {
  await copyFile(path.join(here, 'src', name), path.join(out, name));
}
const packages = Object.keys(JSON.parse(await readFile(path.join(here, 'package.json'), 'utf8')).dependencies);
const licenses = packages.map(async (name) => {
  const text = await readFile(path.join(here, 'node_modules', name, 'LICENSE'), 'utf8');
  return `app.js holds ${name}, under this licence:\n\n${text.trim()}\n`;
});
await writeFile(path.join(out, 'licenses.txt'), (await Promise.all(licenses)).join('\n'));
