/** Layer control-plane. v1 Namespace: Terminating until its finalizer `kubernetes` is taken off by the namespace controller. */

import { AGE, NAME } from "../../registry/columns.ts";
import { forbidden } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { labelName } from "../../registry/names.ts";
import { asObject, asText, ensureObject, textsIn } from "../common/json-access.ts";
import { NAMESPACE as SCHEMA } from "./schema.ts";

/** What the namespace controller takes off when the content is gone. */
export const KUBERNETES_FINALIZER = "kubernetes";
/** Set by the server on every namespace, so that selectors can name one. */
const NAME_LABEL = "kubernetes.io/metadata.name";
const IMMORTAL = new Set(["default", "kube-system", "kube-public"]);

const phaseOf = (object: ApiObject): string => asText(asObject(object["status"])["phase"]);

function setNameLabel(object: ApiObject): void {
  const { name } = object.metadata;
  if (name === undefined || name === "") return;
  object.metadata.labels = { ...object.metadata.labels, [NAME_LABEL]: name };
}

export const NAMESPACE: Kind = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  namespaced: false,
  isNamespace: true,
  schema: SCHEMA,
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  validateName: labelName,
  setDefaults: setNameLabel,
  prepareForCreate(object) {
    setNameLabel(object);
    object["status"] = { phase: "Active" };
    const spec = ensureObject(object, "spec");
    const finalizers = textsIn(spec["finalizers"]);
    if (!finalizers.includes(KUBERNETES_FINALIZER))
      spec["finalizers"] = [...finalizers, KUBERNETES_FINALIZER];
  },
  prepareForUpdate(object, old) {
    object["spec"] = structuredClone(old["spec"]);
  },
  refuseDelete: (object) =>
    IMMORTAL.has(object.metadata.name ?? "") ? "this namespace may not be deleted" : undefined,
  markDeleting(object) {
    ensureObject(object, "status")["phase"] = "Terminating";
  },
  keepsDeleted: (object) => textsIn(asObject(object["spec"])["finalizers"]).length > 0,
  subresources: {
    status: {
      type: "object",
      validate(object) {
        const deleting = object.metadata.deletionTimestamp !== undefined;
        const phase = phaseOf(object);
        if (deleting && phase !== "Terminating") {
          return [forbidden("status.phase", "may only be 'Terminating' if `deletionTimestamp` is not empty")];
        }
        if (!deleting && phase !== "Active") {
          return [forbidden("status.phase", "may only be 'Active' if `deletionTimestamp` is empty")];
        }
        return [];
      },
    },
    finalize: {
      type: "object",
      prepare(object, old) {
        const finalizers = asObject(object["spec"])["finalizers"];
        object["spec"] = { ...asObject(old["spec"]), finalizers: finalizers ?? [] };
        object["status"] = structuredClone(old["status"]);
      },
    },
  },
  columns: [
    NAME,
    { name: "Status", type: "string", description: "The status of the namespace", cell: phaseOf },
    AGE,
  ],
  fieldSelectors: { "status.phase": phaseOf, name: (object) => object.metadata.name ?? "" },
};
