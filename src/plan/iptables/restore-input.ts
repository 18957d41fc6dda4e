/**
 * Layer plan. A text for `iptables-restore --noflush`, with the service port that each line came from, so that a refused
 * line can be blamed on it. Pure.
 */
import { TABLES, type Table } from "./names.ts";

export interface RestoreInput {
  /** Without line ends. Line numbers in errors begin with 1. */
  readonly lines: readonly string[];
  /** Key of the unit that line `number` (from 1) was written for. */
  ownerOf(number: number): string | undefined;
}

interface Owned {
  readonly from: number;
  readonly key: string;
}

/** Collects the three parts that each table of a restore has: chains (declaring one empties it), rules, deletions. */
class TablePart {
  readonly chains: string[] = [];
  readonly rules: string[] = [];
  readonly deletions: string[] = [];
  /** Ascending; `key` is empty where a stretch of lines is nobody's. */
  readonly owners: Owned[] = [];
}

export class RestoreWriter {
  readonly #tables = new Map<Table, TablePart>();

  /** Makes `chain`, or empties it. */
  declare(table: Table, chain: string): void {
    this.#part(table).chains.push(`:${chain} - [0:0]`);
  }

  remove(table: Table, chain: string): void {
    const part = this.#part(table);
    part.chains.push(`:${chain} - [0:0]`);
    part.deletions.push(`-X ${chain}`);
  }

  /** @param key of the unit behind the lines, if there is one */
  add(table: Table, lines: readonly string[], key = ""): void {
    if (lines.length === 0) return;
    const part = this.#part(table);
    if ((part.owners.at(-1)?.key ?? "") !== key) part.owners.push({ from: part.rules.length, key });
    for (const line of lines) part.rules.push(line);
  }

  get isEmpty(): boolean {
    return this.#tables.size === 0;
  }

  finish(): RestoreInput {
    const lines: string[] = [];
    const owners: Owned[] = [];
    for (const table of TABLES) {
      const part = this.#tables.get(table);
      if (part === undefined) continue;
      lines.push(`*${table}`);
      for (const line of part.chains) lines.push(line);
      for (const { from, key } of part.owners) owners.push({ from: lines.length + from, key });
      for (const line of part.rules) lines.push(line);
      owners.push({ from: lines.length, key: "" });
      for (const line of part.deletions) lines.push(line);
      lines.push("COMMIT");
    }
    return { lines, ownerOf: (number) => ownerAt(owners, number - 1) };
  }

  #part(table: Table): TablePart {
    const known = this.#tables.get(table);
    if (known !== undefined) return known;
    const part = new TablePart();
    this.#tables.set(table, part);
    return part;
  }
}

function ownerAt(owners: readonly Owned[], index: number): string | undefined {
  let found = "";
  for (const { from, key } of owners) {
    if (from > index) break;
    found = key;
  }
  return found === "" ? undefined : found;
}
