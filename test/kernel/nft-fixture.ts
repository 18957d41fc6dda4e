/** Operations for driver tests: a table with every form that nodeplane's layout uses, in either family. */
import { ipToBytes, parseIp } from "../../src/model/ip.ts";
import type { NftElements, NftField, NftOp, NftSet, NftTableFamily } from "../../src/model/nftables.ts";

export interface Layout {
  readonly family: NftTableFamily;
  readonly daddr: "ip daddr" | "ip6 daddr";
  readonly saddr: "ip saddr" | "ip6 saddr";
  /** Bytes of address number `index` of network `network`. */
  readonly address: (network: number, index: number) => readonly number[];
}

export const LAYOUTS: readonly Layout[] = [
  {
    family: "ip",
    daddr: "ip daddr",
    saddr: "ip saddr",
    address: (network, index) => [10, network, (index >> 8) & 255, index & 255],
  },
  {
    family: "ip6",
    daddr: "ip6 daddr",
    saddr: "ip6 saddr",
    address: (network, index) => {
      const base = parseIp(`fd00:${network}::`);
      const bytes = base === undefined ? [] : [...ipToBytes(base)];
      return [...bytes.slice(0, 14), (index >> 8) & 255, index & 255];
    },
  },
];

export const PORT: readonly NftField[] = ["meta l4proto", "th dport"];

/** Key parts of protocol TCP and a port. */
export function tcp(port: number): readonly number[] {
  return [6, 0, 0, 0, (port >> 8) & 255, port & 255, 0, 0];
}

/** Data part of a port. */
export function port(value: number): readonly number[] {
  return [(value >> 8) & 255, value & 255, 0, 0];
}

/** A slot index: host byte order. */
export function index32(value: number): readonly number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, 0];
}

/** Packs elements from byte lists. */
export function pack(
  keys: readonly (readonly number[])[],
  data?: readonly (readonly number[])[],
): NftElements {
  return {
    count: keys.length,
    keys: Uint8Array.from(keys.flat()),
    ...(data === undefined ? {} : { data: Uint8Array.from(data.flat()) }),
  };
}

export function slotKey(layout: Layout): readonly NftField[] {
  return [layout.daddr, ...PORT, { numgenRandomModulus: 4 }];
}

export function declaredSets(layout: Layout): readonly NftSet[] {
  const { daddr, saddr } = layout;
  const endpoint: NftField[] = [daddr, "th dport"];
  return [
    { name: "frontend", key: [daddr, ...PORT], data: "verdict", flags: [] },
    { name: "nodeport", key: PORT, data: "verdict", flags: [] },
    { name: "slot", key: slotKey(layout), data: endpoint, flags: [] },
    { name: "nodeslot", key: [...PORT, { numgenRandomModulus: 4 }], data: endpoint, flags: [], size: 4096 },
    { name: "hairpin", key: [saddr, daddr], data: "none", flags: [] },
    { name: "ranges", key: [daddr, ...PORT, saddr], data: "none", flags: ["interval"] },
    { name: "networks", key: [saddr], data: "none", flags: ["interval"] },
    { name: "ports", key: ["th dport"], data: "none", flags: [] },
    {
      name: "clients",
      key: [saddr, daddr, ...PORT],
      data: "none",
      flags: ["timeout", "dynamic"],
      size: 65_536,
    },
  ];
}

const word = (value: number): Uint8Array => Uint8Array.of(value & 255, (value >> 8) & 255, 0, 0);

