/**
 * Layer codec. What the kernel's family IPVS answers. Bounds are checked: a damaged message ends in
 * {@link NetlinkMalformed}. Pure. Source: the kernel's uapi/linux/ip_vs.h.
 */
import type { IpAddress, IpFamily } from "../../../model/ip.ts";
import { ipFromBytes } from "../../../model/ip.ts";
import type { IpvsDestinationState, IpvsService, IpvsStatistics, IpvsTimeouts } from "../../../model/ipvs.ts";
import { type Attribute, attributeMap, attributeNumber, attributeText, NetlinkMalformed } from "../reader.ts";
import {
  AF_INET,
  AF_INET6,
  CMD_ATTR,
  CTRL,
  DEST_ATTR,
  FORWARDING_MASK,
  GENL_HEADER_BYTES,
  INFO_ATTR,
  STATS_ATTR,
  SVC_ATTR,
} from "./constants.ts";

type Attributes = ReadonlyMap<number, Attribute>;

/** Flag by which the kernel says that a virtual server is in its hash table: always set, never ours. */
const HASHED = 0x2;

/** Attributes behind the four bytes of `genlmsghdr`. */
function bodyAttributes(buffer: Uint8Array, start: number, end: number): Attributes {
  return attributeMap(buffer, start + GENL_HEADER_BYTES, end);
}

function nested(buffer: Uint8Array, outer: Attributes, type: number): Attributes | undefined {
  const attribute = outer.get(type);
  return attribute === undefined ? undefined : attributeMap(buffer, attribute.start, attribute.end);
}

/** A number in host order, of 2, 4 or 8 bytes. */
function numberOf(buffer: Uint8Array, attribute: Attribute): number {
  const bytes = attribute.end - attribute.start;
  if (bytes !== 2 && bytes !== 4 && bytes !== 8) throw new NetlinkMalformed(`number of ${bytes} bytes`);
  let value = 0;
  for (let i = attribute.end - 1; i >= attribute.start; i--) value = value * 256 + (buffer[i] ?? 0);
  return value;
}

function required(attributes: Attributes, type: number, what: string): Attribute {
  const attribute = attributes.get(type);
  if (attribute === undefined) throw new NetlinkMalformed(`ipvs message without ${what}`);
  return attribute;
}

function optionalNumber(buffer: Uint8Array, attributes: Attributes, type: number): number {
  const attribute = attributes.get(type);
  return attribute === undefined ? 0 : numberOf(buffer, attribute);
}

function addressOf(buffer: Uint8Array, attribute: Attribute, family: IpFamily): IpAddress {
  const bytes = family === "ip" ? 4 : 16;
  if (attribute.end - attribute.start < bytes) throw new NetlinkMalformed("short ipvs address");
  const address = ipFromBytes(buffer.subarray(attribute.start, attribute.start + bytes));
  if (address === undefined) throw new NetlinkMalformed("ipvs address");
  return address;
}

function familyOf(number: number): IpFamily {
  if (number === AF_INET) return "ip";
  if (number === AF_INET6) return "ip6";
  throw new NetlinkMalformed(`ipvs address family ${number}`);
}

function portOf(buffer: Uint8Array, attribute: Attribute): number {
  if (attribute.end - attribute.start !== 2) throw new NetlinkMalformed("ipvs port");
  return attributeNumber(buffer, attribute);
}

function statisticsOf(buffer: Uint8Array, outer: Attributes, type: number): IpvsStatistics {
  const inner = nested(buffer, outer, type) ?? new Map();
  const read = (which: keyof typeof STATS_ATTR) => optionalNumber(buffer, inner, STATS_ATTR[which]);
  return {
    connections: read("connections"),
    inPackets: read("inPackets"),
    outPackets: read("outPackets"),
    inBytes: read("inBytes"),
    outBytes: read("outBytes"),
  };
}

/** Number of the family that was asked for. @throws {NetlinkMalformed} */
export function decodeFamilyId(buffer: Uint8Array, start: number, end: number): number {
  return numberOf(buffer, required(bodyAttributes(buffer, start, end), CTRL.familyId, "family id"));
}

/**
 * One virtual server of a dump.
 * @returns `undefined` for one that is found by a firewall mark @throws {NetlinkMalformed}
 */
