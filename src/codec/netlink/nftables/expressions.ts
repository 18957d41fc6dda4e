/**
 * Layer codec. Statements of a rule as nf_tables expressions, in the order and with the registers that nft 1.0.6
 * would choose, so that its listing reads them back. Every rule loads the registers it uses itself.
 */
import type { NftField, NftStatement, NftTableFamily, NftVerdict } from "../../../model/nftables.ts";
import type { NetlinkWriter } from "../writer.ts";
import { VERDICT } from "./constants.ts";
import { expression, fieldInfo } from "./fields.ts";

/** First of the sixteen 32-bit registers. */
const FIRST = 8;
const REGISTERS = 16;
const FULL = new Uint8Array([0xff, 0xff, 0xff, 0xff]);

/** The kernel shows a register on a 16-byte boundary by its old number 1 to 4: write it so from the start. */
function registerNumber(index: number): number {
  return index % 4 === 0 ? index / 4 + 1 : FIRST + index;
}

/** Loads `fields` into consecutive registers from `from` on. @returns the index behind the last */
function loadFields(writer: NetlinkWriter, fields: readonly NftField[], from: number): number {
  let index = from;
  for (const field of fields) {
    const info = fieldInfo(field);
    info.load(writer, registerNumber(index));
    index += (info.bytes + 3) >> 2;
  }
  if (index > REGISTERS) throw new RangeError("rule needs more than 64 bytes of registers");
  return index;
}

function lookup(writer: NetlinkWriter, set: string, destination: number | undefined, negate: boolean): void {
  expression(writer, "lookup", (w) => {
    w.text(1, set);
    w.u32(2, registerNumber(0));
    if (destination !== undefined) w.u32(3, destination);
    w.u32(5, negate ? 1 : 0);
  });
}

/** `NFTA_DATA_VERDICT { CODE, CHAIN }` inside attribute `type`. */
export function writeVerdict(writer: NetlinkWriter, type: number, verdict: NftVerdict): void {
  const data = writer.beginNest(type);
  const nest = writer.beginNest(2);
  writer.u32(1, VERDICT[verdict.kind]);
  if (verdict.kind === "jump" || verdict.kind === "goto") writer.text(2, verdict.chain);
  writer.endNest(nest);
  writer.endNest(data);
}

/** `NFTA_DATA_VALUE` inside attribute `type`. */
function value(writer: NetlinkWriter, type: number, bytes: Uint8Array): void {
  const data = writer.beginNest(type);
  writer.raw(1, bytes);
  writer.endNest(data);
}

function bitwise(writer: NetlinkWriter, mask: Uint8Array, xor: Uint8Array): void {
  expression(writer, "bitwise", (w) => {
    w.u32(1, 1);
    w.u32(2, 1);
    w.u32(3, mask.length);
    w.u32(6, 0);
    value(w, 4, mask);
    value(w, 5, xor);
  });
}

function hostU32(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number >>> 0, true);
  return bytes;
}

/** Length of a mask that is some whole bytes of ones and then zeros, else 0. */
function wholeBytes(mask: Uint8Array): number {
  let ones = 0;
  while (ones < mask.length && mask[ones] === 0xff) ones++;
  return mask.every((byte, index) => index < ones || byte === 0) ? ones : 0;
}

function match(writer: NetlinkWriter, statement: Extract<NftStatement, { kind: "match" }>): void {
  const { loadPrefix } = fieldInfo(statement.field);
  const prefix = statement.mask === undefined || loadPrefix === undefined ? 0 : wholeBytes(statement.mask);
  if (loadPrefix !== undefined && prefix > 0) {
    loadPrefix(writer, registerNumber(0), prefix);
    compare(writer, statement.op, statement.value.subarray(0, prefix));
    return;
  }
  loadFields(writer, [statement.field], 0);
  if (statement.mask !== undefined) bitwise(writer, statement.mask, new Uint8Array(statement.mask.length));
  compare(writer, statement.op, statement.value);
}

function compare(writer: NetlinkWriter, op: "==" | "!=", bytes: Uint8Array): void {
  expression(writer, "cmp", (w) => {
    w.u32(1, 1);
    w.u32(2, op === "==" ? 0 : 1);
    value(w, 3, bytes);
  });
}

