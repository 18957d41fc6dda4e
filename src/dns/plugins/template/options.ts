/** Layer dns. What a `template` block says, checked and compiled. */
import { CLASS, parseClass, parseRcode, parseType, RCODE } from "../../../codec/dns/constants.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { patternArg } from "../../corefile/go-pattern.ts";
import { expectArgs, integerArg, readOptions, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { compileExpression, type Language } from "../../expression/parser.ts";
import { QUERY_FUNCTIONS } from "../../expression/query-functions.ts";
import { BUILTINS, type Value } from "../../expression/values.ts";
import type { SetupContext } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import type { Data } from "./go-functions.ts";
import { compileTemplate } from "./go-template.ts";

/** What expressions are evaluated in. */
export interface Matched {
  readonly query: DnsQuery;
  /** Groups by name and by number. */
  readonly groups: ReadonlyMap<string, string>;
  readonly variables: Map<string, Value>;
}

export type Section = "answer" | "authority" | "additional";

export interface RecordTemplate {
  readonly section: Section;
  /** As written, for metrics. */
  readonly text: string;
  readonly fill: (data: ReadonlyMap<string, Data>) => string;
}

export interface TemplateOptions {
  /** Absent: every class. */
  readonly class: number | undefined;
  readonly type: number | undefined;
  readonly zones: readonly string[];
  readonly patterns: RegExp[];
  readonly variables: { readonly name: string; readonly evaluate: (matched: Matched) => Value }[];
  readonly conditions: ((matched: Matched) => Value)[];
  readonly records: RecordTemplate[];
  rcode: number;
  error: { readonly code: number; readonly reason: string } | undefined;
  fallthrough: readonly string[] | undefined;
}

const FIELDS = [
  "Zone",
  "Name",
  "Class",
  "Type",
  "Match",
  "Group",
  "Message",
  "Question",
  "Remote",
  "Var",
  "Meta",
  "Regex",
];
const KEYWORDS = [
  "true",
  "false",
  "nil",
  "in",
  "not",
  "and",
  "or",
  "matches",
  "contains",
  "startsWith",
  "endsWith",
  "let",
];
const MAX_EDE_CODE = 65_535;

export function parseTemplate(directive: Directive, context: SetupContext): TemplateOptions {
  expectArgs(directive, 2, 1000, "template CLASS TYPE [ZONE…]");
  const [classText = "", typeText = ""] = directive.args;
  const askedClass = parseClass(classText);
  const type = parseType(typeText);
  if (askedClass === undefined) throw corefileError(directive, "template", `"${classText}" is no class`);
  if (type === undefined) throw corefileError(directive, "template", `"${typeText}" is no record type`);
  const options: TemplateOptions = {
    class: askedClass === CLASS.ANY ? undefined : askedClass,
    type: typeText.toUpperCase() === "ANY" ? undefined : type,
    zones: zoneArgs(directive, 2, context.zones),
    patterns: [],
    variables: [],
    conditions: [],
    records: [],
    rcode: RCODE.NOERROR,
    error: undefined,
    fallthrough: undefined,
  };
  readOptions(directive, readers(options));
  if (options.patterns.length === 0) options.patterns.push(/[\s\S]*/);
  return options;
}

function readers(options: TemplateOptions): Readonly<Record<string, (option: Directive) => void>> {
  const record = (option: Directive): void => void options.records.push(recordTemplate(option));
  return {
    match: (option) => {
      expectArgs(option, 1, 100, "match REGEX…");
      for (const text of option.args) options.patterns.push(patternArg(option, text));
    },
    var: (option) => {
      expectArgs(option, 2, 1000, "var NAME EXPRESSION");
      const [name = "", ...words] = option.args;
      checkVariable(option, name, options);
      options.variables.push({ name, evaluate: expression(option, words, options) });
    },
    expr: (option) => {
      expectArgs(option, 1, 1000, "expr EXPRESSION");
      options.conditions.push(expression(option, option.args, options));
    },
    answer: record,
    authority: record,
    additional: record,
    // Of old Corefiles; aliases are always followed.
    upstream: () => undefined,
    rcode: (option) => {
      const [text = ""] = expectArgs(option, 1, 1, "rcode CODE");
      const rcode = parseRcode(text);
      if (rcode === undefined) throw corefileError(option, "rcode", `"${text}" is no response code`);
      options.rcode = rcode;
    },
    ederror: (option) => {
      expectArgs(option, 1, 2, "ederror CODE [REASON]");
      options.error = { code: integerArg(option, 0, 0, MAX_EDE_CODE), reason: option.args[1] ?? "" };
    },
    fallthrough: (option) => {
      options.fallthrough = zoneArgs(option, 0, ["."]);
    },
  };
}

function checkVariable(option: Directive, name: string, options: TemplateOptions): void {
  const isTaken =
    Object.hasOwn(QUERY_FUNCTIONS, name) ||
    Object.hasOwn(BUILTINS, name) ||
    name === "group" ||
    KEYWORDS.includes(name);
  if (!/^[A-Za-z_]\w*$/.test(name) || isTaken || options.variables.some((known) => known.name === name)) {
    throw corefileError(option, "var", `"${name}" is not allowed as a name, or taken`);
  }
}

/** Variables declared so far may be used. */
function expression(
  option: Directive,
  words: readonly string[],
  options: TemplateOptions,
): (matched: Matched) => Value {
  const known = new Set(options.variables.map(({ name }) => name));
  const functions = Object.fromEntries(
    Object.entries(QUERY_FUNCTIONS).map(([name, call]) => [
      name,
      ({ query }: Matched, args: readonly Value[]) => call(query, args),
    ]),
  );
  const language: Language<Matched> = {
    functions: { ...functions, group: ({ groups }, [key]) => groups.get(String(key)) ?? "" },
    variable: (name) => (known.has(name) ? ({ variables }) => variables.get(name) ?? null : undefined),
  };
  const compiled = compileExpression(words.join(" "), language);
  if (compiled.kind === "bad") throw corefileError(option, option.name, compiled.reason);
  return compiled.evaluate;
}

function recordTemplate(option: Directive): RecordTemplate {
  const text = option.args.join(" ");
  const compiled = compileTemplate(text, FIELDS);
  if (compiled.kind === "bad") throw corefileError(option, option.name, compiled.reason);
  const section: Section =
    option.name === "answer" || option.name === "authority" ? option.name : "additional";
  return { section, text, fill: compiled.fill };
}
