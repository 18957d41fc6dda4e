/**
 * Random walks: the text of `nft -j list ruleset` as chains, rules and sets. Knows the objects of the listing and how elements are
 * spelt; what rules mean is the tracer's. Source: libnftables-json(5), nft 1.0.6.
 */
import { unknown } from "./branches.ts";
import type { Family } from "./cluster.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface NftChain {
  readonly name: string;
  /** Absent for chains that rules lead to. */
  readonly base?: { readonly type: string; readonly hook: string; readonly priority: number };
  readonly rules: { readonly statements: readonly Json[]; readonly comment: string }[];
}

export interface NftSet {
  readonly name: string;
  /** Key, its parts joined by blanks, to what it is mapped to: "" in a set, a destination, or a verdict as JSON. */
  readonly elements: ReadonlyMap<string, string>;
  /** Elements that stand for ranges: their first and last address as numbers, behind the parts before it. */
  readonly ranges: readonly { readonly before: string; readonly first: bigint; readonly last: bigint }[];
  readonly isOfClients: boolean;
  /** Everything but elements, as text. */
  readonly properties: string;
}

export interface NftTable {
  readonly family: Family;
  readonly name: string;
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, NftSet>;
}

export function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function addressNumber(address: string): bigint {
  if (!address.includes(":"))
    return address.split(".").reduce((sum, part) => (sum << 8n) | BigInt(Number(part)), 0n);
  const [head = "", tail] = address.split("::");
  const words = (text: string) => (text === "" ? [] : text.split(":"));
  const before = words(head);
  const after = tail === undefined ? [] : words(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].reduce((sum, word) => (sum << 16n) | BigInt(`0x${word}`), 0n);
}

const PROTOCOL_NUMBERS: Readonly<Record<string, string>> = { "6": "tcp", "17": "udp", "132": "sctp" };

/** A part of a key or of data as text. */
function partText(value: unknown): string {
  if (typeof value === "string") return PROTOCOL_NUMBERS[value] ?? value;
  if (typeof value === "number") return String(value);
  return unknown("part of an element", value);
}

function rangeOf(value: unknown): { readonly first: bigint; readonly last: bigint } | undefined {
  if (!isJson(value)) return undefined;
  const { prefix, range } = value;
  if (isJson(prefix) && typeof prefix["addr"] === "string" && typeof prefix["len"] === "number") {
    const bits = BigInt((prefix["addr"].includes(":") ? 128 : 32) - prefix["len"]);
    const first = (addressNumber(prefix["addr"]) >> bits) << bits;
    return { first, last: first + (1n << bits) - 1n };
  }
  if (Array.isArray(range) && range.length === 2) {
    const [first, last] = range.map((end: unknown) => addressNumber(partText(end)));
    if (first !== undefined && last !== undefined) return { first, last };
  }
  return undefined;
}

function parts(value: unknown): readonly unknown[] {
  return isJson(value) && Array.isArray(value["concat"]) ? value["concat"] : [value];
}

function dataText(value: unknown): string {
  if (isJson(value) && Array.isArray(value["concat"])) return value["concat"].map(partText).join(" ");
  return JSON.stringify(value);
}

function readSet(item: Json): NftSet {
  const elements = new Map<string, string>();
  const ranges: { before: string; first: bigint; last: bigint }[] = [];
  const isInterval = Array.isArray(item["flags"]) && item["flags"].includes("interval");
  const isMap = item["map"] !== undefined;
  const listed: readonly unknown[] = Array.isArray(item["elem"]) ? item["elem"] : [];
  for (const element of listed) {
    const [wrapped, data] = isMap && Array.isArray(element) ? (element as readonly unknown[]) : [element];
    // Elements with a timeout or a comment are wrapped.
    const key = isJson(wrapped) && isJson(wrapped["elem"]) ? wrapped["elem"]["val"] : wrapped;
    const all = parts(key);
    if (isInterval) {
      const last = all.at(-1);
      const range = rangeOf(last) ?? rangeOf({ range: [last, last] });
      if (range === undefined) return unknown("interval", element);
      ranges.push({ before: all.slice(0, -1).map(partText).join(" "), ...range });
    } else elements.set(all.map(partText).join(" "), data === undefined ? "" : dataText(data));
  }
  const { elem: _elements, handle: _handle, ...properties } = item;
  const flags = Array.isArray(item["flags"]) ? item["flags"] : [];
  return {
    name: String(item["name"]),
    elements,
    ranges,
    isOfClients: flags.includes("timeout"),
    properties: JSON.stringify(properties),
  };
}

function readChain(item: Json): NftChain {
  const name = String(item["name"]);
  if (item["hook"] === undefined) return { name, rules: [] };
  if (item["policy"] !== "accept") return unknown("policy of a chain", item);
  const base = { type: String(item["type"]), hook: String(item["hook"]), priority: Number(item["prio"]) };
  return { name, base, rules: [] };
}

/** Tables by family; only those with `name`. @throws {UnknownRule} for kinds of objects that are not known */
export function readNftListing(text: string, name: string): ReadonlyMap<Family, NftTable> {
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly Json[] };
  const tables = new Map<Family, { chains: Map<string, NftChain>; sets: Map<string, NftSet> }>();
  for (const item of nftables) {
    const [kind = ""] = Object.keys(item);
    const body = item[kind];
    if (kind === "metainfo") continue;
    if (!isJson(body)) return unknown("object of the listing", item);
    const family = body["family"] as Family;
    if (kind === "table") {
      if (body["name"] === name) tables.set(family, { chains: new Map(), sets: new Map() });
      continue;
    }
    if (body["table"] !== name) continue;
    const table = tables.get(family);
    if (table === undefined) return unknown("object without a table", item);
    if (kind === "chain") table.chains.set(String(body["name"]), readChain(body));
    else if (kind === "set" || kind === "map") table.sets.set(String(body["name"]), readSet(body));
    else if (kind === "rule") {
      const chain = table.chains.get(String(body["chain"]));
      if (chain === undefined || !Array.isArray(body["expr"])) return unknown("rule", body);
      chain.rules.push({ statements: body["expr"], comment: String(body["comment"] ?? "") });
    } else return unknown("kind of object", item);
  }
  return new Map([...tables].map(([family, table]) => [family, { family, name, ...table }]));
}
