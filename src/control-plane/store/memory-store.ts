/** Layer control-plane. The store in memory, for tests: the same behaviour as SqliteStore, nothing kept on disk. */
import { type Committed, type History, prefixEnd, type StoreEngine } from "./engine.ts";
import { EngineStore } from "./engine-store.ts";
import {
  type Change,
  CompactedError,
  type Entry,
  type ListRequest,
  type ListResult,
  type StoreOptions,
  type Transaction,
  type WatchGroup,
} from "./store.ts";

interface Held extends Entry {
  readonly lease: number | undefined;
}

class MemoryEngine implements StoreEngine {
  readonly epoch = "memory";
  readonly #options: StoreOptions;
  readonly #current = new Map<string, Held>();
  readonly #leases = new Map<number, { ttlSeconds: number; expiresMs: number }>();
  #log: Change[] = [];
  #revision = 1;
  #compacted = 0;
  #lastLease = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  revision(): number {
    return this.#revision;
  }

  compactRevision(): number {
    return this.#compacted;
  }

  get(key: string): Entry | undefined {
    const held = this.#current.get(key);
    return held === undefined ? undefined : plain(held);
  }

  list(request: ListRequest): ListResult {
    const revision = request.revision ?? this.#revision;
    if (revision < this.#compacted) throw new CompactedError(revision, this.#compacted);
    const end = prefixEnd(request.prefix);
    const state = new Map<string, Entry>(this.#current);
    // The first logged change after the revision says what was there before it.
    for (const change of this.#log.toReversed()) {
      if (change.entry.modRevision <= revision) break;
      if (change.previous === undefined) state.delete(change.entry.key);
      else state.set(change.entry.key, change.previous);
    }
    const found = [...state.values()]
      .filter(({ key }) => key >= request.prefix && key < end && key > (request.after ?? ""))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const entries = found.slice(0, request.limit ?? found.length).map(plain);
    return { entries, revision, remaining: found.length - entries.length };
  }

  transact(transaction: Transaction): Committed {
    const same = transaction.compare.every(
      ({ key, modRevision }) => (this.#current.get(key)?.modRevision ?? 0) === modRevision,
    );
    if (!same) return { result: { succeeded: false, revision: this.#revision }, group: undefined };
    const changes: Change[] = [];
    const revision = this.#revision + 1;
    for (const operation of transaction.operations) {
      const previous = this.get(operation.key);
      if (operation.type === "put") {
        const entry = {
          key: operation.key,
          value: operation.value,
          modRevision: revision,
          createRevision: previous?.createRevision ?? revision,
        };
        this.#current.set(operation.key, { ...entry, lease: operation.lease });
        changes.push({ type: "put", entry, previous });
      } else if (previous !== undefined) {
        this.#current.delete(operation.key);
        changes.push({ type: "delete", entry: { ...previous, modRevision: revision }, previous });
      }
    }
    if (changes.length === 0) {
      return { result: { succeeded: true, revision: this.#revision }, group: undefined };
    }
    this.#revision = revision;
    this.#log.push(...changes.filter(({ entry }) => !this.#isEphemeral(entry.key)));
    const max = this.#options.maxLogChanges ?? 50_000;
    if (this.#log.length > max) this.compact(this.#log[this.#log.length - max - 1]?.entry.modRevision ?? 0);
    return { result: { succeeded: true, revision }, group: { changes, revision } };
  }

  history(prefix: string, from: number, limit: number): History | undefined {
    if (from < this.#compacted) return undefined;
    const groups: { changes: Change[]; revision: number }[] = [];
    let count = 0;
    for (const change of this.#log) {
      const revision = change.entry.modRevision;
      if (revision <= from || !change.entry.key.startsWith(prefix)) continue;
      const last = groups.at(-1);
      if (last?.revision === revision) last.changes.push(change);
      else if (count >= limit) return { groups, upTo: last?.revision ?? from };
      else groups.push({ changes: [change], revision });
      count += 1;
    }
    return { groups, upTo: this.#revision };
  }

  grantLease(ttlSeconds: number, nowMs: number): number {
    this.#lastLease += 1;
    this.#leases.set(this.#lastLease, { ttlSeconds, expiresMs: nowMs + ttlSeconds * 1000 });
    return this.#lastLease;
  }

  keepAlive(lease: number, nowMs: number): boolean {
    const held = this.#leases.get(lease);
    if (held === undefined) return false;
    held.expiresMs = nowMs + held.ttlSeconds * 1000;
    return true;
  }

  endLeases(lease: number | undefined, nowMs: number): WatchGroup | undefined {
    const over = new Set<number | undefined>();
    for (const [id, { expiresMs }] of this.#leases) {
      if (lease === undefined ? expiresMs <= nowMs : id === lease) over.add(id);
    }
    for (const id of over) if (id !== undefined) this.#leases.delete(id);
    const keys = [...this.#current.values()].filter(
      (held) => held.lease !== undefined && over.has(held.lease),
    );
    return this.transact({ compare: [], operations: keys.map(({ key }) => ({ type: "delete", key })) }).group;
  }

  nextExpiryMs(): number | undefined {
    let next: number | undefined;
    for (const { expiresMs } of this.#leases.values()) next = Math.min(next ?? expiresMs, expiresMs);
    return next;
  }

  compact(revision: number): void {
    this.#compacted = Math.min(this.#revision, Math.max(this.#compacted, revision));
    this.#log = this.#log.filter(({ entry }) => entry.modRevision > this.#compacted);
  }

  #isEphemeral(key: string): boolean {
    return this.#options.ephemeralPrefixes.some((prefix) => key.startsWith(prefix));
  }
}

function plain({ key, value, modRevision, createRevision }: Entry): Entry {
  return { key, value, modRevision, createRevision };
}

/** A store that forgets everything. */
export class MemoryStore extends EngineStore {
  constructor(options: StoreOptions = { ephemeralPrefixes: [] }) {
    super(new MemoryEngine(options), options);
  }
}
