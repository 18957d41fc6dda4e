/**
 * Layer model. Identity and metadata of a Kubernetes object. Annotations that nodeplane does not read are left out:
 * they would be carried to every node.
 */
import type { ObjectKey, ObjectKind, ObjectMeta } from "../objects.ts";
import { isRecord, type Json, type Problems, readTextMap, show } from "./fields.ts";

/** On an EndpointSlice or Endpoints: JSON object of address to weight, 0–256; addresses that are not in it weigh 1. */
export const WEIGHTS_ANNOTATION = "nodeplane.dev/endpoint-weights";
/** On an EndpointSlice: RFC 3339 time of the change that led to it. */
export const TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";
const KEPT_ANNOTATIONS: readonly string[] = [WEIGHTS_ANNOTATION, TRIGGER_TIME_ANNOTATION];

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const ZONE_LABEL = "topology.kubernetes.io/zone";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$/;
const CLUSTER_SCOPED: ReadonlySet<ObjectKind> = new Set<ObjectKind>(["Namespace", "Node", "ServiceCIDR"]);

/**
 * Key of an object of `kind`. A missing namespace is `default`, as kubectl has it. Where the name cannot be used the
 * key has what was found, for messages, and `reason` says why.
 */
export function readKey(
  kind: ObjectKind,
  json: Json,
): { readonly key: ObjectKey; readonly bad?: readonly [string, string] } {
  const meta = isRecord(json["metadata"]) ? json["metadata"] : {};
  const name = meta["name"];
  const given = meta["namespace"];
  const namespaced = !CLUSTER_SCOPED.has(kind);
  const namespace = !namespaced
    ? ""
    : given === undefined || given === null || given === ""
      ? "default"
      : given;
  const text = (value: unknown) => (typeof value === "string" ? value.slice(0, 253) : "");
  const key: ObjectKey = { kind, namespace: text(namespace), name: text(name) };
  const allowed = "must be 1 to 253 letters, digits, '-', '.', '_' or ':'";
  if (typeof name !== "string" || !NAME.test(name))
    return { key, bad: ["metadata.name", `${allowed}, not ${show(name)}`] };
  if (namespaced && (typeof namespace !== "string" || !NAME.test(namespace)))
    return { key, bad: ["metadata.namespace", `${allowed}, not ${show(namespace)}`] };
  return { key };
}

/** RFC 3339 time to milliseconds, 0 when absent or wrong. */
function readTime(value: unknown): number {
  if (typeof value !== "string" || value.length > 40) return 0;
  const ms = Date.parse(value);
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

/** Metadata of the object that `problems` is about. */
export function readMeta(json: Json, problems: Problems): ObjectMeta {
  const meta = isRecord(json["metadata"]) ? json["metadata"] : {};
  const annotations = isRecord(meta["annotations"]) ? meta["annotations"] : {};
  const kept: Record<string, string> = {};
  for (const name of KEPT_ANNOTATIONS) {
    const value = annotations[name];
    if (typeof value === "string" && value.length <= 65_536) kept[name] = value;
    else if (value !== undefined && value !== null)
      problems.add(
        "InvalidValue",
        `metadata.annotations[${name}]`,
        "must be text of at most 65536 characters",
      );
  }
  const deleted = readTime(meta["deletionTimestamp"]);
  return {
    namespace: problems.key.namespace,
    name: problems.key.name,
    uid: typeof meta["uid"] === "string" ? meta["uid"].slice(0, 128) : "",
    creationTimestampMs: readTime(meta["creationTimestamp"]),
    ...(deleted > 0 ? { deletionTimestampMs: deleted } : {}),
    labels: readTextMap(meta["labels"], "metadata.labels", problems),
    annotations: kept,
  };
}
