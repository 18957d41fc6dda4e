/**
 * Layer drivers. iptables in memory: takes the input that iptables-restore takes, with its rules about chains. Knows the
 * grammar of lines, not of matches; refuses rules that hold the word given to `refuse`.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { IptablesDriver, IptablesVariant, RestoreResult } from "./driver.ts";

const BUILT_IN: Readonly<Record<string, readonly string[]>> = {
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
};
const TARGETS = new Set([...["ACCEPT", "DROP", "RETURN", "REJECT", "MARK", "MASQUERADE", "DNAT"]]);

type Chains = Map<string, string[]>;

function freshTables(): Map<string, Chains> {
  const tables = Object.entries(BUILT_IN).map(
    ([table, chains]) => [table, new Map(chains.map((chain): [string, string[]] => [chain, []]))] as const,
  );
  return new Map(tables);
}

class Refused extends Error {}

export class FakeIptables implements IptablesDriver {
  readonly family: IpFamily;
  readonly variant: IptablesVariant;
  readonly version = "1.8.9";
  readonly hasRandomFully = true;
  #tables = freshTables();
  /** Inputs taken, newest last. */
  readonly inputs: (readonly string[])[] = [];
  saves = 0;
  /** A rule that holds this text is refused. */
  refuse: string | undefined;

  constructor(family: IpFamily, variant: IptablesVariant = "legacy") {
    this.family = family;
    this.variant = variant;
  }

  /** Somebody empties everything. */
  flush(): void {
    this.#tables = freshTables();
  }

  save(): Promise<string> {
    this.saves++;
    return Promise.resolve(this.text());
  }

  text(): string {
    const lines: string[] = [];
    for (const [table, chains] of this.#tables) {
      lines.push(`*${table}`);
      const isBuiltIn = (chain: string) => BUILT_IN[table]?.includes(chain) === true;
      for (const chain of chains.keys()) lines.push(`:${chain} ${isBuiltIn(chain) ? "ACCEPT" : "-"} [0:0]`);
      for (const [chain, rules] of chains) for (const rule of rules) lines.push(`-A ${chain} ${rule}`);
      lines.push("COMMIT");
    }
    return `${lines.join("\n")}\n`;
  }

  hasChain(table: "filter" | "nat" | "mangle", chain: string): Promise<boolean> {
    return Promise.resolve(this.#tables.get(table)?.has(chain) === true);
  }

  restore(text: Iterable<string>): Promise<RestoreResult> {
    const lines = [...text].flatMap((some) => some.split("\n"));
    if (lines.length > 0) this.inputs.push(lines);
    let name = "";
    let table: Chains | undefined;
    for (const [index, line] of lines.entries()) {
      try {
        if (line.startsWith("*")) {
          name = line.slice(1);
          table = structuredClone(this.#tables.get(name));
        } else if (table === undefined) throw new Refused("no table");
        else if (line === "COMMIT") {
          checkJumps(table);
          this.#tables.set(name, table);
          table = undefined;
        } else this.#line(table, line);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        return Promise.resolve({ kind: "failed", line: index + 1, message: error.message });
      }
    }
    return Promise.resolve({ kind: "restored" });
  }

  #line(table: Chains, line: string): void {
    if (line.startsWith(":")) {
      const [chain = "", policy] = line.slice(1).split(" ");
      if (policy !== "-") throw new Refused(`policy of ${chain}`);
      table.set(chain, []);
      return;
    }
    const [, verb = "", chain = "", rest = ""] = /^(-\S+) (\S+)(?: (.*))?$/.exec(line) ?? [];
    const rules = table.get(chain);
    if (rules === undefined) throw new Refused(`no chain ${chain}`);
    if (this.refuse !== undefined && rest.includes(this.refuse)) throw new Refused(`bad argument in ${rest}`);
    if (verb === "-A") rules.push(rest);
    else if (verb === "-I") rules.unshift(rest.replace(/^1 /, ""));
    else if (verb === "-D") {
      const at = rules.indexOf(rest);
      if (at < 0) throw new Refused("no such rule");
      rules.splice(at, 1);
    } else if (verb === "-X") {
      if (rules.length > 0) throw new Refused(`${chain} is not empty`);
      if ([...table.values()].some((others) => others.some((rule) => targetOf(rule) === chain)))
        throw new Refused(`${chain} is in use`);
      table.delete(chain);
    } else throw new Refused(`unknown command ${verb}`);
  }
}

function targetOf(rule: string): string | undefined {
  return /(?:^| )-j (\S+)/.exec(rule)?.[1];
}

function checkJumps(table: Chains): void {
  for (const rules of table.values())
    for (const rule of rules) {
      const target = targetOf(rule);
      if (target !== undefined && !TARGETS.has(target) && !table.has(target))
        throw new Refused(`no chain ${target}`);
    }
}
