/** Layer control-plane. v1 Secret. `stringData` is merged into `data` when it is written and never stored. */
import { AGE, NAME } from "../../registry/columns.ts";
import { type FieldError, required, tooLong } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { checkConfigKeys, MAX_CONTENT_BYTES } from "../common/config-keys.ts";
import { checkImmutableContent, checkUnchanged } from "../common/field-checks.ts";
import { asObject, asText, setDefaultValue, textMap } from "../common/json-access.ts";
import { SECRET as SCHEMA } from "./schema.ts";

/** Keys that must be there, by type. basic-auth needs one of two and is checked apart. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};
const SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name";

const typeOf = (object: ApiObject): string => asText(object["type"]);

function setDefaults(object: ApiObject): void {
  setDefaultValue(object, "type", "Opaque");
  const plain = textMap(object["stringData"]);
  delete object["stringData"];
  if (Object.keys(plain).length === 0) return;
  const encoded = Object.entries(plain).map(([key, text]) => [key, Buffer.from(text).toString("base64")]);
  object["data"] = {
    ...asObject(object["data"]),
    ...(Object.fromEntries(encoded) as Record<string, string>),
  };
}

function validate(object: ApiObject): readonly FieldError[] {
  const data = textMap(object["data"]);
  const type = typeOf(object);
  const errors: FieldError[] = [...checkConfigKeys("data", Object.keys(data))];
  let size = 0;
  for (const base64 of Object.values(data)) size += Buffer.byteLength(base64, "base64");
  if (size > MAX_CONTENT_BYTES) errors.push(tooLong("data", MAX_CONTENT_BYTES));
  const needed = Object.hasOwn(NEEDED, type) ? (NEEDED[type] ?? []) : [];
  for (const key of needed) if (data[key] === undefined) errors.push(required(`data[${key}]`));
  if (
    type === "kubernetes.io/basic-auth" &&
    data["username"] === undefined &&
    data["password"] === undefined
  ) {
    errors.push(required("data[username]"), required("data[password]"));
  }
  if (type === "kubernetes.io/service-account-token") {
    const annotation = object.metadata.annotations?.[SERVICE_ACCOUNT_NAME] ?? "";
    if (annotation === "") errors.push(required(`metadata.annotations[${SERVICE_ACCOUNT_NAME}]`));
  }
  return errors;
}

export const SECRET: Kind = {
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  singular: "secret",
  namespaced: true,
  schema: SCHEMA,
  setDefaults,
  validate,
  validateUpdate: (object, old) => [
    ...checkUnchanged("type", object["type"], old["type"]),
    ...checkImmutableContent(object, old, ["data"]),
  ],
  columns: [
    NAME,
    { name: "Type", type: "string", description: "What the Secret is for.", cell: typeOf },
    {
      name: "Data",
      type: "string",
      description: "Number of keys.",
      cell: (object) => Object.keys(asObject(object["data"])).length,
    },
    AGE,
  ],
  fieldSelectors: { type: typeOf },
};
