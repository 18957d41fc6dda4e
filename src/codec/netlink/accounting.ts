/**
 * Layer codec. Named packet counters of netfilter (nfnetlink_acct): requests, and what a dump shows.
 * Numbers: linux/netfilter/nfnetlink_acct.h.
 */
import { attributeMap, attributeText, NetlinkMalformed, viewOf } from "./reader.ts";
import type { NetlinkWriter } from "./writer.ts";

const SUBSYSTEM = 7;
const NEW = 0;
const GET = 1;
const DELETE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE = 0x400;
const NFGENMSG_BYTES = 4;
const AF_UNSPEC = 0;
const NAME = 1;
const PACKETS = 2;
/** NFACCT_NAME_MAX with its terminating zero. */
const MAX_NAME = 31;

export interface PacketCounter {
  readonly name: string;
  readonly packets: number;
}

function request(writer: NetlinkWriter, type: number, flags: number, sequence: number): void {
  writer.beginNfMessage((SUBSYSTEM << 8) | type, NLM_F_REQUEST | flags, sequence, AF_UNSPEC, 0);
}

function named(writer: NetlinkWriter, type: number, flags: number, sequence: number, name: string): void {
  if (name === "" || name.length > MAX_NAME) throw new RangeError(`name of a counter: "${name}"`);
  request(writer, type, NLM_F_ACK | flags, sequence);
  writer.text(NAME, name);
  writer.endMessage();
}

/** Makes a counter; the kernel says EBUSY when it is there. */
export function encodeCounterNew(writer: NetlinkWriter, name: string, sequence: number): void {
  named(writer, NEW, NLM_F_CREATE, sequence, name);
}

/** Removes a counter; the kernel says EBUSY while a rule uses it. */
export function encodeCounterDelete(writer: NetlinkWriter, name: string, sequence: number): void {
  named(writer, DELETE, 0, sequence, name);
}

/** Asks for all counters. */
export function encodeCounterDump(writer: NetlinkWriter, sequence: number): void {
  request(writer, GET, NLM_F_DUMP, sequence);
  writer.endMessage();
}

/** Reads the body of one message of a dump. @throws {NetlinkMalformed} */
export function readCounter(buffer: Uint8Array, start: number, end: number): PacketCounter {
  const attributes = attributeMap(buffer, start + NFGENMSG_BYTES, end);
  const [name, packets] = [attributes.get(NAME), attributes.get(PACKETS)];
  if (name === undefined || packets === undefined || packets.end - packets.start !== 8)
    throw new NetlinkMalformed("counter without name or number");
  return {
    name: attributeText(buffer, name),
    packets: Number(viewOf(buffer).getBigUint64(packets.start)),
  };
}
