/**
 * Packet cases: the IPv6 twin of every IPv4 case, through a map of addresses. Pure.
 *
 * A.B.C.D becomes fd04:AABB:CCDD::1, and a range A.B.C.D/n becomes fd04:AABB:CCDD::/(16+n): what lay in a range lies in its
 * twin, and every address has a /64 of its own. Cases that cannot have a twin are named with the reason.
 */
import { ipFamily, parseCidr, parseIp } from "../../src/model/ip.ts";
import type { Case, CaseFile, Expectation, FixtureService, Topology } from "./case-file.ts";

export interface Twins {
  readonly file: CaseFile;
  readonly without: readonly { readonly id: string; readonly reason: string }[];
}

/** Cases about what IPv4 alone has. */
const WITHOUT: Readonly<Record<string, string>> = {
  "np-martian":
    "a packet from outside to 127.0.0.1 is the IPv4 stack's to drop; ::1 is never routed either way",
};
const LOOPBACK = "node ports on loopback addresses exist in IPv4 alone";
const DUAL = "the fixture has IPv6 addresses of its own";
const IPV6 = "it is an IPv6 case";
const SUFFIX = "-v6";

function isV4(text: string): boolean {
  const parsed = parseIp(text);
  return parsed !== undefined && ipFamily(parsed) === "ip";
}

/** The twin of an IPv4 address; others stay. */
export function twinAddress(text: string): string {
  if (!isV4(text)) return text;
  if (text.startsWith("127.")) return "::1";
  const [a = 0, b = 0, c = 0, d = 0] = text.split(".").map(Number);
  return parseIp(`fd04:${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}::1`) ?? text;
}

/** The twin of an IPv4 range, blanks around it kept; others stay. */
export function twinRange(text: string): string {
  const blanks = /^\s*/.exec(text)?.[0] ?? "";
  const [address = "", bits = ""] = text.trim().split("/");
  if (!isV4(address)) return text;
  const range = parseCidr(text.trim());
  if (range === undefined) return text;
  if (range.prefixBits === 0) return `${blanks}::/0`;
  if (address.startsWith("127.")) return `${blanks}::1/128`;
  return `${blanks}${twinAddress(address).replace(/::1$/, "::")}/${Number(bits) + 16}`;
}

function twinBackend(text: string): string {
  const split = text.lastIndexOf(":");
  const address = text.slice(0, split);
  return isV4(address) ? `[${twinAddress(address)}]${text.slice(split)}` : text;
}

const twinList = (value: unknown, twin: (text: string) => string): unknown =>
  Array.isArray(value) ? value.map((item: unknown) => (typeof item === "string" ? twin(item) : item)) : value;

function twinService(service: FixtureService): FixtureService {
  const { spec } = service;
  const { clusterIP } = spec;
  return {
    ...service,
    spec: {
      ...spec,
      ...(typeof clusterIP === "string" ? { clusterIP: twinAddress(clusterIP) } : {}),
      ...("clusterIPs" in spec ? { clusterIPs: twinList(spec["clusterIPs"], twinAddress) } : {}),
      ...("externalIPs" in spec ? { externalIPs: twinList(spec["externalIPs"], twinAddress) } : {}),
      ...("loadBalancerSourceRanges" in spec
        ? { loadBalancerSourceRanges: twinList(spec["loadBalancerSourceRanges"], twinRange) }
        : {}),
      ...("ipFamilies" in spec ? { ipFamilies: twinList(spec["ipFamilies"], () => "IPv6") } : {}),
    },
    lbIngress: service.lbIngress.map((entry) =>
      entry["ip"] === undefined ? entry : { ...entry, ip: twinAddress(entry["ip"]) },
    ),
    endpoints: service.endpoints.map((endpoint) => ({ ...endpoint, addr: twinAddress(endpoint.addr) })),
  };
}

function hasV6(services: readonly FixtureService[]): boolean {
  return JSON.stringify(
    services.map(({ spec, lbIngress, endpoints }) => [spec, lbIngress, endpoints]),
  ).includes("::");
}

function twinExpectation(expect: Expectation): Expectation {
  return { ...expect, backends: expect.backends.map(twinBackend) };
}

function twinTopology(topology: Topology): Topology {
  const addresses: Record<string, string> = {};
  for (const [role, address] of Object.entries(topology.addresses)) {
    if (!isV4(address)) continue;
    addresses[role] = address;
    addresses[`${role}_v6`] = twinAddress(address);
  }
  const both = (ranges: readonly string[]) => {
    const own = ranges.filter((range) => !range.includes(":"));
    return [...own, ...own.map(twinRange)];
  };
  return {
    ...topology,
    addresses,
    localCidrs: both(topology.localCidrs),
    serviceCidrs: both(topology.serviceCidrs),
  };
}

/** A list that says nothing of IPv4 has a twin that says nothing of IPv6: in both, every address of the family counts. */
function twinRanges(ranges: readonly string[]): readonly string[] {
  const twins = ranges.filter((range) => !range.includes(":")).map(twinRange);
  return twins.length === 0 && ranges.length > 0 ? ["198.18.0.0/15"] : twins;
}

function twinCase(item: Case): Case {
  const { packet, config, expect } = item;
  return {
    ...item,
    id: `${item.id}${SUFFIX}`,
    packet: {
      ...packet,
      from: packet.from === "endpoint" ? packet.from : `${packet.from}_v6`,
      ...(packet.src === undefined ? {} : { src: twinAddress(packet.src) }),
      dst: twinAddress(packet.dst),
    },
    config: {
      ...config,
      nodePortAddresses: twinRanges(config.nodePortAddresses),
    },
    ...(expect === undefined ? {} : { expect: twinExpectation(expect) }),
  };
}

function whyNot(item: Case, file: CaseFile): string | undefined {
  const { packet, fixture, config } = item;
  if (packet.dst.includes(":")) return IPV6;
  if (WITHOUT[item.id] !== undefined) return WITHOUT[item.id];
  if (packet.dst.startsWith("127.") || (config.localhostNodePorts && packet.src?.startsWith("127.") === true))
    return LOOPBACK;
  return hasV6(file.fixtures.get(fixture) ?? []) ? DUAL : undefined;
}

/** The twins of a file's cases, as a file. */
export function twinsOf(file: CaseFile): Twins {
  const without: { id: string; reason: string }[] = [];
  const cases: Case[] = [];
  for (const item of file.cases) {
    const reason = whyNot(item, file);
    if (reason === undefined) cases.push(twinCase(item));
    else if (reason !== IPV6) without.push({ id: item.id, reason });
  }
  const used = new Set(cases.map(({ fixture }) => fixture));
  const fixtures = new Map(
    [...file.fixtures].flatMap(([name, services]) =>
      used.has(name) ? [[name, services.map(twinService)] as const] : [],
    ),
  );
  return { file: { ...file, topology: twinTopology(file.topology), fixtures, cases, notPlayed: 0 }, without };
}
