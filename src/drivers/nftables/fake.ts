/**
 * Layer drivers. nf_tables in memory for tests: the same operations, errors and atomicity as the kernel, checked by
 * the conformance suite. `FakeNftKernel` is one network namespace; several `FakeNft` share it as sockets share the kernel.
 */
import type {
  NftChain,
  NftElementCounts,
  NftElements,
  NftOp,
  NftRule,
  NftSet,
  NftTable,
  NftTableState,
  NftVerdict,
} from "../../model/nftables.ts";
import { canonicalRule } from "./canonical.ts";
import type { NftCommit, NftDriver, NftFailure, NftFeature } from "./driver.ts";
import { FakeSet } from "./fake-set.ts";

type Change = "table-deleted" | "changed";
const CODES = { ENOENT: 2, EBUSY: 16, EEXIST: 17, ENFILE: 23, EOPNOTSUPP: 95 } as const;

interface FakeRule {
  readonly rule: NftRule;
  readonly canonical: string;
}

interface FakeTable {
  readonly chains: Map<string, NftChain>;
  readonly rules: Map<string, readonly FakeRule[]>;
  readonly sets: Map<string, FakeSet>;
}

interface Watcher {
  readonly owner: FakeNft;
  readonly notify: (what: Change) => void;
}

/** One network namespace without a kernel. */
export class FakeNftKernel {
  readonly tables = new Map<string, FakeTable>();
  readonly watchers = new Map<string, Set<Watcher>>();
  generation = 1;

  /** What `nft flush ruleset` by somebody else does. */
  flush(): void {
    for (const key of [...this.tables.keys()]) {
      this.tables.delete(key);
      this.notify(key, undefined, "table-deleted");
    }
    this.generation++;
  }

  notify(key: string, author: FakeNft | undefined, what: Change): void {
    for (const watcher of this.watchers.get(key) ?? []) if (watcher.owner !== author) watcher.notify(what);
  }
}

/** Why an operation failed; thrown inside this file only. */
class Refused extends Error {
  readonly failure: keyof typeof CODES;
  readonly elementIndex: number | undefined;
  constructor(failure: keyof typeof CODES, elementIndex?: number) {
    super(failure);
    this.failure = failure;
    this.elementIndex = elementIndex;
  }
}

export class FakeNft implements NftDriver {
  readonly table: NftTable;
  readonly #kernel: FakeNftKernel;
  readonly #key: string;
  /** Number of batches that changed something: for tests that count writes. */
  commits = 0;

  constructor(table: NftTable, kernel: FakeNftKernel = new FakeNftKernel()) {
    this.table = table;
    this.#kernel = kernel;
    this.#key = `${table.family} ${table.name}`;
  }

  probe(): readonly NftFeature[] {
    return [{ feature: "everything", result: { kind: "supported" } }];
  }

  canonicalRule(rule: NftRule): string {
    return canonicalRule(this.table, rule);
  }

  /** Nothing passes here: what tests put in. */
  readonly packets = new Map<string, number>();

  counted(): ReadonlyMap<string, number> {
    return this.packets;
  }

  /** Nothing finds elements here: what tests put in, by set, key by key in the order of the set. */
  readonly found = new Map<string, readonly number[]>();

  elementCounts(set: NftSet): NftElementCounts {
    const elements = this.#table()?.sets.get(set.name)?.elements();
    const packets = new Float64Array(elements?.count ?? 0);
    packets.set((this.found.get(set.name) ?? []).slice(0, packets.length));
    return { keys: elements?.keys ?? new Uint8Array(), packets };
  }

  generation(): number {
    return this.#kernel.generation;
  }

  close(): void {}

  watch(onForeignChange: (what: Change) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    const watchers = this.#kernel.watchers.get(this.#key) ?? new Set<Watcher>();
    this.#kernel.watchers.set(this.#key, watchers);
    const watcher: Watcher = { owner: this, notify: (what) => queueMicrotask(() => onForeignChange(what)) };
    watchers.add(watcher);
    signal.addEventListener("abort", () => watchers.delete(watcher), { once: true });
  }

