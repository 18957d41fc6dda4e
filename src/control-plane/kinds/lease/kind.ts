/** Layer control-plane. coordination.k8s.io/v1 Lease. Renewed often, so it is kept out of the change log. */
import { AGE, NAME } from "../../registry/columns.ts";
import { type FieldError, invalid } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { asObject, asText } from "../common/json-access.ts";
import { LEASE as SCHEMA } from "./schema.ts";

function validate(object: ApiObject): readonly FieldError[] {
  const { leaseDurationSeconds: seconds, leaseTransitions: transitions } = asObject(object["spec"]);
  const errors: FieldError[] = [];
  if (typeof seconds === "number" && seconds <= 0) {
    errors.push(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
  }
  if (typeof transitions === "number" && transitions < 0) {
    errors.push(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"));
  }
  return errors;
}

export const LEASE: Kind = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  singular: "lease",
  namespaced: true,
  ephemeral: true,
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  schema: SCHEMA,
  validate,
  columns: [
    NAME,
    {
      name: "Holder",
      type: "string",
      description: "Who holds the lease.",
      cell: (object) => asText(asObject(object["spec"])["holderIdentity"]),
    },
    AGE,
  ],
};
