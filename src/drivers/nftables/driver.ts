/**
 * Layer drivers. The only door to nf_tables.
 * Implementations: `LinuxNft` (netlink over the addon) and `FakeNft` (memory); both pass test/kernel/nft-conformance.
 * Knows nothing of Services. One instance sees one table of one family.
 */
import type {
  NftElementCounts,
  NftOp,
  NftRule,
  NftSet,
  NftTable,
  NftTableState,
} from "../../model/nftables.ts";

/** Outcome of one batch. A failed batch changed nothing. */
export type NftCommit =
  | { readonly kind: "committed" }
  | { readonly kind: "failed"; readonly failures: readonly NftFailure[] };

export interface NftFailure {
  /** Index into the operations given; -1 when the kernel blamed the batch as a whole. */
  readonly opIndex: number;
  /** Index of the element inside the operation, where the kernel named it. */
  readonly elementIndex?: number;
  /** Positive errno and its name. */
  readonly errno: number;
  readonly code: string;
  /** The kernel's extended-ack text, if it gave one. */
  readonly message?: string;
}

export interface NftFeature {
  readonly feature: string;
  readonly result:
    | { readonly kind: "supported" }
    | { readonly kind: "unsupported"; readonly needs: string }
    | { readonly kind: "unknown"; readonly message: string };
}

export interface NftDriver {
  readonly table: NftTable;
  /** Tries what the layout needs in a scratch table, which is removed again; conclusive results are remembered. */
  probe(): readonly NftFeature[];
  /** The whole table, or `undefined` when it does not exist. Retries dumps that the kernel marks as interrupted. */
  read(): NftTableState | undefined;
  /**
   * One batch, all or nothing, acknowledged before it returns. Synchronous on purpose: a small batch takes 10 µs, a
   * hop to another thread more. Callers keep batches at or below 5,000 elements and yield between them.
   * @throws {NodeplaneError} when the socket itself fails (not for errors of operations)
   */
  commit(ops: readonly NftOp[]): NftCommit;
  /** The encoding that {@link NftTableState.rules} would show for this rule. */
  canonicalRule(rule: NftRule): string;
  /** Packets counted by rules with a counter, summed a chain; chains without such rules are not in it. Reads all rules. */
  counted(): ReadonlyMap<string, number>;
  /** What the elements of a set with `counter` have counted. Reads the whole set; empty when it is not there. */
  elementCounts(set: NftSet): NftElementCounts;
  /** Generation id of this network namespace: changes with every commit by anybody. */
  generation(): number;
  /** Calls back after commits by other sockets that touched our table, or all of it vanished; until `signal` aborts. */
  watch(onForeignChange: (what: "table-deleted" | "changed") => void, signal: AbortSignal): void;
  close(): void;
}
