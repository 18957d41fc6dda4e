/**
 * Layer plan. Chains and rules of the table: constant in number, whatever the number of services. They follow from the
 * node configuration alone. Pure. Promised in docs/nftables.md; order of checks: kube-proxy 1.33.
 */
import type { IpFamily } from "../../model/ip.ts";
import { ipToBytes } from "../../model/ip.ts";
import type { NftChain, NftField, NftRule, NftStatement } from "../../model/nftables.ts";
import type { NodeConfig } from "../node-config.ts";
import { localRange, nodePortScope } from "../node-config.ts";
import { hostU32 } from "./host-order.ts";
import type { Masquerade, Pair } from "./names.ts";
import {
  BASE_CHAINS,
  entryChain,
  fieldsOf,
  keyFields,
  LAYOUT_VERSION,
  PAIRS,
  pickChain,
  SETS,
  SIZE_CLASSES,
} from "./names.ts";

/** Bits of `ct state` and `ct status`, and RTN_LOCAL, from the kernel's headers (nf_conntrack_common.h, rtnetlink.h). */
const CT_STATE_NEW = 8;
const CT_STATUS_DST_NAT = 32;
const RTN_LOCAL = 2;

const jump = (chain: string): NftStatement => ({ kind: "verdict", verdict: { kind: "jump", chain } });
export const goto = (chain: string): NftStatement => ({ kind: "verdict", verdict: { kind: "goto", chain } });
const drop: NftStatement = { kind: "verdict", verdict: { kind: "drop" } };
const leave: NftStatement = { kind: "verdict", verdict: { kind: "return" } };

function matchBits(field: NftField, bits: number): NftStatement {
  return { kind: "match", field, op: "!=", value: hostU32(0), mask: hostU32(bits) };
}

function lookup(fields: readonly NftField[], set: string, negate = false): NftStatement {
  return { kind: "lookup", fields, set, negate };
}

export const fibLocal = (field: NftField): NftStatement => ({
  kind: "match",
  field,
  op: "==",
  value: hostU32(RTN_LOCAL),
});

/** `saddr (!=) prefix`: nft writes a prefix as mask and comparison. */
export function prefixMatch(
  field: NftField,
  network: Uint8Array,
  prefixBits: number,
  op: "==" | "!=",
): NftStatement {
  if (prefixBits === network.length * 8) return { kind: "match", field, op, value: network };
  const mask = new Uint8Array(network.length);
  for (let bit = 0; bit < prefixBits; bit++) mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return { kind: "match", field, op, value: network, mask };
}

/** Matches traffic of this node's pods (`==`) or any other (`!=`); `undefined` without a detector for the family. */
export function fromPods(node: NodeConfig, family: IpFamily, op: "==" | "!="): NftStatement | undefined {
  if (node.localTraffic.kind === "interface") {
    const { name, prefix } = node.localTraffic;
    const bytes = new Uint8Array(prefix ? name.length : 16);
    for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
    return { kind: "match", field: "meta iifname", op, value: bytes };
  }
  const range = localRange(node, family);
  if (range === undefined) return undefined;
  return prefixMatch(fieldsOf(family).source, ipToBytes(range.address), range.prefixBits, op);
}

/**
 * Moduli that a class tries one after another; a miss (no such slot) goes on to the next. The full size comes several
 * times, then what half of the class would have, for units that are much smaller than the class; then the least number of
 * slots that the class has, which all exist. Whoever gets to a modulus below the number of slots finds the first slots
 * alone: so few that no slot has more than 12.5 % too few or too many (513 slots in class 1024; docs/adr/0021).
 * Index 0 ends it: slot 0 lives as long as its frontend, for a packet that met a verdict just before a commit.
 */
