/**
 * Layer plan. A text for `iptables-restore --noflush`, with the service port that each line came from, so that a refused
 * line can be blamed on it. Lines may be worked out while they are read. Pure.
 */
import { TABLES, type Table } from "./names.ts";

export interface RestoreInput {
  /**
   * Whole lines, some at a time, with line ends between them and none behind the last. Can be read more than once. Line
   * numbers in errors begin with 1.
   */
  readonly text: Iterable<string>;
  /** The same one by one. */
  readonly lines: Iterable<string>;
  /** Key of the unit that line `number` (from 1) was written for; of lines that have been read. */
  ownerOf(number: number): string | undefined;
  /** What was read the last time. */
  readonly size: InputSize;
}

export interface InputSize {
  readonly lines: number;
  readonly rules: { readonly filter: number; readonly nat: number };
}

/** Lines that a unit is behind; an empty key where nobody is. */
export interface OwnedLines {
  readonly key: string;
  readonly lines: readonly string[];
  /** How many of them append a rule: told, since looking into every line would take as long as writing it. */
  readonly rules: number;
}

interface Owned {
  readonly from: number;
  readonly key: string;
}

function* linesOf(text: Iterable<string>): Generator<string, void> {
  for (const some of text) yield* some.split("\n");
}

const NO_LINES: () => Iterable<OwnedLines> = () => [];

/** Collects the parts that each table of a restore has: chains (declaring one empties it), rules, deletions. */
class TablePart {
  readonly chains: string[] = [];
  streamed = NO_LINES;
  readonly rules: { readonly key: string; readonly lines: string[]; rules: number }[] = [];
  readonly deletions: string[] = [];

  *blocks(): Iterable<OwnedLines> {
    yield { key: "", lines: this.chains, rules: 0 };
    yield* this.streamed();
    yield* this.rules;
    yield { key: "", lines: this.deletions, rules: 0 };
  }
}

class WrittenInput implements RestoreInput {
  readonly #tables: ReadonlyMap<Table, TablePart>;
  readonly text: Iterable<string>;
  readonly lines: Iterable<string>;
  #owners: Owned[] = [];
  #size: InputSize = { lines: 0, rules: { filter: 0, nat: 0 } };

  constructor(tables: ReadonlyMap<Table, TablePart>) {
    this.#tables = tables;
    this.text = { [Symbol.iterator]: () => this.#write() };
    this.lines = { [Symbol.iterator]: () => linesOf(this.#write()) };
  }

  get size(): InputSize {
    return this.#size;
  }

  ownerOf(number: number): string | undefined {
    let found = "";
    for (const { from, key } of this.#owners) {
      if (from >= number) break;
      found = key;
    }
    return found === "" ? undefined : found;
  }

  *#write(): Generator<string, void> {
    const counted = { filter: 0, nat: 0, mangle: 0 };
    const size = { lines: 0, rules: counted };
    const owners: Owned[] = [];
    this.#size = size;
    this.#owners = owners;
    for (const table of TABLES) {
      let isOpen = false;
      for (const { key, lines, rules } of this.#tables.get(table)?.blocks() ?? []) {
        if (lines.length === 0) continue;
        if (!isOpen) {
          isOpen = true;
          size.lines++;
          yield `*${table}`;
        }
        if ((owners.at(-1)?.key ?? "") !== key) owners.push({ from: size.lines, key });
        size.lines += lines.length;
        counted[table] += rules;
        yield lines.join("\n");
      }
      if (!isOpen) continue;
      owners.push({ from: size.lines, key: "" });
      size.lines++;
      yield "COMMIT";
    }
  }
}

export class RestoreWriter {
  readonly #tables = new Map<Table, TablePart>();

  /** Makes `chain`, or empties it. */
  declare(table: Table, chain: string): void {
    this.#part(table).chains.push(declaration(chain));
  }

  remove(table: Table, chain: string): void {
    const part = this.#part(table);
    part.chains.push(declaration(chain));
    part.deletions.push(`-X ${chain}`);
  }

  /** @param key of the unit behind the lines, if there is one */
  add(table: Table, lines: readonly string[], key = ""): void {
    if (lines.length === 0) return;
    const { rules } = this.#part(table);
    let last = rules.at(-1);
    if (last?.key !== key) {
      last = { key, lines: [], rules: 0 };
      rules.push(last);
    }
    for (const line of lines) {
      last.lines.push(line);
      if (line.startsWith("-A ")) last.rules++;
    }
  }

  /** Lines between what is declared and what is added, asked for each time that the input is read. One source a table. */
  stream(table: Table, source: () => Iterable<OwnedLines>): void {
    this.#part(table).streamed = source;
  }

  get isEmpty(): boolean {
    return this.#tables.size === 0;
  }

  finish(): RestoreInput {
    return new WrittenInput(this.#tables);
  }

  #part(table: Table): TablePart {
    const known = this.#tables.get(table);
    if (known !== undefined) return known;
    const part = new TablePart();
    this.#tables.set(table, part);
    return part;
  }
}

/** Makes a chain, or empties it. */
export function declaration(chain: string): string {
  return `:${chain} - [0:0]`;
}
