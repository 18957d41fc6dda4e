/**
 * Layer plan. Packed values: bytes kept in one-byte strings (one UTF-16 unit, 0–255, a byte). Strings compare, hash and
 * share like values, and cost 16 bytes beside their content, a typed array well over 100. Network byte order
 * unless said otherwise. Pure.
 */
import { Buffer } from "node:buffer";
import type { IpAddress, IpFamily } from "../model/ip.ts";
import { ipFromBytes, ipToBytes } from "../model/ip.ts";
import type { Protocol } from "../model/objects.ts";

/** 4 or 16 bytes. Two equal addresses are equal strings, and `<` is numeric order within a family. */
export type PackedIp = string;
/** A {@link PackedIp} and two bytes of port. */
export type PackedDestination = string;

export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
/** Bytes of an address in a family: 4 or 16. */
export function addressBytes(family: IpFamily): 4 | 16 {
  return family === "ip" ? 4 : 16;
}

export function packBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

export function unpackBytes(packed: string): Uint8Array {
  return Buffer.from(packed, "latin1");
}

/** IPv4 without going through bytes: this runs for every endpoint of every slice. */
export function packIp(address: IpAddress): PackedIp {
  if (address.includes(":")) return packBytes(ipToBytes(address));
  let a = 0;
  let b = 0;
  let c = 0;
  let value = 0;
  let part = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code !== 46) {
      value = value * 10 + code - 48;
      continue;
    }
    if (part === 0) a = value;
    else if (part === 1) b = value;
    else c = value;
    part++;
    value = 0;
  }
  return String.fromCharCode(a, b, c, value);
}

export function unpackIp(packed: PackedIp): IpAddress {
  const address = ipFromBytes(unpackBytes(packed));
  if (address === undefined) throw new RangeError(`packed address of ${packed.length} bytes`);
  return address;
}

/** Two bytes, network order. */
export function packPort(port: number): string {
  return String.fromCharCode(port >> 8, port & 255);
}

/** `1.2.3.4:80` or `[fd00::1]:80`. */
export function formatDestination(packed: PackedDestination): string {
  const split = packed.length - 2;
  if (split === 4) {
    const at = (i: number) => packed.charCodeAt(i);
    return `${at(0)}.${at(1)}.${at(2)}.${at(3)}:${at(4) * 256 + at(5)}`;
  }
  const address = unpackIp(packed.slice(0, split));
  const port = packed.charCodeAt(split) * 256 + packed.charCodeAt(split + 1);
  return `[${address}]:${port}`;
}
