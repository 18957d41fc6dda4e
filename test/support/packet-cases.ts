/**
 * Test code. Reads packet cases (the format of test/cases/packet-cases.yaml) into model objects. Unknown keys are
 * errors: a misread case would pass for the wrong reason.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { IpAddress } from "../../src/model/ip.ts";
import { parseCidr, parseIp } from "../../src/model/ip.ts";
import type { Endpoint, EndpointSlice, FeedObject, Protocol, Service } from "../../src/model/objects.ts";
import type { NodeConfig } from "../../src/plan/node-config.ts";

interface CaseEndpoint {
  readonly addr: string;
  readonly local: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly hintZones?: readonly string[];
  readonly hintNodes?: readonly string[];
}

interface CaseService {
  readonly name: string;
  readonly type: Service["type"];
  readonly clusterIP?: string;
  readonly clusterIPs?: readonly string[];
  readonly ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly targetPort: number;
    readonly proto: Protocol;
    readonly nodePort?: number;
  }[];
  readonly externalIPs?: readonly string[];
  readonly lbIngress?: readonly {
    readonly ip?: string;
    readonly hostname?: string;
    readonly ipMode?: "VIP" | "Proxy";
  }[];
  readonly loadBalancerSourceRanges?: readonly string[];
  readonly internalTrafficPolicy?: "Cluster" | "Local";
  readonly externalTrafficPolicy?: "Cluster" | "Local";
  readonly healthCheckNodePort?: number | null;
  readonly sessionAffinity?: "None" | "ClientIP";
  readonly affinityTimeoutSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly endpoints: readonly CaseEndpoint[];
}

export interface CaseConfig {
  readonly masqueradeAll?: boolean;
  readonly masqueradeBit?: number;
  readonly detectLocalMode?: "ClusterCIDR" | "none";
  readonly localhostNodePorts?: boolean;
  readonly nodePortAddresses?: readonly string[];
}

export interface CaseExpectation {
  readonly result: "BACKENDS" | "REJECT" | "DROP" | "NONE" | "ACCEPT";
  readonly backends?: readonly string[];
  readonly masq?: boolean;
  readonly note?: string;
}

export interface PacketCase {
  readonly id: string;
  readonly fixture: string;
  readonly packet: {
    readonly from: string;
    readonly src?: string;
    readonly dst: string;
    readonly proto: Protocol | "ICMP";
    readonly port: number;
  };
  readonly config?: CaseConfig;
  readonly nodeZone?: string;
  readonly expect: CaseExpectation;
  readonly only?: readonly string[];
  readonly diff?: Readonly<Record<string, CaseExpectation>>;
  readonly note?: string;
}

export interface CaseFile {
  readonly topology: {
    readonly node_name: string;
    readonly addresses: Readonly<Record<string, string>>;
    readonly local_traffic_cidr: { readonly v4: string; readonly v6: string };
    readonly service_cidrs: { readonly v4: string; readonly v6: string };
  };
  readonly default_config: CaseConfig & {
    readonly nodePortAddresses: Readonly<Record<"nftables" | "iptables", readonly string[]>>;
  };
  readonly fixtures: Readonly<Record<string, { readonly services: readonly CaseService[] }>>;
  readonly cases: readonly PacketCase[];
}

const CASE_KEYS = new Set([
  "id",
  "fixture",
  "packet",
  "config",
  "nodeZone",
  "expect",
  "only",
  "diff",
  "note",
]);

const CASES = join(import.meta.dirname, "../cases");

/** All files of packet cases. */
export function readCaseFiles(): readonly CaseFile[] {
  return ["packet-cases.yaml", "more-packet-cases.yaml"].map((name) => readCaseFile(join(CASES, name)));
}

export function readCaseFile(path = join(CASES, "packet-cases.yaml")): CaseFile {
  const file = parse(readFileSync(path, "utf8")) as CaseFile;
  for (const entry of file.cases)
    for (const key of Object.keys(entry))
      if (!CASE_KEYS.has(key)) throw new Error(`case ${entry.id}: unknown key ${key}`);
  return file;
}

/** What must hold in `mode`; `undefined` when the case says nothing of it. */
export function expectationFor(entry: PacketCase, mode: string): CaseExpectation | undefined {
  const different = entry.diff?.[mode];
  if (different !== undefined) return different;
  return (entry.only ?? ["iptables", "nftables"]).includes(mode) ? entry.expect : undefined;
}

