/**
 * Layer plan. Names, hooks, priorities and sets of the table `nodeplane`: what docs/nftables.md promises to
 * administrators. Changing anything here means another {@link LAYOUT_VERSION}. Promised in docs/nftables.md.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { NftChain, NftField, NftSet, NftTable } from "../../model/nftables.ts";

export const LAYOUT_VERSION = 1;
export const TABLE_NAME = "nodeplane";

export function tableOf(family: IpFamily): NftTable {
  return { family, name: TABLE_NAME };
}

const DNAT_PRIORITY = -100;
const SNAT_PRIORITY = 100;
/** Before DNAT, after conntrack: source ranges must see what the client sent. */
const PRE_DNAT_PRIORITY = -110;

export const BASE_CHAINS: readonly NftChain[] = [
  {
    name: "guard-prerouting",
    base: { type: "filter", hook: "prerouting", priority: PRE_DNAT_PRIORITY },
  },
  { name: "guard-output", base: { type: "filter", hook: "output", priority: PRE_DNAT_PRIORITY } },
  { name: "nat-prerouting", base: { type: "nat", hook: "prerouting", priority: DNAT_PRIORITY } },
  { name: "nat-output", base: { type: "nat", hook: "output", priority: DNAT_PRIORITY } },
  { name: "nat-postrouting", base: { type: "nat", hook: "postrouting", priority: SNAT_PRIORITY } },
  { name: "filter-input", base: { type: "filter", hook: "input", priority: 0 } },
  { name: "filter-forward", base: { type: "filter", hook: "forward", priority: 0 } },
  { name: "filter-output", base: { type: "filter", hook: "output", priority: 0 } },
];

/**
 * Slot counts at which classes end. A unit of n slots is in the first class that is not below n. Few classes, so that a
 * verdict seldom changes: docs/adr/0021.
 */
export const SIZE_CLASSES = [4, 16, 64, 256, 1024, 8192] as const;

export function sizeClass(slots: number): number {
  for (const size of SIZE_CLASSES) if (slots <= size) return size;
  return SIZE_CLASSES[SIZE_CLASSES.length - 1] ?? 8192;
}

/**
 * The four pairs of a frontend map and the slot map behind it. `short` pairs lead this node's own traffic to all
 * endpoints where a frontend's policy is Local.
 */
export const PAIRS = ["frontend", "node-port", "short-frontend", "short-node-port"] as const;
export type Pair = (typeof PAIRS)[number];

/** When a connection's source is replaced: carried by a chain of its own before the pick chain. */
export type Masquerade = "never" | "always" | "unless-local";

const KEY_OF_PAIR = { frontend: true, "node-port": false, "short-frontend": true, "short-node-port": false };

/** True when the pair's keys begin with the destination address. */
export function hasAddress(pair: Pair): boolean {
  return KEY_OF_PAIR[pair];
}

export function pickChain(pair: Pair, size: number): string {
  return `pick-${pair}-${size}`;
}

/** Chain that a frontend's verdict names. */
export function entryChain(pair: Pair, masquerade: Masquerade, size: number): string {
  if (pair === "short-frontend" || pair === "short-node-port") return `${pair}-${size}`;
  if (masquerade === "never") return pickChain(pair, size);
  return `${masquerade === "always" ? "masquerade" : "internal"}-${pair}-${size}`;
}

function addressField(family: IpFamily, end: "saddr" | "daddr"): NftField {
  return `${family} ${end}`;
}

export interface LayoutFields {
  readonly source: NftField;
  readonly destination: NftField;
  /** destination . protocol . port */
  readonly frontend: readonly NftField[];
  /** protocol . port */
  readonly nodePort: readonly NftField[];
}

export function fieldsOf(family: IpFamily): LayoutFields {
  const source = addressField(family, "saddr");
  const destination = addressField(family, "daddr");
  const nodePort: readonly NftField[] = ["meta l4proto", "th dport"];
  return { source, destination, frontend: [destination, ...nodePort], nodePort };
}

export function keyFields(family: IpFamily, pair: Pair): readonly NftField[] {
  const fields = fieldsOf(family);
  return hasAddress(pair) ? fields.frontend : fields.nodePort;
}

/** Sets by what they are for; the order is the order of operations in a batch. */
export const SETS = {
  slots: {
    frontend: "slots",
    "node-port": "node-port-slots",
    "short-frontend": "short-slots",
    "short-node-port": "short-node-port-slots",
  },
  frontends: {
    frontend: "frontends",
    "node-port": "node-ports",
    "short-frontend": "short-frontends",
    "short-node-port": "short-node-ports",
  },
  nodeAddresses: "node-addresses",
  clusterAddresses: "cluster-addresses",
  serviceRanges: "service-ranges",
  hairpins: "hairpins",
  reject: { frontend: "reject-frontends", "node-port": "reject-node-ports" },
  drop: { frontend: "drop-frontends", "node-port": "drop-node-ports" },
  guarded: "guarded-frontends",
  sourceRanges: "source-ranges",
} as const;

/** Any modulus: nft only reads the type from it. */
const INDEX: NftField = { numgenRandomModulus: 4 };

/**
 * All sets of a family's table, in the order in which they are made.
 * @param isCounting the frontend maps count connections
 */
export function setsOf(family: IpFamily, isCounting = false): readonly NftSet[] {
  const { source, destination, frontend, nodePort } = fieldsOf(family);
  const target: readonly NftField[] = [destination, "th dport"];
  const plain = (name: string, key: readonly NftField[]): NftSet => ({ name, key, data: "none", flags: [] });
  const interval = (name: string, key: readonly NftField[]): NftSet => ({
    name,
    key,
    data: "none",
    flags: ["interval"],
  });
  return [
    ...PAIRS.map(
      (pair): NftSet => ({
        name: SETS.slots[pair],
        key: [...keyFields(family, pair), INDEX],
        data: target,
        flags: [],
      }),
    ),
    ...PAIRS.map(
      (pair): NftSet => ({
        name: SETS.frontends[pair],
        key: keyFields(family, pair),
        data: "verdict",
        flags: [],
        ...(isCounting ? { counter: true } : {}),
      }),
    ),
    plain(SETS.nodeAddresses, [destination]),
    plain(SETS.clusterAddresses, [destination]),
    interval(SETS.serviceRanges, [destination]),
    plain(SETS.hairpins, [source, destination]),
    plain(SETS.reject.frontend, frontend),
    plain(SETS.reject["node-port"], nodePort),
    plain(SETS.drop.frontend, frontend),
    plain(SETS.drop["node-port"], nodePort),
    plain(SETS.guarded, frontend),
    interval(SETS.sourceRanges, [...frontend, source]),
  ];
}
