/** Expressions of `view` and `template`: what they say, and that what cannot be said is refused when the Corefile is read. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { compileExpression } from "../../../src/dns/expression/parser.ts";
import { ExpressionError, type Value } from "../../../src/dns/expression/values.ts";

const language = {
  functions: { name: (scope: { readonly name: string }) => scope.name },
  variable: (name: string) => (name === "here" ? () => "x" : undefined),
};
function value(text: string, name = "abc.example.org."): Value {
  const compiled = compileExpression(text, language);
  if (compiled.kind === "bad") throw new Error(compiled.reason);
  return compiled.evaluate({ name });
}

suite("expressions", () => {
  const cases: readonly (readonly [string, Value])[] = [
    ["1 + 2 * 3 == 7", true],
    ["(1 + 2) * 3 - 1", 8],
    ["7 % 4 + -1", 2],
    ["'a' + \"b\" + `c`", "abc"],
    ["name() == 'abc.example.org.' && !(1 > 2)", true],
    ["false or not false", true],
    ["1 in [1, 2] and 3 not in [1, 2]", true],
    ["name() matches '^abc\\\\..*\\\\.org\\\\.$'", true],
    ["name() matches `^(?P<x>[[:alpha:]]+)[.]`", true],
    ["name() startsWith 'abc' && name() endsWith 'org.' && name() contains 'example'", true],
    ["len(name()) > 5 ? 'long' : 'short'", "long"],
    ["nil ?? 'other'", "other"],
    ["split(name(), '.')[1]", "example"],
    ["split(name(), '.')[-2]", "org"],
    ["lower('AB') + upper('cd') + trimPrefix('xy', 'x') + trimSuffix('xy', 'y')", "abCDyx"],
    ["replace('a.b.c', '.', '-')", "a-b-c"],
    ["join(['a', 'b'], '-') + string(3)", "a-b3"],
    ["int('12') + abs(-3) + indexOf('abc', 'c')", 17],
    ["hasPrefix('abc', 'a') && hasSuffix('abc', 'c')", true],
    ["here + here", "xx"],
    ["any(['a', 'b'], # == 'b') && all([1, 2], {# > 0}) && none([1], # > 1)", true],
    ["count([1, 2, 3], any([2, 3], # == 3) and # > 1) + len(filter([1, 2], # > 1))", 3],
    ["[1, 2] == [1, 2]", true],
    ["'a' < 'b' && 2 >= 2", true],
  ];
  for (const [text, expected] of cases) test(text, () => assert.deepEqual(value(text), expected));

  for (const text of [
    "there",
    "nope()",
    "1 +",
    "'a",
    "[1",
    "name() name()",
    "a ? b",
    "name() matches '('",
    "(".repeat(60),
    "!".repeat(60),
  ]) {
    test(`refused: ${text.slice(0, 24)}`, () => assert.equal(compileExpression(text, language).kind, "bad"));
  }

  for (const text of ["1 + 'a'", "1 && true", "1 ? 2 : 3", "len(1)", "'a' < 1", "name()[0]", "int('x')"]) {
    test(`fails: ${text}`, () => assert.throws(() => value(text), ExpressionError));
  }
});
