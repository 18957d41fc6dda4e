/**
 * Layer plan. nf_tables operations as text in nft's own grammar: what `nodeplane plan` prints and what `nft -f` loads.
 * Verbs and nouns are those of nft(8). Pure.
 */
import { ipFromBytes } from "../../model/ip.ts";
import type {
  NftChain,
  NftElements,
  NftField,
  NftOp,
  NftRule,
  NftSet,
  NftStatement,
  NftTable,
  NftVerdict,
} from "../../model/nftables.ts";
import { packBytes } from "../packed.ts";
import { unpackHostU32 } from "./host-order.ts";

/** Elements in one `add element` line: nft holds a line in memory several times over. */
const ELEMENTS_PER_LINE = 500;

const FIB_TYPES: ReadonlyMap<number, string> = new Map([[2, "local"]]);
const CT_STATES: ReadonlyMap<number, string> = new Map([
  [2, "established"],
  [4, "related"],
  [8, "new"],
]);
const CT_STATUS: ReadonlyMap<number, string> = new Map([
  [16, "snat"],
  [32, "dnat"],
]);
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [6, "tcp"],
  [17, "udp"],
  [132, "sctp"],
]);

function formatField(field: NftField): string {
  return typeof field === "string" ? field : `numgen random mod ${field.numgenRandomModulus}`;
}

const formatFields = (fields: readonly NftField[]) => fields.map(formatField).join(" . ");

/** Bytes of a field in a key, padding included. */
export function fieldBytes(field: NftField): number {
  if (typeof field !== "string") return 4;
  if (field.startsWith("ip6 ")) return 16;
  return field === "meta iifname" || field === "meta oifname" ? 16 : 4;
}

function formatAddress(bytes: Uint8Array): string {
  return ipFromBytes(bytes) ?? "";
}

function formatValue(field: NftField, bytes: Uint8Array): string {
  if (typeof field !== "string") return String(unpackHostU32(packBytes(bytes), 0));
  if (field.endsWith("addr")) return formatAddress(bytes);
  if (field.startsWith("th ")) return String((bytes[0] ?? 0) * 256 + (bytes[1] ?? 0));
  if (field === "meta l4proto" || field === "ip protocol")
    return PROTOCOLS.get(bytes[0] ?? 0) ?? String(bytes[0] ?? 0);
  if (field === "meta iifname" || field === "meta oifname") {
    const name = packBytes(bytes).replace(/\0+$/, "");
    return `"${name}${bytes.length < 16 ? "*" : ""}"`;
  }
  const number = unpackHostU32(packBytes(bytes), 0);
  return field.startsWith("fib ") ? (FIB_TYPES.get(number) ?? String(number)) : `0x${number.toString(16)}`;
}

function prefixLength(mask: Uint8Array): number {
  let bits = 0;
  for (const byte of mask) for (let bit = 7; bit >= 0 && (byte >> bit) & 1; bit--) bits++;
  return bits;
}

function formatMatch(statement: Extract<NftStatement, { kind: "match" }>): string {
  const { field, op, value, mask } = statement;
  const name = formatField(field);
  if (mask === undefined) return `${name} ${op === "!=" ? "!= " : ""}${formatValue(field, value)}`;
  if (typeof field === "string" && field.endsWith("addr"))
    return `${name} ${op === "!=" ? "!= " : ""}${formatAddress(value)}/${prefixLength(mask)}`;
  const bits = unpackHostU32(packBytes(mask), 0);
  const names = field === "ct state" ? CT_STATES : field === "ct status" ? CT_STATUS : undefined;
  const named = names?.get(bits);
  if (named !== undefined && op === "!=") return `${name} ${named}`;
  return `${name} & 0x${bits.toString(16)} ${op} ${formatValue(field, value)}`;
}

function formatVerdict(verdict: NftVerdict): string {
  return verdict.kind === "jump" || verdict.kind === "goto"
    ? `${verdict.kind} ${verdict.chain}`
    : verdict.kind;
}

function formatStatement(statement: NftStatement): string {
  switch (statement.kind) {
    case "match":
      return formatMatch(statement);
    case "lookup":
      return `${formatFields(statement.fields)} ${statement.negate ? "!= " : ""}@${statement.set}`;
    case "vmap":
      return `${formatFields(statement.fields)} vmap @${statement.map}`;
    case "dnat-map":
      return `dnat ${statement.family} to ${formatFields(statement.fields)} map @${statement.map}`;
    case "dnat": {
      const address = formatAddress(statement.address);
      const to = statement.family === "ip" ? address : `[${address}]`;
      return `dnat ${statement.family} to ${to}:${statement.port}`;
    }
    case "mark": {
      const kept = (~statement.mask >>> 0).toString(16);
      if (statement.xor === statement.mask)
        return `meta mark set meta mark or 0x${statement.mask.toString(16)}`;
      const cleared = `meta mark set meta mark & 0x${kept}`;
      return statement.xor === 0 ? cleared : `${cleared} ^ 0x${statement.xor.toString(16)}`;
    }
    case "dynset": {
      const timeout = statement.timeoutMs > 0 ? ` timeout ${statement.timeoutMs}ms` : "";
      const data = statement.dataFields === undefined ? "" : ` : ${formatFields(statement.dataFields)}`;
      return `${statement.op} @${statement.set} { ${formatFields(statement.fields)}${timeout}${data} }`;
    }
    case "counter":
      return "counter";
    case "masquerade":
      return statement.fullyRandom ? "masquerade fully-random" : "masquerade";
    case "reject":
      return "reject";
    case "verdict":
      return formatVerdict(statement.verdict);
  }
}