  commit(ops: readonly NftOp[]): NftCommit {
    if (ops.every((op) => "elements" in op && op.elements.count === 0)) return { kind: "committed" };
    const existed = this.#table() !== undefined;
    const undo: (() => void)[] = [];
    const failures: NftFailure[] = [];
    ops.forEach((op, opIndex) => {
      try {
        this.#apply(op, undo);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        failures.push({
          opIndex,
          ...(error.elementIndex === undefined ? {} : { elementIndex: error.elementIndex }),
          errno: CODES[error.failure],
          code: error.failure,
        });
      }
    });
    if (failures.length > 0) {
      for (const step of undo.reverse()) step();
      return { kind: "failed", failures };
    }
    this.commits++;
    this.#kernel.generation++;
    const gone = existed && this.#table() === undefined;
    this.#kernel.notify(this.#key, this, gone ? "table-deleted" : "changed");
    return { kind: "committed" };
  }

  read(): NftTableState | undefined {
    const table = this.#table();
    if (table === undefined) return undefined;
    const sets = new Map<string, { set: NftSet; elements: NftElements }>();
    for (const [name, held] of table.sets) sets.set(name, { set: held.set, elements: held.elements() });
    const rules = [...table.chains.keys()].flatMap((chain) =>
      (table.rules.get(chain) ?? []).map(({ rule, canonical }) => ({
        chain,
        canonical,
        ...(rule.comment === undefined ? {} : { comment: rule.comment }),
      })),
    );
    return { table: this.table, chains: [...table.chains.values()], rules, sets };
  }

  /** Everything held as text, one line an object, sorted within its kind: what tests compare. */
  dump(): string {
    const table = this.#table();
    if (table === undefined) return "";
    const chains = [...table.chains.values()].map((chain) => {
      const { base } = chain;
      return `chain ${chain.name}${base === undefined ? "" : ` ${base.type} ${base.hook} ${base.priority}`}`;
    });
    const rules = [...table.rules].flatMap(([chain, list]) =>
      list.map((held, index) => `rule ${chain} ${index} ${held.canonical}`),
    );
    const sets = [...table.sets.values()].flatMap((set) => set.lines());
    return [...chains.sort(), ...rules.sort(), ...sets.sort(), ""].join("\n");
  }

  #table(): FakeTable | undefined {
    return this.#kernel.tables.get(this.#key);
  }

  #need(): FakeTable {
    const table = this.#table();
    if (table === undefined) throw new Refused("ENOENT");
    return table;
  }

  #apply(op: NftOp, undo: (() => void)[]): void {
    switch (op.op) {
      case "add-table":
        if (this.#table() === undefined) {
          put(this.#kernel.tables, this.#key, { chains: new Map(), rules: new Map(), sets: new Map() }, undo);
        }
        return;
      case "delete-table":
        this.#need();
        remove(this.#kernel.tables, this.#key, undo);
        return;
      case "add-chain":
        addChain(this.#need(), op.chain, undo);
        return;
      case "delete-chain":
        deleteChain(this.#need(), op.chain, undo);
        return;
      case "flush-chain":
        if (!this.#need().chains.has(op.chain)) throw new Refused("ENOENT");
        remove(this.#need().rules, op.chain, undo);
        return;
      case "add-rule":
        this.#addRule(this.#need(), op.rule, undo);
        return;
      case "add-set":
        addSet(this.#need(), op.set, undo);
        return;
      case "delete-set":
        deleteSet(this.#need(), op.set, undo);
        return;
      case "add-elements":
        if (op.elements.count > 0) addElements(this.#need(), op.set, op.elements, undo);
        return;
      case "delete-elements":
        if (op.elements.count > 0) deleteElements(this.#need(), op.set, op.elements, undo);
        return;
    }
  }

  #addRule(table: FakeTable, rule: NftRule, undo: (() => void)[]): void {
    if (!table.chains.has(rule.chain)) throw new Refused("ENOENT");
    for (const name of setsOf(rule)) if (!table.sets.has(name)) throw new Refused("ENOENT");
    for (const name of chainsOf(rule)) if (!table.chains.has(name)) throw new Refused("ENOENT");
    const held: FakeRule = { rule, canonical: this.canonicalRule(rule) };
    put(table.rules, rule.chain, [...(table.rules.get(rule.chain) ?? []), held], undo);
  }
}

function put<K, V>(map: Map<K, V>, key: K, value: V, undo: (() => void)[]): void {
  const before = map.get(key);
  map.set(key, value);
  undo.push(() => {
    if (before === undefined) map.delete(key);
    else map.set(key, before);
  });
}

function remove<K, V>(map: Map<K, V>, key: K, undo: (() => void)[]): void {
  const before = map.get(key);
  if (before === undefined) return;
  map.delete(key);
  undo.push(() => map.set(key, before));
}

function setsOf(rule: NftRule): readonly string[] {
  return rule.statements.flatMap((statement) => {
    if (statement.kind === "lookup" || statement.kind === "dynset") return [statement.set];
    return statement.kind === "vmap" || statement.kind === "dnat-map" ? [statement.map] : [];
  });
}

function target(verdict: NftVerdict): readonly string[] {
  return verdict.kind === "jump" || verdict.kind === "goto" ? [verdict.chain] : [];
}

function chainsOf(rule: NftRule): readonly string[] {
  return rule.statements.flatMap((statement) =>
    statement.kind === "verdict" ? target(statement.verdict) : [],
  );
}

function addChain(table: FakeTable, chain: NftChain, undo: (() => void)[]): void {
  const held = table.chains.get(chain.name);
  if (held === undefined) {
    put(table.chains, chain.name, chain, undo);
    return;
  }
  if (chain.base === undefined) return;
  const { base } = held;
  const same =
    base !== undefined &&
    base.type === chain.base.type &&
    base.hook === chain.base.hook &&
    base.priority === chain.base.priority;
  if (!same) throw new Refused("EOPNOTSUPP");
}

function deleteChain(table: FakeTable, name: string, undo: (() => void)[]): void {
  if (!table.chains.has(name)) throw new Refused("ENOENT");
  const inRules = [...table.rules].some(
    ([chain, list]) => chain !== name && list.some((held) => chainsOf(held.rule).includes(name)),
  );
  const inMaps = [...table.sets.values()].some((set) => set.refersTo(name));
  if (inRules || inMaps) throw new Refused("EBUSY");
  remove(table.rules, name, undo);
  remove(table.chains, name, undo);
}

function addSet(table: FakeTable, set: NftSet, undo: (() => void)[]): void {
  const held = table.sets.get(set.name);
  if (held === undefined) put(table.sets, set.name, new FakeSet(set), undo);
  else if (!held.sameDeclaration(set)) throw new Refused("EEXIST");
}

function deleteSet(table: FakeTable, name: string, undo: (() => void)[]): void {
  if (!table.sets.has(name)) throw new Refused("ENOENT");
  const used = [...table.rules.values()].some((list) =>
    list.some((held) => setsOf(held.rule).includes(name)),
  );
  if (used) throw new Refused("EBUSY");
  remove(table.sets, name, undo);
}

function addElements(table: FakeTable, name: string, elements: NftElements, undo: (() => void)[]): void {
  const set = table.sets.get(name);
  if (set === undefined) throw new Refused("ENOENT");
  for (let index = 0; index < elements.count; index++) {
    const element = set.element(elements, index);
    if (element.verdict !== undefined && target(element.verdict).some((chain) => !table.chains.has(chain))) {
      throw new Refused("ENOENT", index);
    }
    const outcome = set.add(element);
    if (outcome === "exists") throw new Refused("EEXIST", index);
    if (outcome === "full") throw new Refused("ENFILE", index);
    if (outcome === "added") undo.push(() => set.delete(element.key));
  }
}

function deleteElements(table: FakeTable, name: string, elements: NftElements, undo: (() => void)[]): void {
  const set = table.sets.get(name);
  if (set === undefined) throw new Refused("ENOENT");
  for (let index = 0; index < elements.count; index++) {
    const wanted = set.element(elements, index);
    const held = set.delete(wanted.key);
    if (held === undefined) throw new Refused("ENOENT", index);
    undo.push(() => set.add(held));
  }
}
