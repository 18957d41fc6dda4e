/**
 * Layer control-plane. Where the node stream's objects come from: the store (`StoreSource`) or, in tests and
 * benchmarks, memory (`MemorySource`). Objects are already trimmed.
 */
import type { FeedObject, ObjectKey, ObjectProblem } from "../../model/objects.ts";

/** One change; without `object` it is a removal. */
export interface SourceChange {
  readonly key: ObjectKey;
  readonly object: FeedObject | undefined;
  readonly revision: number;
}

/** All changes of some revisions, in order. Without changes it is progress alone. */
export interface SourceGroup {
  readonly changes: readonly SourceChange[];
  /** Everything up to it has been told. */
  readonly revision: number;
  /** Milliseconds since the epoch, 0 when unknown. */
  readonly changedAtMs: number;
}

/** Everything at one revision. */
export interface SourceState {
  readonly revision: number;
  readonly objects: readonly { readonly object: FeedObject; readonly revision: number }[];
  /** Objects that were removed after `oldestRevision`, in order. */
  readonly removals: readonly { readonly key: ObjectKey; readonly revision: number }[];
  /** A node that holds this revision or a later one can be given the difference. */
  readonly oldestRevision: number;
}

export interface SourceListener {
  /** Called synchronously after a change, in order. */
  changes(group: SourceGroup): void;
  /** The changes up to now can no longer be told one by one: load again. */
  lost(): void;
}

export interface ObjectSource {
  /** Changes only when a backup is restored. */
  readonly epoch: string;
  /** True when an operator said that this state holds even if it removes most of what nodes have. */
  readonly isAuthoritative: boolean;
  load(): Promise<SourceState>;
  /** Changes after `from`. @returns a function that ends it */
  watch(from: number, listener: SourceListener): () => void;
}

/** Gets objects that cannot be given to nodes, wholly or in part. An empty list: all is well again. */
export type ReportProblems = (key: ObjectKey, problems: readonly ObjectProblem[]) => void;
