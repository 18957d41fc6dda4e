/**
 * Layer dns. Values of expressions (`view`, `template`) and what operators and functions do with them: the part of the
 * expr language that Corefiles use. Nothing is evaluated as code; texts and lists are bounded by the query.
 */

import { goPattern } from "../corefile/go-pattern.ts";

export type Value = string | number | boolean | null | readonly Value[];

export class ExpressionError extends Error {
  override readonly name = "ExpressionError";
}

const MAX_TEXT = 65_536;

type Binary = (a: Value, b: Value) => Value;

function numeric(what: string, apply: (a: number, b: number) => Value): Binary {
  return (a, b) => {
    if (typeof a !== "number" || typeof b !== "number")
      throw new ExpressionError(`${what} needs two numbers`);
    return apply(a, b);
  };
}

/** Numbers by size, texts by their letters. */
function ordered(what: string, isTrue: (order: number) => boolean): Binary {
  return (a, b) => {
    if (typeof a === "number" && typeof b === "number") return isTrue(a - b);
    if (typeof a === "string" && typeof b === "string") return isTrue(a < b ? -1 : a > b ? 1 : 0);
    throw new ExpressionError(`${what} needs two numbers or two texts`);
  };
}

function textual(what: string, apply: (a: string, b: string) => Value): Binary {
  return (a, b) => {
    if (typeof a !== "string" || typeof b !== "string") throw new ExpressionError(`${what} needs two texts`);
    return apply(a, b);
  };
}

function add(a: Value, b: Value): Value {
  if (typeof a === "string" && typeof b === "string") return bounded(a + b);
  return numeric("+", (x, y) => x + y)(a, b);
}

function bounded(text: string): string {
  if (text.length > MAX_TEXT) throw new ExpressionError("the text is too long");
  return text;
}

function equal(a: Value, b: Value): boolean {
  return Array.isArray(a) && Array.isArray(b)
    ? a.length === b.length && a.every((item: Value, i) => equal(item, (b as readonly Value[])[i] ?? null))
    : a === b;
}

const isIn: Binary = (a, b) => Array.isArray(b) && b.some((item: Value) => equal(a, item));

/** `matches` with a pattern that is known when the Corefile is read has its own node; this is for the others. */
const matches = textual("matches", (text, pattern) => goPattern(pattern).test(text));

/** By precedence, the weakest first. */
export const OPERATORS: readonly Readonly<Record<string, Binary>>[] = [
  {
    "==": equal,
    "!=": (a, b) => !equal(a, b),
    "<": ordered("<", (order) => order < 0),
    ">": ordered(">", (order) => order > 0),
    "<=": ordered("<=", (order) => order <= 0),
    ">=": ordered(">=", (order) => order >= 0),
    in: isIn,
    "not in": (a, b) => isIn(a, b) !== true,
    matches,
    startsWith: textual("startsWith", (a, b) => a.startsWith(b)),
    endsWith: textual("endsWith", (a, b) => a.endsWith(b)),
    contains: textual("contains", (a, b) => a.includes(b)),
  },
  { "+": add, "-": numeric("-", (a, b) => a - b) },
  {
    "*": numeric("*", (a, b) => a * b),
    "/": numeric("/", (a, b) => a / b),
    "%": numeric("%", (a, b) => a % b),
  },
];

export type Builtin = (args: readonly Value[]) => Value;

function text(args: readonly Value[], index: number): string {
  const value = args[index];
  if (typeof value !== "string") throw new ExpressionError(`argument ${index + 1} must be a text`);
  return value;
}

/** Functions of the language itself. */
export const BUILTINS: Readonly<Record<string, Builtin>> = {
  len: ([value]) => {
    if (typeof value === "string" || Array.isArray(value)) return value.length;
    throw new ExpressionError("len() needs a text or a list");
  },
  lower: (args) => text(args, 0).toLowerCase(),
  upper: (args) => text(args, 0).toUpperCase(),
  trim: (args) => text(args, 0).trim(),
  trimPrefix: (args) => {
    const [whole, start] = [text(args, 0), text(args, 1)];
    return whole.startsWith(start) ? whole.slice(start.length) : whole;
  },
  trimSuffix: (args) => {
    const [whole, end] = [text(args, 0), text(args, 1)];
    return end !== "" && whole.endsWith(end) ? whole.slice(0, -end.length) : whole;
  },
  hasPrefix: (args) => text(args, 0).startsWith(text(args, 1)),
  hasSuffix: (args) => text(args, 0).endsWith(text(args, 1)),
  split: (args) => text(args, 0).split(text(args, 1)),
  join: ([list, between]) => {
    if (!Array.isArray(list)) throw new ExpressionError("join() needs a list");
    return bounded(
      list.map((item) => display(item as Value)).join(typeof between === "string" ? between : ""),
    );
  },
  replace: (args) => bounded(text(args, 0).replaceAll(text(args, 1), text(args, 2))),
  indexOf: (args) => text(args, 0).indexOf(text(args, 1)),
  string: ([value = null]) => display(value),
  int: ([value]) => {
    const number = Math.trunc(Number(value));
    if (!Number.isSafeInteger(number)) throw new ExpressionError("int() needs a number");
    return number;
  },
  abs: ([value]) => {
    if (typeof value !== "number") throw new ExpressionError("abs() needs a number");
    return Math.abs(value);
  },
};

/** As it stands in a record or a message. */
export function display(value: Value): string {
  return Array.isArray(value)
    ? `[${value.map((item: Value) => display(item)).join(" ")}]`
    : String(value ?? "");
}
