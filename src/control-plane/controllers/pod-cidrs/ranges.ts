/**
 * Layer control-plane. Cuts a pod range into equal parts, one a node: /24 of IPv4, /64 of IPv6 (a /24 or /64 itself,
 * or something smaller, is one part). Pure.
 */
import {
  type Cidr,
  cidrContains,
  formatCidr,
  ipFamily,
  ipFromBytes,
  ipToBytes,
  parseCidr,
} from "../../../model/ip.ts";

const PART_BITS = { ip: 24, ip6: 64 } as const;
/** Parts of a huge range that are considered. */
const MAX_PARTS = 2 ** 20;

export interface PodRange {
  readonly cidr: Cidr;
  readonly partBits: number;
  readonly parts: number;
}

export function parsePodRange(text: string): PodRange | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined) return undefined;
  const partBits = Math.max(PART_BITS[ipFamily(cidr.address)], cidr.prefixBits);
  return { cidr, partBits, parts: Math.min(2 ** (partBits - cidr.prefixBits), MAX_PARTS) };
}

/** The part with this number, as text. */
export function partAt(range: PodRange, index: number): string {
  const bytes = ipToBytes(range.cidr.address);
  // The number goes into the bits between the range's prefix and the part's.
  for (let bit = 0; bit < range.partBits - range.cidr.prefixBits; bit++) {
    if (Math.floor(index / 2 ** bit) % 2 === 0) continue;
    const position = range.partBits - 1 - bit;
    const at = position >> 3;
    bytes[at] = (bytes[at] ?? 0) | (0x80 >> (position & 7));
  }
  const address = ipFromBytes(bytes);
  if (address === undefined) throw new RangeError(`no part ${index}`);
  return formatCidr({ address, prefixBits: range.partBits });
}

/** Number of the lowest part that overlaps none of `taken`, or `undefined`. */
export function lowestFree(
  range: PodRange,
  taken: ReadonlySet<string>,
  foreign: readonly Cidr[],
): number | undefined {
  for (let index = 0; index < range.parts; index++) {
    const text = partAt(range, index);
    if (taken.has(text)) continue;
    const part = parseCidr(text);
    if (part !== undefined && !foreign.some((other) => overlaps(part, other))) return index;
  }
  return undefined;
}

function overlaps(a: Cidr, b: Cidr): boolean {
  return cidrContains(a, b.address) || cidrContains(b, a.address);
}
