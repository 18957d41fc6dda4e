/**
 * Layer feed. Objects from YAML or JSON files, followed as they change: the `--objects PATH` of agent and resolver.
 * After the first snapshot only differences are delivered, all files of one moment in one batch.
 */
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { NodeplaneError } from "../../model/errors.ts";
import { type FeedObject, keyOf } from "../../model/objects.ts";
import type { Feed, FeedBatch, FeedListener, Programmed } from "../feed.ts";
import { type FileProblem, type FolderState, ObjectFolder } from "./object-folder.ts";

export interface FilesFeedOptions {
  /** A file or a folder (not its subfolders). */
  readonly path: string;
  /** Gets all that is wrong in the files at present, whenever that list changed; also once at start when it is not empty. */
  readonly onProblems?: (problems: readonly FileProblem[]) => void;
  /** Time without further changes before files are read again. */
  readonly settleMs?: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

const DEFAULT_SETTLE_MS = 50;
/** Files that change all the time are read at least this often. */
const MAX_SETTLE_ROUNDS = 20;
/** A path that vanished is looked for this often. */
const RETRY_MS = 1000;

export class FilesFeed implements Feed {
  readonly #options: FilesFeedOptions;
  readonly #now: () => number;
  #objects: ReadonlyMap<string, FeedObject> = new Map();
  #problems: readonly FileProblem[] = [];
  #revision = 0n;
  #synced = false;
  /** Since when the path cannot be read; `undefined` while it can. */
  #lostSinceMs: number | undefined;

  constructor(options: FilesFeedOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get synced(): boolean {
    return this.#synced;
  }

  ageSeconds(): number {
    return this.#lostSinceMs === undefined ? 0 : Math.max(0, (this.#now() - this.#lostSinceMs) / 1000);
  }

  /** Files want no acknowledgement. */
  acknowledge(_programmed: Programmed): void {}

  /** @throws {NodeplaneError} FILE_UNREADABLE when the path cannot be read at start */
  async run(listener: FeedListener, signal: AbortSignal): Promise<void> {
    const folder = new ObjectFolder(this.#options.path);
    const isFolder = await this.#check();
    while (!signal.aborted) {
      let changes: ChangeSignal | undefined;
      try {
        changes = new ChangeSignal(isFolder ? this.#options.path : dirname(this.#options.path));
        await this.#follow(folder, { listener, changes, signal });
      } catch (error) {
        if (!this.#synced) throw this.#unreadable(error);
        this.#lost(listener, error);
      } finally {
        changes?.close();
      }
      await sleep(RETRY_MS, signal);
    }
  }

  async #check(): Promise<boolean> {
    try {
      return (await stat(this.#options.path)).isDirectory();
    } catch (error) {
      throw this.#unreadable(error);
    }
  }

  #unreadable(cause: unknown): NodeplaneError {
    const detail = cause instanceof Error ? cause.message : String(cause);
    return new NodeplaneError("FILE_UNREADABLE", { path: this.#options.path, detail }, cause);
  }

  /** Reads and delivers until the signal aborts or the watch breaks. */
  async #follow(
    folder: ObjectFolder,
    to: { readonly listener: FeedListener; readonly changes: ChangeSignal; readonly signal: AbortSignal },
  ): Promise<void> {
    const settleMs = this.#options.settleMs ?? DEFAULT_SETTLE_MS;
    while (!to.signal.aborted) {
      to.changes.clear();
      const state = await folder.read();
      if (to.signal.aborted) return;
      if (this.#lostSinceMs !== undefined) {
        this.#lostSinceMs = undefined;
        to.listener.connection?.(true, "the object files can be read again");
      }
      this.#deliver(state, to.listener);
      await to.changes.next(to.signal);
      for (let round = 0; round < MAX_SETTLE_ROUNDS && !to.signal.aborted; round++) {
        to.changes.clear();
        await sleep(settleMs, to.signal);
        if (!to.changes.isSet) break;
      }
    }
  }

  #lost(listener: FeedListener, error: unknown): void {
    if (this.#lostSinceMs !== undefined) return;
    this.#lostSinceMs = this.#now();
    listener.connection?.(false, this.#unreadable(error).message);
  }

  #deliver(state: FolderState, listener: FeedListener): void {
    const before = this.#objects;
    const upserts = [...state.objects].filter(([key, object]) => !isDeepStrictEqual(before.get(key), object));
    const removes = [...before].filter(([key]) => !state.objects.has(key));
    this.#objects = state.objects;
    if (!isDeepStrictEqual(this.#problems, state.problems)) {
      this.#problems = state.problems;
      this.#options.onProblems?.(state.problems);
    }
    if (this.#synced && upserts.length === 0 && removes.length === 0) return;
    this.#revision += 1n;
    const batch: FeedBatch = {
      revision: this.#revision,
      snapshot: !this.#synced,
      origin: "live",
      changedAtMs: state.changedAtMs,
    };
    listener.begin(batch);
    for (const [, object] of upserts) listener.upsert(object);
    for (const [, object] of removes) listener.remove(keyOf(object));
    this.#synced = true;
    listener.commit(batch);
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

/** Remembers that something below a folder changed since {@link clear}. */
class ChangeSignal {
  readonly #watcher: FSWatcher;
  #isSet = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(folder: string) {
    this.#watcher = watch(folder, () => this.#set());
    this.#watcher.on("error", (error: Error) => {
      this.#error = error;
      this.#set();
    });
  }

  get isSet(): boolean {
    return this.#isSet;
  }

  clear(): void {
    this.#isSet = false;
  }

  close(): void {
    this.#watcher.close();
  }

  /** Resolves at the next change, or at once when there was one, or when `signal` aborts. @throws when the watch broke */
  async next(signal: AbortSignal): Promise<void> {
    if (!this.#isSet && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          signal.removeEventListener("abort", done);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = done;
        signal.addEventListener("abort", done, { once: true });
      });
    }
    if (this.#error !== undefined) throw this.#error;
  }

  #set(): void {
    this.#isSet = true;
    this.#wake?.();
  }
}
