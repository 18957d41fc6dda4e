/** Layer plan. An inclusive range of addresses as the fewest CIDR ranges, which is all that iptables can match. Pure. */
import type { IpAddress } from "../../model/ip.ts";
import { ipFromBytes } from "../../model/ip.ts";
import { unpackBytes } from "../packed.ts";
import type { AddressRange } from "../unit.ts";

function toNumber(packed: string): bigint {
  let value = 0n;
  for (const byte of unpackBytes(packed)) value = (value << 8n) | BigInt(byte);
  return value;
}

function toAddress(value: bigint, bytes: number): IpAddress {
  const parts = new Uint8Array(bytes);
  let rest = value;
  for (let i = bytes - 1; i >= 0; i--) {
    parts[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  const address = ipFromBytes(parts);
  if (address === undefined) throw new RangeError(`address of ${bytes} bytes`);
  return address;
}

/** @returns texts like `10.0.0.0/8`, in order; at most twice as many as an address has bits */
export function cidrsOfRange(range: AddressRange): readonly string[] {
  const bytes = range.first.length;
  const width = bytes * 8;
  const last = toNumber(range.last);
  const cidrs: string[] = [];
  let at = toNumber(range.first);
  while (at <= last) {
    let host = 0n;
    while (host < BigInt(width)) {
      const size = 1n << (host + 1n);
      if (at % size !== 0n || at + size - 1n > last) break;
      host++;
    }
    cidrs.push(`${toAddress(at, bytes)}/${BigInt(width) - host}`);
    at += 1n << host;
  }
  return cidrs;
}
