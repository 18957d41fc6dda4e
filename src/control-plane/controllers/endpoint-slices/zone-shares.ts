/**
 * Layer control-plane. How much of the cluster's processors each zone has: what `topology-mode: Auto` shares endpoints by. Pure.
 * Source: Kubernetes' topology cache (KEP-2433).
 */
import { asObject, asText, objectsIn } from "../../kinds/common/json-access.ts";
import type { ApiObject } from "../../registry/json.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";
/** Nodes with one of these do no work for Services. */
const EXCLUDED_LABELS = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/** Share of each zone, summing to 1, in the order of their names; or why nothing can be said. */
export type ZoneShares =
  | { readonly kind: "known"; readonly shares: ReadonlyMap<string, number> }
  | { readonly kind: "unknown"; readonly reason: string };

export function zoneOf(node: ApiObject): string {
  return node.metadata.labels?.[ZONE_LABEL] ?? "";
}

/** Thousandths of a processor of a quantity such as `4`, `3500m` or `0.5`; 0 for anything else. */
function milliCpus(quantity: string): number {
  const [, digits, milli] = /^(\d+(?:\.\d+)?)(m?)$/.exec(quantity) ?? [];
  return digits === undefined ? 0 : Number(digits) * (milli === "m" ? 1 : 1000);
}

function isReady(node: ApiObject): boolean {
  const conditions = objectsIn(asObject(node["status"])["conditions"]);
  return conditions.some((condition) => condition["type"] === "Ready" && condition["status"] === "True");
}

function cpusOf(node: ApiObject): number {
  return milliCpus(asText(asObject(asObject(node["status"])["allocatable"])["cpu"]));
}

/** All of a node that shares depend on: a node with the same text changes nothing. */
export function shareFacts(node: ApiObject): string {
  const isExcluded = EXCLUDED_LABELS.some((label) => node.metadata.labels?.[label] !== undefined);
  return isExcluded || !isReady(node) ? "" : `${zoneOf(node)} ${cpusOf(node)}`;
}

/** A ready node without zone or allocatable processors makes everything unknown, as in Kubernetes. */
export function zoneShares(nodes: Iterable<ApiObject>): ZoneShares {
  const byZone = new Map<string, number>();
  let total = 0;
  for (const node of nodes) {
    if (shareFacts(node) === "") continue;
    const [zone, cpus] = [zoneOf(node), cpusOf(node)];
    if (zone === "" || cpus === 0) {
      return {
        kind: "unknown",
        reason: "insufficient node information: allocatable CPU or zone not specified on one or more nodes",
      };
    }
    byZone.set(zone, (byZone.get(zone) ?? 0) + cpus);
    total += cpus;
  }
  if (byZone.size < 2) return { kind: "unknown", reason: "nodes are ready in fewer than two zones" };
  const sorted = [...byZone].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { kind: "known", shares: new Map(sorted.map(([zone, cpus]) => [zone, cpus / total])) };
}
