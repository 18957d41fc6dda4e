/**
 * Layer control-plane. Reads decoded JSON against a schema: wrong types are refused as Go's decoder would, unknown
 * fields are left out and listed, nulls mean "not set", times are written in one form.
 */
import { isJsonObject, type Json, type JsonObject } from "./json.ts";
import { formatPath } from "./json-parser.ts";
import { fieldOf, type Message, type Scalar, type Type } from "./schema.ts";

/** A value that has the wrong type: the text of Go's decoder. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

export interface Shaped {
  readonly value: JsonObject;
  /** Paths of fields that the schema does not have. */
  readonly unknown: readonly string[];
}

interface Reading {
  readonly path: (string | number)[];
  readonly unknown: string[];
}

/** Top-level `apiVersion` and `kind` are kept as they are. @throws {ShapeError} */
export function readShape(schema: Message, value: JsonObject): Shaped {
  const reading: Reading = { path: [], unknown: [] };
  const { apiVersion, kind, ...rest } = value;
  const body = readMessage(schema, rest, reading);
  const head: JsonObject = {};
  if (apiVersion !== undefined) head["apiVersion"] = apiVersion;
  if (kind !== undefined) head["kind"] = kind;
  return { value: { ...head, ...body }, unknown: reading.unknown };
}

function readMessage(schema: Message, value: Json, reading: Reading, holder = ""): JsonObject {
  if (!isJsonObject(value)) throw mismatch(value, reading, holder || schema.name, goMessage(schema.name));
  const result: JsonObject = {};
  for (const [name, inner] of Object.entries(value)) {
    reading.path.push(name);
    const field = fieldOf(schema, name);
    if (field === undefined) reading.unknown.push(formatPath(reading.path));
    else if (inner !== null && inner !== undefined) {
      result[name] = readValue(field.value, inner, reading, schema.name);
    }
    reading.path.pop();
  }
  return result;
}

function readValue(type: Type, value: Json, reading: Reading, holder: string): Json {
  if (type.type === "message") return readMessage(type.message(), value, reading, holder);
  if (type.type === "list") {
    if (!Array.isArray(value)) throw mismatch(value, reading, holder, goType(type));
    return value.map((item, index) => readItem(type.of, index, item, { reading, holder }));
  }
  if (type.type === "map") {
    if (!isJsonObject(value)) throw mismatch(value, reading, holder, goType(type));
    const result: JsonObject = {};
    for (const [key, item] of Object.entries(value)) {
      if (item !== undefined) result[key] = readItem(type.of, key, item, { reading, holder });
    }
    return result;
  }
  return readScalar(type.type, value, reading, holder);
}

function readItem(
  of: Type,
  at: string | number,
  item: Json,
  { reading, holder }: { readonly reading: Reading; readonly holder: string },
): Json {
  reading.path.push(at);
  const read = item === null ? zeroOf(of) : readValue(of, item, reading, holder);
  reading.path.pop();
  return read;
}

function readScalar(type: Scalar, value: Json, reading: Reading, holder: string): Json {
  const wrong = (): ShapeError => mismatch(value, reading, holder, goType({ type }));
  switch (type) {
    case "string":
      if (typeof value !== "string") throw wrong();
      return value;
    case "bytes":
      if (typeof value !== "string") throw wrong();
      if (!isBase64(value)) throw new ShapeError(`illegal base64 data in ${formatPath(reading.path)}`);
      return value;
    case "bool":
      if (typeof value !== "boolean") throw wrong();
      return value;
    case "int32":
    case "int64": {
      const max = type === "int32" ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER;
      if (typeof value !== "number" || !Number.isInteger(value) || value > max || value < -max - 1)
        throw wrong();
      return value;
    }
    case "double":
      if (typeof value !== "number") throw wrong();
      return value;
    case "time":
    case "microTime":
      if (typeof value !== "string") throw wrong();
      return readTime(value, type === "microTime");
    case "intOrString":
      if (typeof value === "string") return value;
      if (typeof value !== "number" || !Number.isInteger(value) || Math.abs(value) > 2 ** 31) throw wrong();
      return value;
    case "quantity":
      if (typeof value === "number") return String(value);
      if (typeof value !== "string") throw wrong();
      if (
        value.length > MAX_QUANTITY ||
        !/^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$/.test(value)
      ) {
        throw new ShapeError(
          "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        );
      }
      return value;
    case "any":
      return value;
  }
}

/** Strict: what Node would read past is refused. Linear in the text. */
function isBase64(value: string): boolean {
  const plain = value.replace(/[\r\n]/g, "");
  return Buffer.from(plain, "base64").toString("base64") === plain;
}

/** Longer text is no number that anybody means; the pattern's time grows with the square. */
const MAX_QUANTITY = 64;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

function readTime(value: string, micro: boolean): string {
  const found = RFC3339.exec(value);
  const ms = Date.parse(value);
  if (found === null || Number.isNaN(ms)) {
    throw new ShapeError(
      `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(value)}`,
    );
  }
  const seconds = new Date(ms).toISOString().slice(0, 19);
  return micro ? `${seconds}.${(found[1] ?? ".").slice(1, 7).padEnd(6, "0")}Z` : `${seconds}Z`;
}

function zeroOf(type: Type): Json {
  switch (type.type) {
    case "list":
      return [];
    case "map":
    case "message":
      return {};
    case "bool":
      return false;
    case "int32":
    case "int64":
    case "double":
    case "intOrString":
      return 0;
    case "string":
    case "bytes":
    case "time":
    case "microTime":
    case "quantity":
    case "any":
      return "";
  }
}

function mismatch(value: Json, reading: Reading, holder: string, type: string): ShapeError {
  const path = reading.path.filter((part) => typeof part === "string").join(".");
  const found = Array.isArray(value) ? "array" : typeof value === "number" ? `number ${value}` : typeof value;
  const what = typeof value === "boolean" ? "bool" : found;
  return new ShapeError(
    `json: cannot unmarshal ${what} into Go struct field ${shortName(holder)}.${path} of type ${type}`,
  );
}

function goType(type: Type): string {
  switch (type.type) {
    case "list":
      return `[]${goType(type.of)}`;
    case "map":
      return `map[string]${goType(type.of)}`;
    case "message":
      return goMessage(type.message().name);
    case "bytes":
      return "[]uint8";
    case "double":
      return "float64";
    case "time":
      return "v1.Time";
    case "microTime":
      return "v1.MicroTime";
    case "intOrString":
      return "intstr.IntOrString";
    case "quantity":
      return "resource.Quantity";
    case "any":
      return "runtime.RawExtension";
    case "string":
    case "bool":
    case "int32":
    case "int64":
      return type.type;
  }
}

const shortName = (name: string): string => name.split(".").at(-1) ?? name;
const goMessage = (name: string): string => name.split(".").slice(-2).join(".");
