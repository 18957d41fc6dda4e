/**
 * Layer agent. What the agent is to do, after file, flags and defaults were put together and judged as a whole.
 */
import type { Cidr, IpAddress } from "../../model/ip.ts";
import type { IpvsTimeouts } from "../../model/ipvs.ts";
import { DEFAULT_SCHEDULER } from "../../plan/ipvs/state.ts";
import { AGENT } from "./agent-fields.ts";
import type { Field, FieldValues } from "./field.ts";
import type { BindAddress } from "./field-types.ts";
import { KUBE_PROXY } from "./kube-proxy-fields.ts";
import { configError } from "./read-documents.ts";

/** How packets of this node's pods are told from others. */
export type DetectLocal =
  | { readonly mode: "ClusterCIDR"; readonly cidrs: readonly Cidr[] }
  | { readonly mode: "NodeCIDR" }
  | { readonly mode: "BridgeInterface"; readonly interfaceName: string }
  | { readonly mode: "InterfaceNamePrefix"; readonly prefix: string };

/** Where objects come from. */
export type Source =
  | { readonly kind: "files"; readonly path: string }
  | {
      readonly kind: "stream";
      readonly address: string;
      readonly caFile: string;
      readonly certificateFile: string;
      readonly keyFile: string;
    };

export interface ConntrackSettings {
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpEstablishedTimeoutSeconds: number;
  readonly tcpCloseWaitTimeoutSeconds: number;
  readonly tcpBeLiberal: boolean;
  readonly udpTimeoutSeconds: number;
  readonly udpStreamTimeoutSeconds: number;
}

export interface IpvsSettings {
  /** As the kernel names it. */
  readonly scheduler: string;
  readonly excludeCIDRs: readonly Cidr[];
  readonly strictARP: boolean;
  readonly timeouts: IpvsTimeouts;
  readonly drainLimitMs: number;
}

