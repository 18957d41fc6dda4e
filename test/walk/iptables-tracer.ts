/**
 * Random walks: leads a packet through the tables of `iptables-save`. Follows both outcomes of `--mode random`, and refuses whatever
 * match or target it has not been taught. Independent of the compiler.
 */
import {
  addBranch,
  arrive,
  type Branch,
  emptyTrace,
  endAs,
  type Memory,
  startOf,
  type Trace,
  unknown,
} from "./branches.ts";
import type { Rule, SavedTables, Test } from "./iptables-listing.ts";
import type { Packet } from "./oracle.ts";
import { isIn } from "./oracle.ts";

const MAX_DEPTH = 8;
type End = "accept" | "pass" | "drop" | "reject";

interface Ends {
  readonly next: Branch[];
  readonly out: Branch[];
  readonly ends: { readonly branch: Branch; readonly end: End }[];
  readonly depth: number;
}

interface Open {
  readonly branch: Branch;
  /** Some rule of a filter chain let it in. */
  readonly isAccepted: boolean;
}

export class IptablesTracer {
  readonly #saved: SavedTables;
  readonly #isLocal: (address: string) => boolean;
  #packet: Packet | undefined;
  #memory: Memory = {};

  constructor(saved: SavedTables, isLocal: (address: string) => boolean) {
    this.#saved = saved;
    this.#isLocal = isLocal;
    for (const [table, chains] of saved.tables) {
      const isEmpty = [...chains.values()].every((rules) => rules.length === 0);
      if (table !== "nat" && table !== "filter" && !isEmpty) unknown("table with rules", table);
    }
  }

  trace(packet: Packet, memory: Memory = {}): Trace {
    this.#packet = packet;
    this.#memory = memory;
    const trace = emptyTrace();
    const isFromNode = packet.from === "node";
    const start = [{ branch: startOf(packet), isAccepted: false }];
    let open = this.#hook("nat", isFromNode ? "OUTPUT" : "PREROUTING", start, trace);
    if (isFromNode) open = this.#hook("filter", "OUTPUT", open, trace);
    for (const one of open) {
      const isHere = this.#isLocal(one.branch.destination);
      let left = [one];
      if (!isFromNode) left = this.#hook("filter", isHere ? "INPUT" : "FORWARD", left, trace);
      if (isFromNode || !isHere) left = this.#hook("nat", "POSTROUTING", left, trace);
      if (isFromNode && isHere) left = this.#hook("filter", "INPUT", left, trace);
      for (const { branch, isAccepted } of left) arrive(trace, branch, isAccepted);
    }
    return trace;
  }

  #hook(table: "nat" | "filter", chain: string, open: readonly Open[], trace: Trace): Open[] {
    const left: Open[] = [];
    for (const { branch, isAccepted } of open) {
      const ends: Ends["ends"] = [];
      for (const through of this.#chain(table, chain, branch, ends, 0))
        left.push({ branch: through, isAccepted });
      for (const { branch: one, end } of ends) {
        if (end === "drop" || end === "reject") endAs(trace, end === "drop" ? "DROP" : "REJECT", one.share);
        else left.push({ branch: one, isAccepted: isAccepted || (end === "accept" && table === "filter") });
      }
    }
    return left;
  }

