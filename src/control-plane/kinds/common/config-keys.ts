/** Layer control-plane. Keys of ConfigMaps and Secrets, and how much they may hold (apimachinery IsConfigMapKey). */
import { type FieldError, invalid } from "../../registry/field-error.ts";

/** 1 MiB, the sum of all values. */
export const MAX_CONTENT_BYTES = 1_048_576;

const PATTERN_TEXT =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

function problems(key: string): readonly string[] {
  const list: string[] = [];
  if (key.length > 253) list.push("must be no more than 253 bytes");
  if (!/^[-._a-zA-Z0-9]+$/.test(key)) list.push(PATTERN_TEXT);
  if (key === "." || key === "..") list.push(`must not be '${key}'`);
  else if (key.startsWith("..")) list.push("must not start with '..'");
  return list;
}

/** @param field `data` or `binaryData`; errors are at `data[key]` */
export function checkConfigKeys(field: string, keys: readonly string[]): readonly FieldError[] {
  return keys.flatMap((key) => problems(key).map((text) => invalid(`${field}[${key}]`, key, text)));
}
