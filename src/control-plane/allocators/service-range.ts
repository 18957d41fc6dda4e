/**
 * Layer control-plane. The usable addresses of one service range as offsets: offset 0 is the first usable address.
 * An IPv4 range leaves out its network and broadcast addresses, an IPv6 range its first address. Pure.
 */
import {
  type Cidr,
  cidrContains,
  formatCidr,
  type IpAddress,
  ipFamily,
  ipFromBytes,
  ipToBytes,
  parseCidr,
} from "../../model/ip.ts";
import { addressBandSize } from "./bands.ts";

/** Automatic choices look at the first 2^32 addresses of a larger range; any address of it may be asked for by name. */
const MAX_SIZE = 2 ** 32;

export interface ServiceRange {
  readonly cidr: Cidr;
  readonly text: string;
  /** Number of usable addresses, at most 2^32. */
  readonly size: number;
  readonly bandSize: number;
}

/** @returns `undefined` unless `text` is a range with at least one usable address */
export function parseServiceRange(text: string): ServiceRange | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined) return undefined;
  const v4 = ipFamily(cidr.address) === "ip";
  const hostBits = (v4 ? 32 : 128) - cidr.prefixBits;
  const size = Math.min(2 ** hostBits - (v4 ? 2 : 1), MAX_SIZE);
  if (size < 1) return undefined;
  return { cidr, text: formatCidr(cidr), size, bandSize: addressBandSize(2 ** hostBits) };
}

const toNumber = (bytes: Uint8Array): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

/** The address at `offset`, 0 to size - 1. */
export function addressAt(range: ServiceRange, offset: number): IpAddress {
  const base = ipToBytes(range.cidr.address);
  let value = toNumber(base) + 1n + BigInt(offset);
  const bytes = new Uint8Array(base.length);
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(value & 0xffn);
    value >>= 8n;
  }
  const address = ipFromBytes(bytes);
  if (address === undefined) throw new RangeError(`offset ${offset} is outside ${range.text}`);
  return address;
}

/** Offset of an address, or `undefined` unless it is usable and within the first {@link MAX_SIZE}. */
export function offsetOf(range: ServiceRange, address: IpAddress): number | undefined {
  if (!cidrContains(range.cidr, address)) return undefined;
  const offset = toNumber(ipToBytes(address)) - toNumber(ipToBytes(range.cidr.address)) - 1n;
  return offset >= 0n && offset < BigInt(range.size) ? Number(offset) : undefined;
}

/** True for addresses that a Service may have, the part beyond 2^32 of a huge range included. */
export function isUsable(range: ServiceRange, address: IpAddress): boolean {
  if (!cidrContains(range.cidr, address)) return false;
  return (
    offsetOf(range, address) !== undefined || (range.size === MAX_SIZE && address !== range.cidr.address)
  );
}