const TRIES: Readonly<Record<(typeof SIZE_CLASSES)[number], readonly number[]>> = {
  4: [4, 4, 4, 2],
  16: [16, 16, 16, 16, 8],
  64: [64, 64, 64, 64, 32],
  256: [256, 256, 256, 128, 128],
  1024: [1024, 1024, 1024, 512, 512],
  8192: [8192, 8192, 8192, 4096, 4096, 2048, 2048],
};

function moduliOf(size: (typeof SIZE_CLASSES)[number]): readonly number[] {
  const least = (SIZE_CLASSES[SIZE_CLASSES.indexOf(size) - 1] ?? 0) + 1;
  return least === 1 ? [...TRIES[size], 1] : [...TRIES[size], least, 1];
}

function pickRules(family: IpFamily, pair: Pair, size: (typeof SIZE_CLASSES)[number]): readonly NftRule[] {
  const chain = pickChain(pair, size);
  const dnat = (modulus: number): NftRule => ({
    chain,
    statements: [
      {
        kind: "dnat-map",
        family,
        fields: [...keyFields(family, pair), { numgenRandomModulus: modulus }],
        map: SETS.slots[pair],
      },
    ],
  });
  return moduliOf(size).map(dnat);
}

function entryRules(
  node: NodeConfig,
  family: IpFamily,
  pair: Pair,
  masquerade: Masquerade,
  size: number,
): readonly NftRule[] {
  const chain = entryChain(pair, masquerade, size);
  const mark: NftStatement = {
    kind: "mark",
    mask: 2 ** node.masqueradeBit,
    xor: 2 ** node.masqueradeBit,
  };
  const pick = goto(pickChain(pair, size));
  if (pair === "short-frontend" || pair === "short-node-port") {
    const pods = fromPods(node, family, "==");
    const fromNode = fibLocal("fib saddr type");
    const rules: NftRule[] = pods === undefined ? [] : [{ chain, statements: [pods, pick] }];
    return [...rules, { chain, statements: [fromNode, mark, pick] }];
  }
  if (masquerade === "always") return [{ chain, statements: [mark, pick] }];
  const others = node.masqueradeAll ? undefined : fromPods(node, family, "!=");
  const isMarking = node.masqueradeAll || others !== undefined;
  const marking: readonly NftRule[] = isMarking
    ? [{ chain, statements: others === undefined ? [mark] : [others, mark] }]
    : [];
  return [...marking, { chain, statements: [pick] }];
}

function entryVariants(pair: Pair): readonly Masquerade[] {
  if (pair === "frontend") return ["always", "unless-local"];
  return pair === "node-port" ? ["always"] : ["never"];
}

function vmap(family: IpFamily, pair: Pair): NftStatement {
  return { kind: "vmap", fields: keyFields(family, pair), map: SETS.frontends[pair] };
}

function toNodePorts(node: NodeConfig, family: IpFamily): readonly NftStatement[] {
  const { destination } = fieldsOf(family);
  if (nodePortScope(node, family).kind === "addresses") return [lookup([destination], SETS.nodeAddresses)];
  const loopback =
    family === "ip"
      ? prefixMatch(destination, Uint8Array.of(127, 0, 0, 0), 8, "!=")
      : prefixMatch(destination, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), 128, "!=");
  return [fibLocal("fib daddr type"), loopback];
}

function natRules(node: NodeConfig, family: IpFamily): readonly NftRule[] {
  const { source, destination } = fieldsOf(family);
  const bit = 2 ** node.masqueradeBit;
  const masquerade: NftStatement = { kind: "masquerade", fullyRandom: true };
  return [
    { chain: "nat-prerouting", statements: [jump("services")] },
    { chain: "nat-output", statements: [jump("services")] },
    { chain: "services", statements: [vmap(family, "short-frontend")] },
    { chain: "services", statements: [vmap(family, "frontend")] },
    { chain: "services", statements: [jump("to-node-ports")] },
    { chain: "to-node-ports", statements: [...toNodePorts(node, family), goto("node-port-services")] },
    { chain: "node-port-services", statements: [vmap(family, "short-node-port")] },
    { chain: "node-port-services", statements: [vmap(family, "node-port")] },
    {
      chain: "nat-postrouting",
      statements: [matchBits("meta mark", bit), { kind: "mark", mask: bit, xor: 0 }, masquerade],
    },
    {
      chain: "nat-postrouting",
      statements: [
        matchBits("ct status", CT_STATUS_DST_NAT),
        lookup([source, destination], SETS.hairpins),
        masquerade,
      ],
    },
  ];
}

