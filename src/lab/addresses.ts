/**
 * Layer lab. The lab's fixed address plan. Every lab uses the same addresses: namespaces keep labs apart.
 * Pure. The networks are private or for documentation and outside the default service and pod ranges.
 */

/** An IPv4 address and its IPv6 twin; the second is configured only with dual stack. */
export interface AddressPair {
  readonly v4: string;
  readonly v6: string;
}

/** The network of control plane and nodes, and the router's address in it. */
export const FABRIC = { prefix4: 24, prefix6: 64, gateway: { v4: "192.168.96.1", v6: "fd00:192:168:96::1" } };
/** The network of the outside client; the fabric routes between both. */
export const OUTSIDE = { prefix4: 24, prefix6: 64, gateway: { v4: "203.0.113.1", v6: "2001:db8:113::1" } };
export const CLIENT: AddressPair = { v4: "203.0.113.10", v6: "2001:db8:113::10" };
export const CONTROL_PLANE: AddressPair = { v4: "192.168.96.10", v6: "fd00:192:168:96::10" };
/** The fabric spreads this range (external and load-balancer addresses) over all nodes. */
export const EXTERNAL = { v4: "198.51.100.0/24", v6: "2001:db8:100::/64" };

export const SERVICE_CIDR = { v4: "10.96.0.0/12", v6: "fd00:10:96::/112" };
export const POD_CIDR = { v4: "10.244.0.0/16", v6: "fd00:10:244::/56" };
export const DNS_SERVICE = "10.96.0.10";
export const CLUSTER_DOMAIN = "cluster.local";
export const MAX_NODES = 32;

/** Addresses of `nodeN`, N from 1. */
export function nodeAddresses(index: number): AddressPair {
  return { v4: `192.168.96.${10 + index}`, v6: `fd00:192:168:96::${(0x10 + index).toString(16)}` };
}

/** `node1` … `nodeN`. */
export function nodeNames(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `node${index + 1}`);
}

/** Index of a node's name, or 0 when it is none. */
export function nodeIndex(name: string): number {
  return Number(/^node([1-9]\d*)$/.exec(name)?.[1] ?? 0);
}

/** resolv.conf as a pod of `namespace` has it in Kubernetes (kubelet's ClusterFirst). */
export function resolvConf(nameservers: readonly string[], namespace: string): string {
  const search = [`${namespace}.svc.${CLUSTER_DOMAIN}`, `svc.${CLUSTER_DOMAIN}`, CLUSTER_DOMAIN].join(" ");
  return `${nameservers.map((server) => `nameserver ${server}\n`).join("")}search ${search}\noptions ndots:5\n`;
}
