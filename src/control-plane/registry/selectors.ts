/** Layer control-plane. Label and field selectors as query text (apimachinery labels and fields packages). */
import type { ApiObject } from "./json.ts";
import type { Kind } from "./kind.ts";
import { labelValue, qualifiedName } from "./names.ts";

/** True when the object is selected. */
export type Selector = (object: ApiObject) => boolean;

export type ParsedSelector =
  | { readonly ok: true; readonly select: Selector; readonly all: boolean; readonly name?: string }
  | { readonly ok: false; readonly message: string };

type Labels = Readonly<Record<string, string>>;

const NONE: Labels = {};
const KEY = "[A-Za-z0-9./_-]+";
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s+\\(([^()]*)\\)$`);
const EQUALITY = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*([^\\s=!,()]*)$`);
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`);
const COMPARE = new RegExp(`^(${KEY})\\s*(<|>)\\s*(-?\\d+)$`);

/** `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Never throws. */
export function parseLabelSelector(text: string): ParsedSelector {
  const tests: ((labels: Labels) => boolean)[] = [];
  for (const part of splitOutside(text)) {
    const test = parseRequirement(part);
    if (typeof test === "string") return { ok: false, message: `unable to parse requirement: ${test}` };
    tests.push(test);
  }
  const select: Selector = (object) => {
    const labels = object.metadata.labels ?? NONE;
    return tests.every((test) => test(labels));
  };
  return { ok: true, select, all: tests.length === 0 };
}

function parseRequirement(part: string): ((labels: Labels) => boolean) | string {
  const set = SET.exec(part);
  if (set !== null) {
    const [, key = "", operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    const problem = checkKey(key) ?? values.map(checkValue).find((text) => text !== undefined);
    if (problem !== undefined) return problem;
    return operator === "in"
      ? (labels) => Object.hasOwn(labels, key) && values.includes(labels[key] ?? "")
      : (labels) => !Object.hasOwn(labels, key) || !values.includes(labels[key] ?? "");
  }
  const equality = EQUALITY.exec(part);
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality;
    const problem = checkKey(key) ?? checkValue(value);
    if (problem !== undefined) return problem;
    return operator === "!="
      ? (labels) => !Object.hasOwn(labels, key) || labels[key] !== value
      : (labels) => Object.hasOwn(labels, key) && labels[key] === value;
  }
  const compare = COMPARE.exec(part);
  if (compare !== null) {
    const [, key = "", operator, value = ""] = compare;
    return (labels) => {
      const held = Object.hasOwn(labels, key) ? Number(labels[key]) : Number.NaN;
      return operator === "<" ? held < Number(value) : held > Number(value);
    };
  }
  const exists = EXISTS.exec(part);
  if (exists === null) return `found '${part}', expected: a label selector`;
  const [, not, key = ""] = exists;
  const problem = checkKey(key);
  if (problem !== undefined) return problem;
  return not === "!" ? (labels) => !Object.hasOwn(labels, key) : (labels) => Object.hasOwn(labels, key);
}

function checkKey(key: string): string | undefined {
  const problem = qualifiedName(key)[0];
  return problem === undefined ? undefined : `key: Invalid value: ${JSON.stringify(key)}: ${problem}`;
}

function checkValue(value: string): string | undefined {
  const problem = labelValue(value)[0];
  return problem === undefined ? undefined : `values: Invalid value: ${JSON.stringify(value)}: ${problem}`;
}

/** At commas that are not inside parentheses. One pass. */
function splitOutside(text: string): readonly string[] {
  const parts: string[] = [];
  let isInside = false;
  let start = 0;
  for (let at = 0; at <= text.length; at += 1) {
    const character = text[at];
    if (character === "(") isInside = true;
    else if (character === ")") isInside = false;
    if (at < text.length && (character !== "," || isInside)) continue;
    const part = text.slice(start, at).trim();
    if (part !== "") parts.push(part);
    start = at + 1;
  }
  return parts;
}

/** `a=b,c!=d` over the kind's field labels; `\,` `\=` and `\\` are escapes. Never throws. */
export function parseFieldSelector(kind: Kind, text: string): ParsedSelector {
  const tests: Selector[] = [];
  let exactName: string | undefined;
  for (const part of text.split(/(?<!\\),/)) {
    if (part === "") continue;
    const found = /^((?:[^\\=!]|\\.)*)(==|!=|=)([\s\S]*)$/.exec(part);
    if (found === null)
      return { ok: false, message: `invalid selector: '${part}'; can't understand '${part}'` };
    const [, label = "", operator, escaped = ""] = found;
    const value = escaped.replace(/\\([\\,=])/g, "$1");
    const read = fieldReader(kind, label.trim());
    if (read === undefined) return { ok: false, message: `field label not supported: ${label}` };
    if (operator !== "!=" && label === "metadata.name") exactName = value;
    tests.push(operator === "!=" ? (object) => read(object) !== value : (object) => read(object) === value);
  }
  const select: Selector = (object) => tests.every((test) => test(object));
  const parsed = { ok: true as const, select, all: tests.length === 0 };
  return exactName === undefined ? parsed : { ...parsed, name: exactName };
}

function fieldReader(kind: Kind, label: string): ((object: ApiObject) => string) | undefined {
  if (label === "metadata.name") return (object) => object.metadata.name ?? "";
  if (label === "metadata.namespace" && kind.namespaced) return (object) => object.metadata.namespace ?? "";
  const own = kind.fieldSelectors;
  return own !== undefined && Object.hasOwn(own, label) ? own[label] : undefined;
}
