/**
 * Layer codec. What a field of the model is in nf_tables: how a rule loads it into a register, how wide it is, which
 * type number and which `typeof` record nft gives it. Type numbers and records are those that nft 1.0.6 writes.
 */
import type { NftField } from "../../../model/nftables.ts";
import type { NetlinkWriter } from "../writer.ts";

/** Where `nft list` finds the declaration of a set's part: expression kind and its numbers (see userdata.ts). */
export type TypeofRecord =
  | { readonly kind: "payload"; readonly protocol: number; readonly template: number }
  | { readonly kind: "meta"; readonly key: number }
  | { readonly kind: "numgen"; readonly modulus: number };

export interface FieldInfo {
  readonly bytes: number;
  /** Type number of nft: 6 bits. */
  readonly type: number;
  readonly byteOrder: "host" | "network";
  /** Absent for fields that cannot declare a set. */
  readonly typeOf?: TypeofRecord;
  /** Writes the expression that loads the field into `register`. */
  readonly load: (writer: NetlinkWriter, register: number) => void;
  /** For packet fields: loads only the first `bytes` of it, as nft does for a prefix of whole bytes. */
  readonly loadPrefix?: (writer: NetlinkWriter, register: number, bytes: number) => void;
}

/** Opens `NFTA_LIST_ELEM { EXPR_NAME, EXPR_DATA {`, lets `body` write the data, closes both. */
export function expression(writer: NetlinkWriter, name: string, body: (writer: NetlinkWriter) => void): void {
  const element = writer.beginNest(1);
  writer.text(1, name);
  const data = writer.beginNest(2);
  body(writer);
  writer.endNest(data);
  writer.endNest(element);
}

function payload(base: 1 | 2, offset: number, length: number): FieldInfo["load"] {
  return (writer, register) =>
    expression(writer, "payload", (w) => {
      w.u32(1, register);
      w.u32(2, base);
      w.u32(3, offset);
      w.u32(4, length);
    });
}

function meta(key: number): FieldInfo["load"] {
  return (writer, register) =>
    expression(writer, "meta", (w) => {
      w.u32(2, key);
      w.u32(1, register);
    });
}

function conntrack(key: number): FieldInfo["load"] {
  return (writer, register) =>
    expression(writer, "ct", (w) => {
      w.u32(1, register);
      w.u32(2, key);
    });
}

function fib(flags: number): FieldInfo["load"] {
  return (writer, register) =>
    expression(writer, "fib", (w) => {
      w.u32(1, register);
      w.u32(2, 3);
      w.u32(3, flags);
    });
}

function packet(
  bytes: number,
  type: number,
  typeOf: readonly [number, number],
  at: readonly [1 | 2, number],
): FieldInfo {
  return {
    bytes,
    type,
    byteOrder: "network",
    typeOf: { kind: "payload", protocol: typeOf[0], template: typeOf[1] },
    load: payload(at[0], at[1], bytes),
    loadPrefix: (writer, register, length) => payload(at[0], at[1], length)(writer, register),
  };
}

function fromMeta(bytes: number, type: number, key: number): FieldInfo {
  return { bytes, type, byteOrder: "host", typeOf: { kind: "meta", key }, load: meta(key) };
}

const IP = 12;
const IP6 = 13;
const TRANSPORT = 11;

const FIELDS: Readonly<Record<Extract<NftField, string>, FieldInfo>> = {
  "ip saddr": packet(4, 7, [IP, 11], [1, 12]),
  "ip daddr": packet(4, 7, [IP, 12], [1, 16]),
  "ip protocol": packet(1, 12, [IP, 9], [1, 9]),
  "ip6 saddr": packet(16, 8, [IP6, 8], [1, 8]),
  "ip6 daddr": packet(16, 8, [IP6, 9], [1, 24]),
  "th sport": packet(2, 13, [TRANSPORT, 1], [2, 0]),
  "th dport": packet(2, 13, [TRANSPORT, 2], [2, 2]),
  "meta l4proto": fromMeta(1, 12, 16),
  "meta mark": fromMeta(4, 19, 3),
  "meta iifname": fromMeta(16, 41, 6),
  "meta oifname": fromMeta(16, 41, 7),
  "ct state": { bytes: 4, type: 26, byteOrder: "host", load: conntrack(0) },
  "ct status": { bytes: 4, type: 28, byteOrder: "host", load: conntrack(2) },
  "fib saddr type": { bytes: 4, type: 36, byteOrder: "host", load: fib(1) },
  "fib daddr type": { bytes: 4, type: 36, byteOrder: "host", load: fib(2) },
};

const NUMGEN = new Map<number, FieldInfo>();

function numgen(modulus: number): FieldInfo {
  const known = NUMGEN.get(modulus);
  if (known !== undefined) return known;
  const info: FieldInfo = {
    bytes: 4,
    type: 4,
    byteOrder: "host",
    typeOf: { kind: "numgen", modulus },
    load: (writer, register) =>
      expression(writer, "numgen", (w) => {
        w.u32(1, register);
        w.u32(2, modulus);
        w.u32(3, 1);
        w.u32(4, 0);
      }),
  };
  NUMGEN.set(modulus, info);
  return info;
}

/** Description of `field`. */
export function fieldInfo(field: NftField): FieldInfo {
  return typeof field === "string" ? FIELDS[field] : numgen(field.numgenRandomModulus);
}

/** The field that a `typeof` record stands for, or `undefined` when nodeplane has none. */
export function fieldOfRecord(record: TypeofRecord): NftField | undefined {
  if (record.kind === "numgen") return { numgenRandomModulus: record.modulus };
  for (const [name, info] of Object.entries(FIELDS)) {
    const own = info.typeOf;
    if (own === undefined || own.kind !== record.kind) continue;
    if (own.kind === "meta" && record.kind === "meta" && own.key === record.key) {
      return name as Extract<NftField, string>;
    }
    if (
      own.kind === "payload" &&
      record.kind === "payload" &&
      own.protocol === record.protocol &&
      own.template === record.template
    ) {
      return name as Extract<NftField, string>;
    }
  }
  return undefined;
}

/** Bytes that a key or data of these fields takes: parts of a concatenation are padded to 4 bytes. */
export function packedBytes(fields: readonly NftField[]): number {
  const [only] = fields;
  if (fields.length === 1 && only !== undefined) return fieldInfo(only).bytes;
  return fields.reduce((sum, field) => sum + ((fieldInfo(field).bytes + 3) & ~3), 0);
}

/** nft's type number of a concatenation: 6 bits a part. */
export function packedType(fields: readonly NftField[]): number {
  return fields.reduce((type, field) => type * 64 + fieldInfo(field).type, 0) >>> 0;
}
