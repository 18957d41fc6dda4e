/**
 * Layer control-plane. The store's engine over node:sqlite. Current state in `kv`, history in `log`; a change of an
 * ephemeral key touches `kv` alone. Each log row also holds what was there before it, so a watch can tell objects that
 * stopped matching a selector, and state at an old revision is read without replaying.
 *
 * The caller brackets writes with begin() and commit(): one fsync for everything in between (group commit).
 */
import { randomUUID } from "node:crypto";
import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Committed, type History, prefixEnd, type StoreEngine } from "./engine.ts";
import { createTables, prepareStatements, type Statements } from "./sqlite-statements.ts";
import {
  type Change,
  CompactedError,
  type Entry,
  type ListRequest,
  type ListResult,
  type Operation,
  type StoreOptions,
  type Transaction,
  type WatchGroup,
} from "./store.ts";

type Row = Record<string, null | number | bigint | string | Uint8Array>;

const MAX_LOG_CHANGES = 50_000;
const MAX_LOG_BYTES = 64 * 1024 * 1024;
/** Rows that one commit removes from a log that is too long: more than it adds, so it shrinks, but bounded. */
const COMPACT_STEP = 400;

const text = (value: Row[string] | undefined): string => (typeof value === "string" ? value : "");
const count = (value: Row[string] | undefined): number => Number(value ?? 0);

export class SqliteEngine implements StoreEngine {
  readonly epoch: string;
  readonly #database: DatabaseSync;
  readonly #run: Statements;
  readonly #options: StoreOptions;
  #revision: number;
  #compacted: number;
  #logChanges = 0;
  #logBytes = 0;
  #open = false;

  /** @throws when the file cannot be opened, is locked by another process or is no database of this layout */
  constructor(path: string, options: StoreOptions) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#database = new DatabaseSync(path);
    createTables(this.#database);
    chmodSync(path, 0o600);
    this.#run = prepareStatements(this.#database);
    this.#options = options;
    const first = this.#meta("epoch");
    if (first === "") {
      this.#run.setMeta.run("epoch", randomUUID());
      this.#run.setMeta.run("revision", "1");
      this.#run.setMeta.run("compacted", "0");
    }
    this.epoch = this.#meta("epoch");
    this.#revision = Number(this.#meta("revision"));
    this.#compacted = Number(this.#meta("compacted"));
    this.#measureLog();
  }

  revision(): number {
    return this.#revision;
  }

  compactRevision(): number {
    return this.#compacted;
  }

