/** JSON patch (RFC 6902 appendix A), merge patch (RFC 7386 appendix A) and strategic merge patches. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json, JsonObject } from "../../../src/control-plane/registry/json.ts";
import { OBJECT_META } from "../../../src/control-plane/registry/meta-schema.ts";
import { jsonPatch, mergePatch, PatchError } from "../../../src/control-plane/registry/patches.ts";
import { int32, list, map, message, ref, string } from "../../../src/control-plane/registry/schema.ts";
import { strategicMerge } from "../../../src/control-plane/registry/strategic-merge.ts";

const JSON_PATCHES: readonly { name: string; from: Json; patch: Json; to: Json | RegExp }[] = [
  {
    name: "A.1 add a member",
    from: { foo: "bar" },
    patch: [{ op: "add", path: "/baz", value: "qux" }],
    to: { baz: "qux", foo: "bar" },
  },
  {
    name: "A.2 add an element",
    from: { foo: ["bar", "baz"] },
    patch: [{ op: "add", path: "/foo/1", value: "qux" }],
    to: { foo: ["bar", "qux", "baz"] },
  },
  {
    name: "A.3 remove a member",
    from: { baz: "qux", foo: "bar" },
    patch: [{ op: "remove", path: "/baz" }],
    to: { foo: "bar" },
  },
  {
    name: "A.4 remove an element",
    from: { foo: ["bar", "qux", "baz"] },
    patch: [{ op: "remove", path: "/foo/1" }],
    to: { foo: ["bar", "baz"] },
  },
  {
    name: "A.5 replace",
    from: { baz: "qux", foo: "bar" },
    patch: [{ op: "replace", path: "/baz", value: "boo" }],
    to: { baz: "boo", foo: "bar" },
  },
  {
    name: "A.6 move a value",
    from: { foo: { bar: "baz", waldo: "fred" }, qux: { corge: "grault" } },
    patch: [{ op: "move", from: "/foo/waldo", path: "/qux/thud" }],
    to: { foo: { bar: "baz" }, qux: { corge: "grault", thud: "fred" } },
  },
  {
    name: "A.7 move an element",
    from: { foo: ["all", "grass", "cows", "eat"] },
    patch: [{ op: "move", from: "/foo/1", path: "/foo/3" }],
    to: { foo: ["all", "cows", "eat", "grass"] },
  },
  {
    name: "A.8 test, success",
    from: { baz: "qux", foo: ["a", 2, "c"] },
    patch: [{ op: "test", path: "/foo/1", value: 2 }],
    to: { baz: "qux", foo: ["a", 2, "c"] },
  },
  {
    name: "A.9 test, error",
    from: { baz: "qux" },
    patch: [{ op: "test", path: "/baz", value: "bar" }],
    to: /operation 0: testing value \/baz failed/,
  },
  {
    name: "A.12 add to what is not there",
    from: { foo: "bar" },
    patch: [{ op: "add", path: "/baz/bat", value: "qux" }],
    to: /"\/baz" does not exist/,
  },
  {
    name: "A.14 escapes",
    from: { "/": 9, "~1": 10 },
    patch: [{ op: "test", path: "/~01", value: 10 }],
    to: { "/": 9, "~1": 10 },
  },
  {
    name: "A.16 append",
    from: { foo: ["bar"] },
    patch: [{ op: "add", path: "/foo/-", value: ["abc"] }],
    to: { foo: ["bar", ["abc"]] },
  },
  {
    name: "copy is deep",
    from: { a: { b: 1 } },
    patch: [
      { op: "copy", from: "/a", path: "/c" },
      { op: "replace", path: "/c/b", value: 2 },
    ],
    to: { a: { b: 1 }, c: { b: 2 } },
  },
  {
    name: "move into itself",
    from: { a: { b: 1 } },
    patch: [{ op: "move", from: "/a", path: "/a/b" }],
    to: /cannot be moved into itself/,
  },
  {
    name: "leading zero index",
    from: { a: [1, 2] },
    patch: [{ op: "remove", path: "/a/01" }],
    to: /does not exist/,
  },
  {
    name: "index beyond the end",
    from: { a: [1] },
    patch: [{ op: "add", path: "/a/2", value: 1 }],
    to: /does not exist/,
  },
  {
    name: "replace needs the target",
    from: { a: 1 },
    patch: [{ op: "replace", path: "/b", value: 1 }],
    to: /does not exist/,
  },
  { name: "unknown op", from: {}, patch: [{ op: "frob", path: "/a" }], to: /unknown op "frob"/ },
  {
    name: "path without slash",
    from: {},
    patch: [{ op: "add", path: "a", value: 1 }],
    to: /does not begin with/,
  },
  { name: "a patch that is no list", from: {}, patch: { op: "add" }, to: /array of operations/ },
  { name: "prototype", from: {}, patch: [{ op: "add", path: "/__proto__", value: {} }], to: /not allowed/ },
];

for (const { name, from, patch, to } of JSON_PATCHES) {
  test(`JSON patch: ${name}`, () => {
    const before = structuredClone(from);
    if (to instanceof RegExp)
      assert.throws(
        () => jsonPatch(from, patch),
        (error) => error instanceof PatchError && to.test(error.message),
      );
    else assert.deepEqual(jsonPatch(from, patch), to);
    assert.deepEqual(from, before, "the input is not changed");
  });
}

const MERGE_PATCHES: readonly [Json, Json, Json][] = [
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [{ e: null }, { a: 1 }, { a: 1, e: null }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

for (const [from, patch, to] of MERGE_PATCHES) {
  test(`merge patch: ${JSON.stringify(from)} with ${JSON.stringify(patch)}`, () => {
    assert.deepEqual(mergePatch(from, patch), to);
  });
}

const PORT = message("x.Port", "", { name: string(1, ""), port: int32(3, ""), protocol: string(2, "") });
const SPEC = message("x.Spec", "", {
  ports: list(1, PORT, "", { mergeKey: "port" }),
  hosts: list(2, "string", ""),
  selector: map(3, "string", ""),
  strategy: ref(4, message("x.Strategy", "", { type: string(1, ""), rolling: map(2, "string", "") }), "", {
    patchStrategy: "retainKeys",
  }),
});
const OBJECT = message("x.Object", "", { metadata: ref(1, OBJECT_META, ""), spec: ref(2, SPEC, "") });

const STRATEGIC: readonly { name: string; from: JsonObject; patch: JsonObject; to: JsonObject | RegExp }[] = [
  {
    name: "elements are merged by key, new ones appended",
    from: { spec: { ports: [{ port: 80, name: "a" }, { port: 81 }] } },
    patch: { spec: { ports: [{ port: 81, name: "b" }, { port: 82 }] } },
    to: { spec: { ports: [{ port: 80, name: "a" }, { port: 81, name: "b" }, { port: 82 }] } },
  },
  {
    name: "$patch: delete removes an element",
    from: { spec: { ports: [{ port: 80 }, { port: 81 }] } },
    patch: { spec: { ports: [{ port: 80, $patch: "delete" }] } },
    to: { spec: { ports: [{ port: 81 }] } },
  },
  {
    name: "$patch: replace in a list replaces it",
    from: { spec: { ports: [{ port: 80 }, { port: 81 }] } },
    patch: { spec: { ports: [{ port: 90 }, { $patch: "replace" }] } },
    to: { spec: { ports: [{ port: 90 }] } },
  },
  {
    name: "$patch: replace in a map replaces it",
    from: { spec: { selector: { a: "1" }, hosts: ["x"] } },
    patch: { spec: { $patch: "replace", selector: { b: "2" } } },
    to: { spec: { selector: { b: "2" } } },
  },
  {
    name: "a list without a key is replaced",
    from: { spec: { hosts: ["a", "b"] } },
    patch: { spec: { hosts: ["c"] } },
    to: { spec: { hosts: ["c"] } },
  },
  {
    name: "null removes, also in maps",
    from: { metadata: { labels: { a: "1", b: "2" } }, spec: { hosts: ["a"] } },
    patch: { metadata: { labels: { a: null } }, spec: { hosts: null } },
    to: { metadata: { labels: { b: "2" } }, spec: {} },
  },
  {
    name: "$setElementOrder orders listed elements and is not stored",
    from: { spec: { ports: [{ port: 80 }, { port: 99 }, { port: 81 }] } },
    patch: {
      spec: { "$setElementOrder/ports": [{ port: 81 }, { port: 80 }], ports: [{ port: 80, name: "a" }] },
    },
    to: { spec: { ports: [{ port: 81 }, { port: 99 }, { port: 80, name: "a" }] } },
  },
  {
    name: "finalizers are merged as a set",
    from: { metadata: { finalizers: ["a/a", "b/b"] } },
    patch: { metadata: { finalizers: ["b/b", "c/c"] } },
    to: { metadata: { finalizers: ["a/a", "b/b", "c/c"] } },
  },
  {
    name: "$deleteFromPrimitiveList",
    from: { metadata: { finalizers: ["a/a", "b/b"] } },
    patch: { metadata: { "$deleteFromPrimitiveList/finalizers": ["a/a"] } },
    to: { metadata: { finalizers: ["b/b"] } },
  },
  {
    name: "$retainKeys drops the other keys",
    from: { spec: { strategy: { type: "Rolling", rolling: { max: "1" } } } },
    patch: { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } },
    to: { spec: { strategy: { type: "Recreate" } } },
  },
  {
    name: "directives are stripped where there was nothing",
    from: {},
    patch: {
      spec: {
        "$setElementOrder/ports": [{ port: 1 }],
        ports: [{ port: 1 }],
        strategy: { $retainKeys: ["type"], type: "x" },
      },
    },
    to: { spec: { ports: [{ port: 1 }], strategy: { type: "x" } } },
  },
  {
    name: "an element without its merge key is refused",
    from: { spec: { ports: [] } },
    patch: { spec: { ports: [{ name: "a" }] } },
    to: /does not contain declared merge key: port/,
  },
  {
    name: "an unknown directive is refused",
    from: {},
    patch: { spec: { $patch: "frob" } },
    to: /Unknown \$patch directive/,
  },
];

for (const { name, from, patch, to } of STRATEGIC) {
  test(`strategic merge: ${name}`, () => {
    const before = structuredClone(from);
    if (to instanceof RegExp) assert.throws(() => strategicMerge(from, patch, OBJECT), to);
    else assert.deepEqual(strategicMerge(from, patch, OBJECT), to);
    assert.deepEqual(from, before, "the input is not changed");
  });
}
