/** Input made to be slow or large is answered in time that grows with its length. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json } from "../../../src/control-plane/registry/json.ts";
import { parseJson } from "../../../src/control-plane/registry/json-parser.ts";
import { validateMetadata } from "../../../src/control-plane/registry/metadata.ts";
import { jsonPatch, PatchError } from "../../../src/control-plane/registry/patches.ts";
import { bytes, list, message, quantity } from "../../../src/control-plane/registry/schema.ts";
import { parseFieldSelector, parseLabelSelector } from "../../../src/control-plane/registry/selectors.ts";
import { readShape, ShapeError } from "../../../src/control-plane/registry/shape.ts";
import { strategicMerge } from "../../../src/control-plane/registry/strategic-merge.ts";
import { WIDGET } from "./widget.ts";

/** Far above what any of these needs, far below what quadratic time needs. */
const LIMIT_MS = 3_000;
const LONG = 2_000_000;
const MANY = 30_000;

const many = (make: (index: number) => Json): Json[] =>
  Array.from({ length: MANY }, (_, index) => make(index));
const THING = message("x.Thing", "", {
  size: quantity(1, ""),
  data: bytes(2, ""),
  names: list(3, "string", "", { patchStrategy: "merge" }),
});

const CASES: Readonly<Record<string, () => void>> = {
  "a long name": () =>
    void validateMetadata(WIDGET, { name: `${"a".repeat(LONG)}_`, namespace: `${"-".repeat(LONG)}` }),
  "long labels": () =>
    void validateMetadata(WIDGET, {
      name: "a",
      namespace: "n",
      labels: { [`${"a".repeat(LONG)}!`]: `${"a".repeat(LONG)}!` },
    }),
  "many finalizers": () =>
    void validateMetadata(WIDGET, {
      name: "a",
      namespace: "n",
      finalizers: many((index) => `x.io/${index}`) as string[],
    }),
  "a selector of commas": () => void parseLabelSelector(",".repeat(64_000)),
  "a selector of parentheses": () => void parseLabelSelector("a in (".repeat(10_000)),
  "a selector of blanks": () => void parseLabelSelector(`a${" ".repeat(60_000)}b`),
  "a field selector of escapes": () => void parseFieldSelector(WIDGET, "\\,".repeat(30_000)),
  "a long quantity": () =>
    assert.throws(() => readShape(THING, { size: `${"1".repeat(LONG)}x` }), ShapeError),
  "long base64": () => void readShape(THING, { data: "QUFB".repeat(LONG / 4) }),
  "deep JSON": () => assert.equal(parseJson('[{"a":'.repeat(LONG / 10)).ok, false),
  "a long string": () => assert.equal(parseJson(`"${"\\\\".repeat(LONG)}`).ok, false),
  "a merge of long lists": () => {
    const parts = many((index) => ({ name: `p${index}` }));
    const order = many((index) => ({ name: `p${MANY - index}` }));
    void strategicMerge(
      { spec: { parts } },
      { spec: { parts, "$setElementOrder/parts": order } },
      WIDGET.schema,
    );
  },
  "a merge of long primitive lists": () =>
    void strategicMerge(
      { names: many(String) },
      { names: many((index) => String(index + 7)), "$deleteFromPrimitiveList/names": many(String) },
      THING,
    ),
  "a patch whose copies double": () => {
    const doubling = Array.from({ length: 40 }, () => ({ op: "copy", from: "/a", path: "/a/-" }));
    assert.throws(
      () => jsonPatch({ a: ["xxxxxxxx"] }, doubling),
      (error) => error instanceof PatchError && /copies more/.test(error.message),
    );
  },
};

for (const [name, run] of Object.entries(CASES)) {
  test(name, () => {
    const startedMs = performance.now();
    run();
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs < LIMIT_MS, `took ${Math.round(tookMs)} ms`);
  });
}
