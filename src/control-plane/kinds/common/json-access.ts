/**
 * Layer control-plane. Reading JSON of unknown shape without surprises: a value of another type counts as absent.
 * Objects have passed the schema before they come here; this keeps hooks total for stored and partial ones too.
 */
import { isJsonObject, type Json, type JsonObject } from "../../registry/json.ts";

/** The object, or an empty one. */
export function asObject(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

/** The list, or an empty one. */
export function asList(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

/** The objects in a list; anything else in it is left out. */
export function objectsIn(value: Json | undefined): JsonObject[] {
  return asList(value).filter(isJsonObject);
}

/** The text, or "". */
export function asText(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

/** The number, or 0. */
export function asNumber(value: Json | undefined): number {
  return typeof value === "number" ? value : 0;
}

/** The strings in a list. */
export function textsIn(value: Json | undefined): string[] {
  return asList(value).filter((item): item is string => typeof item === "string");
}

/** The string values of a map. */
export function textMap(value: Json | undefined): Readonly<Record<string, string>> {
  const entries = Object.entries(asObject(value)).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(entries);
}

/** The object at `key` of `parent`; made there when it is missing. */
export function ensureObject(parent: JsonObject, key: string): JsonObject {
  const value = parent[key];
  if (isJsonObject(value)) return value;
  const made: JsonObject = {};
  parent[key] = made;
  return made;
}

/** Sets `key` unless it is there. */
export function setDefault(parent: JsonObject, key: string, value: Json): void {
  if (parent[key] === undefined || parent[key] === null) parent[key] = value;
}

/** Sets `key` unless it is there and not empty ("" and 0 count as empty, as Go's non-pointer fields do). */
export function setDefaultValue(parent: JsonObject, key: string, value: Json): void {
  const here = parent[key];
  if (here === undefined || here === null || here === "" || here === 0) parent[key] = value;
}
