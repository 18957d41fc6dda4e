/**
 * Test code. Walks one virtual packet through a compiled table, as the first packet of a connection would go, and
 * follows every outcome of `numgen random`. Throws on any field, statement or verdict that it does not know.
 */
import type { IpAddress, IpFamily } from "../../src/model/ip.ts";
import type { NftField, NftStatement, NftVerdict } from "../../src/model/nftables.ts";
import { packHostU32 } from "../../src/plan/nftables/host-order.ts";
import { formatDestination, packBytes, packIp } from "../../src/plan/packed.ts";
import type { TableModel } from "./table-model.ts";

export interface TracedPacket {
  readonly family: IpFamily;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly protocol: number;
  readonly port: number;
  /** Sent by the node itself (output hook) or arriving from outside (prerouting). */
  readonly isFromNode: boolean;
  /** Addresses of the node: what `fib … type local` sees. */
  readonly nodeAddresses: ReadonlySet<string>;
}

/** Packed destinations, each as often as its weight, by protocol number, a blank, packed address and port. */
export type VirtualServers = ReadonlyMap<string, readonly string[]>;

/** What can become of a connection; `probability` sums to 1 over a trace. */
export interface Outcome {
  readonly result: "BACKEND" | "REJECT" | "DROP" | "NONE";
  readonly backend?: string;
  readonly masquerade?: boolean;
  /** Set of clients that the connection was entered into. */
  readonly remembered?: string;
  readonly probability: number;
}

interface State {
  destination: string;
  port: number;
  mark: number;
  isDnated: boolean;
  masquerade: boolean;
  remembered?: string;
  probability: number;
}

type End = "accept" | "drop" | "reject" | "return" | "policy";

/** Fixed choices of `numgen`, so that a walk is deterministic; asked for more, it forks. */
class Choices {
  readonly #made: number[];
  #at = 0;
  /** Probability of each choice, when a new one is to be made. */
  fork: readonly number[] | undefined;

  constructor(made: number[]) {
    this.#made = made;
  }

  choose(modulus: number): number {
    const made = this.#made[this.#at++];
    if (made !== undefined) return made;
    if (modulus === 1) {
      this.#made.push(0);
      return 0;
    }
    this.fork = Array.from({ length: modulus }, () => 1 / modulus);
    throw FORK;
  }

  /** 0 once in `modulus` times, else 1: all that a comparison with 0 has to know. */
  isZero(modulus: number): number {
    const made = this.#made[this.#at++];
    if (made !== undefined) return made;
    this.fork = [1 / modulus, 1 - 1 / modulus];
    throw FORK;
  }
}

const FORK = new Error("fork");
const CHAIN_DEPTH = 16;

export class Tracer {
  readonly #table: TableModel;
  readonly #packet: TracedPacket;
  readonly #servers: VirtualServers | undefined;
  #choices = new Choices([]);

  /** @param servers of IPVS, which stands behind the output chains and behind the input chains */
  constructor(table: TableModel, packet: TracedPacket, servers?: VirtualServers) {
    this.#table = table;
    this.#packet = packet;
    this.#servers = servers;
  }

  /** All outcomes with their probabilities. */
  trace(): readonly Outcome[] {
    const outcomes: Outcome[] = [];
    const queue: { made: number[]; probability: number }[] = [{ made: [], probability: 1 }];
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      this.#choices = new Choices([...next.made]);
      try {
        outcomes.push(this.#walk(next.probability));
      } catch (error) {
        const { fork } = this.#choices;
        if (error !== FORK || fork === undefined) throw error;
        for (const [i, share] of fork.entries())
          queue.push({ made: [...next.made, i], probability: next.probability * share });
      }
    }
    return outcomes;
  }

