/** Layer plan. Address ranges, merged before any backend sees them: overlapping intervals are errors to a kernel set. Pure. */
import type { Cidr } from "../model/ip.ts";
import { ipToBytes } from "../model/ip.ts";
import { packBytes } from "./packed.ts";
import type { AddressRange } from "./unit.ts";

export function rangeOfCidr(cidr: Cidr): AddressRange {
  const last = ipToBytes(cidr.address);
  for (let bit = cidr.prefixBits; bit < last.length * 8; bit++) {
    last[bit >> 3] = (last[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  }
  return { first: packBytes(ipToBytes(cidr.address)), last: packBytes(last) };
}

/** The packed address behind this one; wraps to all zeros after the last. */
function successor(packed: string): string {
  const bytes = [...packed].map((c) => c.charCodeAt(0));
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = ((bytes[i] ?? 0) + 1) & 255;
    if (bytes[i] !== 0) break;
  }
  return String.fromCharCode(...bytes);
}

/** Union of ranges of one family: sorted, neither overlapping nor adjacent. Cost O(n log n). */
export function mergeRanges(ranges: readonly AddressRange[]): readonly AddressRange[] {
  const sorted = ranges.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const merged: AddressRange[] = [];
  for (const range of sorted) {
    const top = merged.at(-1);
    const touches = top !== undefined && (range.first <= top.last || range.first === successor(top.last));
    if (!touches) merged.push(range);
    else if (range.last > top.last) merged[merged.length - 1] = { first: top.first, last: range.last };
  }
  return merged;
}
