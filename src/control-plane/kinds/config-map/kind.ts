/** Layer control-plane. v1 ConfigMap. */
import { AGE, NAME } from "../../registry/columns.ts";
import { type FieldError, invalid, tooLong } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { checkConfigKeys, MAX_CONTENT_BYTES } from "../common/config-keys.ts";
import { checkImmutableContent } from "../common/field-checks.ts";
import { asObject, textMap } from "../common/json-access.ts";
import { CONFIG_MAP as SCHEMA } from "./schema.ts";

function validate(object: ApiObject): readonly FieldError[] {
  const data = textMap(object["data"]);
  const binary = textMap(object["binaryData"]);
  const duplicates = Object.keys(binary).filter((key) => Object.hasOwn(data, key));
  let size = 0;
  for (const text of Object.values(data)) size += Buffer.byteLength(text);
  for (const base64 of Object.values(binary)) size += Buffer.byteLength(base64, "base64");
  return [
    ...checkConfigKeys("data", Object.keys(data)),
    ...checkConfigKeys("binaryData", Object.keys(binary)),
    ...duplicates.map((key) => invalid(`data[${key}]`, key, "duplicate of key present in binaryData")),
    ...(size > MAX_CONTENT_BYTES ? [tooLong("", MAX_CONTENT_BYTES)] : []),
  ];
}

export const CONFIG_MAP: Kind = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  singular: "configmap",
  shortNames: ["cm"],
  namespaced: true,
  schema: SCHEMA,
  validate,
  validateUpdate: (object, old) => checkImmutableContent(object, old, ["data", "binaryData"]),
  columns: [
    NAME,
    {
      name: "Data",
      type: "string",
      description: "Number of keys.",
      cell: (object) =>
        Object.keys(asObject(object["data"])).length + Object.keys(asObject(object["binaryData"])).length,
    },
    AGE,
  ],
};
