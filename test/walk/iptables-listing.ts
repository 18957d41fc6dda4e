/**
 * Random walks: the text of `iptables-save` or `ip6tables-save`, of either variant, as tables of chains of rules; a rule is taken
 * apart into tests and a target. Source: iptables-extensions(8), iptables 1.8.9.
 */
import { unknown } from "./branches.ts";

/** One test of a rule. */
export interface Test {
  readonly option: string;
  readonly value: string;
  readonly isNegated: boolean;
}

export interface Rule {
  readonly tests: readonly Test[];
  /** Absent: the rule only counts. */
  readonly target?: { readonly name: string; readonly options: ReadonlyMap<string, string> };
  readonly text: string;
}

export interface SavedTables {
  /** By table, then chain. */
  readonly tables: ReadonlyMap<string, ReadonlyMap<string, readonly Rule[]>>;
}

/** Options that stand alone, options with a value, and words that only load a module. */
const FLAGS: ReadonlySet<string> = new Set(["--rcheck", "--set", "--reap", "--rsource"]);
const VALUED: ReadonlySet<string> = new Set([
  "-s",
  "-d",
  "-p",
  "-i",
  "--dport",
  "--ctstate",
  "--mark",
  "--dst-type",
  "--src-type",
  "--mode",
  "--probability",
  "--seconds",
  "--name",
  "--mask",
  "--comment",
  "--nfacct-name",
]);
const MODULES: ReadonlySet<string> = new Set([
  "comment",
  "tcp",
  "udp",
  "sctp",
  "conntrack",
  "mark",
  "addrtype",
  "statistic",
  "recent",
  "nfacct",
]);
const TARGET_FLAGS: ReadonlySet<string> = new Set(["--random-fully"]);
const TARGET_OPTIONS: ReadonlySet<string> = new Set(["--to-destination", "--set-xmark", "--reject-with"]);

/** Words of a line; quotes hold blanks together. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
}

function readTarget(rest: readonly string[], text: string): NonNullable<Rule["target"]> {
  const [name = "", ...given] = rest;
  const options = new Map<string, string>();
  for (let i = 0; i < given.length; i++) {
    const option = given[i] ?? "";
    if (TARGET_FLAGS.has(option)) options.set(option, "");
    else if (TARGET_OPTIONS.has(option)) options.set(option, given[++i] ?? "");
    else unknown(`option ${option} of a target`, text);
  }
  return { name, options };
}

function readRule(rest: readonly string[], text: string): Rule {
  const tests: Test[] = [];
  let isNegated = false;
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i] ?? "";
    if (word === "!") isNegated = true;
    else if (word === "-j") return { tests, target: readTarget(rest.slice(i + 1), text), text };
    else if (word === "-m") {
      if (!MODULES.has(rest[++i] ?? "")) unknown("module", text);
    } else if (FLAGS.has(word) || VALUED.has(word)) {
      tests.push({ option: word, value: VALUED.has(word) ? (rest[++i] ?? "") : "", isNegated });
      isNegated = false;
    } else unknown(`word ${word}`, text);
  }
  return { tests, text };
}

/** @throws {UnknownRule} for anything that is not known */
export function readSavedTables(text: string): SavedTables {
  const tables = new Map<string, Map<string, Rule[]>>();
  let table: Map<string, Rule[]> | undefined;
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#") || line === "COMMIT") continue;
    if (line.startsWith("*")) {
      table = new Map();
      tables.set(line.slice(1), table);
      continue;
    }
    const [first = "", chain = "", ...rest] = words(line);
    if (table === undefined) return unknown("line outside of a table", line);
    if (line.startsWith(":")) {
      if (chain !== "-" && chain !== "ACCEPT") return unknown("policy", line);
      table.set(first.slice(1), []);
      continue;
    }
    const rules = table.get(chain);
    if (first !== "-A" || rules === undefined) return unknown("line", line);
    rules.push(readRule(rest, line));
  }
  return { tables };
}