export interface AgentSettings {
  readonly nodeName: string;
  readonly mode: "nftables" | "iptables" | "ipvs";
  readonly source: Source;
  readonly masqueradeAll: boolean;
  readonly masqueradeBit: number;
  readonly detectLocal: DetectLocal;
  readonly nodePortAddresses: "primary" | readonly Cidr[];
  readonly syncPeriodMs: number;
  /** iptables mode: least time between two syncs. */
  readonly minSyncPeriodMs: number;
  /** Node ports of IPv4 answer on loopback. Never in nftables mode. */
  readonly localhostNodePorts: boolean;
  /** iptables mode: which variant of the commands; "auto" is what plain `iptables` is. */
  readonly iptablesVariant: "auto" | "legacy" | "nft";
  readonly ipvs: IpvsSettings;
  readonly healthz: BindAddress | undefined;
  readonly metrics: BindAddress | undefined;
  readonly bindAddressHardFail: boolean;
  /** Only when it was set. */
  readonly oomScoreAdj: number | undefined;
  readonly conntrack: ConntrackSettings;
  readonly resetVanishedTcp: boolean;
  readonly stateDir: string;
  /** Empty: no workloads. */
  readonly manifestDir: string;
  /** Empty: no status socket. */
  readonly statusSocket: string;
  readonly registerNode: boolean;
  /** Empty: found on the node. */
  readonly nodeAddresses: readonly IpAddress[];
  readonly nodeLabels: Readonly<Record<string, string>>;
  readonly zone: string;
  readonly heartbeatPeriodMs: number;
  readonly setPreconditions: boolean;
  /** New connections of each service port are counted. Never in iptables mode. */
  readonly countConnections: boolean;
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

const SYNC_PERIOD = {
  nftables: KUBE_PROXY.syncPeriod,
  iptables: KUBE_PROXY.iptablesSyncPeriod,
  ipvs: KUBE_PROXY.ipvsSyncPeriod,
} as const;
/** Names of ours for schedulers: see docs/adr/0096. */
const SCHEDULERS: Readonly<Record<string, string>> = { "": DEFAULT_SCHEDULER, random: "mh" };

/**
 * @param hostName used where no name was configured
 * @throws {NodeplaneError} CONFIG_INVALID when fields contradict each other or ask for what is not built
 */
export function agentSettings(values: FieldValues, hostName: string): AgentSettings {
  return { ...nodeSettings(values, hostName), source: source(values) };
}

/** All but where objects come from: what a configuration says that can be judged without it. @throws as {@link agentSettings} */
export function nodeSettings(values: FieldValues, hostName: string): Omit<AgentSettings, "source"> {
  const mode = values.get(KUBE_PROXY.mode) || "nftables";
  const isIptables = mode === "iptables";
  const nodeName = (values.get(KUBE_PROXY.hostnameOverride) || hostName).toLowerCase();
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(nodeName)) {
    throw configError("hostnameOverride", "", `the node name "${nodeName}" is not allowed; set a DNS name`);
  }
  return {
    nodeName,
    mode,
    masqueradeAll: ofMode(values, mode, KUBE_PROXY.masqueradeAll, KUBE_PROXY.nftablesMasqueradeAll),
    masqueradeBit: ofMode(values, mode, KUBE_PROXY.masqueradeBit, KUBE_PROXY.nftablesMasqueradeBit),
    detectLocal: detectLocal(values),
    nodePortAddresses: nodePorts(values, mode),
    syncPeriodMs: values.get(SYNC_PERIOD[mode]),
    minSyncPeriodMs: values.get(KUBE_PROXY.iptablesMinSyncPeriod),
    localhostNodePorts: isIptables && values.get<boolean>(KUBE_PROXY.localhostNodePorts),
    iptablesVariant: values.get(AGENT.iptablesVariant),
    ipvs: ipvs(values),
    healthz: listen(values, KUBE_PROXY.healthzBindAddress, "::"),
    metrics: listen(values, KUBE_PROXY.metricsBindAddress, "::1"),
    bindAddressHardFail: values.get<boolean>(KUBE_PROXY.bindAddressHardFail),
    oomScoreAdj: values.has(KUBE_PROXY.oomScoreAdj) ? values.get<number>(KUBE_PROXY.oomScoreAdj) : undefined,
    conntrack: conntrack(values),
    resetVanishedTcp: values.get<boolean>(AGENT.resetVanishedTcp),
    stateDir: values.get(AGENT.stateDir),
    manifestDir: values.get(AGENT.manifestDir),
    statusSocket: values.get(AGENT.statusSocket),
    registerNode: values.get<boolean>(AGENT.registerNode),
    nodeAddresses: values.get<readonly IpAddress[]>(AGENT.nodeAddresses),
    nodeLabels: values.get<Readonly<Record<string, string>>>(AGENT.nodeLabels),
    zone: values.get(AGENT.zone),
    heartbeatPeriodMs: values.get(AGENT.heartbeatPeriod),
    setPreconditions: values.get<boolean>(AGENT.setPreconditions),
    countConnections: mode !== "iptables" && values.get<boolean>(AGENT.countConnections),
    logLevel: values.get(AGENT.logLevel),
  };
}

/** Where a server listens: without a word of its own, in the family of `bindAddress`. */
function listen(
  values: FieldValues,
  field: Field<BindAddress | undefined>,
  ipv6Host: string,
): BindAddress | undefined {
  const found = values.get(field);
  if (values.has(field) || found === undefined) return found;
  return values.get<string>(KUBE_PROXY.bindAddress).includes(":") ? { ...found, host: ipv6Host } : found;
}

/** @throws {NodeplaneError} CONFIG_INVALID when there is none, or more than one */
export function source(values: FieldValues): Source {
  const path = values.get(AGENT.objects);
  const address = values.get(AGENT.controlPlaneAddress);
  if (path !== "" && address !== "") {
    throw configError("objects", "", "cannot be combined with controlPlane.address; set one of them");
  }
  if (path !== "") return { kind: "files", path };
  if (address === "") {
    throw configError(
      "objects",
      "",
      "say where objects come from: --objects PATH or --control-plane HOST:PORT",
    );
  }
  return {
    kind: "stream",
    address,
    caFile: values.get(AGENT.caFile),
    certificateFile: values.get(AGENT.certificateFile),
    keyFile: values.get(AGENT.keyFile),
  };
}

