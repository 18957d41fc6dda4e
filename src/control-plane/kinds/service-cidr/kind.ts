/** Layer control-plane. networking.k8s.io/v1 ServiceCIDR: ranges from which Services get their addresses. */
import { AGE, NAME } from "../../registry/columns.ts";
import { type FieldError, invalid, required } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { checkNetwork, checkUnchanged } from "../common/field-checks.ts";
import { asObject, textsIn } from "../common/json-access.ts";
import { SERVICE_CIDR as SCHEMA } from "./schema.ts";

const cidrsOf = (object: ApiObject): readonly string[] => textsIn(asObject(object["spec"])["cidrs"]);

function validate(object: ApiObject): readonly FieldError[] {
  const cidrs = cidrsOf(object);
  if (cidrs.length === 0) return [required("spec.cidrs", "at least one CIDR required")];
  if (cidrs.length > 2) {
    return [invalid("spec", asObject(object["spec"]), "may only hold up to 2 values")];
  }
  const families = new Set(cidrs.map((cidr) => cidr.includes(":")));
  return [
    ...(families.size < cidrs.length
      ? [
          invalid(
            "spec",
            asObject(object["spec"]),
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
          ),
        ]
      : []),
    ...cidrs.flatMap((cidr, index) => checkNetwork(`spec.cidrs[${index}]`, cidr)),
  ];
}

export const SERVICE_CIDR: Kind = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "ServiceCIDR",
  plural: "servicecidrs",
  singular: "servicecidr",
  namespaced: false,
  generation: true,
  schema: SCHEMA,
  validate,
  validateUpdate: (object, old) =>
    checkUnchanged("spec.cidrs", asObject(object["spec"])["cidrs"], asObject(old["spec"])["cidrs"]),
  subresources: { status: { type: "object" } },
  columns: [
    NAME,
    {
      name: "CIDRs",
      type: "string",
      description: "Ranges of Service addresses.",
      cell: (object) => cidrsOf(object).join(","),
    },
    AGE,
  ],
};
