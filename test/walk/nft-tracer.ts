/**
 * Random walks: leads a packet through the tables as `nft -j` lists them. Follows every outcome of `numgen random`, and refuses
 * whatever expression or statement it has not been taught. Independent of the driver and of the compiler.
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
import {
  addressNumber,
  isJson,
  type Json,
  type NftChain,
  type NftSet,
  type NftTable,
} from "./nft-listing.ts";
import type { Packet } from "./oracle.ts";
import { isIn } from "./oracle.ts";

const MAX_DEPTH = 16;
type End = "accept" | "drop" | "reject";

/** Address, port and count of what a random number leads to, and how many numbers lead nowhere. */
interface Picks {
  readonly hits: readonly (readonly [string, number, number])[];
  readonly missed: number;
}

/** Outcomes of one stage: branches that go on, and shares that ended. */
interface Stage {
  readonly goOn: Branch[];
  readonly trace: Trace;
}

export class NftTracer {
  readonly #table: NftTable;
  readonly #isLocal: (address: string) => boolean;
  #packet: Packet | undefined;
  #memory: Memory = {};
  readonly #known = new Map<string, Picks>();
  readonly #hooks = new Map<string, readonly NftChain[]>();

  /** @param isLocal what `fib … type local` says */
  constructor(table: NftTable, isLocal: (address: string) => boolean) {
    this.#table = table;
    this.#isLocal = isLocal;
    const hooks = new Map<string, NftChain[]>();
    for (const chain of table.chains.values()) {
      if (chain.base === undefined) continue;
      const { hook } = chain.base;
      hooks.set(hook, [...(hooks.get(hook) ?? []), chain]);
    }
    for (const [hook, chains] of hooks)
      this.#hooks.set(
        hook,
        chains.sort((a, b) => (a.base?.priority ?? 0) - (b.base?.priority ?? 0)),
      );
  }

  trace(packet: Packet, memory: Memory = {}): Trace {
    this.#packet = packet;
    this.#memory = memory;
    const trace = emptyTrace();
    const isFromNode = packet.from === "node";
    const first = this.#hook(isFromNode ? "output" : "prerouting", { goOn: [startOf(packet)], trace });
    for (const branch of first) {
      const isHere = this.#isLocal(branch.destination);
      let left: readonly Branch[] = [branch];
      if (!isFromNode) left = this.#hook(isHere ? "input" : "forward", { goOn: [branch], trace });
      if (isFromNode || !isHere) left = this.#hook("postrouting", { goOn: [...left], trace });
      // What the node sends to itself comes in again; NAT has been decided by then.
      if (isFromNode && isHere)
        for (const hook of ["prerouting", "input"]) left = this.#hook(hook, { goOn: [...left], trace }, true);
      for (const one of left) arrive(trace, one, false);
    }
    return trace;
  }

  /** All base chains of a hook, in order. @returns branches that are left */
  #hook(hook: string, stage: Stage, isAgain = false): Branch[] {
    let open = stage.goOn;
    for (const chain of this.#hooks.get(hook) ?? []) {
      if (isAgain && chain.base?.type === "nat") continue;
      const next: Branch[] = [];
      for (const branch of open) {
        const ends: { branch: Branch; end: End }[] = [];
        for (const through of this.#chain(chain, branch, ends, 0)) addBranch(next, through);
        for (const { branch: one, end } of ends) {
          if (end === "accept") addBranch(next, one);
          else endAs(stage.trace, end === "drop" ? "DROP" : "REJECT", one.share);
        }
      }
      open = next;
    }
    return open;
  }

  /** @returns branches that come out at the end of the chain, or by `return` */
  #chain(chain: NftChain, start: Branch, ends: { branch: Branch; end: End }[], depth: number): Branch[] {
    if (depth > MAX_DEPTH) return unknown("chains are nested too deeply", chain.name);
    const out: Branch[] = [];
    let open: Branch[] = [start];
    for (const { statements } of chain.rules) {
      const next: Branch[] = [];
      for (const branch of open) this.#rule(statements, branch, { next, out, ends, depth });
      open = next;
      if (open.length === 0) break;
    }
    for (const branch of open) addBranch(out, branch);
    return out;
  }

  #rule(
    statements: readonly Json[],
    start: Branch,
    to: { next: Branch[]; out: Branch[]; ends: { branch: Branch; end: End }[]; depth: number },
  ): void {
    let branch = start;
    for (const statement of statements) {
      const [kind = ""] = Object.keys(statement);
      const body = statement[kind];
      switch (kind) {
        case "match": {
          const chance = this.#match(body, branch);
          if (chance < 1) addBranch(to.next, { ...branch, share: branch.share * (1 - chance) });
          if (chance === 0) return;
          branch = { ...branch, share: branch.share * chance };
          break;
        }
        case "mangle":
          branch = { ...branch, mark: this.#newMark(body, branch) };
          break;
        case "set": {
          const set = this.#remember(body);
          if (this.#memory.isFull === true) {
            addBranch(to.next, branch);
            return;
          }
          branch = { ...branch, remembered: set };
          break;
        }
        case "counter":
          break;
        case "vmap": {
          if (!isJson(body)) unknown("vmap", statement);
          const verdict = this.#set(body["data"]).elements.get(this.#key(body["key"], branch));
          if (verdict === undefined) {
            addBranch(to.next, branch);
            return;
          }
          this.#verdict(JSON.parse(verdict) as Json, branch, to);
          return;
        }
        case "dnat":
          this.#dnat(body, branch, to);
          return;
        case "masquerade":
          to.ends.push({ branch: { ...branch, isMasqueraded: true }, end: "accept" });
          return;
        case "reject":
          to.ends.push({ branch, end: "reject" });
          return;
        default:
          this.#verdict(statement, branch, to);
          return;
      }
    }
    addBranch(to.next, branch);
  }

  #verdict(
    verdict: Json,
    branch: Branch,
    to: { next: Branch[]; out: Branch[]; ends: { branch: Branch; end: End }[]; depth: number },
  ): void {
    const [kind = ""] = Object.keys(verdict);
    const body = verdict[kind];
    switch (kind) {
      case "accept":
      case "drop":
        to.ends.push({ branch, end: kind });
        return;
      case "return":
        addBranch(to.out, branch);
        return;
      case "jump":
      case "goto": {
        const name = isJson(body) ? String(body["target"]) : "";
        const chain = this.#table.chains.get(name);
        if (chain === undefined) unknown("no such chain", verdict);
        const back = this.#chain(chain, branch, to.ends, to.depth + 1);
        for (const one of back) addBranch(kind === "jump" ? to.next : to.out, one);
        return;
      }
      default:
        unknown("statement", verdict);
    }
  }

  /** Probability that a match holds. */
  #match(body: unknown, branch: Branch): number {
    if (!isJson(body)) return unknown("match", body);
    const { left, op, right } = body;
    if (op === "in") return Number(this.#hasFlag(left, right, branch));
    if (op !== "==" && op !== "!=") return unknown("operator", body);
    const chance = this.#equals(left, right, branch);
    return op === "==" ? chance : 1 - chance;
  }

  #equals(left: unknown, right: unknown, branch: Branch): number {
    if (!isJson(left)) return unknown("left side", left);
    const numgen = left["numgen"];
    if (numgen !== undefined) {
      const modulus = this.#modulus(numgen);
      return typeof right === "number" && right < modulus ? 1 / modulus : unknown("right side", right);
    }
    if (typeof right === "string" && right.startsWith("@")) return Number(this.#isInSet(left, right, branch));
    const and = left["&"];
    if (Array.isArray(and) && typeof right === "number") {
      const [field, mask] = and as readonly unknown[];
      if (this.#field(field, branch) !== String(branch.mark) || typeof mask !== "number")
        return unknown("left side", left);
      return Number((branch.mark & mask) >>> 0 === right);
    }
    if (isJson(left["fib"])) {
      const { result, flags } = left["fib"];
      const [flag] = Array.isArray(flags) ? (flags as readonly unknown[]) : [flags];
      if (result !== "type" || right !== "local") return unknown("fib", left);
      if (flag === "saddr") return Number(this.#isLocal(this.#packet?.source ?? ""));
      return flag === "daddr" ? Number(this.#isLocal(branch.destination)) : unknown("fib", left);
    }
    if (isJson(left["meta"]) && left["meta"]["key"] === "iifname" && typeof right === "string") {
      const device = this.#packet?.device ?? "";
      return Number(right.endsWith("*") ? device.startsWith(right.slice(0, -1)) : device === right);
    }
    const value = this.#field(left, branch);
    if (isJson(right) && isJson(right["prefix"])) {
      const { addr, len } = right["prefix"];
      // Bits from the top look like a prefix to nft: `meta mark & 0x80000000 == 0` is listed as 0/1.
      if (typeof addr === "number" && typeof len === "number")
        return Number((Number(value) ^ addr) >>> (32 - len) === 0);
      return Number(isIn(`${String(addr)}/${String(len)}`, value));
    }
    if (typeof right !== "string" && typeof right !== "number") return unknown("right side", right);
    return Number(value === String(right));
  }

  #hasFlag(left: unknown, right: unknown, branch: Branch): boolean {
    const ct = isJson(left) && isJson(left["ct"]) ? left["ct"]["key"] : undefined;
    if (ct === "state" && right === "new") return true;
    if (ct === "status" && right === "dnat") return branch.isDnated;
    return unknown("flags", [left, right]);
  }

  #isInSet(left: Json, right: string, branch: Branch): boolean {
    const set = this.#set(right);
    if (set.isOfClients) return set.name === this.#memory.knownIn;
    const key = this.#key(left, branch);
    if (set.elements.has(key)) return true;
    if (set.ranges.length === 0) return false;
    const at = key.lastIndexOf(" ");
    const number = addressNumber(key.slice(at + 1));
    const before = at < 0 ? "" : key.slice(0, at);
    return set.ranges.some((one) => one.before === before && number >= one.first && number <= one.last);
  }

  #newMark(body: unknown, branch: Branch): number {
    if (!isJson(body) || JSON.stringify(body["key"]) !== '{"meta":{"key":"mark"}}')
      return unknown("mangle", body);
    const { value } = body;
    if (!isJson(value)) return unknown("mangle", body);
    const [op = ""] = Object.keys(value);
    const sides = value[op];
    const [left, mask] = Array.isArray(sides) ? (sides as readonly unknown[]) : [];
    if (JSON.stringify(left) !== '{"meta":{"key":"mark"}}' || typeof mask !== "number")
      return unknown("mangle", body);
    if (op === "|") return (branch.mark | mask) >>> 0;
    if (op === "&") return (branch.mark & mask) >>> 0;
    return op === "^" ? (branch.mark ^ mask) >>> 0 : unknown("mangle", body);
  }

  /** `update @SET { saddr timeout T }`: the client is remembered. @returns the set */
  #remember(body: unknown): string {
    if (!isJson(body) || body["op"] !== "update" || !isJson(body["elem"]))
      return unknown("set statement", body);
    const { elem } = body["elem"];
    if (!isJson(elem) || typeof elem["timeout"] !== "number") return unknown("set statement", body);
    const set = this.#set(body["set"]);
    if (!set.isOfClients || !/saddr/.test(JSON.stringify(elem["val"]))) return unknown("set statement", body);
    return set.name;
  }

  #dnat(body: unknown, branch: Branch, to: { next: Branch[]; ends: { branch: Branch; end: End }[] }): void {
    if (!isJson(body)) unknown("dnat", body);
    const { addr, port } = body;
    const lead = (address: string, number: number, share: number): void => {
      const led = { ...branch, destination: address, port: number, isDnated: true, share };
      const same = to.ends.findIndex(
        ({ branch: one, end }) =>
          end === "accept" &&
          one.destination === address &&
          one.port === number &&
          one.mark === led.mark &&
          one.remembered === led.remembered,
      );
      const found = to.ends[same];
      if (found === undefined) to.ends.push({ branch: led, end: "accept" });
      else to.ends[same] = { ...found, branch: { ...led, share: share + found.branch.share } };
    };
    if (typeof addr === "string" && typeof port === "number") {
      lead(addr, port, branch.share);
      return;
    }
    const map = isJson(addr) ? addr["map"] : undefined;
    if (!isJson(map)) unknown("dnat", body);
    const key = isJson(map["key"]) ? map["key"]["concat"] : undefined;
    if (!Array.isArray(key)) unknown("dnat", body);
    const last: unknown = key.at(-1);
    const modulus = this.#modulus(isJson(last) ? last["numgen"] : undefined);
    const before = this.#key({ concat: key.slice(0, -1) }, branch);
    const { hits, missed } = this.#picks(this.#set(map["data"]), before, modulus);
    for (const [address, number, count] of hits) lead(address, number, (branch.share * count) / modulus);
    if (missed > 0) addBranch(to.next, { ...branch, share: (branch.share * missed) / modulus });
  }

  /** Endpoints by how many numbers below the modulus lead to them. The same for every client. */
  #picks({ name, elements }: NftSet, before: string, modulus: number): Picks {
    const question = `${name} ${modulus} ${before}`;
    const known = this.#known.get(question);
    if (known !== undefined) return known;
    const counts = new Map<string, number>();
    let missed = 0;
    for (let i = 0; i < modulus; i++) {
      const found = elements.get(`${before} ${i}`);
      if (found === undefined) missed++;
      else counts.set(found, (counts.get(found) ?? 0) + 1);
    }
    const hits = [...counts].map(([data, count]) => {
      const [address = "", port = ""] = data.split(" ");
      return [address, Number(port), count] as const;
    });
    const picks = { hits, missed };
    this.#known.set(question, picks);
    return picks;
  }

  #modulus(numgen: unknown): number {
    if (!isJson(numgen) || numgen["mode"] !== "random" || numgen["offset"] !== 0)
      return unknown("numgen", numgen);
    return Number(numgen["mod"]);
  }

  #set(reference: unknown) {
    const name = typeof reference === "string" && reference.startsWith("@") ? reference.slice(1) : "";
    return this.#table.sets.get(name) ?? unknown("no such set", reference);
  }

  #key(key: unknown, branch: Branch): string {
    const fields =
      isJson(key) && Array.isArray(key["concat"]) ? (key["concat"] as readonly unknown[]) : [key];
    return fields.map((field) => this.#field(field, branch)).join(" ");
  }

  #field(field: unknown, branch: Branch): string {
    if (this.#packet === undefined || !isJson(field)) return unknown("field", field);
    const payload = field["payload"];
    if (isJson(payload)) {
      const name = `${String(payload["protocol"])} ${String(payload["field"])}`;
      if (name === `${this.#table.family} saddr`) return this.#packet.source;
      if (name === `${this.#table.family} daddr`) return branch.destination;
      return name === "th dport" ? String(branch.port) : unknown("field", field);
    }
    const key = isJson(field["meta"]) ? field["meta"]["key"] : undefined;
    if (key === "l4proto") return this.#packet.protocol.toLowerCase();
    return key === "mark" ? String(branch.mark) : unknown("field", field);
  }
}
