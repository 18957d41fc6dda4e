/**
 * Layer codec. Canonical addresses to octets without intermediate objects: answers hold many of them. Reverse names
 * (`in-addr.arpa`, `ip6.arpa`) to addresses and back.
 */
import { type IpAddress, ipFromBytes } from "../../model/ip.ts";

/** Writes 4 or 16 octets. @returns the offset behind them. `address` is canonical: checked when it was made. */
export function writeAddress(address: IpAddress, out: Uint8Array, at: number): number {
  return address.includes(":") ? writeIp6(address, out, at) : writeIp4(address, 0, out, at);
}

function writeIp4(text: string, from: number, out: Uint8Array, at: number): number {
  let value = 0;
  let offset = at;
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      out[offset++] = value;
      value = 0;
    } else value = value * 10 + code - 48;
  }
  out[offset] = value;
  return at + 4;
}

function writeIp6(text: string, out: Uint8Array, at: number): number {
  out.fill(0, at, at + 16);
  let offset = at;
  let gap = -1;
  let value = 0;
  let digits = 0;
  let groupStart = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      writeIp4(text, groupStart, out, offset);
      offset += 4;
      digits = 0;
      break;
    }
    if (code === 0x3a) {
      if (digits > 0) {
        out[offset++] = value >> 8;
        out[offset++] = value;
      }
      if (text.charCodeAt(i + 1) === 0x3a) gap = offset;
      value = 0;
      digits = 0;
      groupStart = i + 1;
      continue;
    }
    value = (value << 4) | (code <= 57 ? code - 48 : code - 87);
    digits++;
  }
  if (digits > 0) {
    out[offset++] = value >> 8;
    out[offset++] = value;
  }
  if (gap >= 0 && offset < at + 16) {
    const tail = offset - gap;
    out.copyWithin(at + 16 - tail, gap, offset);
    out.fill(0, gap, at + 16 - tail);
  }
  return at + 16;
}

const SUFFIX4 = "in-addr.arpa.";
const SUFFIX6 = "ip6.arpa.";

/** What a lower-case reverse name stands for: an address, or the leading part of addresses as hexadecimal digits. */
export type ReverseName =
  | { readonly kind: "address"; readonly address: IpAddress }
  | { readonly kind: "prefix"; readonly hex: string; readonly family: "ip" | "ip6" };

/** @returns `undefined` for names that can be no part of the reverse tree */
export function parseReverseName(lowerName: string): ReverseName | undefined {
  if (lowerName === SUFFIX4) return { kind: "prefix", hex: "", family: "ip" };
  if (lowerName === SUFFIX6) return { kind: "prefix", hex: "", family: "ip6" };
  if (lowerName.endsWith(`.${SUFFIX4}`)) return parseReverse4(lowerName.slice(0, -SUFFIX4.length - 1));
  if (lowerName.endsWith(`.${SUFFIX6}`)) return parseReverse6(lowerName.slice(0, -SUFFIX6.length - 1));
  return undefined;
}

function parseReverse4(labels: string): ReverseName | undefined {
  const octets = labels.split(".").reverse();
  if (octets.length > 4) return undefined;
  let hex = "";
  for (const octet of octets) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(octet) || Number(octet) > 255) return undefined;
    hex += Number(octet).toString(16).padStart(2, "0");
  }
  if (octets.length < 4) return { kind: "prefix", hex, family: "ip" };
  return { kind: "address", address: octets.join(".") as IpAddress };
}

function parseReverse6(labels: string): ReverseName | undefined {
  const nibbles = labels.split(".").reverse();
  if (nibbles.length > 32 || !nibbles.every((nibble) => /^[0-9a-f]$/.test(nibble))) return undefined;
  const hex = nibbles.join("");
  if (nibbles.length < 32) return { kind: "prefix", hex, family: "ip6" };
  const address = ipFromBytes(Buffer.from(hex, "hex"));
  return address === undefined ? undefined : { kind: "address", address };
}

/** Octets of an address as hexadecimal digits: its order is that of the address. */
export function addressHex(address: IpAddress): string {
  const bytes = Buffer.alloc(16);
  return bytes.toString("hex", 0, writeAddress(address, bytes, 0));
}

/** The reverse name of an address. */
export function reverseName(address: IpAddress): string {
  if (!address.includes(":")) return `${address.split(".").reverse().join(".")}.${SUFFIX4}`;
  return `${[...addressHex(address)].reverse().join(".")}.${SUFFIX6}`;
}