export function mustIp(text: string): IpAddress {
  const address = parseIp(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

export function mustCidr(text: string) {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`${text} is no range`);
  return cidr;
}

function serviceOf(entry: CaseService): Service {
  const [namespace = "", name = ""] = entry.name.split("/");
  const headless = entry.clusterIP === "None";
  const clusterIPs = entry.clusterIPs ?? (entry.clusterIP === undefined ? [] : [entry.clusterIP]);
  return {
    kind: "Service",
    meta: {
      namespace,
      name,
      uid: entry.name,
      creationTimestampMs: 0,
      labels: entry.labels ?? {},
      annotations: {},
    },
    type: entry.type,
    headless,
    clusterIPs: headless ? [] : clusterIPs.map(mustIp),
    externalIPs: (entry.externalIPs ?? []).map(mustIp),
    loadBalancerIngress: (entry.lbIngress ?? []).map((ingress) => ({
      ipMode: ingress.ipMode ?? "VIP",
      ...(ingress.ip === undefined ? {} : { ip: mustIp(ingress.ip) }),
      ...(ingress.hostname === undefined ? {} : { hostname: ingress.hostname }),
    })),
    loadBalancerSourceRanges: (entry.loadBalancerSourceRanges ?? []).map(mustCidr),
    ports: entry.ports.map((port) => ({
      name: port.name,
      protocol: port.proto,
      port: port.port,
      nodePort: port.nodePort ?? 0,
    })),
    internalTrafficPolicy: entry.internalTrafficPolicy ?? "Cluster",
    externalTrafficPolicy: entry.externalTrafficPolicy ?? "Cluster",
    healthCheckNodePort: entry.healthCheckNodePort ?? 0,
    sessionAffinity: entry.sessionAffinity ?? "None",
    affinityTimeoutSeconds: entry.affinityTimeoutSeconds ?? 10_800,
    publishNotReadyAddresses: false,
  };
}

/** One slice for each time an address is repeated, and one a family. */
function slicesOf(entry: CaseService, nodeName: string): EndpointSlice[] {
  const [namespace = "", serviceName = ""] = entry.name.split("/");
  const groups = new Map<string, Endpoint[]>();
  const seen = new Map<string, number>();
  for (const endpoint of entry.endpoints) {
    const count = seen.get(endpoint.addr) ?? 0;
    seen.set(endpoint.addr, count + 1);
    const id = `${endpoint.addr.includes(":") ? "IPv6" : "IPv4"}-${count}`;
    const list = groups.get(id) ?? [];
    groups.set(id, list);
    list.push({
      addresses: [mustIp(endpoint.addr)],
      ready: endpoint.ready,
      serving: endpoint.serving,
      terminating: endpoint.terminating,
      nodeName: endpoint.local ? nodeName : "elsewhere",
      ...(endpoint.hintZones === undefined ? {} : { hintZones: endpoint.hintZones }),
      ...(endpoint.hintNodes === undefined ? {} : { hintNodes: endpoint.hintNodes }),
    });
  }
  return [...groups].map(([id, endpoints]) => ({
    kind: "EndpointSlice",
    meta: {
      namespace,
      name: `${serviceName}-${id}`,
      uid: id,
      creationTimestampMs: 0,
      labels: {},
      annotations: {},
    },
    serviceName,
    addressType: id.startsWith("IPv6") ? "IPv6" : "IPv4",
    ports: entry.ports.map((port) => ({ name: port.name, protocol: port.proto, port: port.targetPort })),
    endpoints,
  }));
}

/** Objects of a fixture, with the ServiceCIDRs of the topology. */
export function fixtureObjects(file: CaseFile, name: string): FeedObject[] {
  const fixture = file.fixtures[name];
  if (fixture === undefined) throw new Error(`no fixture ${name}`);
  const { service_cidrs, node_name } = file.topology;
  const meta = {
    namespace: "",
    name: "kubernetes",
    uid: "",
    creationTimestampMs: 0,
    labels: {},
    annotations: {},
  };
  return [
    { kind: "ServiceCIDR", meta, cidrs: [mustCidr(service_cidrs.v4), mustCidr(service_cidrs.v6)] },
    ...fixture.services.flatMap((entry) => [serviceOf(entry), ...slicesOf(entry, node_name)]),
  ];
}

/** Configuration of the node for a case. */
export function caseNode(
  file: CaseFile,
  entry: PacketCase,
  mode: "nftables" | "iptables" = "nftables",
): NodeConfig {
  const { addresses, local_traffic_cidr, node_name } = file.topology;
  const config = { ...file.default_config, ...entry.config };
  const ranges = entry.config?.nodePortAddresses ?? file.default_config.nodePortAddresses[mode];
  const at = (name: string) => mustIp(addresses[name] ?? "");
  return {
    nodeName: node_name,
    zone: entry.nodeZone ?? "",
    nodeAddresses: ["node", "node_alt", "node_v6", "node_alt_v6"]
      .map(at)
      .concat(["127.0.0.1", "::1"].map(mustIp)),
    primaryAddresses: [at("node"), at("node_v6")],
    localTraffic:
      config.detectLocalMode === "none"
        ? { kind: "none" }
        : { kind: "cidrs", cidrs: [mustCidr(local_traffic_cidr.v4), mustCidr(local_traffic_cidr.v6)] },
    masqueradeAll: config.masqueradeAll ?? false,
    masqueradeBit: config.masqueradeBit ?? 14,
    nodePortAddresses: ranges.map(mustCidr),
    localhostNodePorts: config.localhostNodePorts ?? false,
  };
}
