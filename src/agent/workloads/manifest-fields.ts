/** Layer agent. Checks of single fields of a manifest; every failure says the field and what is allowed. Pure. */

const MAX_SHOWN = 60;
const MAX_TEXT = 256 * 1024;
const MAX_ENTRIES = 256;

/** A mistake in a manifest: one line. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";

  constructor(field: string, detail: string) {
    super(`${field === "" ? "document" : field}: ${detail}`);
  }
}

/** The error for a value that is not allowed. */
export function refusal(field: string, value: unknown, allowed: string): ManifestError {
  const textual = JSON.stringify(value) ?? "nothing";
  const shown = textual.length > MAX_SHOWN ? `${textual.slice(0, MAX_SHOWN)}…` : textual;
  return new ManifestError(field, `${shown} is not allowed; allowed: ${allowed}`);
}

export type Fields = Readonly<Record<string, unknown>>;

/** A map with no other keys than `known`. */
export function record(value: unknown, path: string, known: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refusal(path, value, `a map of ${known.slice(0, 8).join(", ")}${known.length > 8 ? ", …" : ""}`);
  }
  const fields = value as Fields;
  for (const key of Object.keys(fields)) {
    if (known.includes(key)) continue;
    const at = path === "" ? key : `${path}.${key}`;
    throw new ManifestError(at, `unknown field; allowed: ${known.toSorted().join(", ")}`);
  }
  return fields;
}

/** A list of maps; absent is empty. */
export function recordList(
  value: unknown,
  path: string,
  known: readonly string[],
  most: number,
): readonly Fields[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > most) {
    throw refusal(path, value, `a list of at most ${most} maps`);
  }
  return value.map((entry, index) => record(entry, `${path}[${index}]`, known));
}

export function text(value: unknown, path: string, pattern: RegExp, allowed: string): string {
  if (typeof value !== "string" || value.length > MAX_TEXT || !pattern.test(value)) {
    throw refusal(path, value, allowed);
  }
  return value;
}

export function integer(value: unknown, path: string, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw refusal(path, value, `a whole number from ${min} to ${max}`);
  }
  return value;
}

/** Labels or annotations; absent is empty. */
export function textMap(
  value: unknown,
  path: string,
  patterns: { readonly key: RegExp; readonly value?: RegExp },
): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw refusal(path, value, "a map of texts");
  const entries = Object.entries(value as Fields);
  if (entries.length > MAX_ENTRIES) throw refusal(path, entries.length, `at most ${MAX_ENTRIES} entries`);
  const result: Record<string, string> = {};
  for (const [key, part] of entries) {
    const where = `${path}[${key}]`;
    if (!patterns.key.test(key)) throw refusal(where, key, "a name such as app or example.com/app");
    result[key] = text(
      part,
      where,
      patterns.value ?? /^/,
      patterns.value === undefined
        ? "text (put it in quotes)"
        : "at most 63 letters, digits, '-', '_' or '.' (in quotes where YAML would read a number)",
    );
  }
  return result;
}
