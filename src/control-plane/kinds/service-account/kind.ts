/** Layer control-plane. v1 ServiceAccount, as an object only: tokens are not issued yet. */
import { AGE, NAME } from "../../registry/columns.ts";
import type { Kind } from "../../registry/kind.ts";
import { asList } from "../common/json-access.ts";
import { SERVICE_ACCOUNT as SCHEMA } from "./schema.ts";

export const SERVICE_ACCOUNT: Kind = {
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  namespaced: true,
  schema: SCHEMA,
  columns: [
    NAME,
    {
      name: "Secrets",
      type: "string",
      description: "Number of Secrets that Pods of this account may use.",
      cell: (object) => asList(object["secrets"]).length,
    },
    AGE,
  ],
};
