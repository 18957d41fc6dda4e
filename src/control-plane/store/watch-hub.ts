/**
 * Layer control-plane. Watches over an engine: recent changes are kept in a bounded ring, older ones are read from the
 * engine's log in chunks, and from there on each committed group is handed to its watchers at once. Nothing polls.
 */
import { type History, prefixesMeet } from "./engine.ts";
import type { Change, Watch, WatchGroup, WatchListener, WatchRequest } from "./store.ts";

const MAX_RING_CHANGES = 2_000;
const MAX_RING_CHARACTERS = 4 * 1024 * 1024;

export interface HubSource {
  readonly ephemeralPrefixes: readonly string[];
  /** `undefined`: compacted. */
  history(prefix: string, from: number): Promise<History | undefined>;
}

interface Watcher {
  readonly prefix: string;
  readonly listener: WatchListener;
  from: number;
  live: boolean;
  ended: boolean;
}

const sizeOf = (change: Change): number =>
  change.entry.value.length + (change.previous === undefined ? 0 : change.previous.value.length);

export class WatchHub {
  readonly #source: HubSource;
  readonly #watchers = new Set<Watcher>();
  readonly #subscribers = new Set<(group: WatchGroup) => void>();
  #ring: WatchGroup[] = [];
  #ringChanges = 0;
  #ringCharacters = 0;
  /** All changes after this revision are in the ring. */
  #floor: number;
  #revision: number;
  #closed = false;

  constructor(source: HubSource, revision: number) {
    this.#source = source;
    this.#floor = revision;
    this.#revision = revision;
  }

  revision(): number {
    return this.#revision;
  }

  /** Hands a committed group to everybody. Groups come in the order of revisions. */
  publish(group: WatchGroup): void {
    this.#revision = group.revision;
    this.#remember(group);
    for (const watcher of this.#watchers) if (watcher.live) this.#deliver(watcher, group);
    for (const subscriber of this.#subscribers) subscriber(group);
  }

  subscribe(listener: (group: WatchGroup) => void): () => void {
    this.#subscribers.add(listener);
    return () => void this.#subscribers.delete(listener);
  }

  watch(request: WatchRequest, listener: WatchListener): Watch {
    const watcher: Watcher = {
      prefix: request.prefix,
      listener,
      from: request.from,
      live: false,
      ended: false,
    };
    if (this.#closed) queueMicrotask(() => listener.ended("closed"));
    else {
      this.#watchers.add(watcher);
      void this.#catchUp(watcher);
    }
    return {
      cancel: () => {
        watcher.ended = true;
        this.#watchers.delete(watcher);
      },
    };
  }

  close(): void {
    this.#closed = true;
    for (const watcher of [...this.#watchers]) this.#end(watcher, "closed");
    this.#subscribers.clear();
  }

  async #catchUp(watcher: Watcher): Promise<void> {
    await Promise.resolve(); // never calls back inside watch()
    const ephemeral = this.#source.ephemeralPrefixes.some((prefix) => prefixesMeet(prefix, watcher.prefix));
    while (!watcher.ended && watcher.from < this.#floor) {
      if (ephemeral) return this.#end(watcher, "compacted");
      const history = await this.#source.history(watcher.prefix, watcher.from).catch(() => "failed" as const);
      if (watcher.ended) return;
      if (history === "failed") return this.#end(watcher, "closed");
      if (history === undefined) return this.#end(watcher, "compacted");
      for (const group of history.groups) this.#deliver(watcher, group);
      watcher.from = Math.max(watcher.from, history.upTo);
    }
    if (watcher.ended) return;
    for (const group of this.#ring) if (group.revision > watcher.from) this.#deliver(watcher, group);
    watcher.live = true;
    // Progress alone: says that everything old has been told.
    watcher.listener.changes({ changes: [], revision: Math.max(watcher.from, this.#revision) });
  }

  #deliver(watcher: Watcher, group: WatchGroup): void {
    if (watcher.ended || group.revision <= watcher.from) return;
    watcher.from = group.revision;
    const changes = group.changes.filter((change) => change.entry.key.startsWith(watcher.prefix));
    watcher.listener.changes({ changes, revision: group.revision });
  }

  #end(watcher: Watcher, reason: "compacted" | "closed"): void {
    watcher.ended = true;
    this.#watchers.delete(watcher);
    watcher.listener.ended(reason);
  }

  #remember(group: WatchGroup): void {
    this.#ring.push(group);
    this.#ringChanges += group.changes.length;
    for (const change of group.changes) this.#ringCharacters += sizeOf(change);
    let drop = 0;
    while (
      drop < this.#ring.length - 1 &&
      (this.#ringChanges > MAX_RING_CHANGES || this.#ringCharacters > MAX_RING_CHARACTERS)
    ) {
      const oldest = this.#ring[drop];
      if (oldest === undefined) break;
      this.#ringChanges -= oldest.changes.length;
      for (const change of oldest.changes) this.#ringCharacters -= sizeOf(change);
      this.#floor = oldest.revision;
      drop += 1;
    }
    // Dropping from the front costs the ring's length: done in bulk.
    if (drop > 0) this.#ring = this.#ring.slice(drop);
  }
}
