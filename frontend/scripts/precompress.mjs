// Writes a .gz beside every text asset of the build: the backend's web server serves files as they are and cannot
// compress while serving.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { constants, gzipSync } from "node:zlib";

const TEXT = new Set([".html", ".js", ".css", ".svg", ".json", ".txt", ".map", ".webmanifest"]);
const root = process.argv[2];
if (!root) {
  console.error("usage: precompress.mjs DIRECTORY");
  process.exit(2);
}

let plain = 0;
let packed = 0;
for (const entry of readdirSync(root, { recursive: true })) {
  const path = join(root, entry.toString());
  if (!statSync(path).isFile() || !TEXT.has(extname(path))) continue;
  const bytes = readFileSync(path);
  const gz = gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION });
  if (gz.length >= bytes.length) continue;
  writeFileSync(`${path}.gz`, gz);
  plain += bytes.length;
  packed += gz.length;
}
console.log(`precompressed ${plain} bytes to ${packed}`);
