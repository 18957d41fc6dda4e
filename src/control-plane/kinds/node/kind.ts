/** Layer control-plane. v1 Node. Agents write their own node's object; the control plane assigns its pod ranges. */
import { AGE, NAME } from "../../registry/columns.ts";
import { duplicate, type FieldError, forbidden, invalid, notSupported } from "../../registry/field-error.ts";
import { type ApiObject, type JsonObject, sameJson } from "../../registry/json.ts";
import type { Column, Kind } from "../../registry/kind.ts";
import { labelValue, qualifiedName } from "../../registry/names.ts";
import { checkCidr, checkText } from "../common/field-checks.ts";
import { asObject, asText, ensureObject, objectsIn, textsIn } from "../common/json-access.ts";
import { NODE as SCHEMA } from "./schema.ts";

const ROLE_PREFIX = "node-role.kubernetes.io/";
const TAINT_EFFECTS = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

const specOf = (object: ApiObject): JsonObject => asObject(object["spec"]);
const statusOf = (object: ApiObject): JsonObject => asObject(object["status"]);

/** `podCIDR` and the first of `podCIDRs` are the same thing; whichever is there fills the other. */
function setDefaults(object: ApiObject): void {
  const spec = ensureObject(object, "spec");
  const cidrs = textsIn(spec["podCIDRs"]);
  const cidr = asText(spec["podCIDR"]);
  if (cidr === "" && cidrs[0] !== undefined) spec["podCIDR"] = cidrs[0];
  else if (cidr !== "" && cidrs.length === 0) spec["podCIDRs"] = [cidr];
}

function checkTaints(taints: readonly JsonObject[]): readonly FieldError[] {
  const seen = new Set<string>();
  return taints.flatMap((taint, index) => {
    const field = `spec.taints[${index}]`;
    const [key, value, effect] = [asText(taint["key"]), asText(taint["value"]), asText(taint["effect"])];
    const errors = [
      ...checkText(`${field}.key`, key, qualifiedName),
      ...checkText(`${field}.value`, value, labelValue),
    ];
    if (!TAINT_EFFECTS.includes(effect)) {
      errors.push(notSupported(`${field}.effect`, effect, TAINT_EFFECTS));
    }
    const identity = `${key}:${effect}`;
    if (seen.has(identity)) {
      errors.push({
        ...duplicate(field, taint),
        detail: "taints must be unique by key and effect pair",
      });
    }
    seen.add(identity);
    return errors;
  });
}

function validate(object: ApiObject): readonly FieldError[] {
  const spec = specOf(object);
  const cidrs = textsIn(spec["podCIDRs"]);
  const errors = [
    ...cidrs.flatMap((cidr, index) => checkCidr(`spec.podCIDRs[${index}]`, cidr)),
    ...checkTaints(objectsIn(spec["taints"])),
  ];
  if (new Set(cidrs.map((cidr) => cidr.includes(":"))).size < cidrs.length) {
    errors.push(invalid("spec.podCIDRs", cidrs, "must specify no more than one CIDR for each IP family"));
  }
  if (cidrs[0] !== undefined && cidrs[0] !== asText(spec["podCIDR"])) {
    errors.push(invalid("spec.podCIDRs[0]", cidrs[0], "must match `podCIDR`"));
  }
  return errors;
}

function validateUpdate(object: ApiObject, old: ApiObject): readonly FieldError[] {
  const [now, before] = [specOf(object), specOf(old)];
  const errors: FieldError[] = [];
  const ranges = textsIn(before["podCIDRs"]);
  if (ranges.length > 0 && !sameJson(now["podCIDRs"], before["podCIDRs"])) {
    errors.push(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
  }
  const provider = asText(before["providerID"]);
  if (provider !== "" && asText(now["providerID"]) !== provider) {
    errors.push(
      forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'),
    );
  }
  return errors;
}

function validateStatus(object: ApiObject): readonly FieldError[] {
  const addresses = objectsIn(statusOf(object)["addresses"]);
  return addresses.flatMap((address, index) =>
    addresses.findIndex((other) => sameJson(other, address)) === index
      ? []
      : [duplicate(`status.addresses[${index}]`, address)],
  );
}

function readiness(object: ApiObject): string {
  const ready = objectsIn(statusOf(object)["conditions"]).find((condition) => condition["type"] === "Ready");
  const state = ready === undefined ? "Unknown" : ready["status"] === "True" ? "Ready" : "NotReady";
  return specOf(object)["unschedulable"] === true ? `${state},SchedulingDisabled` : state;
}

function roles(object: ApiObject): string {
  const found = Object.entries(object.metadata.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(ROLE_PREFIX))
      return key.length > ROLE_PREFIX.length ? [key.slice(ROLE_PREFIX.length)] : [];
    return key === "kubernetes.io/role" && value !== "" ? [value] : [];
  });
  return found.length === 0 ? "<none>" : [...new Set(found)].toSorted().join(",");
}

const addressOf = (object: ApiObject, type: string): string => {
  const match = objectsIn(statusOf(object)["addresses"]).find((address) => address["type"] === type);
  return match === undefined ? "<none>" : asText(match["address"]);
};
const infoOf = (object: ApiObject, field: string): string =>
  asText(asObject(statusOf(object)["nodeInfo"])[field]) || "<unknown>";

const wide = (name: string, description: string, cell: (object: ApiObject) => string): Column => {
  return { name, type: "string", description, priority: 1, cell };
};

export const NODE: Kind = {
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  namespaced: false,
  schema: SCHEMA,
  setDefaults,
  /** Unlike most kinds a node may bring its status along: that is how agents register (as kubelets do). */
  prepareForCreate: () => undefined,
  validate,
  validateUpdate,
  subresources: { status: { type: "object", validate: validateStatus } },
  columns: [
    NAME,
    { name: "Status", type: "string", description: "The status of the node", cell: readiness },
    { name: "Roles", type: "string", description: "The roles of the node", cell: roles },
    AGE,
    {
      name: "Version",
      type: "string",
      description: "Version of the node's agent.",
      cell: (object) => asText(asObject(statusOf(object)["nodeInfo"])["kubeletVersion"]),
    },
    wide("Internal-IP", "Address inside the cluster.", (object) => addressOf(object, "InternalIP")),
    wide("External-IP", "Address outside the cluster.", (object) => addressOf(object, "ExternalIP")),
    wide("OS-Image", "Name of the operating system.", (object) => infoOf(object, "osImage")),
    wide("Kernel-Version", "Version of the kernel.", (object) => infoOf(object, "kernelVersion")),
    wide("Container-Runtime", "Runtime and its version.", (object) =>
      infoOf(object, "containerRuntimeVersion"),
    ),
  ],
  fieldSelectors: {
    "spec.unschedulable": (object) => String(specOf(object)["unschedulable"] === true),
  },
};
