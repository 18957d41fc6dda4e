/** Random walks: the agent's settings, which the seed decides as well, and how the agent is told of them. */
import type { AgentConfig } from "../packet-cases/case-file.ts";
import type { Detector, Mode, WalkConfig } from "./oracle.ts";
import { DEVICES, NODE, NODE_NAME, POD_CIDRS } from "./pools.ts";
import type { Random } from "./random.ts";

const DETECTORS: readonly Detector[] = [
  { kind: "ClusterCIDR" },
  { kind: "ClusterCIDR" },
  { kind: "none" },
  { kind: "InterfaceNamePrefix", name: "po" },
  { kind: "BridgeInterface", name: DEVICES.pod },
];

/** Fields of a KubeProxyConfiguration. */
function interfaceDetector({ kind, name }: Detector & { readonly name: string }): Record<string, unknown> {
  const field = kind === "BridgeInterface" ? "bridgeInterface" : "interfaceNamePrefix";
  return { detectLocalMode: kind, detectLocal: { [field]: name } };
}

/** Settings of the agent, which the seed decides as well. */
export function randomConfig(mode: Mode, random: Random): Omit<WalkConfig, "nodeAddresses" | "isGuardLeft"> {
  return {
    mode,
    nodeName: NODE_NAME,
    podCidrs: POD_CIDRS,
    masqueradeAll: random.once(5),
    detector: random.pick(DETECTORS),
    nodePortAddresses: random.pick([
      [],
      [],
      ["0.0.0.0/0", "::/0"],
      ["192.168.1.0/24", "2001:db8:1::/64"],
      ["192.168.0.0/24", "127.0.0.0/8"],
    ]),
    localhostNodePorts: mode === "iptables" && random.once(2),
    primaryAddresses: NODE,
  };
}

/** What the packet cases' agent takes, and further fields of its configuration. */
export function agentSettings(from: WalkConfig): {
  readonly config: AgentConfig;
  readonly more: Readonly<Record<string, unknown>>;
} {
  const { masqueradeAll, detector, localhostNodePorts, nodePortAddresses } = from;
  const config: AgentConfig = {
    masqueradeAll,
    masqueradeBit: 14,
    detectLocalMode: detector.kind === "none" ? "none" : "ClusterCIDR",
    localhostNodePorts,
    nodePortAddresses,
  };
  return { config, more: "name" in detector ? interfaceDetector(detector) : {} };
}
