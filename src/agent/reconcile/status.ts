/** Layer agent. What the reconciler can tell about itself: for `status`, health and metrics. Plain values. */
import type { IpFamily } from "../../model/ip.ts";
import type { ObjectProblem } from "../../model/objects.ts";

/** Counts since start, for metrics. */
export interface FamilyCounters {
  readonly commits: number;
  readonly failedCommits: number;
  readonly operations: number;
  readonly elementsAdded: number;
  readonly elementsDeleted: number;
  readonly fullSyncs: number;
  readonly adoptions: number;
  /** Removals of chains and sets that nobody needs any more that the kernel refused; nftables mode. */
  readonly cleanupFailures?: number;
  /** Times that foreign changes to the table were found and mended. */
  readonly repairs: number;
}

/** What kube-proxy's metrics of iptables mode show. */
export interface IptablesFigures {
  readonly variant: "legacy" | "nft";
  /** Rules that the tables should hold of ours. */
  readonly rules: { readonly filter: number; readonly nat: number };
  /** Rules in the last input that was taken. */
  readonly lastRules: { readonly filter: number; readonly nat: number };
  readonly restoreFailures: number;
  readonly partialRestoreFailures: number;
}

/** IPVS mode. */
export interface IpvsFigures {
  readonly scheduler: string;
  readonly virtualServers: number;
  /** Those that drain included. */
  readonly destinations: number;
  readonly draining: number;
  /** Removed after they had drained, since the start. */
  readonly drained: number;
  /** Operations on virtual servers and destinations since the start: none when a restart found all as it should be. */
  readonly serverOperations: number;
  readonly failedOperations: number;
}

export interface FamilyStatus {
  readonly family: IpFamily;
  /** Service ports programmed. */
  readonly units: number;
  /** Elements that the table should hold. */
  readonly elements: number;
  readonly counters: FamilyCounters;
  /** iptables mode alone. */
  readonly iptables?: IptablesFigures;
  /** IPVS mode alone. */
  readonly ipvs?: IpvsFigures;
  /** Service ports with policy Local whose usable endpoints are all on other nodes, by the policy. */
  readonly noLocalEndpoints?: { readonly internal: number; readonly external: number };
}

export interface ReconcilerStatus {
  readonly mode: string;
  /** True after the first complete state has been written: what readiness means. */
  readonly programmed: boolean;
  /** Revision in the kernel, decimal; absent before the first. */
  readonly revision?: string;
  /** Newest revision received. */
  readonly receivedRevision?: string;
  /** Milliseconds since the epoch: when `revision` went live. */
  readonly programmedAtMs?: number;
  /** Milliseconds since the epoch: since when something has been waiting to be written; absent when nothing is. */
  readonly pendingSinceMs?: number;
  /** Milliseconds that it has been waiting, whatever was done to the machine's clock meanwhile. */
  readonly pendingForMs?: number;
  readonly origin?: "live" | "persisted";
  readonly services: number;
  readonly endpointSlices: number;
  readonly endpoints: number;
  readonly families: readonly FamilyStatus[];
  readonly refused: readonly ObjectProblem[];
  readonly lastError?: { readonly atMs: number; readonly message: string };
  /** Of syncs (one a feed commit that changed something): how many, their durations in seconds, summed, and the last. */
  readonly syncs: { readonly count: number; readonly secondsSum: number; readonly lastSeconds: number };
}
