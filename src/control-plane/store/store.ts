/**
 * Layer control-plane. The store interface: asynchronous and shaped like etcd. One revision counter for everything,
 * which is resourceVersion. Implementations: `SqliteStore` (a worker thread) and `MemoryStore`; both pass
 * test/unit/control-plane/store-conformance.ts. No SQL above this line.
 *
 * A value is text (JSON). Keys are ASCII, ordered by bytes.
 */

export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Revision of the last write. */
  readonly modRevision: number;
  /** Revision of the write that created the key. */
  readonly createRevision: number;
}

/** The transaction goes through only if every named key was last written at that revision; 0: it does not exist. */
export interface Compare {
  readonly key: string;
  readonly modRevision: number;
}

export type Operation =
  | {
      readonly type: "put";
      readonly key: string;
      readonly value: string;
      /** The key goes when the lease ends. A put without it detaches the key. */
      readonly lease?: number;
    }
  | { readonly type: "delete"; readonly key: string };

/** Fixed when a store is opened. */
export interface StoreOptions {
  /**
   * Keys under these prefixes are kept out of the change log: their current state only, and recent changes in memory.
   * A watch of them may start at recent revisions alone.
   */
  readonly ephemeralPrefixes: readonly string[];
  /** Bound of the change log; default 50,000. */
  readonly maxLogChanges?: number;
  /** Bound of the values in the change log; default 64 MiB. */
  readonly maxLogBytes?: number;
}

/** Each key at most once in `operations`. */
export interface Transaction {
  readonly compare: readonly Compare[];
  readonly operations: readonly Operation[];
}

export type TransactionResult =
  /** All operations carry this one revision. Without operations that change anything the revision does not grow. */
  | { readonly succeeded: true; readonly revision: number }
  /** Nothing was written. */
  | { readonly succeeded: false; readonly revision: number };

/** One change, in the order of revisions. */
export type Change =
  | { readonly type: "put"; readonly entry: Entry; readonly previous: Entry | undefined }
  /** `entry` carries the last value and, as modRevision, the revision of the deletion. */
  | { readonly type: "delete"; readonly entry: Entry; readonly previous: Entry };

export interface ListRequest {
  readonly prefix: string;
  /** Absent: all. */
  readonly limit?: number;
  /** Only keys behind this one. */
  readonly after?: string;
  /** State at that revision; absent: now. Ephemeral keys are always listed as they are now. */
  readonly revision?: number;
}

export interface ListResult {
  readonly entries: readonly Entry[];
  /** The revision that this list shows. */
  readonly revision: number;
  /** Keys behind the last entry that were left out because of the limit. */
  readonly remaining: number;
}

export interface WatchRequest {
  readonly prefix: string;
  /** Changes strictly after this revision. */
  readonly from: number;
}

/**
 * Groups of changes: all of one revision are in one group, and `revision` says that everything up to it has been
 * delivered. An empty group is progress alone.
 */
export interface WatchGroup {
  readonly changes: readonly Change[];
  readonly revision: number;
}

export interface WatchListener {
  /** Called synchronously after a commit, in order. Must be quick and must not throw. */
  changes(group: WatchGroup): void;
  /** The watch has ended: `compacted` (list again), or the store failed or was closed. */
  ended(reason: "compacted" | "closed"): void;
}

export interface Watch {
  cancel(): void;
}

export interface Store {
  /** Changes only when a backup is restored. */
  readonly epoch: string;
  /** Newest committed revision; grows before the writer's promise resolves. */
  revision(): number;
  /** Oldest revision from which a watch or a list of old state may start. */
  compactRevision(): number;

  get(key: string): Promise<Entry | undefined>;
  /** @throws {CompactedError} when `revision` is older than compactRevision() */
  list(request: ListRequest): Promise<ListResult>;
  /** @throws {NodeplaneError} STORE_FAILED when the disk fails; the outcome is then unknown */
  transact(transaction: Transaction): Promise<TransactionResult>;
  /** Old changes come first, then live ones, without a gap. A revision that is too old ends it with `compacted`. */
  watch(request: WatchRequest, listener: WatchListener): Watch;
  /** Live notifications of every committed group, in order: what the node stream hangs on. @returns a function that ends it */
  subscribe(listener: (group: WatchGroup) => void): () => void;

  /** @returns the lease's number; its keys are deleted `ttlSeconds` after the last keepAlive */
  grantLease(ttlSeconds: number): Promise<number>;
  /** @returns false when the lease has ended already */
  keepAlive(lease: number): Promise<boolean>;
  revokeLease(lease: number): Promise<void>;

  /** Forgets the history before `revision`. Also happens by itself: the log is bounded. */
  compact(revision: number): Promise<void>;
  close(): Promise<void>;
}

/** A revision was asked for that the log no longer covers. */
export class CompactedError extends Error {
  override readonly name = "CompactedError";
  readonly requested: number;
  readonly compactRevision: number;

  constructor(requested: number, compactRevision: number) {
    super(`revision ${requested} is compacted (oldest is ${compactRevision})`);
    this.requested = requested;
    this.compactRevision = compactRevision;
  }
}
