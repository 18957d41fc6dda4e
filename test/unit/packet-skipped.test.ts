/** Packet cases that ipvs mode does not play: they exist, and the documentation names them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readCaseFile } from "../packet-cases/case-file.ts";
import { SKIPPED_IN_IPVS, whySkipped } from "../packet-cases/skipped.ts";

const ROOT = join(import.meta.dirname, "../..");

test("skipped cases are cases of ipvs mode, and documented", () => {
  const file = readCaseFile(join(ROOT, "test/cases/packet-cases.yaml"), "ipvs");
  const played = new Set(file.cases.flatMap(({ id, expect }) => (expect === undefined ? [] : [id])));
  const text = readFileSync(join(ROOT, "docs/differences.md"), "utf8");
  for (const id of SKIPPED_IN_IPVS.keys()) {
    assert.ok(played.has(id), `${id} is a case of ipvs mode`);
    assert.ok(text.includes(`\`${id}\``), `${id} is in docs/differences.md`);
    assert.equal(whySkipped(`${id}-v6`, "ipvs"), SKIPPED_IN_IPVS.get(id), "so is its twin");
    assert.equal(whySkipped(id, "nftables"), undefined);
  }
});