  #walk(probability: number): Outcome {
    const state: State = {
      destination: packIp(this.#packet.destination),
      port: this.#packet.port,
      mark: 0,
      isDnated: false,
      masquerade: false,
      probability,
    };
    const entry = this.#packet.isFromNode ? "output" : "prerouting";
    for (const hook of [`${entry}/filter/-110`, `${entry}/nat`]) {
      const end = this.#hook(hook, state);
      if (end === "drop") return { result: "DROP", probability };
      if (end === "reject") return { result: "REJECT", probability };
    }
    if (this.#packet.isFromNode) this.#balance(state);
    const isToNode = this.#isLocal(state.destination);
    const filters = this.#packet.isFromNode ? ["output/filter/0"] : [];
    filters.push(isToNode ? "input/filter/0" : this.#packet.isFromNode ? "" : "forward/filter/0");
    for (const hook of filters.filter((name) => name !== "")) {
      const end = this.#hook(hook, state);
      if (end === "drop") return { result: "DROP", probability };
      if (end === "reject") return { result: "REJECT", probability };
    }
    if (isToNode && !this.#packet.isFromNode) this.#balance(state);
    this.#hook("postrouting/nat", state);
    if ((state.mark & 0xffff) !== 0) throw new Error("a mark was left on the packet");
    if (!state.isDnated) {
      if (state.masquerade) throw new Error("traffic that is not ours is masqueraded");
      return { result: "NONE", probability };
    }
    const port = String.fromCharCode(state.port >> 8, state.port & 255);
    const backend = formatDestination(state.destination + port);
    const { masquerade, remembered } = state;
    const kept = remembered === undefined ? {} : { remembered };
    return { result: "BACKEND", backend, masquerade, ...kept, probability };
  }

  /** What IPVS does with a packet for a virtual server; each destination counts by its weight. */
  #balance(state: State): void {
    const port = String.fromCharCode(state.port >> 8, state.port & 255);
    const found = this.#servers?.get(`${this.#packet.protocol} ${state.destination}${port}`);
    if (found === undefined) return;
    const chosen = found[this.#choices.choose(found.length)] ?? "";
    state.destination = chosen.slice(0, -2);
    state.port = chosen.charCodeAt(chosen.length - 2) * 256 + chosen.charCodeAt(chosen.length - 1);
    state.isDnated = true;
  }

  #hook(name: string, state: State): End {
    const [hook = "", type = "", priority] = name.split("/");
    let end: End = "policy";
    for (const chain of this.#table.chains.values()) {
      const { base } = chain;
      if (base === undefined || base.hook !== hook || base.type !== type) continue;
      if (priority !== undefined && base.priority !== Number(priority)) continue;
      end = this.#chain(chain.name, state, 0);
      if (end === "drop" || end === "reject") return end;
    }
    return end;
  }

  #chain(name: string, state: State, depth: number): End {
    const rules = this.#table.rules.get(name);
    if (rules === undefined) throw new Error(`no chain ${name}`);
    if (depth > CHAIN_DEPTH) throw new Error("chains are nested too deeply");
    for (const rule of rules) {
      const verdict = this.#rule(rule.statements, state);
      if (verdict === undefined || verdict === "continue") continue;
      if (typeof verdict === "string") return verdict;
      const end = this.#chain(verdict.chain, state, depth + 1);
      if (verdict.kind === "goto" || (end !== "return" && end !== "policy")) return end;
    }
    return "policy";
  }

  /** `undefined` when a match failed or the rule has no verdict. */
  #rule(
    statements: readonly NftStatement[],
    state: State,
  ): End | "continue" | { kind: "jump" | "goto"; chain: string } | undefined {
    for (const statement of statements) {
      switch (statement.kind) {
        case "match":
          if (!this.#match(statement, state)) return undefined;
          break;
        case "lookup":
          if (this.#contains(statement.set, this.#key(statement.fields, state)) === statement.negate)
            return undefined;
          break;
        case "vmap": {
          const found = this.#table.set(statement.map).elements.get(this.#key(statement.fields, state));
          if (found?.verdict === undefined) return undefined;
          return verdictEnd(found.verdict);
        }
        case "dnat-map": {
          const found = this.#table.set(statement.map).elements.get(this.#key(statement.fields, state));
          if (found?.data === undefined) return undefined;
          const width = statement.family === "ip" ? 4 : 16;
          state.destination = found.data.slice(0, width);
          state.port = found.data.charCodeAt(width) * 256 + found.data.charCodeAt(width + 1);
          state.isDnated = true;
          return "accept";
        }
        case "dnat":
          state.destination = packBytes(statement.address);
          state.port = statement.port;
          state.isDnated = true;
          return "accept";
        case "dynset":
          // Sets of clients are never full here.
          if (statement.op !== "update") throw new Error(`unknown operation ${statement.op}`);
          state.remembered = statement.set;
          break;
        case "mark":
          state.mark = ((state.mark & ~statement.mask) ^ statement.xor) >>> 0;
          break;
        case "masquerade":
          state.masquerade = true;
          return "accept";
        case "reject":
          return "reject";
        case "verdict":
          return verdictEnd(statement.verdict);
        case "counter":
          break;
        default:
          throw new Error(`unknown statement ${JSON.stringify(statement satisfies never)}`);
      }
    }
    return undefined;
  }

  #match(statement: Extract<NftStatement, { kind: "match" }>, state: State): boolean {
    const { field, value: wanted } = statement;
    if (typeof field !== "string" && wanted.every((byte) => byte === 0))
      return (this.#choices.isZero(field.numgenRandomModulus) === 0) === (statement.op === "==");
    const value = this.#field(statement.field, state).slice(0, statement.value.length);
    const masked = [...value].map((c, i) => c.charCodeAt(0) & (statement.mask?.[i] ?? 255));
    const isEqual = masked.every((byte, i) => byte === statement.value[i]);
    return isEqual === (statement.op === "==");
  }

  #contains(name: string, key: string): boolean {
    const held = this.#table.set(name);
    if (!held.set.flags.includes("interval")) return held.elements.has(key);
    for (const [first, { end = first }] of held.elements) if (inside(key, first, end)) return true;
    return false;
  }

  #key(fields: readonly NftField[], state: State): string {
    return fields.map((field) => this.#field(field, state)).join("");
  }

  #isLocal(address: string): boolean {
    for (const own of this.#packet.nodeAddresses) if (packIp(own as IpAddress) === address) return true;
    return address.length === 4 && address.charCodeAt(0) === 127;
  }

  #field(field: NftField, state: State): string {
    if (typeof field !== "string") return packHostU32(this.#choices.choose(field.numgenRandomModulus));
    const source = packIp(this.#packet.source);
    switch (field) {
      case "ip saddr":
      case "ip6 saddr":
        return source;
      case "ip daddr":
      case "ip6 daddr":
        return state.destination;
      case "meta l4proto":
        return String.fromCharCode(this.#packet.protocol, 0, 0, 0);
      case "th dport":
        return String.fromCharCode(state.port >> 8, state.port & 255, 0, 0);
      case "meta mark":
        return packHostU32(state.mark);
      case "ct state":
        return packHostU32(8);
      case "ct status":
        return packHostU32(state.isDnated ? 32 : 0);
      case "fib daddr type":
        return packHostU32(this.#isLocal(state.destination) ? 2 : 1);
      case "fib saddr type":
        return packHostU32(this.#isLocal(source) ? 2 : 1);
      default:
        throw new Error(`unknown field ${field}`);
    }
  }
}

/** Compares field by field, as a concatenated interval set does; parts are 4 or 16 bytes, and 4-byte steps suffice. */
function inside(key: string, first: string, last: string): boolean {
  if (key.length === 4 || key.length === 16) return key >= first && key <= last;
  const address = key.length > 24 ? 16 : 4;
  const parts = [address, 4, 4, address];
  let at = 0;
  return parts.every((width) => {
    const part = key.slice(at, at + width);
    const isIn = part >= first.slice(at, at + width) && part <= last.slice(at, at + width);
    at += width;
    return isIn;
  });
}

function verdictEnd(verdict: NftVerdict): End | "continue" | { kind: "jump" | "goto"; chain: string } {
  if (verdict.kind === "jump" || verdict.kind === "goto") return verdict;
  return verdict.kind;
}
