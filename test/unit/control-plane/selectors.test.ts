/** Label and field selectors over objects. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApiObject } from "../../../src/control-plane/registry/json.ts";
import { parseFieldSelector, parseLabelSelector } from "../../../src/control-plane/registry/selectors.ts";
import { WIDGET } from "./widget.ts";

const object = (labels: Record<string, string>, colour = "red"): ApiObject => {
  return {
    apiVersion: "example.io/v1",
    kind: "Widget",
    metadata: { name: "a", namespace: "n", labels },
    spec: { colour },
  };
};

const LABELS: readonly [string, Record<string, string>, boolean][] = [
  ["", {}, true],
  ["a=1", { a: "1" }, true],
  ["a==1", { a: "2" }, false],
  ["a = 1", { a: "1" }, true],
  ["a!=1", {}, true],
  ["a!=1", { a: "1" }, false],
  ["a", { a: "" }, true],
  ["!a", { a: "" }, false],
  ["!a", {}, true],
  ["a in (1,2),b notin (3)", { a: "2" }, true],
  ["a in (1, 2),b notin (3)", { a: "2", b: "3" }, false],
  ["a notin (1)", {}, true],
  ["a=", { a: "" }, true],
  ["kubernetes.io/service-name=web,!x", { "kubernetes.io/service-name": "web" }, true],
  ["a>1", { a: "2" }, true],
  ["a<1", { a: "2" }, false],
  ["constructor", {}, false],
];

for (const [selector, labels, expected] of LABELS) {
  test(`labels: ${JSON.stringify(selector)} over ${JSON.stringify(labels)}`, () => {
    const parsed = parseLabelSelector(selector);
    assert.ok(parsed.ok);
    assert.equal(parsed.select(object(labels)), expected);
  });
}

for (const selector of ["a in 1", "a=b=c", "(a)", "a in (1", "-a=1", "a=!"]) {
  test(`labels: ${JSON.stringify(selector)} is refused`, () => {
    const parsed = parseLabelSelector(selector);
    assert.ok(!parsed.ok);
    assert.match(parsed.message, /^unable to parse requirement: /);
  });
}

const FIELDS: readonly [string, boolean][] = [
  ["", true],
  ["metadata.name=a", true],
  ["metadata.name==b", false],
  ["metadata.name=a,spec.colour!=blue", true],
  ["spec.colour!=red", false],
  ["metadata.namespace=", false],
  ["spec.colour=r\\,e\\=d", false],
];

for (const [selector, expected] of FIELDS) {
  test(`fields: ${JSON.stringify(selector)}`, () => {
    const parsed = parseFieldSelector(WIDGET, selector);
    assert.ok(parsed.ok);
    assert.equal(parsed.select(object({})), expected);
  });
}

test("fields: escapes are values", () => {
  const parsed = parseFieldSelector(WIDGET, "spec.colour=a\\,b\\=c\\\\d");
  assert.ok(parsed.ok);
  assert.equal(parsed.select(object({}, "a,b=c\\d")), true);
});

test("fields: unknown labels and text that is no selector are refused", () => {
  assert.deepEqual(parseFieldSelector(WIDGET, "spec.size=1"), {
    ok: false,
    message: "field label not supported: spec.size",
  });
  const odd = parseFieldSelector(WIDGET, "nonsense");
  assert.ok(!odd.ok);
});