/** A rule without its chain. */
export function formatRule(rule: NftRule): string {
  const comment = rule.comment === undefined ? "" : ` comment "${rule.comment}"`;
  return rule.statements.map(formatStatement).join(" ") + comment;
}

function formatChain(chain: NftChain): string {
  if (chain.base === undefined) return chain.name;
  const { type, hook, priority } = chain.base;
  return `${chain.name} { type ${type} hook ${hook} priority ${priority}; policy accept; }`;
}

function formatSet(set: NftSet): string {
  const kind = set.data === "none" ? "set" : "map";
  const data = set.data === "none" ? "" : ` : ${set.data === "verdict" ? "verdict" : formatFields(set.data)}`;
  const flags = set.flags.length > 0 ? ` flags ${set.flags.join(", ")};` : "";
  const size = set.size === undefined ? "" : ` size ${set.size};`;
  const counter = set.counter === undefined ? "" : " counter;";
  return `${kind} %t ${set.name} { typeof ${formatFields(set.key)}${data};${flags}${size}${counter} }`;
}

function formatKey(fields: readonly NftField[], bytes: Uint8Array, ends: Uint8Array | undefined): string {
  let at = 0;
  return fields
    .map((field) => {
      const width = fieldBytes(field);
      const from = formatValue(field, bytes.subarray(at, at + width));
      const to = ends === undefined ? from : formatValue(field, ends.subarray(at, at + width));
      at += width;
      return from === to ? from : `${from}-${to}`;
    })
    .join(" . ");
}

function* formatElements(set: NftSet, elements: NftElements, withData: boolean): Iterable<string> {
  const keyBytes = set.key.reduce((sum, field) => sum + fieldBytes(field), 0);
  const dataFields = set.data === "none" || set.data === "verdict" ? [] : set.data;
  const dataBytes = dataFields.reduce((sum, field) => sum + fieldBytes(field), 0);
  for (let i = 0; i < elements.count; i++) {
    const slice = (bytes: Uint8Array, width: number) => bytes.subarray(i * width, (i + 1) * width);
    const ends = elements.keyEnds === undefined ? undefined : slice(elements.keyEnds, keyBytes);
    const key = formatKey(set.key, slice(elements.keys, keyBytes), ends);
    const verdict = elements.verdicts?.[i];
    if (!withData) yield key;
    else if (verdict !== undefined) yield `${key} : ${formatVerdict(verdict)}`;
    else if (elements.data !== undefined)
      yield `${key} : ${formatKey(dataFields, slice(elements.data, dataBytes), undefined)}`;
    else yield key;
  }
}

function* formatElementOp(
  op: Extract<NftOp, { op: "add-elements" | "delete-elements" }>,
  table: string,
  sets: ReadonlyMap<string, NftSet>,
): Iterable<string> {
  const set = sets.get(op.set);
  if (set === undefined) throw new RangeError(`no set ${op.set}`);
  const verb = op.op === "add-elements" ? "add" : "delete";
  let line: string[] = [];
  for (const element of formatElements(set, op.elements, verb === "add")) {
    line.push(element);
    if (line.length < ELEMENTS_PER_LINE) continue;
    yield `${verb} element ${table} ${op.set} { ${line.join(", ")} }`;
    line = [];
  }
  if (line.length > 0) yield `${verb} element ${table} ${op.set} { ${line.join(", ")} }`;
}

/**
 * One line an operation, in order; elements in lines of at most 500.
 * @param sets all sets of the table, for the types of elements
 */
export function* formatOps(table: NftTable, ops: Iterable<NftOp>, sets: readonly NftSet[]): Iterable<string> {
  const name = `${table.family} ${table.name}`;
  const byName = new Map(sets.map((set) => [set.name, set]));
  for (const op of ops) {
    switch (op.op) {
      case "add-table":
        yield `add table ${name}`;
        break;
      case "delete-table":
        yield `delete table ${name}`;
        break;
      case "add-chain":
        yield `add chain ${name} ${formatChain(op.chain)}`;
        break;
      case "delete-chain":
        yield `delete chain ${name} ${op.chain}`;
        break;
      case "flush-chain":
        yield `flush chain ${name} ${op.chain}`;
        break;
      case "add-rule":
        yield `add rule ${name} ${op.rule.chain} ${formatRule(op.rule)}`;
        break;
      case "add-set":
        yield `add ${formatSet(op.set).replace("%t", name)}`;
        break;
      case "delete-set":
        yield `delete set ${name} ${op.set}`;
        break;
      case "add-elements":
      case "delete-elements":
        yield* formatElementOp(op, name, byName);
        break;
    }
  }
}
