/** Layer control-plane. An ObjectSource in memory, for tests and benchmarks. */
import { type FeedObject, formatKey, keyOf, type ObjectKey } from "../../model/objects.ts";
import type { ObjectSource, SourceChange, SourceListener, SourceState } from "./object-source.ts";

export class MemorySource implements ObjectSource {
  readonly epoch: string;
  isAuthoritative = false;
  readonly #objects = new Map<string, { object: FeedObject; revision: number }>();
  readonly #listeners = new Set<SourceListener>();
  #removals: { key: ObjectKey; revision: number }[] = [];
  #oldest: number;
  #revision: number;

  /** @param revision that the source starts with: differences from older ones are not possible */
  constructor(epoch = "memory", revision = 1) {
    this.epoch = epoch;
    this.#revision = revision;
    this.#oldest = revision;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Applies changes as one revision: objects are put, keys removed. */
  apply(changes: readonly (FeedObject | ObjectKey)[], changedAtMs = 0): void {
    this.#revision++;
    const revision = this.#revision;
    const group = changes.map((change): SourceChange => {
      if (!("meta" in change)) {
        this.#objects.delete(formatKey(change));
        this.#removals.push({ key: change, revision });
        return { key: change, object: undefined, revision };
      }
      this.#objects.set(formatKey(keyOf(change)), { object: change, revision });
      return { key: keyOf(change), object: change, revision };
    });
    for (const listener of this.#listeners) listener.changes({ changes: group, revision, changedAtMs });
  }

  /** Forgets what was removed up to now. */
  compact(): void {
    this.#removals = [];
    this.#oldest = this.#revision;
  }

  async load(): Promise<SourceState> {
    const objects = [...this.#objects.values()].sort((a, b) => a.revision - b.revision);
    return await Promise.resolve({
      revision: this.#revision,
      objects,
      removals: [...this.#removals],
      oldestRevision: this.#oldest,
    });
  }

  watch(from: number, listener: SourceListener): () => void {
    if (from < this.#revision) queueMicrotask(() => listener.lost());
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
