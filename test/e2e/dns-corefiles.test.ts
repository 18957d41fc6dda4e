/** Corefiles as people have them: each answer is the one on record (test/golden/dns-corefiles). */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { COREFILES } from "../dns-corefiles/corefiles.ts";

test("all Corefiles answer as recorded", () => {
  const main = join(import.meta.dirname, "../dns-corefiles/main.ts");
  const result = spawnSync(process.execPath, [main], { encoding: "utf8", timeout: 550_000 });
  assert.equal(result.status, 0, result.stdout + result.stderr);
  assert.match(result.stdout, new RegExp(`^${COREFILES.length} passed, 0 failed\n$`));
});
