/**
 * Layer plan. The elements of one unit, and what a compiler has to remember of it. Pure.
 */
import type { IpFamily } from "../../model/ip.ts";
import { addressBytes } from "../packed.ts";
import type { Frontend, Unit, UnitShape } from "../unit.ts";
import { affinityChain } from "./affinity.ts";
import type { ElementForm, ElementList } from "./element-list.ts";
import { packHostU32 } from "./host-order.ts";
import type { Masquerade, Pair } from "./names.ts";
import { entryChain, hasAddress, PAIRS, SETS, sizeClass } from "./names.ts";
import type { PackedSlots } from "./slots.ts";
import { assignSlots } from "./slots.ts";

/** A unit as its elements say it: kept for as long as it is programmed. */
export interface CompiledUnit {
  readonly shape: UnitShape;
  readonly clusterSlots: PackedSlots;
  readonly localSlots: PackedSlots;
  readonly hasAny: boolean;
  /** Addresses of endpoints that may be on this node, one behind the other, sorted. */
  readonly hairpins: string;
}

/** Index of each set: its place in {@link formsOf}, which is the order of operations. */
export const SET = {
  slots: { frontend: 0, "node-port": 1, "short-frontend": 2, "short-node-port": 3 },
  frontends: { frontend: 4, "node-port": 5, "short-frontend": 6, "short-node-port": 7 },
  clusterAddresses: 8,
  hairpins: 9,
  reject: { frontend: 10, "node-port": 11 },
  drop: { frontend: 12, "node-port": 13 },
  guarded: 14,
  sourceRanges: 15,
  nodeAddresses: 16,
  serviceRanges: 17,
} as const;

/** Forms of all sets of a family, by index. */
export function formsOf(family: IpFamily): readonly ElementForm[] {
  const address = addressBytes(family);
  const frontend = address + 8;
  const keyBytes = (pair: Pair) => (hasAddress(pair) ? frontend : 8);
  return [
    ...PAIRS.map(
      (pair): ElementForm => ({ name: SETS.slots[pair], keyBytes: keyBytes(pair) + 4, kind: "map" }),
    ),
    ...PAIRS.map(
      (pair): ElementForm => ({ name: SETS.frontends[pair], keyBytes: keyBytes(pair), kind: "verdict-map" }),
    ),
    { name: SETS.clusterAddresses, keyBytes: address, kind: "set" },
    { name: SETS.hairpins, keyBytes: 2 * address, kind: "set" },
    { name: SETS.reject.frontend, keyBytes: frontend, kind: "set" },
    { name: SETS.reject["node-port"], keyBytes: 8, kind: "set" },
    { name: SETS.drop.frontend, keyBytes: frontend, kind: "set" },
    { name: SETS.drop["node-port"], keyBytes: 8, kind: "set" },
    { name: SETS.guarded, keyBytes: frontend, kind: "set" },
    { name: SETS.sourceRanges, keyBytes: frontend + address, kind: "range" },
    { name: SETS.nodeAddresses, keyBytes: address, kind: "set" },
    { name: SETS.serviceRanges, keyBytes: address, kind: "range" },
  ];
}

/** Works out slots for a unit, staying close to what is programmed. */
export function compileUnit(unit: Unit, before: CompiledUnit | undefined): CompiledUnit {
  const width = addressBytes(unit.shape.family) + 2;
  const clusterSlots = assignSlots(before?.clusterSlots ?? "", width, unit.cluster);
  const localSlots = assignSlots(before?.localSlots ?? "", width, unit.local);
  const addresses = new Set<string>();
  for (const target of unit.cluster) if (target.mayBeHere) addresses.add(target.destination.slice(0, -2));
  for (const target of unit.local) addresses.add(target.destination.slice(0, -2));
  const hairpins = addresses.size === 0 ? "" : [...addresses].sort().join("");
  return { shape: unit.shape, clusterSlots, localSlots, hasAny: unit.hasAny, hairpins };
}

const indexes: string[] = [];

/** The packed index of a slot; there are at most 8,192. */
export function packIndex(index: number): string {
  const known = indexes[index];
  if (known !== undefined) return known;
  const packed = packHostU32(index);
  indexes[index] = packed;
  return packed;
}