function dnatMap(writer: NetlinkWriter, statement: Extract<NftStatement, { kind: "dnat-map" }>): void {
  loadFields(writer, statement.fields, 0);
  lookup(writer, statement.map, registerNumber(0), false);
  const port = registerNumber(statement.family === "ip" ? 1 : 4);
  expression(writer, "nat", (w) => {
    w.u32(1, 1);
    w.u32(2, statement.family === "ip" ? 2 : 10);
    w.u32(3, 1);
    w.u32(5, port);
  });
}

function dnat(writer: NetlinkWriter, statement: Extract<NftStatement, { kind: "dnat" }>): void {
  const load = (register: number, bytes: Uint8Array) =>
    expression(writer, "immediate", (w) => {
      w.u32(1, register);
      value(w, 2, bytes);
    });
  const [address, port] = [registerNumber(0), registerNumber(4)];
  load(address, statement.address);
  load(port, Uint8Array.of(statement.port >> 8, statement.port & 255));
  expression(writer, "nat", (w) => {
    w.u32(1, 1);
    w.u32(2, statement.family === "ip" ? 2 : 10);
    w.u32(3, address);
    w.u32(5, port);
  });
}

function mark(writer: NetlinkWriter, statement: Extract<NftStatement, { kind: "mark" }>): void {
  fieldInfo("meta mark").load(writer, 1);
  bitwise(writer, statement.mask === 0 ? FULL : hostU32(~statement.mask), hostU32(statement.xor));
  expression(writer, "meta", (w) => {
    w.u32(2, 3);
    w.u32(3, 1);
  });
}

const DYNSET_OP = { add: 0, update: 1, delete: 2 } as const;

function dynset(writer: NetlinkWriter, statement: Extract<NftStatement, { kind: "dynset" }>): void {
  const dataIndex = loadFields(writer, statement.fields, 0);
  if (statement.dataFields !== undefined) loadFields(writer, statement.dataFields, dataIndex);
  expression(writer, "dynset", (w) => {
    w.u32(4, 1);
    if (statement.dataFields !== undefined) w.u32(5, registerNumber(dataIndex));
    w.u32(3, DYNSET_OP[statement.op]);
    w.text(1, statement.set);
    if (statement.timeoutMs > 0) w.u64(6, BigInt(statement.timeoutMs));
  });
}

/** Port unreachable, which a TCP client sees as "connection refused". */
function reject(writer: NetlinkWriter, family: NftTableFamily): void {
  const [type, code] = family === "ip" ? [0, 3] : family === "ip6" ? [0, 4] : [2, 1];
  expression(writer, "reject", (w) => {
    w.u32(1, type);
    w.u8(2, code);
  });
}

function statementExpressions(writer: NetlinkWriter, family: NftTableFamily, statement: NftStatement): void {
  switch (statement.kind) {
    case "match":
      match(writer, statement);
      return;
    case "lookup":
      loadFields(writer, statement.fields, 0);
      lookup(writer, statement.set, undefined, statement.negate);
      return;
    case "vmap":
      loadFields(writer, statement.fields, 0);
      lookup(writer, statement.map, 0, false);
      return;
    case "dnat-map":
      dnatMap(writer, statement);
      return;
    case "dnat":
      dnat(writer, statement);
      return;
    case "mark":
      mark(writer, statement);
      return;
    case "dynset":
      dynset(writer, statement);
      return;
    case "counter":
      expression(writer, "counter", (w) => {
        w.u64(1, 0n);
        w.u64(2, 0n);
      });
      return;
    case "masquerade":
      expression(writer, "masq", (w) => {
        if (statement.fullyRandom) w.u32(1, 0x10);
      });
      return;
    case "reject":
      reject(writer, family);
      return;
    case "verdict":
      expression(writer, "immediate", (w) => {
        w.u32(1, 0);
        writeVerdict(w, 2, statement.verdict);
      });
      return;
  }
}

/** Writes all expressions of a rule into attribute `type`. */
export function writeStatements(
  writer: NetlinkWriter,
  type: number,
  family: NftTableFamily,
  statements: readonly NftStatement[],
): void {
  const list = writer.beginNest(type);
  for (const statement of statements) statementExpressions(writer, family, statement);
  writer.endNest(list);
}
