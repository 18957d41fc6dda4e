/**
 * Layer feed. Where objects come from: the one interface that agent and resolver know.
 * Implementations: `stream/` (node stream from the control plane, with state kept on disk) and `files/` (YAML or JSON lines).
 */
import type { FeedObject, ObjectKey, ObjectProblem } from "../model/objects.ts";

/** One atomic group of changes. */
export interface FeedBatch {
  /** Grows within one feed; decimal text of a 64-bit revision for the stream, a counter for files. */
  readonly revision: bigint;
  /** A snapshot replaces everything: what is not upserted before its commit is gone. */
  readonly snapshot: boolean;
  /** Where the batch came from: live, or persisted state read at start. */
  readonly origin: "live" | "persisted";
  /** Milliseconds since the epoch when the newest change in it was made at its source; 0 when unknown. */
  readonly changedAtMs: number;
}

/**
 * Receives changes in order: begin, then upserts and removes, then commit. Never concurrently.
 * Calls return quickly; work is done after commit.
 */
export interface FeedListener {
  begin(batch: FeedBatch): void;
  upsert(object: FeedObject): void;
  remove(key: ObjectKey): void;
  commit(batch: FeedBatch): void;
  /** The connection to the source was lost or regained; objects stay as they are. */
  connection?(connected: boolean, reason: string): void;
}

/** What the consumer made of a revision. */
export interface Programmed {
  readonly revision: bigint;
  /** Objects that are not live, by key; everything else up to `revision` is. */
  readonly refused: readonly ObjectProblem[];
}

export interface Feed {
  /**
   * Delivers objects until `signal` aborts; then resolves. Reconnects by itself.
   * @throws only for configuration that can never work (unreadable certificate, missing path)
   */
  run(listener: FeedListener, signal: AbortSignal): Promise<void>;
  /** Second acknowledgement: `programmed.revision` is in the kernel (or the resolver's tables). */
  acknowledge(programmed: Programmed): void;
  /** True after the first complete state, live or persisted. */
  readonly synced: boolean;
  /** Seconds since the data was last known to equal its source: 0 while connected. */
  ageSeconds(): number;
}

/** What an agent tells the control plane about its own node, whole each time: the receiver finds the difference. */
export interface NodeReport {
  /** A Node object as API JSON, without resourceVersion; its name must be the certificate's. */
  readonly node: Readonly<Record<string, unknown>>;
  /** Mirror Pods of this node's workloads as API JSON: all of them; Pods not in it are gone. */
  readonly pods: readonly Readonly<Record<string, unknown>>[];
  /** Events (v1) that happened since the last report, as API JSON. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
}

/** Implemented by the stream feed; absent in standalone mode. */
export interface NodeReporter {
  /** Replaces the report to be sent; cheap, coalesced, sent again after each reconnect. Events are sent once. */
  report(report: NodeReport): void;
  /** Renews the node's Lease. */
  heartbeat(): void;
}
