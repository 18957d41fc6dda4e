/**
 * Layer plan. What planning has to know about the node it plans for. Pure values; the agent fills them in and
 * hands over a new one whenever something of it changes.
 */
import type { Cidr, IpAddress, IpFamily } from "../model/ip.ts";
import { cidrContains, ipFamily } from "../model/ip.ts";

/** How traffic of this node's pods is told from other traffic. Facts: kube-proxy's detectLocalMode. */
export type LocalTraffic =
  | { readonly kind: "none" }
  /** ClusterCIDR and NodeCIDR: the source is in one of these ranges (the first of each family counts). */
  | { readonly kind: "cidrs"; readonly cidrs: readonly Cidr[] }
  /** BridgeInterface (`prefix: false`) and InterfaceNamePrefix (`prefix: true`). */
  | { readonly kind: "interface"; readonly name: string; readonly prefix: boolean };

export interface NodeConfig {
  readonly nodeName: string;
  /** Value of the node's zone label; absent or empty matches no hint. */
  readonly zone?: string;
  /** Addresses of all interfaces of the node, both families, loopback included. */
  readonly nodeAddresses: readonly IpAddress[];
  /** The node's InternalIPs, best first: at most one a family counts. Must also be in `nodeAddresses`. */
  readonly primaryAddresses: readonly IpAddress[];
  readonly localTraffic: LocalTraffic;
  readonly masqueradeAll: boolean;
  /** 0–31. */
  readonly masqueradeBit: number;
  /** Where node ports answer: on the primary addresses, or on the node's addresses inside the ranges. */
  readonly nodePortAddresses: readonly Cidr[] | "primary";
  /** iptables mode alone: node ports of IPv4 answer on 127.0.0.0/8 too. Absent: no. */
  readonly localhostNodePorts?: boolean;
  /** iptables mode alone: the kernel's conntrack takes out-of-window packets, so INVALID ones need not be dropped. */
  readonly conntrackBeLiberal?: boolean;
  /** New connections of service ports are counted: by the frontend maps of nftables mode, by virtual servers. Absent: no. */
  readonly countConnections?: boolean;
}

/** Where node ports of one family answer: every local address but loopback, or just these. */
export type NodePortScope =
  | { readonly kind: "all-local" }
  | { readonly kind: "addresses"; readonly addresses: readonly IpAddress[] };

function isLoopback(address: IpAddress): boolean {
  return address === "::1" || address.startsWith("127.");
}

/**
 * Resolves `nodePortAddresses` for a family; a family without any range in the list gets all local addresses.
 * @param withLoopback loopback addresses that are in the list count
 */
export function nodePortScope(node: NodeConfig, family: IpFamily, withLoopback = false): NodePortScope {
  const ofFamily = (address: IpAddress) => ipFamily(address) === family;
  if (node.nodePortAddresses === "primary") {
    return { kind: "addresses", addresses: node.primaryAddresses.filter(ofFamily).slice(0, 1) };
  }
  const ranges = node.nodePortAddresses.filter((cidr) => ofFamily(cidr.address));
  if (ranges.length === 0 || ranges.some((cidr) => cidr.prefixBits === 0)) return { kind: "all-local" };
  const addresses = node.nodeAddresses.filter(
    (address) =>
      ofFamily(address) &&
      (withLoopback || !isLoopback(address)) &&
      ranges.some((cidr) => cidrContains(cidr, address)),
  );
  return { kind: "addresses", addresses: [...new Set(addresses)].sort() };
}

/** The node's addresses of a family on which node ports answer. @param withLoopback see {@link nodePortScope} */
export function nodePortAddresses(
  node: NodeConfig,
  family: IpFamily,
  withLoopback = false,
): readonly IpAddress[] {
  const scope = nodePortScope(node, family, withLoopback);
  if (scope.kind === "addresses") return scope.addresses;
  return node.nodeAddresses.filter(
    (address) => ipFamily(address) === family && (withLoopback || !isLoopback(address)),
  );
}

/** The detector's ranges of a family: at most one, the first. */
export function localRange(node: NodeConfig, family: IpFamily): Cidr | undefined {
  if (node.localTraffic.kind !== "cidrs") return undefined;
  return node.localTraffic.cidrs.find((cidr) => ipFamily(cidr.address) === family);
}
