// Bundles each widget (src/<name>.tsx and its style) into ../static/<name>.js and .css, minified, and prints the sizes.
import { context, build } from "esbuild";
import { mkdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "static");
const STYLES = { compression_lab: "src/style.css", layer_explorer: "src/explorer.css", error_analysis: "src/analysis.css" };
const LIMIT = 100_000; // bytes: anywidget sends _esm again for each instance
mkdirSync(out, { recursive: true });

const options = {
  absWorkingDir: here,
  entryPoints: Object.fromEntries(Object.keys(STYLES).map((name) => [name, `src/${name}.tsx`])),
  outdir: out,
  bundle: true,
  format: "esm",
  target: ["es2022", "chrome110", "firefox115", "safari16"],
  minify: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  loader: { ".css": "css" },
};
const style = { ...options, entryPoints: STYLES };

if (process.argv.includes("--watch")) {
  for (const each of [options, style]) await (await context(each)).watch();
} else {
  await Promise.all([build(options), build(style)]);
  for (const name of Object.keys(STYLES).flatMap((each) => [`${each}.js`, `${each}.css`])) {
    const path = join(out, name);
    const size = statSync(path).size;
    console.log(`${relative(here, path)}  ${(size / 1000).toFixed(1)} kB, ${(gzipSync(readFileSync(path)).length / 1000).toFixed(1)} kB gzipped`);
    if (size > LIMIT) throw new Error(`${name} has ${size} bytes; the limit is ${LIMIT}`);
  }
}
