/**
 * Layer control-plane. The OpenAPI v2 document in protobuf (gnostic's openapi.v2.Document), for kubectl 1.20 and
 * everything else that asks for it: definitions, which explain and client-side validation read, and the paths of openapi-v2-paths.ts.
 * Pure.
 * Field numbers: github.com/google/gnostic-models openapiv2/OpenAPIv2.proto.
 */
import type { Json, JsonObject } from "../registry/json.ts";
import { isJsonObject } from "../registry/json.ts";
import type { Kind } from "../registry/kind.ts";
import { WireWriter } from "../registry/protobuf-wire.ts";
import { schemasOf } from "./openapi-schemas.ts";
import { openApiV2Paths } from "./openapi-v2-paths.ts";

const text = (value: string): Uint8Array => Buffer.from(value, "utf8");

function build(write: (writer: WireWriter) => void): Uint8Array {
  const writer = new WireWriter();
  write(writer);
  return writer.finish();
}

/** Document{1 swagger, 2 info, 8 paths, 9 definitions}. */
export function openApiV2(kinds: readonly Kind[]): Buffer {
  const definitions = schemasOf(kinds, "#/definitions/");
  const body = build((document) => {
    document.bytes(1, text("2.0"));
    document.bytes(
      2,
      build((info) => {
        info.bytes(1, text("Kubernetes"));
        info.bytes(2, text("v1.33.0"));
      }),
    );
    document.bytes(8, openApiV2Paths(kinds));
    document.bytes(
      9,
      build((all) => {
        for (const [name, schema] of Object.entries(definitions)) {
          if (isJsonObject(schema)) all.bytes(1, named(name, encodeSchema(schema)));
        }
      }),
    );
  });
  return Buffer.from(body);
}

/** NamedX{1 name, 2 value}. */
function named(name: string, value: Uint8Array): Uint8Array {
  return build((entry) => {
    entry.bytes(1, text(name));
    entry.bytes(2, value);
  });
}

/**
 * Schema{1 $ref, 2 format, 4 description, 5 default, 19 required, 20 enum, 21 additionalProperties, 22 type, 23 items,
 * 25 properties, 31 vendorExtension}.
 */
function encodeSchema(schema: JsonObject): Uint8Array {
  return build((writer) => {
    const put = (number: number, value: Json | undefined): void => {
      if (typeof value === "string") writer.bytes(number, text(value));
    };
    put(1, schema["$ref"]);
    put(2, schema["format"]);
    put(4, schema["description"]);
    for (const name of Array.isArray(schema["required"]) ? schema["required"] : []) put(19, name);
    const { additionalProperties, items, properties } = schema;
    if (isJsonObject(additionalProperties)) {
      // AdditionalPropertiesItem{1 schema}
      writer.bytes(
        21,
        build((item) => item.bytes(1, encodeSchema(additionalProperties))),
      );
    }
    const { type } = schema;
    // TypeItem{1 value}
    if (typeof type === "string")
      writer.bytes(
        22,
        build((item) => item.bytes(1, text(type))),
      );
    // ItemsItem{1 schema}
    if (isJsonObject(items))
      writer.bytes(
        23,
        build((item) => item.bytes(1, encodeSchema(items))),
      );
    if (isJsonObject(properties)) {
      writer.bytes(
        25,
        build((all) => {
          for (const [name, inner] of Object.entries(properties)) {
            if (isJsonObject(inner)) all.bytes(1, named(name, encodeSchema(inner)));
          }
        }),
      );
    }
    for (const [name, value] of Object.entries(schema)) {
      // Any{2 yaml}: JSON is YAML.
      if (name.startsWith("x-"))
        writer.bytes(
          31,
          named(
            name,
            build((any) => any.bytes(2, text(JSON.stringify(value)))),
          ),
        );
    }
  });
}