function pushTargets(
  list: ElementList,
  pair: Pair,
  key: string,
  slots: PackedSlots,
  width: number,
  masquerade: Masquerade,
): void {
  const set = SET.slots[pair];
  let index = 0;
  for (let at = 0; at < slots.length; at += width)
    list.push(set, key + packIndex(index++), `${slots.slice(at, at + width)}\0\0`);
  const isShort = pair === "short-frontend" || pair === "short-node-port";
  const chain = entryChain(pair, masquerade, sizeClass(index));
  list.push(SET.frontends[pair], key, isShort ? `jump ${chain}` : `goto ${chain}`);
}

function masqueradeOf(shape: UnitShape, frontend: Frontend): Masquerade {
  if (frontend.class === "internal") return "unless-local";
  return shape.externalPolicy === "Local" ? "never" : "always";
}

/** The pair of maps that a frontend is in, and its packed key there. */
export function frontendPairKey(
  shape: UnitShape,
  frontend: Frontend,
): { readonly pair: "frontend" | "node-port"; readonly key: string } {
  const { port } = frontend;
  const tail = String.fromCharCode(shape.protocol, 0, 0, 0, port >> 8, port & 255, 0, 0);
  return { pair: frontend.class === "node-port" ? "node-port" : "frontend", key: frontend.address + tail };
}

/** With affinity a frontend leads to chains of its unit, and needs no slots. */
function pushAffinity(
  list: ElementList,
  shape: UnitShape,
  frontend: Frontend,
  pair: "frontend" | "node-port",
  key: string,
): void {
  const isLocal = frontend.class !== "internal" && shape.externalPolicy === "Local";
  const chain = frontend.class === "internal" ? "internal" : isLocal ? "local" : "external";
  list.push(SET.frontends[pair], key, `goto ${affinityChain(shape, chain)}`);
}

/** True for a frontend with policy Local that is in a short map as well. */
export function isShort({ shape, clusterSlots }: CompiledUnit, frontend: Frontend): boolean {
  return frontend.class !== "internal" && shape.externalPolicy === "Local" && clusterSlots !== "";
}

function pushFrontend(list: ElementList, compiled: CompiledUnit, frontend: Frontend): void {
  const { shape } = compiled;
  const width = addressBytes(shape.family) + 2;
  const { pair, key } = frontendPairKey(shape, frontend);
  const policy = frontend.class === "internal" ? shape.internalPolicy : shape.externalPolicy;
  const slots = policy === "Local" ? compiled.localSlots : compiled.clusterSlots;
  if (shape.affinitySeconds > 0 && slots !== "") pushAffinity(list, shape, frontend, pair, key);
  else if (slots !== "") pushTargets(list, pair, key, slots, width, masqueradeOf(shape, frontend));
  else list.push(compiled.hasAny ? SET.drop[pair] : SET.reject[pair], key, "");
  if (isShort(compiled, frontend)) {
    const short = pair === "frontend" ? "short-frontend" : "short-node-port";
    if (shape.affinitySeconds > 0)
      list.push(SET.frontends[short], key, `jump ${affinityChain(shape, "short")}`);
    else pushTargets(list, short, key, compiled.clusterSlots, width, "never");
  }
  if (!frontend.isGuarded) return;
  list.push(SET.guarded, key, "");
  for (const range of shape.sourceRanges)
    list.push(SET.sourceRanges, key + range.first + key + range.last, "");
}

/** Appends the elements that no other unit can have. */
export function pushUnit(list: ElementList, compiled: CompiledUnit): void {
  for (const frontend of compiled.shape.frontends) pushFrontend(list, compiled, frontend);
}

/** Appends the elements that other units may need as well: holders are counted. No element twice. */
export function pushShared(list: ElementList, compiled: CompiledUnit): void {
  for (const frontend of compiled.shape.frontends)
    if (frontend.class === "internal") list.push(SET.clusterAddresses, frontend.address, "");
  const width = addressBytes(compiled.shape.family);
  for (let at = 0; at < compiled.hairpins.length; at += width) {
    const address = compiled.hairpins.slice(at, at + width);
    list.push(SET.hairpins, address + address, "");
  }
}
