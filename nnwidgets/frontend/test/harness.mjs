// Serves the harness: npm run harness, then open the address it prints. Needs npm run build first.
import { build } from "esbuild";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

async function bundle() {
  const made = await build({ entryPoints: [join(here, "harness.ts")], bundle: true, format: "esm", target: "es2022", write: false, external: ["*/compression_lab.js"] });
  // the bundle under test is fetched by its address on this server
  return made.outputFiles[0].text.replace("../../static/compression_lab.js", "/static/compression_lab.js");
}

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://x").pathname);
  try {
    const body = path === "/harness.js" ? await bundle() : await readFile(join(root, path === "/" ? "frontend/test/harness.html" : path));
    response.writeHead(200, { "content-type": `${types[extname(path)] ?? "text/html"}; charset=utf-8`, "cache-control": "no-store" });
    response.end(body);
  } catch (error) {
    response.writeHead(404).end(String(error));
  }
});
const port = Number(process.argv[2] ?? 8123);
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/frontend/test/harness.html`));
