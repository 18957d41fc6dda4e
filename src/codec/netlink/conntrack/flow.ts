/**
 * Layer codec. Entries of the connection tracking table (ctnetlink): what a dump shows, and the two requests that are sent.
 * Numbers: linux/netfilter/nfnetlink_conntrack.h. A DELETE without a tuple empties the whole table: this file cannot write one.
 */
import type { IpFamily } from "../../../model/ip.ts";
import { type Attribute, attributeMap, attributeNumber, NetlinkMalformed } from "../reader.ts";
import type { NetlinkWriter } from "../writer.ts";

const SUBSYSTEM = 1;
const GET = 1;
const DELETE = 2;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
const NFGENMSG_BYTES = 4;
const FAMILY: Readonly<Record<IpFamily, number>> = { ip: 2, ip6: 10 };

const CTA = { tupleOriginal: 1, tupleReply: 2, status: 3, id: 12, zone: 18, filter: 25 } as const;
const TUPLE = { ip: 1, protocol: 2 } as const;
const PROTOCOL = { number: 1, sourcePort: 2, destinationPort: 3 } as const;
/** Source and destination address: IPv4 1 and 2, IPv6 3 and 4. */
const ADDRESS: Readonly<Record<IpFamily, { readonly source: number; readonly destination: number }>> = {
  ip: { source: 1, destination: 2 },
  ip6: { source: 3, destination: 4 },
};
const FILTER_ORIGINAL_FLAGS = 1;
const FILTER_PROTOCOL_NUMBER = 1 << 3;

/** Bits of {@link Flow.status}. */
export const FLOW_STATUS = { seenReply: 2, dstNat: 32 } as const;

/** One direction; addresses are 4 or 16 bytes. */
export interface FlowTuple {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Flow {
  readonly family: IpFamily;
  /** As the client sent it. */
  readonly original: FlowTuple;
  /** As answers come: its source is where the flow was led to. */
  readonly reply: FlowTuple;
  /** {@link FLOW_STATUS} */
  readonly status: number;
  /** Tells this entry from a later one with the same tuple. */
  readonly id: number;
  readonly zone: number;
}

/** A tuple that names no single flow. */
export class FlowNotExact extends RangeError {
  override readonly name = "FlowNotExact";
}

/** Asks for all entries of one protocol. Kernels before 5.8 ignore the filter: readers look at the protocol themselves. */
export function encodeFlowDump(
  writer: NetlinkWriter,
  family: IpFamily,
  protocol: number,
  sequence: number,
): void {
  writer.beginNfMessage((SUBSYSTEM << 8) | GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, FAMILY[family], 0);
  const tuple = writer.beginNest(CTA.tupleOriginal | 0x8000);
  const part = writer.beginNest(TUPLE.protocol | 0x8000);
  writer.u8(PROTOCOL.number, protocol);
  writer.endNest(part);
  writer.endNest(tuple);
  const filter = writer.beginNest(CTA.filter | 0x8000);
  const flags = new Uint8Array(4);
  new DataView(flags.buffer).setUint32(0, FILTER_PROTOCOL_NUMBER, true);
  writer.raw(FILTER_ORIGINAL_FLAGS, flags);
  writer.endNest(filter);
  writer.endMessage();
}

/**
 * Asks to delete exactly this entry, by tuple and id.
 * @throws {FlowNotExact} before anything is written, when the tuple is not complete
 */
export function encodeFlowDelete(writer: NetlinkWriter, flow: Flow, sequence: number): void {
  const { family, original, id, zone } = flow;
  const width = family === "ip" ? 4 : 16;
  const isPort = (port: number) => Number.isInteger(port) && port > 0 && port <= 65_535;
  if (
    original.source.length !== width ||
    original.destination.length !== width ||
    !(original.protocol > 0 && original.protocol < 256) ||
    !isPort(original.sourcePort) ||
    !isPort(original.destinationPort)
  )
    throw new FlowNotExact("a flow to delete needs addresses of its family, protocol and both ports");
  writer.beginNfMessage((SUBSYSTEM << 8) | DELETE, NLM_F_REQUEST | NLM_F_ACK, sequence, FAMILY[family], 0);
  const tuple = writer.beginNest(CTA.tupleOriginal | 0x8000);
  const addresses = writer.beginNest(TUPLE.ip | 0x8000);
  writer.raw(ADDRESS[family].source, original.source);
  writer.raw(ADDRESS[family].destination, original.destination);
  writer.endNest(addresses);
  const part = writer.beginNest(TUPLE.protocol | 0x8000);
  writer.u8(PROTOCOL.number, original.protocol);
  writer.raw(PROTOCOL.sourcePort, portBytes(original.sourcePort));
  writer.raw(PROTOCOL.destinationPort, portBytes(original.destinationPort));
  writer.endNest(part);
  writer.endNest(tuple);
  if (zone !== 0) writer.raw(CTA.zone, portBytes(zone));
  writer.u32(CTA.id, id);
  writer.endMessage();
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 255);
}

function readTuple(buffer: Uint8Array, at: Attribute, family: IpFamily): FlowTuple | undefined {
  const parts = attributeMap(buffer, at.start, at.end);
  const ip = parts.get(TUPLE.ip);
  const protocol = parts.get(TUPLE.protocol);
  if (ip === undefined || protocol === undefined) throw new NetlinkMalformed("flow without a tuple");
  const addresses = attributeMap(buffer, ip.start, ip.end);
  const source = addresses.get(ADDRESS[family].source);
  const destination = addresses.get(ADDRESS[family].destination);
  const fields = attributeMap(buffer, protocol.start, protocol.end);
  const number = fields.get(PROTOCOL.number);
  if (source === undefined || destination === undefined || number === undefined)
    throw new NetlinkMalformed("flow without addresses");
  const from = fields.get(PROTOCOL.sourcePort);
  const to = fields.get(PROTOCOL.destinationPort);
  // ICMP and the like have no ports.
  if (from === undefined || to === undefined) return undefined;
  return {
    source: buffer.slice(source.start, source.end),
    destination: buffer.slice(destination.start, destination.end),
    protocol: attributeNumber(buffer, number),
    sourcePort: attributeNumber(buffer, from),
    destinationPort: attributeNumber(buffer, to),
  };
}

/**
 * One entry of a dump: the body of its message.
 * @returns `undefined` for flows without ports
 * @throws {NetlinkMalformed}
 */
export function readFlow(buffer: Uint8Array, start: number, end: number, family: IpFamily): Flow | undefined {
  const parts = attributeMap(buffer, start + NFGENMSG_BYTES, end);
  const original = parts.get(CTA.tupleOriginal);
  const reply = parts.get(CTA.tupleReply);
  if (original === undefined || reply === undefined) throw new NetlinkMalformed("flow without tuples");
  const there = readTuple(buffer, original, family);
  const back = readTuple(buffer, reply, family);
  if (there === undefined || back === undefined) return undefined;
  const number = (type: number) => {
    const attribute = parts.get(type);
    return attribute === undefined ? 0 : attributeNumber(buffer, attribute);
  };
  return {
    family,
    original: there,
    reply: back,
    status: number(CTA.status),
    id: number(CTA.id),
    zone: number(CTA.zone),
  };
}