  /** Starts a group of writes; does nothing inside one. */
  begin(): void {
    if (this.#open) return;
    this.#database.exec("BEGIN IMMEDIATE");
    this.#open = true;
  }

  /** Makes the group durable. @throws when the disk fails: then nothing of the group is written */
  commit(): void {
    if (!this.#open) return;
    try {
      this.#trim();
      this.#run.setMeta.run("revision", String(this.#revision));
      this.#database.exec("COMMIT");
      this.#open = false;
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  rollback(): void {
    if (this.#open && this.#database.isTransaction) this.#database.exec("ROLLBACK");
    this.#open = false;
    this.#revision = Number(this.#meta("revision"));
    this.#compacted = Number(this.#meta("compacted"));
    this.#measureLog();
  }

  close(): void {
    this.#database.close();
  }

  get(key: string): Entry | undefined {
    const row = this.#run.get.get(key);
    return row === undefined ? undefined : entryOf(row);
  }

  list(request: ListRequest): ListResult {
    const revision = request.revision ?? this.#revision;
    if (revision < this.#compacted) throw new CompactedError(revision, this.#compacted);
    const start = request.after === undefined ? request.prefix : `${request.after}\0`;
    const end = prefixEnd(request.prefix);
    if (revision < this.#revision) return this.#listOld(request, start, revision);
    const limit = request.limit ?? -1;
    const entries = this.#run.list.all(start, end, limit).map(entryOf);
    const full = limit >= 0 && entries.length === limit;
    const remaining = full ? count(this.#run.countAfter.get(entries.at(-1)?.key ?? "", end)?.["n"]) : 0;
    return { entries, revision, remaining };
  }

  /** Costs what changed since the revision, and the page. */
  #listOld(request: ListRequest, start: string, revision: number): ListResult {
    const end = prefixEnd(request.prefix);
    const before = new Map<string, Entry | undefined>();
    // Newest first: the last one kept is the first change after the revision, which says what was there before.
    for (const row of this.#run.changedAfter.all(revision, start, end)) {
      before.set(text(row["key"]), previousOf(row));
    }
    // So many that a page is left when all changed keys are among them.
    const enough = request.limit === undefined ? -1 : request.limit + before.size + 1;
    const rows = this.#run.list.all(start, end, enough).map(entryOf);
    const isWhole = enough < 0 || rows.length < enough;
    const last = rows.at(-1)?.key ?? "";
    const found = rows.filter(({ key }) => !before.has(key));
    for (const entry of before.values()) {
      if (entry !== undefined && (isWhole || entry.key <= last)) found.push(entry);
    }
    found.sort((one, two) => (one.key < two.key ? -1 : 1));
    const entries = found.slice(0, request.limit ?? found.length);
    // Behind the rows that were read it is counted as it is now: an estimate that is never wrongly zero.
    const behind = isWhole ? 0 : count(this.#run.countAfter.get(last, end)?.["n"]);
    return { entries, revision, remaining: found.length - entries.length + behind };
  }

  transact(transaction: Transaction): Committed {
    for (const { key, modRevision } of transaction.compare) {
      if (count(this.#run.modOf.get(key)?.["mod"]) !== modRevision) {
        return { result: { succeeded: false, revision: this.#revision }, group: undefined };
      }
    }
    if (transaction.operations.length > 0) this.begin();
    const revision = this.#revision + 1;
    const changes: Change[] = [];
    for (const operation of transaction.operations) {
      const change = this.#apply(operation, revision);
      if (change === undefined) continue;
      this.#log(change, changes.length);
      changes.push(change);
    }
    if (changes.length === 0) {
      return { result: { succeeded: true, revision: this.#revision }, group: undefined };
    }
    this.#revision = revision;
    return { result: { succeeded: true, revision }, group: { changes, revision } };
  }

  history(prefix: string, from: number, limit: number): History | undefined {
    if (from < this.#compacted) return undefined;
    const rows = this.#run.history.all(from, prefix, prefixEnd(prefix), limit);
    const groups: { changes: Change[]; revision: number }[] = [];
    const add = (row: Row): void => {
      const change = changeOf(row);
      const last = groups.at(-1);
      if (last?.revision === change.entry.modRevision) last.changes.push(change);
      else groups.push({ changes: [change], revision: change.entry.modRevision });
    };
    for (const row of rows) add(row);
    if (rows.length < limit) return { groups, upTo: this.#revision };
    const last = groups.at(-1);
    if (last === undefined) return { groups, upTo: this.#revision };
    last.changes = this.#run.ofRevision.all(last.revision, prefix, prefixEnd(prefix)).map(changeOf);
    return { groups, upTo: last.revision };
  }

  grantLease(ttlSeconds: number, nowMs: number): number {
    this.begin();
    return Number(this.#run.addLease.run(ttlSeconds, nowMs + ttlSeconds * 1000).lastInsertRowid);
  }

  keepAlive(lease: number, nowMs: number): boolean {
    this.begin();
    return Number(this.#run.renewLease.run(nowMs, lease).changes) > 0;
  }

  endLeases(lease: number | undefined, nowMs: number): WatchGroup | undefined {
    this.begin();
    const ids =
      lease === undefined ? this.#run.overLeases.all(nowMs).map((row) => count(row["id"])) : [lease];
    const operations: Operation[] = [];
    for (const id of ids) {
      for (const row of this.#run.leaseKeys.all(id))
        operations.push({ type: "delete", key: text(row["key"]) });
      this.#run.removeLease.run(id);
    }
    return this.transact({ compare: [], operations }).group;
  }

  nextExpiryMs(): number | undefined {
    const row = this.#run.nextLease.get();
    return row === undefined || row["next"] === null ? undefined : count(row["next"]);
  }

  compact(revision: number): void {
    this.begin();
    const upTo = Math.min(revision, this.#revision);
    if (upTo <= this.#compacted) return;
    const size = this.#run.sizeUpTo.get(upTo);
    this.#run.dropUpTo.run(upTo);
    this.#logChanges -= count(size?.["changes"]);
    this.#logBytes -= count(size?.["bytes"]);
    this.#compacted = upTo;
    this.#run.setMeta.run("compacted", String(upTo));
  }

  #apply(operation: Operation, revision: number): Change | undefined {
    const previous = this.get(operation.key);
    if (operation.type === "delete") {
      if (previous === undefined) return undefined;
      this.#run.remove.run(operation.key);
      return { type: "delete", entry: { ...previous, modRevision: revision }, previous };
    }
    const { key, value } = operation;
    const entry = { key, value, modRevision: revision, createRevision: previous?.createRevision ?? revision };
    this.#run.put.run(key, value, revision, entry.createRevision, operation.lease ?? null);
    return { type: "put", entry, previous };
  }

  #log({ type, entry, previous }: Change, sequence: number): void {
    if (this.#options.ephemeralPrefixes.some((prefix) => entry.key.startsWith(prefix))) return;
    // The value of a deletion is the previous one: kept once.
    const value = type === "put" ? entry.value : null;
    const before = [
      previous?.value ?? null,
      previous?.modRevision ?? null,
      previous?.createRevision ?? null,
    ] as const;
    this.#run.addLog.run(entry.modRevision, sequence, entry.key, value, entry.createRevision, ...before);
    this.#logChanges += 1;
    this.#logBytes += (value?.length ?? 0) + (previous?.value.length ?? 0);
  }

  #trim(): void {
    const tooMany = this.#logChanges - (this.#options.maxLogChanges ?? MAX_LOG_CHANGES);
    const tooLarge = this.#logBytes - (this.#options.maxLogBytes ?? MAX_LOG_BYTES);
    if (tooMany <= 0 && tooLarge <= 0) return;
    const step = tooLarge > 0 ? COMPACT_STEP : Math.min(tooMany, COMPACT_STEP);
    const row = this.#run.oldest.get(step - 1) ?? this.#run.newest.get();
    if (row !== undefined) this.compact(count(row["revision"]));
  }

  #measureLog(): void {
    const size = this.#run.logSize.get();
    this.#logChanges = count(size?.["changes"]);
    this.#logBytes = count(size?.["bytes"]);
  }

  #meta(name: string): string {
    return text(this.#run.meta.get(name)?.["value"]);
  }
}

function entryOf(row: Row): Entry {
  return {
    key: text(row["key"]),
    value: text(row["value"]),
    modRevision: count(row["mod"]),
    createRevision: count(row["created"]),
  };
}

function previousOf(row: Row): Entry | undefined {
  if (row["previous"] === null) return undefined;
  return {
    key: text(row["key"]),
    value: text(row["previous"]),
    modRevision: count(row["previous_mod"]),
    createRevision: count(row["previous_created"]),
  };
}

function changeOf(row: Row): Change {
  const previous = previousOf(row);
  if (row["value"] === null && previous !== undefined) {
    return { type: "delete", entry: { ...previous, modRevision: count(row["mod"]) }, previous };
  }
  return { type: "put", entry: entryOf(row), previous };
}
