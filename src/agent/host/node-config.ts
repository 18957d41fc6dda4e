/**
 * Layer agent. Puts together what planning has to know of this node: settings, the machine's addresses and the Node
 * object that the feed holds. Pure.
 */
import { type IpAddress, ipFamily } from "../../model/ip.ts";
import type { Node } from "../../model/objects.ts";
import type { LocalTraffic, NodeConfig } from "../../plan/node-config.ts";
import type { AgentSettings } from "../config/agent-settings.ts";
import type { HostAddresses } from "./host.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";

/**
 * @param node this node's object as the feed has it
 * @returns the configuration to plan with
 */
export function nodeConfig(
  settings: AgentSettings,
  addresses: HostAddresses,
  node: Node | undefined,
): NodeConfig {
  const zone = settings.zone || settings.nodeLabels[ZONE_LABEL] || node?.zone;
  const primary = primaryAddresses(settings, addresses, node);
  return {
    nodeName: settings.nodeName,
    ...(zone === undefined || zone === "" ? {} : { zone }),
    nodeAddresses: [...new Set([...addresses.all, ...primary])],
    primaryAddresses: primary,
    localTraffic: localTraffic(settings, node),
    masqueradeAll: settings.masqueradeAll,
    masqueradeBit: settings.masqueradeBit,
    nodePortAddresses: settings.nodePortAddresses,
    ...(settings.localhostNodePorts ? { localhostNodePorts: true } : {}),
    ...(settings.conntrack.tcpBeLiberal ? { conntrackBeLiberal: true } : {}),
    ...(settings.countConnections ? { countConnections: true } : {}),
  };
}

/**
 * At most one address a family: configured, else of the Node object (which in standalone mode somebody else wrote),
 * else found on the machine. An agent that registers its own node trusts itself before the object.
 */
export function primaryAddresses(
  settings: AgentSettings,
  addresses: HostAddresses,
  node: Node | undefined,
): readonly IpAddress[] {
  const fromNode = node?.internalIPs ?? [];
  const isOwn = settings.source.kind === "stream" && settings.registerNode;
  const found = isOwn ? [...addresses.primary, ...fromNode] : [...fromNode, ...addresses.primary];
  const candidates = settings.nodeAddresses.length > 0 ? settings.nodeAddresses : found;
  const first = candidates[0];
  if (first === undefined) return [];
  const second = candidates.find((address) => ipFamily(address) !== ipFamily(first));
  return second === undefined ? [first] : [first, second];
}

function localTraffic(settings: AgentSettings, node: Node | undefined): LocalTraffic {
  const detect = settings.detectLocal;
  switch (detect.mode) {
    case "ClusterCIDR":
      return detect.cidrs.length === 0 ? { kind: "none" } : { kind: "cidrs", cidrs: detect.cidrs };
    case "NodeCIDR": {
      const cidrs = node?.podCIDRs ?? [];
      return cidrs.length === 0 ? { kind: "none" } : { kind: "cidrs", cidrs };
    }
    case "BridgeInterface":
      return { kind: "interface", name: detect.interfaceName, prefix: false };
    case "InterfaceNamePrefix":
      return { kind: "interface", name: detect.prefix, prefix: true };
    default:
      return detect satisfies never;
  }
}
