/** Layer dns. What a `kubernetes` block says, checked. */
import type { LabelSelector } from "./label-selector.ts";

export interface KubernetesOptions {
  /** Absolute, lower case, in the order written. */
  readonly zones: readonly string[];
  /** The first that is no reverse zone: what PTR records point into. */
  readonly primaryZone: string;
  readonly ttlSeconds: number;
  readonly pods: "disabled" | "insecure" | "verified";
  /** Absent: all namespaces. */
  readonly namespaces?: ReadonlySet<string>;
  readonly namespaceSelector?: LabelSelector;
  /** For services, slices and pods. */
  readonly objectSelector?: LabelSelector;
  readonly hasEndpoints: boolean;
  readonly ignoreEmptyService: boolean;
  readonly endpointPodNames: boolean;
  readonly zonal: boolean;
  /** Zones for which an unknown name goes to the next plugin; absent: none. */
  readonly fallthrough?: readonly string[];
}

export function isReverseZone(zone: string): boolean {
  return zone.endsWith("in-addr.arpa.") || zone.endsWith("ip6.arpa.");
}
