/**
 * Test code. Walks the first packet of a connection through the text of iptables-restore input (or iptables-save), and
 * follows every outcome of `--mode random`. Throws on any match, option or target that it does not know.
 */
import {
  cidrContains,
  type IpAddress,
  type IpFamily,
  ipFamily,
  parseCidr,
  parseIp,
} from "../../src/model/ip.ts";
import type { Outcome, TracedPacket } from "./tracer.ts";

type Chains = Map<string, string[][]>;
export type IptablesRules = Readonly<Record<"filter" | "nat" | "mangle", Chains>>;

export interface IptablesPacket extends TracedPacket {
  readonly inInterface?: string;
}

/** Words of a rule; quotes hold blanks together. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
}

/** Reads restore input over nothing but built-in chains. */
export function readRules(text: string): IptablesRules {
  const rules: IptablesRules = { filter: new Map(), nat: new Map(), mangle: new Map() };
  let table: Chains | undefined;
  for (const line of text.split("\n")) {
    const [first = "", chain = "", ...rest] = words(line);
    if (line === "" || line.startsWith("#") || line === "COMMIT") continue;
    if (line.startsWith("*")) table = rules[line.slice(1) as keyof IptablesRules];
    else if (table === undefined) throw new Error(`outside of a table: ${line}`);
    else if (line.startsWith(":")) table.set(first.slice(1), []);
    else if (first === "-X") {
      if ((table.get(chain) ?? []).length > 0) throw new Error(`deletes a chain with rules: ${line}`);
      table.delete(chain);
    } else {
      const list = table.get(chain) ?? [];
      table.set(chain, list);
      if (first === "-A") list.push(rest);
      else if (first === "-I" && rest[0] === "1") list.unshift(rest.slice(1));
      else throw new Error(`unknown command: ${line}`);
    }
  }
  return rules;
}

type End = "ACCEPT" | "DROP" | "REJECT" | "DNAT" | "MASQUERADE" | "RETURN";

interface State {
  destination: IpAddress;
  port: number;
  mark: number;
  isDnated: boolean;
  masquerade: boolean;
  probability: number;
  /** The next rule forks here. */
  readonly made: boolean[];
  at: number;
}

const FORK = new Error("fork");
const NAMES: Readonly<Record<number, string>> = { 6: "tcp", 17: "udp", 132: "sctp", 1: "icmp" };

export class IptablesTracer {
  readonly #rules: IptablesRules;
  readonly #packet: IptablesPacket;

  constructor(rules: IptablesRules, packet: IptablesPacket) {
    this.#rules = rules;
    this.#packet = packet;
  }

  trace(): readonly Outcome[] {
    const outcomes: Outcome[] = [];
    const open: boolean[][] = [[]];
    for (let made = open.pop(); made !== undefined; made = open.pop()) {
      try {
        outcomes.push(this.#walk(made));
      } catch (error) {
        if (error !== FORK) throw error;
        open.push([...made, true], [...made, false]);
      }
    }
    return outcomes;
  }

  #isLocal(address: string): boolean {
    return this.#packet.nodeAddresses.has(address) || address.startsWith("127.") || address === "::1";
  }

