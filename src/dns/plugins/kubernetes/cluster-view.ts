/**
 * Layer dns. The cluster's objects as one `kubernetes` block shows them: which are hidden, how endpoints are called.
 * Reads only; two blocks may look at one state with different options.
 */

import { parseName } from "../../../codec/dns/name.ts";
import type { IpAddress } from "../../../model/ip.ts";
import { parseIp } from "../../../model/ip.ts";
import type { ClusterState } from "../../cluster/cluster-state.ts";
import type { DnsEndpoint, DnsService, DnsSlice, ServiceEntry } from "../../cluster/service-entry.ts";
import type { KubernetesOptions } from "./options.ts";

/** Longest label of a name. */
const MAX_LABEL = 63;

export class ClusterView {
  readonly state: ClusterState;
  readonly options: KubernetesOptions;

  constructor(state: ClusterState, options: KubernetesOptions) {
    this.state = state;
    this.options = options;
  }

  /** True when the namespace exists and is not hidden. */
  hasNamespace(name: string): boolean {
    const { namespaces, namespaceSelector } = this.options;
    if (namespaces !== undefined && !namespaces.has(name)) return false;
    const entry = this.state.namespaces.get(name);
    if (entry === undefined) return false;
    return namespaceSelector === undefined || (entry.labels !== undefined && namespaceSelector(entry.labels));
  }

  /** The service of a name (`service.namespace`), unless it is missing or hidden. */
  service(key: string): (ServiceEntry & { readonly service: DnsService }) | undefined {
    const entry = this.state.services.get(key);
    return entry !== undefined && this.shows(entry) ? entry : undefined;
  }

  /** True for an entry whose Service exists, is not hidden and, where so wished, not empty. */
  shows(entry: ServiceEntry): entry is ServiceEntry & { readonly service: DnsService } {
    const { service } = entry;
    if (service === undefined || !this.hasNamespace(entry.namespace)) return false;
    if (this.options.objectSelector?.(service.labels) === false) return false;
    if (this.options.ignoreEmptyService && service.kind === "cluster-ip") {
      return entry.slices.some((slice) => slice.endpoints.length > 0);
    }
    return service.kind !== "external-name" || isServedExternalName(service.externalName);
  }

  /** Slices that are not hidden. */
  slices(entry: ServiceEntry): readonly DnsSlice[] {
    if (!this.options.hasEndpoints) return [];
    const { objectSelector } = this.options;
    if (objectSelector === undefined) return entry.slices;
    return entry.slices.filter((slice) => objectSelector(slice.labels));
  }

  hasEndpoints(entry: ServiceEntry): boolean {
    return this.slices(entry).some((slice) => slice.endpoints.length > 0);
  }

  /** First label of an endpoint's own name. */
  endpointName(endpoint: DnsEndpoint): string {
    if (endpoint.hostname !== "") return endpoint.hostname;
    const { podName } = endpoint;
    if (this.options.endpointPodNames && podName !== "" && podName.length <= MAX_LABEL) return podName;
    return dashed(endpoint.address);
  }

  /** True when a live pod of that namespace has the address. */
  hasPod(address: IpAddress, namespace: string): boolean {
    const { objectSelector } = this.options;
    return (this.state.podsByAddress.get(address) ?? []).some(
      (pod) => pod.namespace === namespace && objectSelector?.(pod.labels) !== false,
    );
  }
}

/** An external name that is an address, or no name at all, can be no CNAME's target: such a service has no name. */
function isServedExternalName(externalName: string): boolean {
  return parseIp(externalName) === undefined && parseName(externalName) !== undefined;
}

/** `10.1.2.3` → `10-1-2-3`, `fd00:1::` → `fd00-1--0`: a label must not end in a dash. */
export function dashed(address: IpAddress): string {
  const text = address.replaceAll(/[.:]/g, "-");
  const start = text.startsWith("-") ? `0${text}` : text;
  return start.endsWith("-") ? `${start}0` : start;
}

/** Reverse of {@link dashed}; any spelling of the address. */
export function undashed(label: string): IpAddress | undefined {
  if (/^\d{1,3}(?:-\d{1,3}){3}$/.test(label)) return parseIp(label.replaceAll("-", "."));
  if (!/^[0-9a-f-]+$/.test(label) || !label.includes("-")) return undefined;
  return parseIp(label.replaceAll("-", ":"));
}