function filterRules(node: NodeConfig, family: IpFamily): readonly NftRule[] {
  const { source, destination, frontend, nodePort } = fieldsOf(family);
  const isNew = matchBits("ct state", CT_STATE_NEW);
  const isDnated = matchBits("ct status", CT_STATUS_DST_NAT);
  const reject: NftStatement = { kind: "reject" };
  const to = (chain: string, target: string): NftRule => ({ chain, statements: [isNew, jump(target)] });
  return [
    to("guard-prerouting", "guard"),
    to("guard-output", "guard"),
    {
      chain: "guard",
      statements: [
        lookup(frontend, SETS.guarded),
        lookup([...frontend, source], SETS.sourceRanges, true),
        drop,
      ],
    },
    to("filter-input", "refuse-node-ports"),
    to("filter-input", "refuse-services"),
    to("filter-forward", "refuse-services"),
    to("filter-forward", "refuse-addresses"),
    to("filter-output", "refuse-services"),
    to("filter-output", "refuse-addresses"),
    { chain: "refuse-services", statements: [isDnated, leave] },
    { chain: "refuse-services", statements: [lookup(frontend, SETS.reject.frontend), reject] },
    { chain: "refuse-services", statements: [lookup(frontend, SETS.drop.frontend), drop] },
    { chain: "refuse-addresses", statements: [isDnated, leave] },
    { chain: "refuse-addresses", statements: [lookup([destination], SETS.clusterAddresses), reject] },
    { chain: "refuse-addresses", statements: [lookup([destination], SETS.serviceRanges), drop] },
    { chain: "refuse-node-ports", statements: [isDnated, leave] },
    { chain: "refuse-node-ports", statements: [...toNodePorts(node, family), goto("refused-node-ports")] },
    { chain: "refused-node-ports", statements: [lookup(nodePort, SETS.reject["node-port"]), reject] },
    { chain: "refused-node-ports", statements: [lookup(nodePort, SETS.drop["node-port"]), drop] },
  ];
}

const REGULAR_CHAINS = [
  "layout",
  "services",
  "to-node-ports",
  "node-port-services",
  "guard",
  "refuse-services",
  "refuse-addresses",
  "refuse-node-ports",
  "refused-node-ports",
] as const;

/** All chains, base chains last: rules are complete before anything reaches them. */
export function chainsOf(): readonly NftChain[] {
  const names: string[] = [...REGULAR_CHAINS];
  for (const pair of PAIRS) {
    for (const size of SIZE_CLASSES) {
      names.push(pickChain(pair, size));
      for (const masquerade of entryVariants(pair)) names.push(entryChain(pair, masquerade, size));
    }
  }
  return [...names.map((name) => ({ name })), ...BASE_CHAINS];
}

/** All rules of a family's table, in order within each chain. */
export function rulesOf(node: NodeConfig, family: IpFamily): readonly NftRule[] {
  const perPair = PAIRS.flatMap((pair) =>
    SIZE_CLASSES.flatMap((size) => [
      ...pickRules(family, pair, size),
      ...entryVariants(pair).flatMap((variant) => entryRules(node, family, pair, variant, size)),
    ]),
  );
  const layout: NftRule = {
    chain: "layout",
    comment: `nodeplane layout ${LAYOUT_VERSION}`,
    statements: [leave],
  };
  return [layout, ...perPair, ...filterRules(node, family), ...natRules(node, family)];
}
