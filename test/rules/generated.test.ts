/** Generated files are made from the contract as it is now. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");

test("src/codec/stream/generated is current (else run: sh proto/generate.sh)", () => {
  const contract = readFileSync(join(root, "proto/nodeplane/v1/nodestream.proto"));
  const kept = readFileSync(join(root, "src/codec/stream/generated/nodestream.proto.sha256"), "utf8").trim();
  assert.equal(createHash("sha256").update(contract).digest("hex"), kept);
});
