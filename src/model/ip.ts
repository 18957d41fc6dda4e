/**
 * Layer model. IP addresses and CIDR ranges as canonical text plus conversions to wire bytes.
 * Canonical text is what RFC 5952 says for IPv6 (lower case, `::` for the longest run) and dotted decimal
 * without leading zeros for IPv4; two equal addresses are equal strings. Must not do I/O.
 */
import ipaddr from "ipaddr.js";

/** `ip` is IPv4, `ip6` is IPv6: the names of the nf_tables families. */
export type IpFamily = "ip" | "ip6";

/** Canonical text of an IPv4 or IPv6 address. Obtain one from {@link parseIp}. */
export type IpAddress = string & { readonly __brand: "IpAddress" };

/** An address range: network address (host bits zero) and prefix length in bits. */
export interface Cidr {
  readonly address: IpAddress;
  readonly prefixBits: number;
}

/** @returns the canonical address, or `undefined` unless `text` is a plain IPv4 or IPv6 address (no zone, no prefix). */
export function parseIp(text: string): IpAddress | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text).toString() as IpAddress;
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text).toRFC5952String() as IpAddress;
}

/** Family of a canonical address. */
export function ipFamily(address: IpAddress): IpFamily {
  return address.includes(":") ? "ip6" : "ip";
}

/** @returns 4 or 16 bytes in network order. */
export function ipToBytes(address: IpAddress): Uint8Array {
  if (address.includes(":")) return Uint8Array.from(ipaddr.IPv6.parse(address).toByteArray());
  const bytes = new Uint8Array(4);
  let at = 0;
  let value = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code === 46) {
      bytes[at++] = value;
      value = 0;
    } else value = value * 10 + code - 48;
  }
  bytes[at] = value;
  return bytes;
}

/** @returns the canonical address of 4 or 16 bytes in network order, else `undefined`. */
export function ipFromBytes(bytes: Uint8Array): IpAddress | undefined {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as IpAddress;
  if (bytes.length !== 16) return undefined;
  return new ipaddr.IPv6([...bytes]).toRFC5952String() as IpAddress;
}

/** @returns the range with host bits cleared, or `undefined` unless `text` is `address/prefix`; blanks around it are ignored. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^\s*([^/\s]+)\/(\d{1,3})\s*$/.exec(text);
  if (match === null) return undefined;
  const address = parseIp(match[1] ?? "");
  const prefixBits = Number(match[2]);
  if (address === undefined || prefixBits > (ipFamily(address) === "ip" ? 32 : 128)) return undefined;
  const bytes = ipToBytes(address);
  for (let bit = prefixBits; bit < bytes.length * 8; bit++) {
    const index = bit >> 3;
    bytes[index] = (bytes[index] ?? 0) & ~(0x80 >> (bit & 7));
  }
  const network = ipFromBytes(bytes);
  return network === undefined ? undefined : { address: network, prefixBits };
}

/** `address/prefix` text of a range. */
export function formatCidr(cidr: Cidr): string {
  return `${cidr.address}/${cidr.prefixBits}`;
}

/** True when `address` is of the range's family and inside it. */
export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  if (ipFamily(cidr.address) !== ipFamily(address)) return false;
  const a = ipToBytes(address);
  const b = ipToBytes(cidr.address);
  const whole = cidr.prefixBits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = cidr.prefixBits & 7;
  if (rest === 0) return true;
  const mask = (0xff00 >> rest) & 0xff;
  return ((a[whole] ?? 0) & mask) === ((b[whole] ?? 0) & mask);
}

/** Order by family (IPv4 first), then numerically. */
export function compareIp(left: IpAddress, right: IpAddress): number {
  const a = ipToBytes(left);
  const b = ipToBytes(right);
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
