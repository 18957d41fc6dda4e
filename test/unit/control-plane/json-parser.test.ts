/** The JSON parser agrees with the engine's own, and notices duplicates. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseJson } from "../../../src/control-plane/registry/json-parser.ts";

test("what JSON.stringify writes is read back", () => {
  const plain = fc.jsonValue().filter((value) => !JSON.stringify(value).includes("__proto__"));
  fc.assert(
    fc.property(plain, fc.constantFrom(undefined, 2), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent);
      const parsed = parseJson(text);
      assert.ok(parsed.ok);
      assert.equal(JSON.stringify(parsed.value), JSON.stringify(JSON.parse(text)));
      assert.deepEqual(parsed.duplicates, []);
    }),
  );
});

test("damaged text is refused exactly where JSON.parse refuses it", () => {
  const pieces = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "u00e9",
    "a",
    "1",
    "-",
    "0",
    ".",
    "e+1",
    " ",
    "\n",
    "\t",
    "\u0001",
    "true",
    "null",
    '"k"',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join("");
      let expected = true;
      try {
        JSON.parse(text);
      } catch {
        expected = false;
      }
      assert.equal(parseJson(text).ok, expected, text);
    }),
    { numRuns: 3000 },
  );
});

const DUPLICATES: readonly [string, readonly string[]][] = [
  ['{"a":1,"a":2}', ["a"]],
  ['{"spec":{"ports":[{"name":"x","name":"y"}],"ports":[]}}', ["spec.ports[0].name", "spec.ports"]],
  ['{"metadata":{"labels":{"app":"a","app":"b"}}}', ["metadata.labels.app"]],
];

for (const [text, duplicates] of DUPLICATES) {
  test(`duplicates of ${text}`, () => {
    const parsed = parseJson(text);
    assert.ok(parsed.ok);
    assert.deepEqual(parsed.duplicates, duplicates);
    assert.deepEqual(parsed.value, JSON.parse(text));
  });
}

test("nesting is bounded and prototypes are safe", () => {
  const deep = parseJson("[".repeat(100_000));
  assert.ok(!deep.ok);
  assert.match(deep.message, /nested deeper than 200 levels/);
  const prototype = parseJson('{"__proto__":{"x":1}}');
  assert.ok(!prototype.ok);
  assert.match(prototype.message, /"__proto__" is not allowed/);
});

test("a string of three megabytes is read", () => {
  const text = JSON.stringify({ a: "x".repeat(3 * 1024 * 1024) });
  assert.ok(parseJson(text).ok);
});
