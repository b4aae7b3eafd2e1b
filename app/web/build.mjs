// Bundle the program: `node build.mjs` writes dist, `--check` fails where it is not what it would write.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';

const { outputFiles } = await build({
  entryPoints: ['src/ahead.ts', 'src/page.ts', 'src/offline.ts'],
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  outdir: 'dist',
  write: false,
});
const wanted = new Map(
  outputFiles.map(({ path, contents }) => {
    const hash = createHash('sha256').update(contents).digest('hex').slice(0, 12);
    const name = path.split(/[\\/]/).pop().replace('.js', `-${hash}.js`);
    return [name, Buffer.from(contents)];
  }),
);
await mkdir('dist', { recursive: true });
const there = await readdir('dist');
const old = there.filter((name) => !wanted.has(name));
if (process.argv.includes('--check')) {
  const missing = [...wanted.keys()].filter((name) => !there.includes(name));
  for (const [name, contents] of wanted) {
    if (there.includes(name) && !contents.equals(await readFile(`dist/${name}`)))
      missing.push(name);
  }
  if (missing.length || old.length) {
    console.error('app/web/dist is not what its sources make: run `npm run build` in app/web.');
    process.exit(1);
  }
} else {
  for (const name of old) await rm(`dist/${name}`);
  for (const [name, contents] of wanted) await writeFile(`dist/${name}`, contents);
}
for (const [name, contents] of wanted) console.log(`${name}  ${contents.length} bytes`);
