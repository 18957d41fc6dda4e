/** Layer plan. What an `iptables-save` says of the tables that we write to. Pure; ignores what it has no use for. */
import { TABLES, type Table } from "./names.ts";

export interface SavedTable {
  readonly chains: ReadonlySet<string>;
  /** Rules without `-A CHAIN `, as they are saved, by chain; a chain without rules has no entry. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
}

export type SavedState = Readonly<Record<Table, SavedTable>>;

interface MutableTable {
  readonly chains: Set<string>;
  readonly rules: Map<string, string[]>;
}

function emptyTable(): MutableTable {
  return { chains: new Set(), rules: new Map() };
}

export function emptyState(): SavedState {
  return { filter: emptyTable(), nat: emptyTable(), mangle: emptyTable() };
}

/** Reads the text of iptables-save, of one family. Cost O(text). */
export function parseSaved(text: string): SavedState {
  const state = { filter: emptyTable(), nat: emptyTable(), mangle: emptyTable() };
  let table: MutableTable | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      const name = TABLES.find((known) => known === line.slice(1).trim());
      table = name === undefined ? undefined : state[name];
    } else if (table !== undefined && line.startsWith(":")) {
      table.chains.add(line.slice(1, line.indexOf(" ")));
    } else if (table !== undefined && line.startsWith("-A ")) {
      const end = line.indexOf(" ", 3);
      const chain = line.slice(3, end < 0 ? undefined : end);
      if (end < 0) continue;
      const rules = table.rules.get(chain);
      if (rules === undefined) table.rules.set(chain, [line.slice(end + 1).trimEnd()]);
      else rules.push(line.slice(end + 1).trimEnd());
    }
  }
  return state;
}