  #walk(made: boolean[]): Outcome {
    const { destination, port, isFromNode } = this.#packet;
    const state: State = {
      destination,
      port,
      mark: 0,
      isDnated: false,
      masquerade: false,
      probability: 1,
      made,
      at: 0,
    };
    this.#run("nat", isFromNode ? "OUTPUT" : "PREROUTING", state, 0);
    const isToNode = this.#isLocal(state.destination);
    const hooks = isFromNode ? ["OUTPUT", ...(isToNode ? ["INPUT"] : [])] : [isToNode ? "INPUT" : "FORWARD"];
    for (const hook of hooks) {
      const end = this.#run("filter", hook, state, 0);
      if (end === "DROP" || end === "REJECT") return { result: end, probability: state.probability };
    }
    this.#run("nat", "POSTROUTING", state, 0);
    if (!state.isDnated) return { result: "NONE", probability: state.probability };
    const address = state.destination.includes(":") ? `[${state.destination}]` : state.destination;
    const backend = `${address}:${state.port}`;
    return { result: "BACKEND", backend, masquerade: state.masquerade, probability: state.probability };
  }

  #run(table: "filter" | "nat", chain: string, state: State, depth: number): End | undefined {
    if (depth > 8) throw new Error(`chains go in circles at ${chain}`);
    const rules = this.#rules[table].get(chain);
    if (rules === undefined && depth > 0) throw new Error(`jump to ${chain}, which does not exist`);
    for (const rule of rules ?? []) {
      const target = this.#matches(rule, state);
      if (target === undefined || target.length === 0) continue;
      const end = this.#target(table, target, state, depth);
      if (end === "RETURN") return undefined;
      if (end !== undefined) return end;
    }
    return undefined;
  }

  /** @returns the words from the target on; `undefined` when a match fails */
  #matches(rule: readonly string[], state: State): readonly string[] | undefined {
    let isNegated = false;
    for (let i = 0; i < rule.length; ) {
      const word = rule[i] ?? "";
      if (word === "!") {
        isNegated = true;
        i++;
        continue;
      }
      if (word === "-j") return rule.slice(i + 1);
      const [used, result] = this.#match(rule, i, state);
      if (result === isNegated) return undefined;
      isNegated = false;
      i += used;
    }
    return [];
  }

  /** @returns how many words the match has, and whether it holds; a module's name holds unless negated */
  #match(rule: readonly string[], i: number, state: State): readonly [number, boolean] {
    const value = rule[i + 1] ?? "";
    switch (rule[i]) {
      case "-m":
        return this.#module(value, rule, i, state);
      case "-p":
        return [2, value === NAMES[this.#packet.protocol]];
      case "-s":
        return [2, isIn(value, this.#packet.source)];
      case "-d":
        return [2, isIn(value, state.destination)];
      case "-i": {
        const name = this.#packet.isFromNode ? "" : (this.#packet.inInterface ?? "");
        return [2, value.endsWith("+") ? name.startsWith(value.slice(0, -1)) : name === value];
      }
      case "--dport":
        return [2, Number(value) === state.port];
      case "--ctstate":
        return [2, value.split(",").some((one) => one === "NEW" || (one === "DNAT" && state.isDnated))];
      case "--mark": {
        const [wanted = 0, mask = 0xffffffff] = value.split("/").map(Number);
        return [2, (state.mark & mask) >>> 0 === wanted];
      }
      case "--dst-type":
        return [2, must(value, "LOCAL") && this.#isLocal(state.destination)];
      case "--src-type":
        return [2, must(value, "LOCAL") && (this.#packet.isFromNode || this.#isLocal(this.#packet.source))];
      default:
        throw new Error(`unknown match ${rule[i]} in ${rule.join(" ")}`);
    }
  }

  #module(name: string, rule: readonly string[], i: number, state: State): readonly [number, boolean] {
    const after = rule.slice(i + 2);
    switch (name) {
      case "comment":
        if (after[0] !== "--comment") throw new Error(`comment without text in ${rule.join(" ")}`);
        return [4, true];
      case "statistic": {
        const [a, mode, b, probability] = after;
        if (a !== "--mode" || mode !== "random" || b !== "--probability") throw new Error(rule.join(" "));
        return [6, this.#chance(Number(probability), state)];
      }
      case "recent": {
        const text = after.slice(0, 6).join(" ");
        // A client that has not been here before: not in any list, and any list takes it.
        if (/^--name \S+ --rcheck --seconds \d+ --reap$/.test(text)) return [8, false];
        if (/^--name \S+ --set /.test(text)) return [5, true];
        throw new Error(`unknown use of recent: ${text}`);
      }
      case "tcp":
      case "udp":
      case "sctp":
        return [2, NAMES[this.#packet.protocol] === name];
      case "conntrack":
      case "mark":
      case "addrtype": {
        // The sign of negation stands behind the module's name.
        const isNegated = after[0] === "!";
        const [used, result] = this.#match(rule, i + 2 + (isNegated ? 1 : 0), state);
        return [2 + used + (isNegated ? 1 : 0), isNegated ? !result : result];
      }
      default:
        throw new Error(`unknown module ${name}`);
    }
  }

  #chance(probability: number, state: State): boolean {
    if (!(probability > 0 && probability < 1)) throw new Error(`probability ${probability}`);
    const made = state.made[state.at++];
    if (made === undefined) throw FORK;
    state.probability *= made ? probability : 1 - probability;
    return made;
  }

  #target(table: "filter" | "nat", target: readonly string[], state: State, depth: number): End | undefined {
    const [name = "", option = "", value = ""] = target;
    switch (name) {
      case "ACCEPT":
      case "DROP":
      case "REJECT":
      case "RETURN":
        return name;
      case "MARK":
        if (option === "--or-mark") state.mark = (state.mark | Number(value)) >>> 0;
        else if (option === "--xor-mark") state.mark = (state.mark ^ Number(value)) >>> 0;
        else throw new Error(`unknown option ${option} of MARK`);
        return undefined;
      case "MASQUERADE":
        if (option !== "" && option !== "--random-fully") throw new Error(`unknown option ${option}`);
        state.masquerade = true;
        return name;
      case "DNAT": {
        const match = /^\[?([^\]]+?)\]?:(\d+)$/.exec(value);
        const address = parseIp(match?.[1] ?? "");
        if (option !== "--to-destination" || address === undefined) throw new Error(`DNAT to ${value}`);
        state.destination = address;
        state.port = Number(match?.[2]);
        state.isDnated = true;
        return name;
      }
      default:
        return this.#run(table, name, state, depth + 1);
    }
  }
}

function must(value: string, wanted: string): true {
  if (value !== wanted) throw new Error(`unknown address type ${value}`);
  return true;
}

function isIn(range: string, address: IpAddress): boolean {
  const text = range.includes("/") ? range : `${range}/${range.includes(":") ? 128 : 32}`;
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`${range} is no range`);
  const family: IpFamily = ipFamily(address);
  if (ipFamily(cidr.address) !== family) throw new Error(`${range} is of another family`);
  return cidrContains(cidr, address);
}