/** A setting that nftables and iptables have: the other's counts where the own one's is not set. Ipvs has iptables'. */
function ofMode<T>(
  values: FieldValues,
  mode: AgentSettings["mode"],
  iptables: Field<T>,
  nftables: Field<T>,
): T {
  const [first, second] = mode === "nftables" ? [nftables, iptables] : [iptables, nftables];
  return values.has(first) || !values.has(second) ? values.get(first) : values.get(second);
}

function detectLocal(values: FieldValues): DetectLocal {
  const mode = values.get<string>(KUBE_PROXY.detectLocalMode);
  switch (mode) {
    case "NodeCIDR":
      return { mode };
    case "BridgeInterface": {
      const interfaceName = values.get(KUBE_PROXY.bridgeInterface);
      if (interfaceName === "")
        throw configError("detectLocal.bridgeInterface", "", `needed by detectLocalMode ${mode}`);
      return { mode, interfaceName };
    }
    case "InterfaceNamePrefix": {
      const prefix = values.get(KUBE_PROXY.interfaceNamePrefix);
      if (prefix === "")
        throw configError("detectLocal.interfaceNamePrefix", "", `needed by detectLocalMode ${mode}`);
      return { mode, prefix };
    }
    default:
      return {
        mode: "ClusterCIDR",
        cidrs: values.get<readonly Cidr[]>(KUBE_PROXY.clusterCIDR),
      };
  }
}

/** Without a list: the primary addresses in nftables mode, every local address in the other modes. */
function nodePorts(values: FieldValues, mode: AgentSettings["mode"]): "primary" | readonly Cidr[] {
  const listed = values.get<readonly (Cidr | "primary")[]>(KUBE_PROXY.nodePortAddresses);
  const ranges = listed.filter((entry) => entry !== "primary");
  if (mode !== "nftables" && (listed.length === 0 || !values.has(KUBE_PROXY.nodePortAddresses))) return [];
  return ranges.length === 0 ? "primary" : ranges;
}

function ipvs(values: FieldValues): IpvsSettings {
  const scheduler = values.get<string>(KUBE_PROXY.ipvsScheduler);
  const seconds = (field: Field<number>) => Math.ceil(values.get(field) / 1000);
  return {
    scheduler: SCHEDULERS[scheduler] ?? scheduler,
    excludeCIDRs: values.get<readonly Cidr[]>(KUBE_PROXY.ipvsExcludeCIDRs),
    strictARP: values.get<boolean>(KUBE_PROXY.ipvsStrictARP),
    timeouts: {
      tcpSeconds: seconds(KUBE_PROXY.ipvsTcpTimeout),
      tcpFinSeconds: seconds(KUBE_PROXY.ipvsTcpFinTimeout),
      udpSeconds: seconds(KUBE_PROXY.ipvsUdpTimeout),
    },
    drainLimitMs: values.get(AGENT.ipvsDrainLimit),
  };
}

function conntrack(values: FieldValues): ConntrackSettings {
  // The kernel takes whole seconds; none of them would leave its own value.
  const seconds = (field: Field<number>) => Math.ceil(values.get(field) / 1000);
  return {
    maxPerCore: values.get(KUBE_PROXY.conntrackMaxPerCore),
    min: values.get(KUBE_PROXY.conntrackMin),
    tcpEstablishedTimeoutSeconds: seconds(KUBE_PROXY.conntrackEstablished),
    tcpCloseWaitTimeoutSeconds: seconds(KUBE_PROXY.conntrackCloseWait),
    tcpBeLiberal: values.get<boolean>(KUBE_PROXY.conntrackBeLiberal),
    udpTimeoutSeconds: seconds(KUBE_PROXY.conntrackUdp),
    udpStreamTimeoutSeconds: seconds(KUBE_PROXY.conntrackUdpStream),
  };
}
