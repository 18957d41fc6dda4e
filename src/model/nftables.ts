/**
 * Layer model. nf_tables objects and operations as values, in the words of the nft grammar. The compiler in
 * `plan` produces them, `drivers/nftables` encodes them to netlink, `plan` also prints them as nft text.
 * Every rule that can be said here can be said, listed and reloaded by nft 1.0.6: no value goes from a map
 * into the next lookup.
 */
import type { IpFamily } from "./ip.ts";

export type NftTableFamily = IpFamily | "inet";

export interface NftTable {
  readonly family: NftTableFamily;
  readonly name: string;
}

/** What a field of a packet, of conntrack or of the kernel is called in the nft grammar. */
export type NftField =
  | "ip saddr"
  | "ip daddr"
  | "ip6 saddr"
  | "ip6 daddr"
  | "meta l4proto"
  | "th sport"
  | "th dport"
  | "meta mark"
  | "meta iifname"
  | "meta oifname"
  | "ct state"
  | "ct status"
  | "fib daddr type"
  | "fib saddr type"
  | "ip protocol"
  | { readonly numgenRandomModulus: number };

export type NftVerdict =
  | { readonly kind: "accept" | "drop" | "return" | "continue" }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

/** One statement of a rule, in order; a match that fails ends the rule. */
export type NftStatement =
  /** `field == value` or `field != value`; with `maskBytes` the field is anded first. Values in the field's own byte order (host order for mark, ct, numgen, fib). */
  | {
      readonly kind: "match";
      readonly field: NftField;
      readonly op: "==" | "!=";
      readonly value: Uint8Array;
      readonly mask?: Uint8Array;
    }
  /** `a . b . c @set` or `!= @set`. */
  | {
      readonly kind: "lookup";
      readonly fields: readonly NftField[];
      readonly set: string;
      readonly negate: boolean;
    }
  /** `a . b . c vmap @map`. */
  | { readonly kind: "vmap"; readonly fields: readonly NftField[]; readonly map: string }
  /** `dnat ip to a . b . c map @map`: the map gives address . port. */
  | {
      readonly kind: "dnat-map";
      readonly family: IpFamily;
      readonly fields: readonly NftField[];
      readonly map: string;
    }
  /** `dnat ip to ADDRESS:PORT`; a rule that has it has matched the protocol before, or nft would not reload it. */
  | {
      readonly kind: "dnat";
      readonly family: IpFamily;
      readonly address: Uint8Array;
      readonly port: number;
    }
  /** `meta mark set meta mark & ~mask ^ xor`: or-ing a bit is mask=bit, xor=bit; clearing is mask=bit, xor=0. */
  | { readonly kind: "mark"; readonly mask: number; readonly xor: number }
  /** `update @set { a . b timeout N }` / `add`; with `data` for maps. */
  | {
      readonly kind: "dynset";
      readonly op: "add" | "update" | "delete";
      readonly fields: readonly NftField[];
      readonly set: string;
      readonly timeoutMs: number;
      readonly dataFields?: readonly NftField[];
    }
  | { readonly kind: "counter" }
  /** `masquerade fully-random`. */
  | { readonly kind: "masquerade"; readonly fullyRandom: boolean }
  /** ICMP port unreachable of the packet's family (`icmpx` in an inet table). */
  | { readonly kind: "reject" }
  | { readonly kind: "verdict"; readonly verdict: NftVerdict };

export interface NftRule {
  readonly chain: string;
  readonly statements: readonly NftStatement[];
  /** At most 128 bytes. */
  readonly comment?: string;
}

export interface NftChain {
  readonly name: string;
  readonly base?: {
    readonly type: "filter" | "nat" | "route";
    readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting";
    readonly priority: number;
  };
}

export interface NftSet {
  readonly name: string;
  /** Key parts as fields; declared to nft by `typeof`. */
  readonly key: readonly NftField[];
  /** `none` for a set; `verdict` for a verdict map; else the fields whose types the data has. */
  readonly data: "none" | "verdict" | readonly NftField[];
  readonly flags: readonly ("interval" | "timeout" | "dynamic")[];
  /** Number of elements a sized set can hold; absent for a growing one. */
  readonly size?: number;
  /** Every element counts the packets that found it. */
  readonly counter?: true;
}

/**
 * Elements, packed: `count` keys one behind the other (every part of a concatenation padded to 4 bytes), and as many
 * data values or verdicts. Interval elements have `keyEnds` (inclusive ends, same packing).
 */
export interface NftElements {
  readonly count: number;
  readonly keys: Uint8Array;
  readonly keyEnds?: Uint8Array;
  readonly data?: Uint8Array;
  readonly verdicts?: readonly NftVerdict[];
}

/** What the elements of a set with `counter` have counted: keys packed as in {@link NftElements}, one number each. */
export interface NftElementCounts {
  readonly keys: Uint8Array;
  readonly packets: Float64Array;
}

/**
 * One operation; one netlink message, or several where 64 KiB do not hold it. An error is reported for the operation,
 * so a compiler puts what belongs to one unit into operations of its own.
 */
export type NftOp =
  | { readonly op: "add-table" }
  | { readonly op: "delete-table" }
  | { readonly op: "add-chain"; readonly chain: NftChain }
  | { readonly op: "delete-chain"; readonly chain: string }
  | { readonly op: "flush-chain"; readonly chain: string }
  | { readonly op: "add-rule"; readonly rule: NftRule }
  | { readonly op: "add-set"; readonly set: NftSet }
  | { readonly op: "delete-set"; readonly set: string }
  | { readonly op: "add-elements"; readonly set: string; readonly elements: NftElements }
  | { readonly op: "delete-elements"; readonly set: string; readonly elements: NftElements };

/** What a table held when it was read. */
export interface NftTableState {
  readonly table: NftTable;
  readonly chains: readonly NftChain[];
  /** In order within each chain. `canonical` is the driver's encoding, equal to that of an equal {@link NftRule}. */
  readonly rules: readonly {
    readonly chain: string;
    readonly canonical: string;
    readonly comment?: string;
  }[];
  readonly sets: ReadonlyMap<string, { readonly set: NftSet; readonly elements: NftElements }>;
}
