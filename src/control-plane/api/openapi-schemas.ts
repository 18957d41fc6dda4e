/** Layer control-plane. Schemas of kinds as OpenAPI definitions, with the x-kubernetes extensions. Pure. */
import type { JsonObject } from "../registry/json.ts";
import type { Kind } from "../registry/kind.ts";
import { DELETE_OPTIONS, SCALE } from "../registry/meta-schema.ts";
import { type Field, jsonFields, type Message, type Scalar, type Type } from "../registry/schema.ts";

export interface Gvk {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const SCALARS: Readonly<Record<Scalar, JsonObject>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
  time: { type: "string", format: "date-time" },
  microTime: { type: "string", format: "date-time" },
  // One type for both: v2 clients know the format.
  intOrString: { type: "string", format: "int-or-string" },
  quantity: { type: "string" },
  any: { type: "object" },
};

/** Definitions of the kinds, their lists and everything in them, by name. @param refPrefix before a definition's name */
export function schemasOf(kinds: readonly Kind[], refPrefix: string): JsonObject {
  const result: JsonObject = {};
  const add = (message: Message): void => {
    if (result[message.name] !== undefined) return;
    result[message.name] = {}; // A message may hold itself.
    result[message.name] = messageSchema(message, refPrefix);
    for (const [, field] of jsonFields(message)) {
      const inner = messageIn(field.value);
      if (inner !== undefined) add(inner);
    }
  };
  add(DELETE_OPTIONS);
  for (const kind of kinds) {
    add(kind.schema);
    result[kind.schema.name] = topLevel(messageSchema(kind.schema, refPrefix), kind);
    result[`${kind.schema.name}List`] = topLevel(listSchema(kind, refPrefix), {
      ...kind,
      kind: `${kind.kind}List`,
    });
    for (const how of Object.values(kind.subresources ?? {})) {
      if (how.type === "action") {
        add(how.request);
        result[how.request.name] = topLevel(messageSchema(how.request, refPrefix), how);
      } else if (how.type === "scale") {
        add(SCALE);
        const scale = { group: "autoscaling", version: "v1", kind: "Scale" };
        result[SCALE.name] = topLevel(messageSchema(SCALE, refPrefix), scale);
      }
    }
  }
  return result;
}

function messageIn(type: Type): Message | undefined {
  if (type.type === "message") return type.message();
  return type.type === "list" || type.type === "map" ? messageIn(type.of) : undefined;
}

function messageSchema(message: Message, refPrefix: string): JsonObject {
  const properties: JsonObject = {};
  const required: string[] = [];
  for (const [name, field] of jsonFields(message)) {
    properties[name] = fieldSchema(field, refPrefix);
    if (field.required === true) required.push(name);
  }
  return {
    description: message.description,
    type: "object",
    properties,
    ...(required.length === 0 ? {} : { required }),
  };
}

function topLevel(schema: JsonObject, { group, version, kind }: Gvk): JsonObject {
  const type = {
    apiVersion: {
      type: "string",
      description: "APIVersion defines the versioned schema of this representation of an object.",
    },
    kind: {
      type: "string",
      description: "Kind is a string value representing the REST resource this object represents.",
    },
  };
  const properties = schema["properties"] as JsonObject;
  return {
    ...schema,
    properties: { ...type, ...properties },
    "x-kubernetes-group-version-kind": [{ group, version, kind }],
  };
}

function listSchema(kind: Kind, refPrefix: string): JsonObject {
  return {
    description: `${kind.kind}List is a list of ${kind.kind} objects.`,
    type: "object",
    required: ["items"],
    properties: {
      items: {
        type: "array",
        description: "Items is the list.",
        items: { $ref: refPrefix + kind.schema.name },
      },
      metadata: { type: "object", description: "Standard list metadata." },
    },
  };
}

function fieldSchema(field: Field, refPrefix: string): JsonObject {
  const { description } = field;
  const extensions: JsonObject = {};
  if (field.enum !== undefined) extensions["enum"] = [...field.enum];
  if (field.default !== undefined) extensions["default"] = field.default;
  if (field.listType !== undefined) extensions["x-kubernetes-list-type"] = field.listType;
  if (field.listMapKeys !== undefined) extensions["x-kubernetes-list-map-keys"] = [...field.listMapKeys];
  if (field.mapType !== undefined) extensions["x-kubernetes-map-type"] = field.mapType;
  if (field.mergeKey !== undefined) extensions["x-kubernetes-patch-merge-key"] = field.mergeKey;
  const strategy = field.patchStrategy ?? (field.mergeKey === undefined ? undefined : "merge");
  if (strategy !== undefined) extensions["x-kubernetes-patch-strategy"] = strategy;
  const schema = typeSchema(field.value, refPrefix);
  if (schema["$ref"] === undefined) return { description, ...schema, ...extensions };
  // In v2 a reference stands alone with its description; in v3 it is wrapped, as upstream does.
  return refPrefix.startsWith("#/components/")
    ? { description, allOf: [schema], ...extensions }
    : { description, ...schema, ...extensions };
}

function typeSchema(type: Type, refPrefix: string): JsonObject {
  switch (type.type) {
    case "message":
      return { $ref: refPrefix + type.message().name };
    case "list":
      return { type: "array", items: typeSchema(type.of, refPrefix) };
    case "map":
      return { type: "object", additionalProperties: typeSchema(type.of, refPrefix) };
    case "intOrString":
      return refPrefix.startsWith("#/components/")
        ? { oneOf: [{ type: "integer" }, { type: "string" }], format: "int-or-string" }
        : SCALARS.intOrString;
    case "string":
    case "bool":
    case "int32":
    case "int64":
    case "double":
    case "bytes":
    case "time":
    case "microTime":
    case "quantity":
    case "any":
      return SCALARS[type.type];
  }
}
