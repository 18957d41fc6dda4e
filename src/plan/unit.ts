/**
 * Layer plan. The intermediate form that every backend's compiler sees: one unit per service port and family.
 * Neutral: nothing here is a word of nftables, iptables or IPVS.
 */
import type { IpFamily } from "../model/ip.ts";
import type { TrafficPolicy } from "../model/objects.ts";
import type { PackedDestination, PackedIp } from "./packed.ts";

/**
 * `internal` is the cluster address and obeys internalTrafficPolicy; `external` (external IPs, load-balancer
 * addresses) and `node-port` obey externalTrafficPolicy.
 */
export type FrontendClass = "internal" | "external" | "node-port";

export interface Frontend {
  readonly class: FrontendClass;
  /** Empty for a node port: it answers on whatever addresses the node configuration says. */
  readonly address: PackedIp;
  readonly port: number;
  /** True for load-balancer addresses whose clients must be in the unit's source ranges. */
  readonly isGuarded: boolean;
  /** Path of the field that it comes from, for problems. */
  readonly field: string;
}

/** Inclusive range of addresses, both ends of the unit's family. */
export interface AddressRange {
  readonly first: PackedIp;
  readonly last: PackedIp;
}

/** What of a unit follows from the Service (and the node's addresses) alone; kept as long as the Service stays as it is. */
export interface UnitShape {
  /** `namespace/name:port/PROTOCOL/family`: unique, stable. */
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  readonly portName: string;
  readonly family: IpFamily;
  /** IP protocol number: 6, 17 or 132. */
  readonly protocol: number;
  /** Only those this unit owns: frontends lost to an older object are not here. */
  readonly frontends: readonly Frontend[];
  readonly internalPolicy: TrafficPolicy;
  readonly externalPolicy: TrafficPolicy;
  /** 0 without session affinity. */
  readonly affinitySeconds: number;
  /** Merged, sorted. Only guarded frontends look at them. */
  readonly sourceRanges: readonly AddressRange[];
  /** Port of the Service's health check on every node; absent or 0 when there is none. */
  readonly healthCheckNodePort?: number;
}

/** An endpoint that a frontend may lead to. */
export interface Target {
  readonly destination: PackedDestination;
  /** How many slots it takes: its share is this over the sum. At least 1. */
  readonly slots: number;
  /** It can meet itself here: it is on this node, or its slice does not say where it is. */
  readonly mayBeHere: boolean;
}

/** Everything a compiler needs for one service port of one family. */
export interface Unit {
  readonly shape: UnitShape;
  /** Sorted by destination, which is unique. Empty when policy Cluster is not in use. */
  readonly cluster: readonly Target[];
  readonly local: readonly Target[];
  /** Some usable endpoint exists somewhere: an empty set then means drop, else reject. */
  readonly hasAny: boolean;
}

/** A unit as it is to be now; `unit` is absent when it is gone. */
export interface UnitChange {
  readonly key: string;
  readonly family: IpFamily;
  readonly unit?: Unit;
}

/** True when cluster and local sets must both be known. */
export function neededSets(shape: UnitShape): { readonly cluster: boolean; readonly local: boolean } {
  let hasExternal = false;
  for (const frontend of shape.frontends) if (frontend.class !== "internal") hasExternal = true;
  return {
    cluster: shape.internalPolicy !== "Local" || hasExternal,
    local: shape.internalPolicy === "Local" || (shape.externalPolicy === "Local" && hasExternal),
  };
}
