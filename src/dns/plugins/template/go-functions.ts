/** Layer dns. Values and functions of Go's text/template as far as DNS templates use them. */

export type Data =
  | string
  | number
  | boolean
  | null
  | readonly Data[]
  | ReadonlyMap<string, Data>
  | ((args: readonly Data[]) => Data);

/** Filling in failed: the client gets SERVFAIL, the log the reason. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}

const MAX_TEXT = 65_536;

export function isMap(value: Data): value is ReadonlyMap<string, Data> {
  return value instanceof Map;
}

/** False, 0, empty texts, lists and maps, and nil are not true. */
export function isTrue(value: Data): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isMap(value)) return value.size > 0;
  return typeof value === "function" || Boolean(value);
}

/** As Go prints a value with `%v`. */
export function print(value: Data): string {
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map((item: Data) => print(item)).join(" ")}]`;
  if (isMap(value)) return `map[${[...value].map(([key, item]) => `${key}:${print(item)}`).join(" ")}]`;
  if (typeof value === "function") throw new TemplateError("a function cannot be printed");
  return String(value as string | number | boolean);
}

function order(a: Data, b: Data): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  throw new TemplateError("only two numbers or two texts have an order");
}

function element(container: Data, key: Data): Data {
  if (Array.isArray(container)) {
    const found = typeof key === "number" && key >= 0 ? (container[key] as Data | undefined) : undefined;
    if (found === undefined) throw new TemplateError(`index ${print(key)} is out of range`);
    return found;
  }
  if (isMap(container)) return container.get(print(key)) ?? "";
  throw new TemplateError("index needs a list or a map");
}

/** `parseInt TEXT BASE BITS`, an unsigned number. */
function parseUnsigned([text = "", base = 10, bits = 64]: readonly Data[]): Data {
  const radix = Number(base);
  const digits = "0123456789abcdefghijklmnopqrstuvwxyz".slice(0, radix);
  const shown = print(text);
  const isNumber = shown !== "" && [...shown.toLowerCase()].every((digit) => digits.includes(digit));
  const value = isNumber ? Number.parseInt(shown, radix) : Number.NaN;
  const limit = 2 ** Math.min(53, Number(bits) || 64);
  if (!(value < limit))
    throw new TemplateError(`parseInt: "${shown}" is no number of base ${radix} in ${Number(bits)} bits`);
  return value;
}

const VERB = /%(?:%|([0 #+-]*)(\d*)([sdvqxX]))/g;

function format([pattern = "", ...args]: readonly Data[]): string {
  let next = 0;
  return print(pattern).replaceAll(VERB, (whole, flags: string, width: string, verb: string) => {
    if (whole === "%%") return "%";
    if (next >= args.length) return `%!${verb}(MISSING)`;
    const text = verbText(args[next++] ?? null, verb);
    const size = Number(width || 0);
    if (flags.includes("-")) return text.padEnd(size);
    return text.padStart(size, flags.includes("0") ? "0" : " ");
  });
}

function verbText(value: Data, verb: string): string {
  if (verb === "q") return JSON.stringify(print(value));
  if (verb !== "x" && verb !== "X") return print(value);
  const hex = typeof value === "number" ? value.toString(16) : Buffer.from(print(value)).toString("hex");
  return verb === "X" ? hex.toUpperCase() : hex;
}

function bounded(text: string): string {
  if (text.length > MAX_TEXT) throw new TemplateError("the text is too long");
  return text;
}

export const FUNCTIONS: Readonly<Record<string, (args: readonly Data[]) => Data>> = {
  and: (args) => args.find((arg) => !isTrue(arg)) ?? args.at(-1) ?? false,
  or: (args) => args.find((arg) => isTrue(arg)) ?? args.at(-1) ?? false,
  not: ([value = null]) => !isTrue(value),
  eq: ([first = null, ...others]) => others.some((other) => other === first),
  ne: ([a, b]) => a !== b,
  lt: ([a = null, b = null]) => order(a, b) < 0,
  le: ([a = null, b = null]) => order(a, b) <= 0,
  gt: ([a = null, b = null]) => order(a, b) > 0,
  ge: ([a = null, b = null]) => order(a, b) >= 0,
  index: ([container = null, ...keys]) => keys.reduce((value, key) => element(value, key), container),
  len: ([value = null]) => {
    if (typeof value === "string" || Array.isArray(value)) return value.length;
    if (isMap(value)) return value.size;
    throw new TemplateError("len needs a text, a list or a map");
  },
  parseInt: parseUnsigned,
  print: (args) => bounded(args.map(print).join("")),
  printf: (args) => bounded(format(args)),
};
