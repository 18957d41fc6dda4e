/**
 * Packet cases: the file format as types, read strictly. Whatever the format does not know is an error that names file
 * and field, so that a misspelt expectation cannot pass. Format: head comment of test/cases/packet-cases.yaml.
 */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { ipFamily, parseIp } from "../../src/model/ip.ts";
import { At, CaseFileError } from "./at.ts";

export const MODES = ["nftables", "iptables", "ipvs"] as const;
export type Mode = (typeof MODES)[number];
export const RESULTS = ["BACKENDS", "REJECT", "DROP", "NONE", "ACCEPT"] as const;
export const PROTOCOLS = ["TCP", "UDP", "SCTP", "ICMP"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface Expectation {
  readonly result: (typeof RESULTS)[number];
  readonly backends: readonly string[];
  readonly masq?: boolean;
}

export interface Packet {
  readonly from: string;
  readonly src?: string;
  readonly dst: string;
  readonly proto: Protocol;
  readonly port: number;
}

export interface AgentConfig {
  readonly masqueradeAll: boolean;
  readonly masqueradeBit: number;
  readonly detectLocalMode: "ClusterCIDR" | "none";
  readonly localhostNodePorts: boolean;
  readonly nodePortAddresses: readonly string[];
}

export interface FixtureEndpoint {
  readonly addr: string;
  readonly local: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly hintZones: readonly string[];
  readonly hintNodes: readonly string[];
  /** Not in files: for tests beside them. */
  readonly weight?: number;
}

export interface FixturePort {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number;
  readonly proto: Protocol;
  readonly nodePort?: number;
}

export interface FixtureService {
  readonly namespace: string;
  readonly name: string;
  /** Fields of the Service's spec that are taken as they stand. */
  readonly spec: Readonly<Record<string, unknown>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly lbIngress: readonly Readonly<Record<string, string>>[];
  readonly ports: readonly FixturePort[];
  readonly endpoints: readonly FixtureEndpoint[];
}

export interface Topology {
  readonly nodeName: string;
  readonly zoneLabel: string;
  readonly addresses: Readonly<Record<string, string>>;
  readonly localCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
}

export interface Case {
  readonly id: string;
  readonly fixture: string;
  readonly packet: Packet;
  readonly config: AgentConfig;
  /** The case has settings of its own, for which an agent has to be started. */
  readonly hasOwnConfig: boolean;
  /** Value of the node's zone label, `undefined`: the node has none. */
  readonly zone?: string;
  /** What holds in the mode asked for; `undefined`: the case is not for that mode. */
  readonly expect?: Expectation;
}

export interface CaseFile {
  readonly path: string;
  readonly topology: Topology;
  readonly fixtures: ReadonlyMap<string, readonly FixtureService[]>;
  readonly cases: readonly Case[];
  /** Cases of the sections that this runner does not play. */
  readonly notPlayed: number;
}

/** Service spec fields that stand in a fixture under their own names. */
const SPEC = [
  "type",
  "clusterIP",
  "clusterIPs",
  "externalIPs",
  "loadBalancerSourceRanges",
  "externalTrafficPolicy",
  "internalTrafficPolicy",
  "healthCheckNodePort",
  "sessionAffinity",
  "externalName",
  "publishNotReadyAddresses",
  "trafficDistribution",
  "ipFamilies",
  "ipFamilyPolicy",
] as const;

function readService(at: At): FixtureService {
  const get = at.fields([
    ...SPEC,
    "name",
    "ports",
    "endpoints",
    "lbIngress",
    "labels",
    "affinityTimeoutSeconds",
  ]);
  const [namespace = "", name = "", ...rest] = get("name").text().split("/");
  if (name === "" || rest.length > 0) get("name").fail('must be "namespace/name"');
  const spec: Record<string, unknown> = {};
  for (const field of SPEC) {
    const { value } = get(field);
    if (value !== undefined && value !== null) spec[field] = value;
  }
  const timeout = get("affinityTimeoutSeconds");
  if (!timeout.absent()) {
    spec["sessionAffinityConfig"] = { clientIP: { timeoutSeconds: timeout.int(1, 86_400) } };
  }
  const labels = get("labels");
  return {
    namespace,
    name,
    spec,
    labels: labels.absent()
      ? {}
      : Object.fromEntries([...labels.map()].map(([key, value]) => [key, value.text()])),
    lbIngress: get("lbIngress").list().map(readIngress),
    ports: get("ports").list().map(readPort),
    endpoints: get("endpoints").list().map(readEndpoint),
  };
}

function readIngress(at: At): Record<string, string> {
  at.fields(["ip", "hostname", "ipMode"]);
  return Object.fromEntries([...at.map()].map(([key, value]) => [key, value.text()]));
}

function readPort(at: At): FixturePort {
  const get = at.fields(["name", "port", "targetPort", "proto", "nodePort"]);
  const nodePort = get("nodePort");
  return {
    name: get("name").text(),
    port: get("port").int(1, 65_535),
    targetPort: get("targetPort").int(1, 65_535),
    proto: get("proto").oneOf(PROTOCOLS),
    ...(nodePort.absent() ? {} : { nodePort: nodePort.int(1, 65_535) }),
  };
}

function readEndpoint(at: At): FixtureEndpoint {
  const get = at.fields(["addr", "local", "ready", "serving", "terminating", "hintZones", "hintNodes"]);
  return {
    addr: get("addr").address(),
    local: get("local").bool(),
    ready: get("ready").bool(),
    serving: get("serving").bool(),
    terminating: get("terminating").bool(),
    hintZones: get("hintZones")
      .list()
      .map((item) => item.text()),
    hintNodes: get("hintNodes")
      .list()
      .map((item) => item.text()),
  };
}

function readConfig(at: At, base: AgentConfig | undefined, mode: Mode): AgentConfig {
  const get = at.fields([
    "masqueradeAll",
    "masqueradeBit",
    "detectLocalMode",
    "localhostNodePorts",
    "nodePortAddresses",
  ]);
  const detect = get("detectLocalMode");
  const bit = get("masqueradeBit");
  const given = get("nodePortAddresses");
  const perMode = given.absent() || Array.isArray(given.value) ? given : given.fields(MODES)(mode);
  return {
    masqueradeAll: get("masqueradeAll").bool(base?.masqueradeAll ?? false),
    masqueradeBit: bit.absent() ? (base?.masqueradeBit ?? 14) : bit.int(0, 31),
    detectLocalMode: detect.absent()
      ? (base?.detectLocalMode ?? "ClusterCIDR")
      : detect.oneOf(["ClusterCIDR", "none"] as const),
    localhostNodePorts: get("localhostNodePorts").bool(base?.localhostNodePorts ?? false),
    nodePortAddresses: given.absent()
      ? (base?.nodePortAddresses ?? [])
      : perMode.list().map((item) => item.text()),
  };
}

function readExpectation(at: At): Expectation {
  const get = at.fields(["result", "backends", "masq", "note"]);
  const result = get("result").oneOf(RESULTS);
  const backends = get("backends")
    .list()
    .map((item) => item.text());
  if ((result === "BACKENDS") !== backends.length > 0) at.fail("backends belong to BACKENDS, and only there");
  const masq = get("masq");
  return { result, backends, ...(masq.absent() ? {} : { masq: masq.bool() }) };
}

/**
 * What holds in `mode`: `diff` wins over `expect`. Without `only`, `expect` is what is right in every mode: `diff.ipvs` then
 * records what kube-proxy gets wrong there, which is not asked of us.
 */
function expectationFor(get: (name: string) => At, mode: Mode): Expectation | undefined {
  const expect = readExpectation(get("expect"));
  const diff = get("diff");
  const differing = diff.absent() ? undefined : diff.fields(MODES);
  const all = MODES.map((name) => differing?.(name)).map((at) =>
    at?.absent() === false ? readExpectation(at) : undefined,
  );
  const own = all[MODES.indexOf(mode)];
  const only = get("only");
  if (own !== undefined && !(mode === "ipvs" && only.absent())) return own;
  const modes: readonly Mode[] = only.absent() ? MODES : only.list().map((item) => item.oneOf(MODES));
  return modes.includes(mode) ? expect : undefined;
}

const FROM = /^(pod|node|ext|endpoint)(_[a-z0-9_]+)?$/;

function readCase(at: At, file: Omit<CaseFile, "cases">, base: AgentConfig, mode: Mode): Case {
  const get = at.fields(["id", "fixture", "packet", "config", "nodeZone", "expect", "only", "diff", "note"]);
  const id = get("id").text();
  const fixture = get("fixture").text();
  if (!file.fixtures.has(fixture)) get("fixture").fail(`there is no fixture "${fixture}"`);
  const packet = readPacket(get("packet"), file.topology);
  const zone = get("nodeZone");
  const expect = expectationFor(get, mode);
  return {
    id,
    fixture,
    packet,
    config: get("config").absent() ? base : readConfig(get("config"), base, mode),
    hasOwnConfig: !get("config").absent(),
    ...(zone.absent() || zone.text() === "" ? {} : { zone: zone.text() }),
    ...(expect === undefined ? {} : { expect }),
  };
}

function readPacket(at: At, topology: Topology): Packet {
  const get = at.fields(["from", "src", "dst", "proto", "port"]);
  const from = get("from").text();
  if (!FROM.test(from)) get("from").fail("must be pod, node, ext or endpoint, or an address of these");
  const src = get("src");
  if (from === "endpoint" ? src.absent() : topology.addresses[from] === undefined) {
    get("from").fail("has no address in topology.addresses, nor src");
  }
  const proto = get("proto").oneOf(PROTOCOLS);
  const dst = get("dst").address();
  const source = parseIp(src.absent() ? (topology.addresses[from] ?? "") : src.address());
  const destination = parseIp(dst);
  if (source === undefined || destination === undefined || ipFamily(source) !== ipFamily(destination)) {
    at.fail("source and destination must be of one family");
  }
  return {
    from,
    ...(src.absent() ? {} : { src: src.address() }),
    dst,
    proto,
    port: get("port").int(proto === "ICMP" ? 0 : 1, 65_535),
  };
}

function readTopology(at: At): Topology {
  const get = at.fields(["node_name", "node_zone_label", "addresses", "local_traffic_cidr", "service_cidrs"]);
  const ranges = (range: At): readonly string[] => {
    range.fields(["v4", "v6"]);
    return [...range.map().values()].map((item) => item.text());
  };
  const addresses = get("addresses").map();
  for (const role of ["node", "pod", "ext"]) {
    if (!addresses.has(role)) get("addresses").fail(`must have an address of ${role}`);
  }
  return {
    nodeName: get("node_name").text(),
    zoneLabel: get("node_zone_label").text(),
    addresses: Object.fromEntries([...addresses].map(([role, item]) => [role, item.address()])),
    localCidrs: ranges(get("local_traffic_cidr")),
    serviceCidrs: ranges(get("service_cidrs")),
  };
}

/** Reads a file of packet cases for `mode`. @throws {CaseFileError} */
export function readCaseFile(path: string, mode: Mode): CaseFile {
  let content: unknown;
  try {
    content = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new CaseFileError(`${path}: ${(error as Error).message}`);
  }
  const root = new At(content, path);
  const get = root.fields(["version", "topology", "default_config", "fixtures", "cases", "stateful", "http"]);
  get("version").int(1, 1);
  const fixtures = new Map(
    [...get("fixtures").map()].map(([name, at]) => {
      const field = at.fields(["services", "note"]);
      return [name, field("services").list().map(readService)] as const;
    }),
  );
  const file = {
    path,
    topology: readTopology(get("topology")),
    fixtures,
    notPlayed: get("stateful").list().length + get("http").list().length,
  };
  const base = readConfig(
    get("default_config").absent() ? new At({}, path) : get("default_config"),
    undefined,
    mode,
  );
  const cases = get("cases")
    .list()
    .map((at) => readCase(at, file, base, mode));
  const ids = new Set<string>();
  for (const { id } of cases) {
    if (ids.has(id)) root.fail(`two cases have the id "${id}"`);
    ids.add(id);
  }
  return { ...file, cases };
}
