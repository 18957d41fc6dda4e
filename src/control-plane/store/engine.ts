/**
 * Layer control-plane. What stands behind a Store: synchronous, without threads, timers or watchers. The SQLite engine
 * runs in a worker thread, the memory engine in place; WatchHub adds the watches to both.
 */
import type { Entry, ListRequest, ListResult, Transaction, TransactionResult, WatchGroup } from "./store.ts";

export interface History {
  readonly groups: readonly WatchGroup[];
  /** Everything up to this revision is in `groups`. */
  readonly upTo: number;
}

export interface Committed {
  readonly result: TransactionResult;
  /** Absent when nothing changed. */
  readonly group: WatchGroup | undefined;
}

export interface StoreEngine {
  readonly epoch: string;
  revision(): number;
  compactRevision(): number;
  get(key: string): Entry | undefined;
  list(request: ListRequest): ListResult;
  transact(transaction: Transaction): Committed;
  /** Logged changes after `from`, at most about `limit` of them, never half a revision; `undefined`: compacted. */
  history(prefix: string, from: number, limit: number): History | undefined;
  grantLease(ttlSeconds: number, nowMs: number): number;
  keepAlive(lease: number, nowMs: number): boolean;
  /** Ends one lease, or with `undefined` all that are over at `nowMs`. */
  endLeases(lease: number | undefined, nowMs: number): WatchGroup | undefined;
  /** When the next lease ends; `undefined`: never. */
  nextExpiryMs(): number | undefined;
  compact(revision: number): void;
}

/** First key behind all keys with `prefix`. Keys are ASCII. */
export function prefixEnd(prefix: string): string {
  if (prefix === "") return "\u{10ffff}";
  const last = prefix.length - 1;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

/** True when some key can be under both prefixes. */
export function prefixesMeet(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}
