/**
 * Layer model. Reads fields of Kubernetes API JSON without trusting it: a wrong value becomes an
 * {@link ObjectProblem} with its path and what is allowed, never an exception. Must not know any kind.
 */
import type { ObjectKey, ObjectProblem } from "../objects.ts";

export type Json = Readonly<Record<string, unknown>>;

/** Result of parsing one object: what can be used of it, and what cannot. */
export interface Parsed<T> {
  /** Absent when the object cannot be used at all. */
  readonly object?: T;
  readonly problems: readonly ObjectProblem[];
}

/** More problems than this in one object are counted, not listed. */
const MAX_PROBLEMS = 20;

/** Collects the problems of one object. */
export class Problems {
  readonly key: ObjectKey;
  readonly list: ObjectProblem[] = [];
  #left = 0;

  constructor(key: ObjectKey) {
    this.key = key;
  }

  /** `reason` is CamelCase and stable; `message` says what is allowed. */
  add(reason: string, field: string, message: string): void {
    if (this.list.length < MAX_PROBLEMS) {
      this.list.push({ object: this.key, reason, field, message });
      return;
    }
    this.#left++;
    this.list[MAX_PROBLEMS] = {
      object: this.key,
      reason: "TooManyProblems",
      field: "",
      message: `${this.#left} more problems in this object are not listed`,
    };
  }
}

export function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as it appears in a message: short, one line. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Text of at most `maxLength` characters; absent, null and "" are `undefined`. */
export function readText(
  value: unknown,
  field: string,
  problems: Problems,
  maxLength = 253,
): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string" && value.length <= maxLength) return value;
  problems.add("InvalidValue", field, `must be text of at most ${maxLength} characters, not ${show(value)}`);
  return undefined;
}

const PORT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * Name of a port, "" when it has none. Names become parts of rules' comments and of kernel objects' names, so nothing but
 * plain characters is let in; anything else is a problem and `undefined`.
 */
export function readPortName(value: unknown, field: string, problems: Problems): string | undefined {
  if (value === undefined || value === null || value === "") return "";
  if (typeof value === "string" && PORT_NAME.test(value)) return value;
  problems.add(
    "InvalidValue",
    field,
    `must be at most 63 letters, digits, '-', '.' or '_', not ${show(value)}`,
  );
  return undefined;
}

/** One of `allowed`; absent, null and "" give `fallback`; anything else a problem and `undefined`. */
export function readChoice<T extends string>(
  value: unknown,
  field: string,
  problems: Problems,
  options: { readonly allowed: readonly T[]; readonly fallback: T },
): T | undefined {
  if (value === undefined || value === null || value === "") return options.fallback;
  const found = options.allowed.find((one) => one === value);
  if (found === undefined)
    problems.add(
      "UnsupportedValue",
      field,
      `must be ${options.allowed.map((one) => `"${one}"`).join(" or ")}, not ${show(value)}`,
    );
  return found;
}

/** An integer inside the bounds; absent and null give `fallback`; anything else a problem and `undefined`. */
export function readInteger<F extends number | undefined>(
  value: unknown,
  field: string,
  problems: Problems,
  options: { readonly min: number; readonly max: number; readonly fallback: F },
): number | F | undefined {
  if (value === undefined || value === null) return options.fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= options.min && value <= options.max)
    return value;
  problems.add(
    "InvalidValue",
    field,
    `must be an integer from ${options.min} to ${options.max}, not ${show(value)}`,
  );
  return undefined;
}

/** `true` or `false`; absent and null give `fallback`; anything else a problem and `fallback`. */
export function readBoolean(value: unknown, field: string, problems: Problems, fallback: boolean): boolean {
  if (value === undefined || value === null) return fallback;
  if (typeof value === "boolean") return value;
  problems.add("InvalidValue", field, `must be true or false, not ${show(value)}`);
  return fallback;
}

/** A mapping; absent and null are empty, anything else a problem and empty. */
export function readRecord(value: unknown, field: string, problems: Problems): Json {
  if (value === undefined || value === null) return {};
  if (isRecord(value)) return value;
  problems.add("InvalidValue", field, `must be a mapping, not ${show(value)}`);
  return {};
}

/** A list, cut at `max` items; absent and null are empty, anything else a problem and empty. */
export function readList(value: unknown, field: string, problems: Problems, max: number): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    problems.add("InvalidValue", field, `must be a list, not ${show(value)}`);
    return [];
  }
  if (value.length <= max) return value;
  problems.add("TooLong", field, `must have at most ${max} items, not ${value.length}; the rest is left out`);
  return value.slice(0, max);
}

/** A mapping of text to text (labels, annotations), cut at `max` entries. */
export function readTextMap(
  value: unknown,
  field: string,
  problems: Problems,
  max = 500,
): Readonly<Record<string, string>> {
  const map: Record<string, string> = {};
  let count = 0;
  for (const [key, entry] of Object.entries(readRecord(value, field, problems))) {
    if (count === max) {
      problems.add("TooLong", field, `must have at most ${max} entries; the rest is left out`);
      break;
    }
    if (key.length > 320 || key === "__proto__" || typeof entry !== "string" || entry.length > 262_144) {
      problems.add("InvalidValue", `${field}[${key.slice(0, 80)}]`, `must be text, not ${show(entry)}`);
      continue;
    }
    map[key] = entry;
    count++;
  }
  return map;
}

/** True when a list item is a mapping; else a problem. */
export function isItem(value: unknown, field: string, problems: Problems): value is Json {
  if (isRecord(value)) return true;
  problems.add("InvalidValue", field, `must be a mapping, not ${show(value)}`);
  return false;
}
