/**
 * Layer plan. What of the iptables layout belongs to the node: jumps from the built-in chains, the chains that exist
 * once, and how traffic of this node's pods is matched. Pure. Source: kube-proxy 1.33, pkg/proxy/iptables/proxier.go.
 */
import { formatCidr, type IpFamily } from "../../model/ip.ts";
import { localRange, type NodeConfig, nodePortScope } from "../node-config.ts";
import { CANARY_CHAIN, GUARD_CHAIN, MARK_CHAIN, PACKET_COUNTERS, type Table } from "./names.ts";

/** What the installed iptables can do. */
export interface IptablesFeatures {
  readonly hasRandomFully: boolean;
  /** The packet counters exist and rules can add to them. */
  readonly hasAccounting?: boolean;
}

export interface Jump {
  readonly table: Table;
  readonly chain: string;
  /** All but `-A CHAIN `, spelt as iptables-save spells it, so that texts can be compared. */
  readonly rule: string;
}

const NEW = "-m conntrack --ctstate NEW";

function jump(table: Table, chain: string, match: string, comment: string, target: string): Jump {
  const words = [match, comment === "" ? "" : `-m comment --comment "${comment}"`, `-j ${target}`];
  return { table, chain, rule: words.filter((word) => word !== "").join(" ") };
}

/** Jumps into our chains. Each is inserted at the top when it is missing, so the last one listed ends up first. */
export function jumps(): readonly Jump[] {
  const filter = (chain: string, match: string, comment: string, target: string) =>
    jump("filter", chain, match, comment, target);
  const external = "kubernetes externally-visible service portals";
  const portals = "kubernetes service portals";
  const firewall = "kubernetes load balancer firewall";
  return [
    filter("INPUT", NEW, external, "KUBE-EXTERNAL-SERVICES"),
    filter("FORWARD", NEW, external, "KUBE-EXTERNAL-SERVICES"),
    filter("INPUT", "", "kubernetes health check service ports", "KUBE-NODEPORTS"),
    filter("FORWARD", NEW, portals, "KUBE-SERVICES"),
    // kube-proxy has none here: what the node itself sends to an address without endpoints would go its way (row 40).
    filter("OUTPUT", NEW, external, "KUBE-EXTERNAL-SERVICES"),
    filter("OUTPUT", NEW, portals, "KUBE-SERVICES"),
    filter("FORWARD", "", "kubernetes forwarding rules", "KUBE-FORWARD"),
    filter("INPUT", NEW, firewall, "KUBE-PROXY-FIREWALL"),
    filter("OUTPUT", NEW, firewall, "KUBE-PROXY-FIREWALL"),
    filter("FORWARD", NEW, firewall, "KUBE-PROXY-FIREWALL"),
    jump("nat", "OUTPUT", "", portals, "KUBE-SERVICES"),
    jump("nat", "PREROUTING", "", portals, "KUBE-SERVICES"),
    jump("nat", "POSTROUTING", "", "kubernetes postrouting rules", "KUBE-POSTROUTING"),
  ];
}

/** Jumps to the guard chain, needed with node ports on loopback alone. */
export function guardJumps(): readonly Jump[] {
  return ["INPUT", "OUTPUT"].map((chain) => jump("filter", chain, "", "", GUARD_CHAIN));
}

/** Keeps neighbours from what listens on 127.0.0.0/8 when route_localnet lets them in (CVE-2020-8558). */
export const GUARD_RULE =
  '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP';

export const CANARIES: readonly { readonly table: Table; readonly chain: string }[] = (
  ["mangle", "nat", "filter"] as const
).map((table) => ({ table, chain: CANARY_CHAIN }));

/** Matches for packets of this node's pods and for all others; absent without a detector. */
export function localMatch(
  node: NodeConfig,
  family: IpFamily,
): { readonly isLocal: string; readonly isNotLocal: string } | undefined {
  if (node.localTraffic.kind === "interface") {
    const name = `${node.localTraffic.name}${node.localTraffic.prefix ? "+" : ""}`;
    return { isLocal: `-i ${name}`, isNotLocal: `! -i ${name}` };
  }
  const range = localRange(node, family);
  if (range === undefined) return undefined;
  return { isLocal: `-s ${formatCidr(range)}`, isNotLocal: `! -s ${formatCidr(range)}` };
}

function markOf(node: NodeConfig): string {
  return `0x${(2 ** node.masqueradeBit).toString(16).padStart(8, "0")}`;
}

/** True when node ports are to answer on 127.0.0.0/8: IPv4, wanted, and among the node-port addresses. */
export function hasLocalhostNodePorts(node: NodeConfig, family: IpFamily): boolean {
  if (family !== "ip" || node.localhostNodePorts !== true) return false;
  const scope = nodePortScope(node, family, true);
  return scope.kind === "all-local" || scope.addresses.some((address) => address.startsWith("127."));
}

/** Last rules of nat KUBE-SERVICES: node ports, after every address of a service. */
export function nodePortJumps(node: NodeConfig, family: IpFamily): readonly string[] {
  const comment =
    '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';
  const isLoopback = hasLocalhostNodePorts(node, family);
  const scope = nodePortScope(node, family, isLoopback);
  if (scope.kind === "addresses")
    return scope.addresses.map((address) => `-A KUBE-SERVICES ${comment} -d ${address} -j KUBE-NODEPORTS`);
  const except = family === "ip6" ? " ! -d ::1/128" : isLoopback ? "" : " ! -d 127.0.0.0/8";
  return [`-A KUBE-SERVICES ${comment} -m addrtype --dst-type LOCAL${except} -j KUBE-NODEPORTS`];
}

/** The part of a rule that counts its packets, with a blank before it. */
export function countIn(counter: string): string {
  return ` -m nfacct --nfacct-name ${counter}`;
}

export function forwardRules(node: NodeConfig, features: IptablesFeatures): readonly string[] {
  const mark = markOf(node);
  const counted = features.hasAccounting === true ? countIn(PACKET_COUNTERS.invalid) : "";
  const invalid = `-A KUBE-FORWARD -m conntrack --ctstate INVALID${counted} -j DROP`;
  return [
    ...(node.conntrackBeLiberal === true ? [] : [invalid]),
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${mark}/${mark} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  ];
}

export function masqueradeRules(node: NodeConfig, features: IptablesFeatures): readonly string[] {
  const mark = markOf(node);
  const randomly = features.hasRandomFully ? " --random-fully" : "";
  return [
    `-A KUBE-POSTROUTING -m mark ! --mark ${mark}/${mark} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${mark}`,
    `-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE${randomly}`,
    markRule(node),
  ];
}

export function markRule(node: NodeConfig): string {
  return `-A ${MARK_CHAIN} -j MARK --or-mark ${markOf(node)}`;
}
