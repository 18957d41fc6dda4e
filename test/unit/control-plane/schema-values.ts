/** Random values of a schema, for property tests. */
import fc from "fast-check";
import type { Json, JsonObject } from "../../../src/control-plane/registry/json.ts";
import {
  type Field,
  jsonFields,
  type Message,
  type Type,
} from "../../../src/control-plane/registry/schema.ts";

const word = fc.string({ minLength: 1, maxLength: 8 }).filter((text) => text !== "__proto__");
const second = fc
  .integer({ min: 0, max: 4_000_000_000 })
  .map((value) => new Date(value * 1000).toISOString().slice(0, 19));

/** Values that survive: zeros only where the schema keeps them, messages that are not empty unless pointers. */
function anyValue(type: Type, depth: number, zero: boolean): fc.Arbitrary<Json> {
  switch (type.type) {
    case "message":
      return messageOf(type.message(), depth - 1);
    case "list":
      return fc.array(anyValue(type.of, depth, true), { minLength: 1, maxLength: 3 });
    case "map":
      return fc.dictionary(word, anyValue(type.of, depth, true), {
        minKeys: 1,
        maxKeys: 3,
        noNullPrototype: true,
      });
    case "string":
      return zero ? fc.string({ maxLength: 8 }) : word;
    case "bool":
      return zero ? fc.boolean() : fc.constant(true);
    case "int32":
    case "int64":
      return fc.integer().filter((value) => zero || value !== 0);
    case "double":
      return fc
        .double({ noNaN: true, noDefaultInfinity: true })
        .filter((value) => !Object.is(value, -0) && (zero || value !== 0));
    case "bytes":
      return fc
        .uint8Array({ minLength: 1, maxLength: 8 })
        .map((value) => Buffer.from(value).toString("base64"));
    case "time":
      return second.map((text) => `${text}Z`);
    case "microTime":
      return fc
        .tuple(second, fc.integer({ min: 0, max: 999_999 }))
        .map(([text, micro]) => `${text}.${String(micro).padStart(6, "0")}Z`);
    case "intOrString":
      return fc.oneof(fc.integer({ min: 1, max: 65_535 }), word);
    case "quantity":
      return fc.integer({ min: 1, max: 1000 }).map((value) => `${value}Mi`);
    case "any":
      return fc.dictionary(word, fc.integer(), { noNullPrototype: true });
  }
}

export function messageOf(message: Message, depth: number): fc.Arbitrary<JsonObject> {
  const usable = (field: Field): boolean => depth > 0 || scalarOnly(field.value);
  const entries = jsonFields(message).filter(([, field]) => usable(field));
  const model = Object.fromEntries(
    entries.map(([name, field]) => [name, anyValue(field.value, depth, field.pointer === true)]),
  );
  return fc.record(model, { requiredKeys: [], noNullPrototype: true });
}

function scalarOnly(type: Type): boolean {
  if (type.type === "message") return false;
  return type.type === "list" || type.type === "map" ? scalarOnly(type.of) : true;
}
