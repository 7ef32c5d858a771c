// Serves the harness: npm run harness, then open the addresses it prints. Needs npm run build first. A port may be named; 0 is any.
import { build } from "esbuild";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

const pages = { "/harness.js": ["harness.ts", "compression_lab.js"], "/explorer.js": ["explorer.ts", "layer_explorer.js"], "/analysis.js": ["analysis.ts", "error_analysis.js"] };

async function bundle([entry, widget]) {
  const made = await build({ entryPoints: [join(here, entry)], bundle: true, format: "esm", target: "es2022", write: false, external: [`*/${widget}`] });
  // the bundle under test is fetched by its address on this server
  return made.outputFiles[0].text.replace(`../../static/${widget}`, `/static/${widget}`);
}

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://x").pathname);
  try {
    const body = pages[path] ? await bundle(pages[path]) : await readFile(join(root, path === "/" ? "frontend/test/harness.html" : path));
    response.writeHead(200, { "content-type": `${types[extname(path)] ?? "text/html"}; charset=utf-8`, "cache-control": "no-store" });
    response.end(body);
  } catch (error) {
    response.writeHead(404).end(String(error));
  }
});
const port = Number(process.argv[2] ?? 8123);
server.listen(port, "127.0.0.1", () => {
  for (const page of ["harness", "explorer", "analysis"]) console.log(`http://127.0.0.1:${server.address().port}/frontend/test/${page}.html`);
});
