/** Bodies against a schema: unknown fields, wrong types, times. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json, JsonObject } from "../../../src/control-plane/registry/json.ts";
import { META } from "../../../src/control-plane/registry/meta-schema.ts";
import {
  anyJson,
  bool,
  bytes,
  int32,
  intOrString,
  list,
  map,
  message,
  microTime,
  quantity,
  ref,
  string,
  time,
} from "../../../src/control-plane/registry/schema.ts";
import { readShape, ShapeError } from "../../../src/control-plane/registry/shape.ts";

const INLINE = message("io.x.v1.Source", "", { path: string(1, "") });
const SPEC = message("io.x.v1.Spec", "", {
  name: string(1, ""),
  flag: bool(2, ""),
  count: int32(3, ""),
  at: time(4, ""),
  exact: microTime(5, ""),
  target: intOrString(6, ""),
  size: quantity(7, ""),
  data: bytes(8, ""),
  free: anyJson(9, ""),
  names: list(10, "string", ""),
  items: list(11, message("io.x.v1.Item", "", { port: int32(1, "") }), ""),
  labels: map(12, "string", ""),
  source: ref(13, INLINE, "", { inline: true }),
});
const OBJECT = message("io.x.v1.Thing", "", { metadata: META, spec: ref(2, SPEC, "") });

const read = (spec: Json): { value: JsonObject; unknown: readonly string[] } =>
  readShape(OBJECT, { apiVersion: "x/v1", kind: "Thing", spec });

test("unknown fields are left out and named by their path", () => {
  const { value, unknown } = read({
    foo: 1,
    items: [{ port: 1 }, { port: 2, bar: {} }],
    path: "/inlined",
    source: {},
  });
  assert.deepEqual(unknown, ["spec.foo", "spec.items[1].bar", "spec.source"]);
  assert.deepEqual(value["spec"], { items: [{ port: 1 }, { port: 2 }], path: "/inlined" });
});

test("names that every object inherits are unknown fields", () => {
  const { value, unknown } = read({
    constructor: {},
    toString: 1,
    hasOwnProperty: null,
    labels: { constructor: "x" },
  });
  assert.deepEqual(unknown, ["spec.constructor", "spec.toString", "spec.hasOwnProperty"]);
  assert.deepEqual(value["spec"], { labels: { constructor: "x" } });
});

const GOOD: readonly [Json, Json][] = [
  [
    { name: null, flag: false, count: 0 },
    { flag: false, count: 0 },
  ],
  [{ at: "2026-01-02T03:04:05+02:00" }, { at: "2026-01-02T01:04:05Z" }],
  [{ at: "2026-01-02T03:04:05.999Z" }, { at: "2026-01-02T03:04:05Z" }],
  [{ exact: "2026-01-02T03:04:05.1Z" }, { exact: "2026-01-02T03:04:05.100000Z" }],
  [{ target: "http" }, { target: "http" }],
  [{ target: 80 }, { target: 80 }],
  [{ size: 5 }, { size: "5" }],
  [{ size: "1.5Gi" }, { size: "1.5Gi" }],
  [{ data: "YWI=" }, { data: "YWI=" }],
  [{ free: { a: [null] } }, { free: { a: [null] } }],
  [{ labels: { a: null } }, { labels: { a: "" } }],
];

for (const [from, to] of GOOD) {
  test(`reads ${JSON.stringify(from)}`, () => assert.deepEqual(read(from).value["spec"], to));
}

const BAD: readonly [Json, string][] = [
  [{ name: 1 }, "json: cannot unmarshal number 1 into Go struct field Spec.spec.name of type string"],
  [{ flag: "yes" }, "json: cannot unmarshal string into Go struct field Spec.spec.flag of type bool"],
  [{ count: "1" }, "json: cannot unmarshal string into Go struct field Spec.spec.count of type int32"],
  [{ count: 1.5 }, "json: cannot unmarshal number 1.5 into Go struct field Spec.spec.count of type int32"],
  [
    { count: 2 ** 31 },
    "json: cannot unmarshal number 2147483648 into Go struct field Spec.spec.count of type int32",
  ],
  [
    { items: [{ port: true }] },
    "json: cannot unmarshal bool into Go struct field Item.spec.items.port of type int32",
  ],
  [{ names: "a" }, "json: cannot unmarshal string into Go struct field Spec.spec.names of type []string"],
  [
    { labels: ["a"] },
    "json: cannot unmarshal array into Go struct field Spec.spec.labels of type map[string]string",
  ],
  [{ at: "yesterday" }, 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday"'],
  [{ data: "?" }, "illegal base64 data in spec.data"],
  [
    { size: "much" },
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  ],
  ["text", "json: cannot unmarshal string into Go struct field Thing.spec of type v1.Spec"],
];

for (const [from, text] of BAD) {
  test(`refuses ${JSON.stringify(from)}`, () => {
    assert.throws(
      () => read(from),
      (error) => error instanceof ShapeError && error.message === text,
    );
  });
}
