/**
 * Layer codec. Requests of the generic netlink family IPVS. Unlike nf_tables, numbers are in host order (little-endian on
 * every machine that nodeplane supports), ports alone in network order. Pure. Source: include/uapi/linux/ip_vs.h, net/netfilter/ipvs/ip_vs_ctl.c.
 */
import { ipToBytes } from "../../../model/ip.ts";
import type {
  IpvsDestination,
  IpvsOp,
  IpvsService,
  IpvsServiceKey,
  IpvsTimeouts,
} from "../../../model/ipvs.ts";
import type { NetlinkWriter } from "../writer.ts";
import {
  AF_INET,
  AF_INET6,
  CMD,
  CMD_ATTR,
  CTRL,
  DEST_ATTR,
  GENL_HEADER_BYTES,
  GENL_ID_CTRL,
  IPVS_FAMILY_NAME,
  IPVS_VERSION,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  SVC_ATTR,
} from "./constants.ts";

const COMMAND_OF = {
  "add-service": CMD.newService,
  "set-service": CMD.setService,
  "delete-service": CMD.delService,
  "add-destination": CMD.newDest,
  "set-destination": CMD.setDest,
  "delete-destination": CMD.delDest,
} as const satisfies Record<IpvsOp["op"], number>;

/** Every bit that a request may set; the kernel takes those of the mask. */
const ALL_FLAGS = 0xffff_ffff;
/** Persistence by single addresses: all bits of IPv4, or 128 as a prefix length. */
const NETMASK = { ip: 0xffff_ffff, ip6: 128 } as const;

function begin(
  writer: NetlinkWriter,
  type: number,
  flags: number,
  sequence: number,
  command: number,
  version = IPVS_VERSION,
): void {
  writer.beginMessage(type, flags, sequence);
  const at = writer.reserve(GENL_HEADER_BYTES);
  writer.bytes.set([command, version, 0, 0], at);
}

function hostBytes(value: number, bytes: 2 | 4): Uint8Array {
  const result = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) result[i] = (value >>> (8 * i)) & 0xff;
  return result;
}

const u16 = (writer: NetlinkWriter, type: number, value: number) => writer.raw(type, hostBytes(value, 2));
const u32 = (writer: NetlinkWriter, type: number, value: number) => writer.raw(type, hostBytes(value, 4));
const port = (writer: NetlinkWriter, type: number, value: number) =>
  writer.raw(type, Uint8Array.of(value >> 8, value & 0xff));

/** An address always takes 16 bytes (`union nf_inet_addr`). */
function address(writer: NetlinkWriter, type: number, value: IpvsServiceKey["address"]): void {
  const bytes = new Uint8Array(16);
  bytes.set(ipToBytes(value));
  writer.raw(type, bytes);
}

function writeService(writer: NetlinkWriter, service: IpvsServiceKey | IpvsService): void {
  const nest = writer.beginNest(CMD_ATTR.service);
  u16(writer, SVC_ATTR.family, service.family === "ip" ? AF_INET : AF_INET6);
  u16(writer, SVC_ATTR.protocol, service.protocol);
  address(writer, SVC_ATTR.address, service.address);
  port(writer, SVC_ATTR.port, service.port);
  if ("scheduler" in service) {
    writer.text(SVC_ATTR.scheduler, service.scheduler);
    const flags = new Uint8Array(8);
    flags.set(hostBytes(service.flags, 4));
    flags.set(hostBytes(ALL_FLAGS, 4), 4);
    writer.raw(SVC_ATTR.flags, flags);
    u32(writer, SVC_ATTR.timeout, service.timeoutSeconds);
    u32(writer, SVC_ATTR.netmask, NETMASK[service.family]);
  }
  writer.endNest(nest);
}

function writeDestination(
  writer: NetlinkWriter,
  destination: Pick<IpvsDestination, "address" | "port"> & { readonly weight?: number },
): void {
  const nest = writer.beginNest(CMD_ATTR.dest);
  address(writer, DEST_ATTR.address, destination.address);
  port(writer, DEST_ATTR.port, destination.port);
  if (destination.weight !== undefined) {
    u32(writer, DEST_ATTR.forwarding, 0);
    u32(writer, DEST_ATTR.weight, destination.weight);
    u32(writer, DEST_ATTR.upperThreshold, 0);
    u32(writer, DEST_ATTR.lowerThreshold, 0);
  }
  writer.endNest(nest);
}

/** Asks for the number of the family IPVS; the kernel loads ip_vs for it where it can. */
export function encodeGetFamily(writer: NetlinkWriter, sequence: number): void {
  begin(writer, GENL_ID_CTRL, NLM_F_REQUEST, sequence, CTRL.getFamily);
  writer.text(CTRL.familyName, IPVS_FAMILY_NAME);
  writer.endMessage();
}

/** Appends one operation, to be acknowledged. @param familyId as the kernel numbers IPVS */
export function encodeIpvsOp(writer: NetlinkWriter, familyId: number, sequence: number, op: IpvsOp): void {
  begin(writer, familyId, NLM_F_REQUEST | NLM_F_ACK, sequence, COMMAND_OF[op.op]);
  if (op.op === "add-service" || op.op === "set-service") writeService(writer, op.service);
  else {
    const { family, protocol, address: at, port: number } = op.service;
    writeService(writer, { family, protocol, address: at, port: number });
    if (op.op === "delete-destination")
      writeDestination(writer, { address: op.destination.address, port: op.destination.port });
    else if (op.op !== "delete-service") writeDestination(writer, op.destination);
  }
  writer.endMessage();
}

/** A dump of all virtual servers. */
export function encodeServiceDump(writer: NetlinkWriter, familyId: number, sequence: number): void {
  begin(writer, familyId, NLM_F_REQUEST | NLM_F_DUMP, sequence, CMD.getService);
  writer.endMessage();
}

/** A dump of one virtual server's destinations. */
export function encodeDestinationDump(
  writer: NetlinkWriter,
  familyId: number,
  sequence: number,
  service: IpvsServiceKey,
): void {
  begin(writer, familyId, NLM_F_REQUEST | NLM_F_DUMP, sequence, CMD.getDest);
  const { family, protocol, address: at, port: number } = service;
  writeService(writer, { family, protocol, address: at, port: number });
  writer.endMessage();
}

export function encodeGetInfo(writer: NetlinkWriter, familyId: number, sequence: number): void {
  begin(writer, familyId, NLM_F_REQUEST, sequence, CMD.getInfo);
  writer.endMessage();
}

export function encodeGetConfig(writer: NetlinkWriter, familyId: number, sequence: number): void {
  begin(writer, familyId, NLM_F_REQUEST, sequence, CMD.getConfig);
  writer.endMessage();
}

/** Sets idle times, to be acknowledged; 0 leaves a value as it is. */
export function encodeSetConfig(
  writer: NetlinkWriter,
  familyId: number,
  sequence: number,
  timeouts: IpvsTimeouts,
): void {
  begin(writer, familyId, NLM_F_REQUEST | NLM_F_ACK, sequence, CMD.setConfig);
  u32(writer, CMD_ATTR.timeoutTcp, timeouts.tcpSeconds);
  u32(writer, CMD_ATTR.timeoutTcpFin, timeouts.tcpFinSeconds);
  u32(writer, CMD_ATTR.timeoutUdp, timeouts.udpSeconds);
  writer.endMessage();
}
