/**
 * Layer dns. A whole reply as the native engine sends it: its octets without OPT, and where in them TTLs, the serial and
 * addresses to shuffle stand. Pure.
 */
import { TYPE } from "../../codec/dns/constants.ts";
import { encodeMessage } from "../../codec/dns/encode.ts";
import type { DnsMessage } from "../../codec/dns/message.ts";

export interface Image {
  readonly bytes: Uint8Array;
  readonly records: readonly ImageRecord[];
}

interface ImageRecord {
  readonly section: "answer" | "authority" | "additional";
  readonly type: number;
  /** Of the owner, of the TTL, of the first octet behind. */
  readonly at: number;
  readonly ttlAt: number;
  readonly end: number;
}

const HEADER_BYTES = 12;
const SERIAL_FROM_END = 20;

/** @returns `undefined` for a message that cannot be written */
export function encodeImage(message: DnsMessage): Image | undefined {
  const { edns, ...rest } = message;
  void edns;
  try {
    const bytes = encodeMessage(rest);
    return { bytes, records: locate(bytes, rest) };
  } catch {
    return undefined;
  }
}

function locate(bytes: Buffer, message: Omit<DnsMessage, "edns">): readonly ImageRecord[] {
  const sections: readonly (readonly [ImageRecord["section"], number])[] = [
    ["answer", message.answers.length],
    ["authority", message.authorities.length],
    ["additional", message.additionals.length],
  ];
  const records: ImageRecord[] = [];
  let at = nameEnd(bytes, HEADER_BYTES) + 4;
  for (const [section, count] of sections) {
    for (let i = 0; i < count; i++) {
      const fixed = nameEnd(bytes, at);
      const end = fixed + 10 + bytes.readUInt16BE(fixed + 8);
      records.push({ section, type: bytes.readUInt16BE(fixed), at, ttlAt: fixed + 4, end });
      at = end;
    }
  }
  return records;
}

function nameEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at] ?? 0;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1;
  }
}

/** Offset of the serial when the only SOA stands last in answer or authority; 0 when there is no SOA. */
export function serialOffset({ records }: Image): number | undefined {
  const soas = records.filter((record) => record.type === TYPE.SOA);
  if (soas.length === 0) return 0;
  return soas.length === 1 ? (soas[0]?.end ?? 0) - SERIAL_FROM_END : undefined;
}

/**
 * The records that `loadbalance` puts in random order, when the engine can do the same: they end the answer, are of one
 * size, and nothing points into them.
 * @returns `undefined` when it cannot, "none" when there is nothing to shuffle
 */
export function rotation({
  bytes,
  records,
}: Image): { readonly at: number; readonly count: number; readonly stride: number } | "none" | undefined {
  const answers = records.filter((record) => record.section === "answer");
  if (answers[0]?.type === TYPE.SOA) return "none";
  const moved = answers.filter(({ type }) => type === TYPE.A || type === TYPE.AAAA || type === TYPE.MX);
  if (moved.length < 2) return "none";
  const [first] = moved;
  if (first === undefined || first !== answers[answers.length - moved.length]) return undefined;
  const stride = first.end - first.at;
  const isAlike = moved.every(
    (record) =>
      record.type !== TYPE.MX && record.end - record.at === stride && (bytes[record.at] ?? 0) >= 0xc0,
  );
  return isAlike && stride <= 64 ? { at: first.at, count: moved.length, stride } : undefined;
}

/** True when two images differ in their question's spelling at most. */
export function agreeBehindName(a: Image, b: Image): boolean {
  if (a.bytes.length !== b.bytes.length) return false;
  const start = nameEnd(a.bytes, HEADER_BYTES);
  return (
    Buffer.compare(a.bytes.subarray(start), b.bytes.subarray(start)) === 0 &&
    Buffer.compare(a.bytes.subarray(0, HEADER_BYTES), b.bytes.subarray(0, HEADER_BYTES)) === 0
  );
}
