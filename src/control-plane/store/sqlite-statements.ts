/** Layer control-plane. Tables and statements of the SQLite engine, and the settings they rest on. */
import type { DatabaseSync, StatementSync } from "node:sqlite";

const LAYOUT = 1;

/**
 * WAL with synchronous FULL: a commit is on disk when it returns. Exclusive: nobody else writes this file, and a second
 * control plane on it fails at start. The write-ahead log is cut back to 16 MiB at checkpoints.
 */
const SETTINGS = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 16777216;
PRAGMA cache_size = -8000;
PRAGMA temp_store = MEMORY;
`;

const TABLES = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS kv (
  key TEXT NOT NULL UNIQUE, value TEXT NOT NULL, mod INTEGER NOT NULL, created INTEGER NOT NULL, lease INTEGER);
CREATE INDEX IF NOT EXISTS kv_lease ON kv (lease) WHERE lease IS NOT NULL;
CREATE TABLE IF NOT EXISTS log (
  revision INTEGER NOT NULL, sequence INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, created INTEGER NOT NULL,
  previous TEXT, previous_mod INTEGER, previous_created INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS log_revision ON log (revision, sequence);
CREATE TABLE IF NOT EXISTS lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl INTEGER NOT NULL, expires INTEGER NOT NULL);
PRAGMA user_version = ${LAYOUT};
`;

/** @throws when the file has another layout, is locked, or is no database */
export function createTables(database: DatabaseSync): void {
  database.exec(SETTINGS);
  const found = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (found !== 0 && found !== LAYOUT) {
    throw new Error(`the database has layout ${found}, this program knows ${LAYOUT}`);
  }
  database.exec(TABLES);
}

const LOG = "key, value, revision AS mod, created, previous, previous_mod, previous_created";
const SIZE =
  "count(*) AS changes, coalesce(sum(coalesce(length(value), 0) + coalesce(length(previous), 0)), 0) AS bytes";

const SQL = {
  meta: "SELECT value FROM meta WHERE name = ?",
  setMeta: "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  get: "SELECT key, value, mod, created FROM kv WHERE key = ?",
  modOf: "SELECT mod FROM kv WHERE key = ?",
  list: "SELECT key, value, mod, created FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
  countAfter: "SELECT count(*) AS n FROM kv WHERE key > ? AND key < ?",
  put: `INSERT INTO kv VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, mod = excluded.mod, lease = excluded.lease`,
  remove: "DELETE FROM kv WHERE key = ?",
  addLog: "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  history: `SELECT ${LOG} FROM log WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision, sequence LIMIT ?`,
  ofRevision: `SELECT ${LOG} FROM log WHERE revision = ? AND key >= ? AND key < ? ORDER BY sequence`,
  changedAfter: `SELECT ${LOG} FROM log WHERE revision > ? AND key >= ? AND key < ?
    ORDER BY revision DESC, sequence DESC`,
  logSize: `SELECT ${SIZE} FROM log`,
  sizeUpTo: `SELECT ${SIZE} FROM log WHERE revision <= ?`,
  dropUpTo: "DELETE FROM log WHERE revision <= ?",
  oldest: "SELECT revision FROM log ORDER BY revision, sequence LIMIT 1 OFFSET ?",
  newest: "SELECT max(revision) AS revision FROM log",
  addLease: "INSERT INTO lease (ttl, expires) VALUES (?, ?)",
  renewLease: "UPDATE lease SET expires = ? + ttl * 1000 WHERE id = ?",
  removeLease: "DELETE FROM lease WHERE id = ?",
  overLeases: "SELECT id FROM lease WHERE expires <= ? LIMIT 200",
  leaseKeys: "SELECT key FROM kv WHERE lease = ?",
  nextLease: "SELECT min(expires) AS next FROM lease",
} as const;

export type Statements = Readonly<Record<keyof typeof SQL, StatementSync>>;

export function prepareStatements(database: DatabaseSync): Statements {
  const entries = Object.entries(SQL).map(([name, sql]) => [name, database.prepare(sql)] as const);
  return Object.fromEntries(entries) as unknown as Statements;
}
