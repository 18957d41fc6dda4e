/**
 * Layer codec. Addresses as 4 or 16 bytes and ranges. Pure. The text of an IPv4 address is made by hand: a full
 * synchronisation reads hundreds of thousands of them.
 */
import { Buffer } from "node:buffer";
import { type Cidr, type IpAddress, ipFromBytes, ipToBytes } from "../../model/ip.ts";
import { malformed, type WireReader, type WireWriter } from "./wire.ts";

/** Room for the text of one IPv4 address. */
const scratch = Buffer.allocUnsafe(15);

/** Writes 0–255 in decimal at `at`. @returns the position behind it */
function putOctet(octet: number, at: number): number {
  let next = at;
  if (octet >= 100) scratch[next++] = 48 + Math.floor(octet / 100);
  if (octet >= 10) scratch[next++] = 48 + (Math.floor(octet / 10) % 10);
  scratch[next++] = 48 + (octet % 10);
  return next;
}

/** Canonical text of the address at `start`, of 4 or 16 bytes. Flat in memory: 32 bytes, a concatenation takes 64. */
export function readAddressAt(bytes: Buffer, start: number, length: number): IpAddress {
  if (length !== 4) {
    const address = length === 16 ? ipFromBytes(bytes.subarray(start, start + 16)) : undefined;
    return address ?? malformed(`address of ${length} bytes`);
  }
  let at = 0;
  for (let octet = 0; octet < 4; octet++) {
    if (octet > 0) scratch[at++] = 46;
    at = putOctet(bytes[start + octet] ?? 0, at);
  }
  return scratch.toString("latin1", 0, at) as IpAddress;
}

/** An address field. */
export function readAddress(reader: WireReader): IpAddress {
  const length = reader.length();
  const start = reader.offset;
  reader.offset += length;
  return readAddressAt(reader.bytes, start, length);
}

export function writeAddress(writer: WireWriter, field: number, address: IpAddress): void {
  writer.raw(field, ipToBytes(address));
}

/** A Range message. */
export function readRange(reader: WireReader): Cidr {
  const outer = reader.enter();
  let address: IpAddress | undefined;
  let prefixBits = 0;
  while (reader.next()) {
    if (reader.field === 1) address = readAddress(reader);
    else if (reader.field === 2) prefixBits = reader.uint32();
    else reader.skip();
  }
  reader.leave(outer);
  if (address === undefined) return malformed("range without address");
  if (prefixBits > (address.includes(":") ? 128 : 32)) malformed(`prefix of ${prefixBits} bits`);
  return { address, prefixBits };
}

export function writeRange(writer: WireWriter, field: number, range: Cidr): void {
  const start = writer.begin(field);
  writeAddress(writer, 1, range.address);
  writer.number(2, range.prefixBits);
  writer.end(start);
}

/** Addresses of one family in one field, one behind the other. */
export function writeAddresses(writer: WireWriter, field: number, addresses: readonly IpAddress[]): void {
  const [first] = addresses;
  if (addresses.length === 1 && first !== undefined) writeAddress(writer, field, first);
  else writer.raw(field, Buffer.concat(addresses.map(ipToBytes)));
}
