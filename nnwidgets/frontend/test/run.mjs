// Bundles each test of test/unit for Node and hands them to Node's own runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const unit = join(dirname(fileURLToPath(import.meta.url)), "unit");
const out = mkdtempSync(join(tmpdir(), "nnwidgets-"));
try {
  const entryPoints = readdirSync(unit).filter((name) => name.endsWith(".test.ts")).map((name) => join(unit, name));
  await build({ entryPoints, outdir: out, bundle: true, platform: "node", format: "esm", target: "node20", outExtension: { ".js": ".mjs" }, logLevel: "warning" });
  const files = readdirSync(out).map((name) => join(out, name));
  process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
