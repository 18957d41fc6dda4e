/**
 * Layer codec. The notes that nft keeps beside sets and rules, in its own TLV form (type u8, length u8, value):
 * the `typeof` declaration of a set, byte orders, comments. The kernel stores them unread; `nft list` needs them.
 * Forms observed from nft 1.0.6.
 */
import type { NftField, NftSet } from "../../../model/nftables.ts";
import { fieldInfo, fieldOfRecord, type TypeofRecord } from "./fields.ts";

const EXPR = { verdict: 1, payload: 7, meta: 9, concat: 13, numgen: 23 } as const;
const SET = { keyByteOrder: 0, dataByteOrder: 1, keyTypeof: 3, dataTypeof: 4, dataInterval: 6 } as const;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function tlv(type: number, value: readonly number[]): number[] {
  if (value.length > 255) throw new RangeError("nft note longer than 255 bytes");
  return [type, value.length, ...value];
}

function u32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >>> 24) & 0xff];
}

function expr(kind: number, data: readonly number[]): number[] {
  return [...tlv(0, u32(kind)), ...tlv(1, data)];
}

function recordExpr(record: TypeofRecord): number[] {
  switch (record.kind) {
    case "payload":
      return expr(EXPR.payload, [...tlv(0, u32(record.protocol)), ...tlv(1, u32(record.template))]);
    case "meta":
      return expr(EXPR.meta, tlv(0, u32(record.key)));
    case "numgen":
      return expr(EXPR.numgen, [...tlv(0, u32(1)), ...tlv(1, u32(record.modulus)), ...tlv(2, u32(0))]);
  }
}

function typeofExpr(fields: readonly NftField[]): number[] {
  const records = fields.map((field) => {
    const record = fieldInfo(field).typeOf;
    if (record === undefined) throw new RangeError(`a set cannot be declared with ${String(field)}`);
    return recordExpr(record);
  });
  const [only] = records;
  if (records.length === 1 && only !== undefined) return only;
  return expr(
    EXPR.concat,
    records.flatMap((record, index) => tlv(index, record)),
  );
}

function byteOrder(fields: readonly NftField[]): number {
  const [only] = fields;
  if (fields.length !== 1 || only === undefined) return 0;
  return fieldInfo(only).byteOrder === "host" ? 1 : 2;
}

/** The notes of a set. */
export function setUserdata(set: NftSet): Uint8Array {
  const data = set.data;
  const bytes = tlv(SET.keyByteOrder, u32(byteOrder(set.key)));
  if (data !== "none") bytes.push(...tlv(SET.dataByteOrder, u32(data === "verdict" ? 0 : byteOrder(data))));
  bytes.push(...tlv(SET.keyTypeof, typeofExpr(set.key)));
  if (data !== "none") {
    bytes.push(...tlv(SET.dataTypeof, data === "verdict" ? expr(EXPR.verdict, []) : typeofExpr(data)));
    bytes.push(...tlv(SET.dataInterval, u32(0)));
  }
  return Uint8Array.from(bytes);
}

function readTlvs(bytes: Uint8Array): Map<number, Uint8Array> | undefined {
  const map = new Map<number, Uint8Array>();
  let at = 0;
  while (at < bytes.length) {
    const length = bytes[at + 1];
    if (length === undefined || at + 2 + length > bytes.length) return undefined;
    map.set(bytes[at] ?? 0, bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return map;
}

function readU32(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined || bytes.length !== 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

function readRecord(kind: number | undefined, data: Map<number, Uint8Array>): TypeofRecord | undefined {
  const first = readU32(data.get(0));
  const second = readU32(data.get(1));
  if (kind === EXPR.payload && first !== undefined && second !== undefined) {
    return { kind: "payload", protocol: first, template: second };
  }
  if (kind === EXPR.meta && first !== undefined) return { kind: "meta", key: first };
  if (kind === EXPR.numgen && second !== undefined) return { kind: "numgen", modulus: second };
  return undefined;
}

function readTypeof(bytes: Uint8Array): readonly NftField[] | "verdict" | undefined {
  const parts = readTlvs(bytes);
  const kind = readU32(parts?.get(0));
  const body = parts?.get(1);
  if (kind === undefined || body === undefined) return undefined;
  if (kind === EXPR.verdict) return "verdict";
  const data = readTlvs(body);
  if (data === undefined) return undefined;
  if (kind !== EXPR.concat) {
    const record = readRecord(kind, data);
    const field = record === undefined ? undefined : fieldOfRecord(record);
    return field === undefined ? undefined : [field];
  }
  const fields: NftField[] = [];
  for (let index = 0; index < data.size; index++) {
    const part = data.get(index);
    const inner = part === undefined ? undefined : readTypeof(part);
    if (inner === undefined || inner === "verdict" || inner.length !== 1) return undefined;
    fields.push(...inner);
  }
  return fields;
}

/** Declaration of a set read from its notes, or `undefined` when they are missing or say something else. */
export function readSetUserdata(bytes: Uint8Array): Pick<NftSet, "key" | "data"> | undefined {
  const notes = readTlvs(bytes);
  const keyNote = notes?.get(SET.keyTypeof);
  const dataNote = notes?.get(SET.dataTypeof);
  const key = keyNote === undefined ? undefined : readTypeof(keyNote);
  if (key === undefined || key === "verdict") return undefined;
  const data = dataNote === undefined ? "none" : readTypeof(dataNote);
  return data === undefined ? undefined : { key, data };
}

/** The note that holds a rule's comment; nft allows 128 bytes with the terminating zero. */
export function commentUserdata(comment: string): Uint8Array {
  const text = encoder.encode(comment).subarray(0, 127);
  return Uint8Array.from([0, text.length + 1, ...text, 0]);
}

/** A rule's comment, if its notes hold one. */
export function readComment(bytes: Uint8Array): string | undefined {
  const text = readTlvs(bytes)?.get(0);
  return text === undefined ? undefined : decoder.decode(text.subarray(0, Math.max(0, text.length - 1)));
}