/** Rules with every statement; `reject` and friends stand where the kernel allows them. */
export function ruleOps(layout: Layout): readonly NftOp[] {
  const { daddr, saddr } = layout;
  const nat = layout.family === "ip6" ? "ip6" : "ip";
  const frontend: NftField[] = [daddr, ...PORT];
  const numgen = (modulus: number): NftField => ({ numgenRandomModulus: modulus });
  const prefix = new Uint8Array(layout.address(0, 0).length);
  const name = new Uint8Array(16);
  name.set([0x65, 0x74, 0x68, 0x30]);
  const mask = prefix.map((_, at) => (at < 2 ? 255 : 0));
  return [
    {
      op: "add-rule",
      rule: {
        chain: "pick8",
        statements: [{ kind: "dnat-map", family: nat, fields: [...frontend, numgen(8)], map: "slot" }],
      },
    },
    {
      op: "add-rule",
      rule: {
        chain: "pick8",
        statements: [{ kind: "dnat-map", family: nat, fields: [...PORT, numgen(5)], map: "nodeslot" }],
      },
    },
    { op: "add-rule", rule: { chain: "refuse", statements: [{ kind: "counter" }, { kind: "reject" }] } },
    {
      op: "add-rule",
      rule: {
        chain: "prerouting",
        comment: "dispatch",
        statements: [{ kind: "vmap", fields: frontend, map: "frontend" }],
      },
    },
    {
      op: "add-rule",
      rule: {
        chain: "prerouting",
        statements: [
          { kind: "match", field: "fib daddr type", op: "==", value: word(2) },
          { kind: "match", field: daddr, op: "!=", value: Uint8Array.from(layout.address(0, 0)), mask },
          { kind: "vmap", fields: PORT, map: "nodeport" },
        ],
      },
    },
    {
      op: "add-rule",
      rule: {
        chain: "prerouting",
        statements: [
          { kind: "lookup", fields: [daddr, ...PORT, saddr], set: "ranges", negate: true },
          { kind: "lookup", fields: [saddr], set: "networks", negate: false },
          { kind: "lookup", fields: ["th dport"], set: "ports", negate: false },
          { kind: "mark", mask: 0x4000, xor: 0x4000 },
          { kind: "verdict", verdict: { kind: "goto", chain: "pick8" } },
        ],
      },
    },
    {
      op: "add-rule",
      rule: {
        chain: "postrouting",
        statements: [
          { kind: "match", field: "meta mark", op: "==", value: word(0x4000), mask: word(0x4000) },
          { kind: "mark", mask: 0x4000, xor: 0 },
          { kind: "masquerade", fullyRandom: true },
        ],
      },
    },
    {
      op: "add-rule",
      rule: {
        chain: "postrouting",
        statements: [
          { kind: "match", field: "ct status", op: "!=", value: word(0), mask: word(0x20) },
          { kind: "lookup", fields: [saddr, daddr], set: "hairpin", negate: false },
          { kind: "masquerade", fullyRandom: true },
        ],
      },
    },
    {
      op: "add-rule",
      rule: {
        chain: "postrouting",
        statements: [
          {
            kind: "dynset",
            op: "update",
            set: "clients",
            fields: [saddr, daddr, ...PORT],
            timeoutMs: 10_000,
          },
        ],
      },
    },
    {
      op: "add-rule",
      rule: {
        chain: "forward",
        comment: "x".repeat(120),
        statements: [
          { kind: "match", field: "meta iifname", op: "!=", value: name },
          { kind: "match", field: "ct state", op: "!=", value: word(0), mask: word(8) },
          { kind: "match", field: "meta l4proto", op: "==", value: Uint8Array.of(6) },
          { kind: "match", field: "th dport", op: "==", value: Uint8Array.of(0, 80) },
          { kind: "verdict", verdict: { kind: "jump", chain: "refuse" } },
        ],
      },
    },
  ];
}

export function elementOps(layout: Layout): readonly NftOp[] {
  const vip = layout.address(96, 1);
  const endpoint = (number: number): readonly number[] => [...layout.address(1, number), ...port(8080)];
  const last = layout.address(7, 255);
  return [
    {
      op: "add-elements",
      set: "slot",
      elements: pack(
        [0, 1].map((at) => [...vip, ...tcp(80), ...index32(at)]),
        [endpoint(1), endpoint(2)],
      ),
    },
    { op: "add-elements", set: "nodeslot", elements: pack([[...tcp(30_001), ...index32(0)]], [endpoint(1)]) },
    {
      op: "add-elements",
      set: "frontend",
      elements: {
        ...pack([
          [...vip, ...tcp(80)],
          [...vip, ...tcp(81)],
        ]),
        verdicts: [{ kind: "goto", chain: "pick8" }, { kind: "drop" }],
      },
    },
    {
      op: "add-elements",
      set: "nodeport",
      elements: { ...pack([tcp(30_001)]), verdicts: [{ kind: "goto", chain: "pick8" }] },
    },
    {
      op: "add-elements",
      set: "hairpin",
      elements: pack([[...layout.address(1, 1), ...layout.address(1, 1)]]),
    },
    {
      op: "add-elements",
      set: "ranges",
      elements: {
        ...pack([[...vip, ...tcp(80), ...layout.address(7, 0)]]),
        keyEnds: Uint8Array.from([...vip, ...tcp(80), ...last]),
      },
    },
    {
      op: "add-elements",
      set: "networks",
      elements: {
        ...pack([layout.address(7, 0), layout.address(8, 4)]),
        keyEnds: Uint8Array.from([...last, ...layout.address(8, 5)]),
      },
    },
    {
      op: "add-elements",
      set: "ports",
      elements: pack([
        [0, 80],
        [31, 144],
      ]),
    },
  ];
}

export function chainOps(): readonly NftOp[] {
  return [
    { op: "add-chain", chain: { name: "pick8" } },
    { op: "add-chain", chain: { name: "refuse" } },
    {
      op: "add-chain",
      chain: { name: "prerouting", base: { type: "nat", hook: "prerouting", priority: -100 } },
    },
    {
      op: "add-chain",
      chain: { name: "postrouting", base: { type: "nat", hook: "postrouting", priority: 100 } },
    },
    { op: "add-chain", chain: { name: "forward", base: { type: "filter", hook: "forward", priority: 0 } } },
  ];
}

/** Everything above as one batch. */
export function layoutOps(layout: Layout): readonly NftOp[] {
  return [
    { op: "add-table" },
    ...declaredSets(layout).map((set): NftOp => ({ op: "add-set", set })),
    ...chainOps(),
    ...ruleOps(layout),
    ...elementOps(layout),
  ];
}
