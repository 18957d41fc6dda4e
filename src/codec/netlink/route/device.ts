/**
 * Layer codec. Requests of rtnetlink for one dummy device and its addresses. Numbers are in host order (little-endian on
 * every machine that nodeplane supports). Pure. Source: the kernel's uapi/linux/rtnetlink.h, if_link.h and if_addr.h.
 */
import { type IpAddress, ipFamily, ipFromBytes, ipToBytes } from "../../../model/ip.ts";
import { attributeMap, attributeText, viewOf } from "../reader.ts";
import type { NetlinkWriter } from "../writer.ts";

export const NETLINK_ROUTE = 0;

const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
} as const;
const FLAG = { request: 0x1, ack: 0x4, excl: 0x200, create: 0x400, dump: 0x300 } as const;
const IFLA = { name: 3, linkInfo: 18, kind: 1 } as const;
const IFA = { address: 1, local: 2, cacheInfo: 6 } as const;
const AF = { ip: 2, ip6: 10 } as const;
/** No duplicate address detection: the address is for this node alone and must work at once. */
const IFA_F_NODAD = 0x02;
/** Never preferred, valid for ever: no connection of the node, and no masquerade, takes it as its source by itself. */
const NEVER_PREFERRED = new Uint8Array(16).fill(0xff, 4, 8);
const LINK_HEADER_BYTES = 16;
const ADDRESS_HEADER_BYTES = 8;

export interface AddressChange {
  readonly op: "add" | "remove";
  readonly address: IpAddress;
}

/** Asks for a device of this kind; EEXIST when there is one of the name. */
export function encodeNewLink(writer: NetlinkWriter, sequence: number, name: string, kind: string): void {
  beginLink(writer, RTM.newLink, FLAG.request | FLAG.ack | FLAG.create | FLAG.excl, sequence);
  writer.text(IFLA.name, name);
  const nest = writer.beginNest(IFLA.linkInfo);
  writer.text(IFLA.kind, kind);
  writer.endNest(nest);
  writer.endMessage();
}

export function encodeGetLink(writer: NetlinkWriter, sequence: number, name: string): void {
  beginLink(writer, RTM.getLink, FLAG.request, sequence);
  writer.text(IFLA.name, name);
  writer.endMessage();
}

export function encodeDeleteLink(writer: NetlinkWriter, sequence: number, name: string): void {
  beginLink(writer, RTM.delLink, FLAG.request | FLAG.ack, sequence);
  writer.text(IFLA.name, name);
  writer.endMessage();
}

function beginLink(writer: NetlinkWriter, type: number, flags: number, sequence: number): void {
  writer.beginMessage(type, flags, sequence);
  const at = writer.reserve(LINK_HEADER_BYTES);
  writer.bytes.fill(0, at, at + LINK_HEADER_BYTES);
}

/** Adds (EEXIST when it is there) or removes (EADDRNOTAVAIL when it is not) an address with a full-length prefix. */
export function encodeAddressChange(
  writer: NetlinkWriter,
  sequence: number,
  index: number,
  { op, address }: AddressChange,
): void {
  const isNew = op === "add";
  const flags = FLAG.request | FLAG.ack | (isNew ? FLAG.create | FLAG.excl : 0);
  writer.beginMessage(isNew ? RTM.newAddress : RTM.delAddress, flags, sequence);
  const family = ipFamily(address);
  const bytes = ipToBytes(address);
  const at = writer.reserve(ADDRESS_HEADER_BYTES);
  const quiet = family === "ip6" && isNew ? IFA_F_NODAD : 0;
  writer.bytes.set([AF[family], bytes.length * 8, quiet, 0], at);
  for (let i = 0; i < 4; i++) writer.bytes[at + 4 + i] = (index >>> (8 * i)) & 0xff;
  writer.raw(IFA.local, bytes);
  writer.raw(IFA.address, bytes);
  if (quiet !== 0) writer.raw(IFA.cacheInfo, NEVER_PREFERRED);
  writer.endMessage();
}

/** A dump of the addresses of all devices, both families. */
export function encodeAddressDump(writer: NetlinkWriter, sequence: number): void {
  writer.beginMessage(RTM.getAddress, FLAG.request | FLAG.dump, sequence);
  const at = writer.reserve(ADDRESS_HEADER_BYTES);
  writer.bytes.fill(0, at, at + ADDRESS_HEADER_BYTES);
  writer.endMessage();
}

/** Index and kind of a device. @param start of the payload @throws {NetlinkMalformed} */
export function decodeLink(
  buffer: Uint8Array,
  start: number,
  end: number,
): { readonly index: number; readonly kind: string } {
  const info = attributeMap(buffer, start + LINK_HEADER_BYTES, end).get(IFLA.linkInfo);
  const kind = info && attributeMap(buffer, info.start, info.end).get(IFLA.kind);
  return {
    index: viewOf(buffer).getInt32(start + 4, true),
    kind: kind === undefined ? "" : attributeText(buffer, kind),
  };
}

/** The address, when it is on the device with this index. @throws {NetlinkMalformed} */
export function decodeAddress(
  buffer: Uint8Array,
  start: number,
  end: number,
  index: number,
): IpAddress | undefined {
  if (end - start < ADDRESS_HEADER_BYTES || viewOf(buffer).getUint32(start + 4, true) !== index)
    return undefined;
  const attributes = attributeMap(buffer, start + ADDRESS_HEADER_BYTES, end);
  const found = attributes.get(IFA.local) ?? attributes.get(IFA.address);
  return found === undefined ? undefined : ipFromBytes(buffer.subarray(found.start, found.end));
}