export function decodeService(
  buffer: Uint8Array,
  start: number,
  end: number,
): { readonly service: IpvsService; readonly statistics: IpvsStatistics } | undefined {
  const attributes = nested(buffer, bodyAttributes(buffer, start, end), CMD_ATTR.service);
  if (attributes === undefined) throw new NetlinkMalformed("ipvs message without service");
  if (attributes.has(SVC_ATTR.fwmark)) return undefined;
  const family = familyOf(numberOf(buffer, required(attributes, SVC_ATTR.family, "family")));
  const flags = attributes.get(SVC_ATTR.flags);
  if (flags !== undefined && flags.end - flags.start !== 8) throw new NetlinkMalformed("ipvs flags");
  const flagBits = flags === undefined ? 0 : numberOf(buffer, { ...flags, end: flags.start + 4 });
  const service: IpvsService = {
    family,
    protocol: numberOf(buffer, required(attributes, SVC_ATTR.protocol, "protocol")),
    address: addressOf(buffer, required(attributes, SVC_ATTR.address, "address"), family),
    port: portOf(buffer, required(attributes, SVC_ATTR.port, "port")),
    scheduler: attributeText(buffer, required(attributes, SVC_ATTR.scheduler, "scheduler")),
    flags: (flagBits & ~HASHED) >>> 0,
    timeoutSeconds: optionalNumber(buffer, attributes, SVC_ATTR.timeout),
  };
  return { service, statistics: statisticsOf(buffer, attributes, SVC_ATTR.stats64) };
}

/** One destination of a dump. @param family of the virtual server, for kernels that do not tell @throws {NetlinkMalformed} */
export function decodeDestination(
  buffer: Uint8Array,
  start: number,
  end: number,
  family: IpFamily,
): IpvsDestinationState {
  const attributes = nested(buffer, bodyAttributes(buffer, start, end), CMD_ATTR.dest);
  if (attributes === undefined) throw new NetlinkMalformed("ipvs message without destination");
  const told = attributes.get(DEST_ATTR.family);
  const own = told === undefined ? family : familyOf(numberOf(buffer, told));
  const forwarding = optionalNumber(buffer, attributes, DEST_ATTR.forwarding) & FORWARDING_MASK;
  return {
    address: addressOf(buffer, required(attributes, DEST_ATTR.address, "address"), own),
    port: portOf(buffer, required(attributes, DEST_ATTR.port, "port")),
    weight: numberOf(buffer, required(attributes, DEST_ATTR.weight, "weight")),
    forwarding: forwarding === 0 ? "masquerade" : "other",
    activeConnections: optionalNumber(buffer, attributes, DEST_ATTR.active),
    inactiveConnections: optionalNumber(buffer, attributes, DEST_ATTR.inactive),
    persistentConnections: optionalNumber(buffer, attributes, DEST_ATTR.persistent),
    statistics: statisticsOf(buffer, attributes, DEST_ATTR.stats64),
  };
}

/** @throws {NetlinkMalformed} */
export function decodeTimeouts(buffer: Uint8Array, start: number, end: number): IpvsTimeouts {
  const attributes = bodyAttributes(buffer, start, end);
  return {
    tcpSeconds: numberOf(buffer, required(attributes, CMD_ATTR.timeoutTcp, "tcp timeout")),
    tcpFinSeconds: numberOf(buffer, required(attributes, CMD_ATTR.timeoutTcpFin, "tcpfin timeout")),
    udpSeconds: numberOf(buffer, required(attributes, CMD_ATTR.timeoutUdp, "udp timeout")),
  };
}

/** Version of ip_vs (`1.2.1`) and buckets of its connection table. @throws {NetlinkMalformed} */
export function decodeInfo(
  buffer: Uint8Array,
  start: number,
  end: number,
): { readonly version: string; readonly connectionBuckets: number } {
  const attributes = bodyAttributes(buffer, start, end);
  const version = numberOf(buffer, required(attributes, INFO_ATTR.version, "version"));
  return {
    version: `${(version >> 16) & 255}.${(version >> 8) & 255}.${version & 255}`,
    connectionBuckets: optionalNumber(buffer, attributes, INFO_ATTR.tableSize),
  };
}
