/** The error catalogue and its documentation list the same codes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ERRORS } from "../../src/model/errors.ts";

test("docs/errors.md lists exactly the codes of the catalogue", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/errors.md"), "utf8");
  const documented = [...text.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1]);
  assert.deepEqual(documented.toSorted(), Object.keys(ERRORS).toSorted());
});
