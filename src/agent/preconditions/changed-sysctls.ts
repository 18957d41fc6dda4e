/**
 * Layer agent. The list of kernel settings that nodeplane changed on this machine, with the value before: kept in the
 * state folder, shown by `nodeplane cleanup`. Only the first "before" counts.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface ChangedSysctl {
  readonly path: string;
  readonly before: string;
  readonly ours: string;
}

const MAX_BYTES = 1 << 20;

export function changedSysctlsPath(stateDir: string): string {
  return join(stateDir, "sysctls.json");
}

/** @returns an empty list when there is no file or it is damaged */
export function readChangedSysctls(path: string): readonly ChangedSysctl[] {
  try {
    const text = readFileSync(path, "utf8");
    const value: unknown = text.length > MAX_BYTES ? [] : JSON.parse(text);
    return Array.isArray(value) ? value.filter(isChangedSysctl) : [];
  } catch {
    return [];
  }
}

/** Adds to the list. @throws when it cannot be written */
export function addChangedSysctls(path: string, changed: readonly ChangedSysctl[]): void {
  if (changed.length === 0) return;
  const all = new Map(readChangedSysctls(path).map((entry) => [entry.path, entry]));
  for (const entry of changed) {
    const first = all.get(entry.path);
    all.set(entry.path, first === undefined ? entry : { ...entry, before: first.before });
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, `${JSON.stringify([...all.values()], undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function isChangedSysctl(value: unknown): value is ChangedSysctl {
  const entry = value as Readonly<Record<string, unknown>> | null;
  return (
    typeof entry === "object" &&
    entry !== null &&
    typeof entry["path"] === "string" &&
    typeof entry["before"] === "string" &&
    typeof entry["ours"] === "string"
  );
}