  #chain(table: "nat" | "filter", name: string, start: Branch, ends: Ends["ends"], depth: number): Branch[] {
    if (depth > MAX_DEPTH) return unknown("chains are nested too deeply", name);
    const rules = this.#saved.tables.get(table)?.get(name);
    if (rules === undefined) return depth === 0 ? [start] : unknown("no such chain", `${table} ${name}`);
    const out: Branch[] = [];
    let open: Branch[] = [start];
    for (const rule of rules) {
      const next: Branch[] = [];
      for (const branch of open) this.#rule(table, rule, branch, { next, out, ends, depth });
      open = next;
      if (open.length === 0) break;
    }
    for (const branch of open) addBranch(out, branch);
    return out;
  }

  #rule(table: "nat" | "filter", rule: Rule, branch: Branch, to: Ends): void {
    let chance = 1;
    let remembered = "";
    for (const test of rule.tests) {
      if (test.option === "--probability") chance *= this.#probability(test, rule);
      else if (test.option === "--set") remembered = this.#list(rule);
      else if (!this.#holds(test, rule, branch)) {
        addBranch(to.next, branch);
        return;
      }
    }
    if (chance < 1) addBranch(to.next, { ...branch, share: branch.share * (1 - chance) });
    const taken = { ...branch, share: branch.share * chance };
    this.#target(table, rule, remembered === "" ? taken : { ...taken, remembered }, to);
  }

  #target(table: "nat" | "filter", rule: Rule, branch: Branch, to: Ends): void {
    const { target } = rule;
    if (target === undefined) {
      addBranch(to.next, branch);
      return;
    }
    const end = (kind: End, changed: Branch = branch) => void to.ends.push({ branch: changed, end: kind });
    switch (target.name) {
      case "ACCEPT":
        end("accept");
        return;
      case "DROP":
        end("drop");
        return;
      case "REJECT":
        end("reject");
        return;
      case "RETURN":
        addBranch(to.out, branch);
        return;
      case "MARK":
        addBranch(to.next, {
          ...branch,
          mark: newMark(branch.mark, target.options.get("--set-xmark"), rule),
        });
        return;
      case "MASQUERADE":
        end("pass", { ...branch, isMasqueraded: true });
        return;
      case "DNAT": {
        const match = /^\[?([^\]]+?)\]?:(\d+)$/.exec(target.options.get("--to-destination") ?? "");
        const [, destination] = match ?? unknown("DNAT", rule.text);
        if (destination === undefined) unknown("DNAT", rule.text);
        end("pass", { ...branch, destination, port: Number(match?.[2]), isDnated: true });
        return;
      }
      default:
        for (const back of this.#chain(table, target.name, branch, to.ends, to.depth + 1))
          addBranch(to.next, back);
    }
  }

  #probability({ value, isNegated }: Test, rule: Rule): number {
    const mode = rule.tests.find(({ option }) => option === "--mode")?.value;
    const chance = Number(value);
    return mode === "random" && chance > 0 && chance < 1 && !isNegated
      ? chance
      : unknown("statistic", rule.text);
  }

  /** The list of clients that a rule's `recent` is about. */
  #list(rule: Rule): string {
    const name = rule.tests.find(({ option }) => option === "--name")?.value;
    const mask = rule.tests.find(({ option }) => option === "--mask")?.value ?? "255.255.255.255";
    const isWhole = mask === "255.255.255.255" || mask === "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    return name === undefined || !isWhole ? unknown("recent", rule.text) : name;
  }

  #holds({ option, value, isNegated }: Test, rule: Rule, branch: Branch): boolean {
    return this.#test(option, value, rule, branch) !== isNegated;
  }

  #test(option: string, value: string, rule: Rule, branch: Branch): boolean {
    const packet = this.#packet;
    if (packet === undefined) throw new Error("no packet");
    switch (option) {
      case "-p":
        return value === packet.protocol.toLowerCase();
      case "-s":
        return isIn(asRange(value), packet.source);
      case "-i":
        return value.endsWith("+") ? packet.device.startsWith(value.slice(0, -1)) : packet.device === value;
      case "-d":
        return isIn(asRange(value), branch.destination);
      case "--dport":
        return Number(value) === branch.port;
      case "--ctstate":
        return value.split(",").some((state) => state === "NEW" || (state === "DNAT" && branch.isDnated));
      case "--mark": {
        const [wanted = 0, mask = 0xffffffff] = value.split("/").map(Number);
        return (branch.mark & mask) >>> 0 === wanted;
      }
      case "--dst-type":
        return value === "LOCAL" ? this.#isLocal(branch.destination) : unknown("address type", rule.text);
      case "--src-type":
        return value === "LOCAL" ? this.#isLocal(packet.source) : unknown("address type", rule.text);
      case "--rcheck":
        return this.#list(rule) === this.#memory.knownIn;
      case "--mode":
        return value === "random" ? true : unknown("statistic", rule.text);
      case "--seconds":
        return Number(value) > 0 ? true : unknown("recent", rule.text);
      case "--name":
      case "--mask":
      case "--reap":
      case "--rsource":
      case "--comment":
      // Counts whoever comes this far.
      case "--nfacct-name":
        return true;
      default:
        return unknown(`test ${option}`, rule.text);
    }
  }
}

function asRange(text: string): string {
  return text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`;
}

/** `VALUE/MASK`: the bits of the mask are cleared, then those of the value turned over. */
function newMark(mark: number, option: string | undefined, rule: Rule): number {
  const [value = Number.NaN, mask = 0xffffffff] = (option ?? "").split("/").map(Number);
  return Number.isNaN(value) || option === "" || option === undefined
    ? unknown("MARK", rule.text)
    : ((mark & ~mask) ^ value) >>> 0;
}
