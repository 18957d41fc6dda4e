/** The layer table of the design as a test: imports that go against it are failures. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative } from "node:path";
import { test } from "node:test";

const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  model: [],
  codec: ["model"],
  plan: ["model"],
  feed: ["model", "codec"],
  drivers: ["model", "codec"],
  agent: ["model", "codec", "plan", "feed", "drivers"],
  dns: ["model", "codec", "feed", "drivers"],
  "control-plane": ["model", "codec", "drivers"],
  lab: ["model", "codec", "plan", "feed", "drivers", "agent", "dns", "control-plane"],
  cli: ["model", "codec", "plan", "feed", "drivers", "agent", "dns", "control-plane", "lab"],
  bin: ["model", "codec", "plan", "feed", "drivers", "agent", "dns", "control-plane", "lab", "cli"],
};
const PURE = new Set(["model", "codec", "plan"]);
const PURE_NODE = new Set(["node:assert", "node:buffer"]);
const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/g;
const root = join(import.meta.dirname, "../..");

function layerOf(file: string): string {
  return file.split("/")[1] ?? "";
}

/** Imports that break the layer table, as "file -> specifier". */
export function badImports(files: ReadonlyMap<string, string>): readonly string[] {
  const bad: string[] = [];
  for (const [file, text] of files) {
    const from = layerOf(file);
    for (const match of text.matchAll(IMPORT)) {
      const specifier = match[1] ?? match[2] ?? "";
      if (specifier.startsWith(".")) {
        const target = posix.join(posix.dirname(file), specifier);
        const to = layerOf(target);
        // The one file that imports the addon, by its declaration.
        if (file === "src/drivers/addon.ts" && target === "native/addon.d.ts") continue;
        const allowed = to === from || (MAY_IMPORT[from] ?? []).includes(to);
        const inside =
          (from === "lab" || from === "cli") && /^src\/drivers\/[^/]+\/(?!index\.ts$)/.test(target);
        if (!allowed || !target.startsWith("src/") || inside) bad.push(`${file} -> ${specifier}`);
      } else if (PURE.has(from) && specifier.startsWith("node:") && !PURE_NODE.has(specifier)) {
        bad.push(`${file} -> ${specifier}`);
      }
    }
  }
  return bad;
}

function sources(): Map<string, string> {
  const files = new Map<string, string>();
  for (const entry of readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(root, path), readFileSync(path, "utf8"));
  }
  return files;
}

test("imports follow the layer table", () => {
  assert.deepEqual(badImports(sources()), []);
});

test("the check finds imports against the table", () => {
  const bad = badImports(
    new Map([
      ["src/plan/a.ts", 'import { x } from "../drivers/nftables/index.ts";'],
      ["src/model/b.ts", 'import fs from "node:fs";'],
      ["src/cli/c.ts", 'import { x } from "../drivers/nftables/linux.ts";'],
      ["src/agent/d.ts", 'import { x } from "../drivers/nftables/index.ts";'],
      ["src/drivers/addon.ts", 'import type { Addon } from "../../native/addon.d.ts";'],
      ["src/drivers/e.ts", 'import type { Addon } from "../../native/addon.d.ts";'],
    ]),
  );
  assert.equal(bad.length, 4);
});
