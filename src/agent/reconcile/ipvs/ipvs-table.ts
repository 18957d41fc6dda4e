/**
 * Layer agent. The nftables side of IPVS mode, one family: makes or takes over the table `nodeplane-ipvs` and writes elements.
 * Every call that writes is synchronous; long work is a generator, so that the caller can let the event loop turn.
 */
import type { NftDriver, NftFailure } from "../../../drivers/nftables/driver.ts";
import type { IpFamily } from "../../../model/ip.ts";
import type { NftElements, NftOp, NftTableState } from "../../../model/nftables.ts";
import type { IpvsCompiler } from "../../../plan/ipvs/compiler.ts";
import { IPVS_CHAINS, IPVS_SETS, ipvsSetsOf } from "../../../plan/ipvs/names.ts";
import { ipvsFormsOf, setIndex } from "../../../plan/ipvs/unit-servers.ts";
import { ElementIndex } from "../../../plan/nftables/element-index.ts";
import { ElementChanges } from "../../../plan/nftables/element-list.ts";
import { diffLayout, diffRules } from "../../../plan/nftables/layout-diff.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import { packBytes } from "../../../plan/packed.ts";
import { TableRefused } from "../nftables/programmer.ts";

/** Elements in one batch while many are written: a transaction of 5,000 takes about 15 ms. */
const BATCH_ELEMENTS = 5_000;
const NOTHING: NftElements = { count: 0, keys: new Uint8Array() };
/** Sets that name virtual servers of ours. */
const RECORDS = [IPVS_SETS.frontends, IPVS_SETS.kept];

/** An element that the kernel refused by itself. */
export interface RefusedElement {
  readonly set: number;
  readonly key: string;
  readonly failure: NftFailure;
}

/** Frontends that a table names as ours, as keys of its sets. */
export function recordedFrontends(state: NftTableState | undefined, family: IpFamily): ReadonlySet<string> {
  const keys = new Set<string>();
  const forms = ipvsFormsOf(family);
  for (const name of RECORDS) {
    const { keys: bytes, count } = state?.sets.get(name)?.elements ?? NOTHING;
    const width = forms[setIndex(name)]?.keyBytes ?? 0;
    for (let i = 0; i < count; i++) keys.add(packBytes(bytes.subarray(i * width, (i + 1) * width)));
  }
  return keys;
}

export class IpvsTable {
  readonly driver: NftDriver;
  readonly counters = {
    commits: 0,
    failedCommits: 0,
    operations: 0,
    elementsAdded: 0,
    elementsDeleted: 0,
  };
  /** What is in the kernel and nobody took: deleted by {@link removeLeftovers}. */
  #leftovers: readonly (readonly [number, ElementIndex])[] = [];

  constructor(driver: NftDriver) {
    this.driver = driver;
  }

  /** @returns the table as it is, for {@link fill}; `undefined` when it is missing */
  read(): NftTableState | undefined {
    return this.driver.read();
  }

  /**
   * Brings the table to what the compiler wants, but for what is too much, which waits for {@link removeLeftovers}. Rules come
   * before elements. Yields after each batch. @throws {TableRefused} when the kernel wants no such table
   */
  *fill(
    compiler: IpvsCompiler,
    state: NftTableState | undefined,
    refused: RefusedElement[],
  ): Generator<void> {
    const has = this.#layout(compiler, state);
    const indexes = compiler.forms.map(
      (form) => new ElementIndex(form, has?.sets.get(form.name)?.elements ?? NOTHING),
    );
    // A new range may overlap one that has to go, which is an error to the kernel: they go and come in one batch.
    const ranges = new ElementChanges(compiler.forms);
    let batch: (readonly [number, string])[] = [];
    for (const id of compiler.elementIds()) {
      const [set, key] = [id.charCodeAt(0), id.slice(1)];
      const at = indexes[set]?.find(key) ?? -1;
      if (at >= 0) indexes[set]?.take(at);
      else if (compiler.forms[set]?.kind === "range") ranges.add(set, key, "");
      else batch.push([set, key]);
      if (batch.length < BATCH_ELEMENTS) continue;
      this.#addAll(compiler, batch, refused);
      batch = [];
      yield;
    }
    this.#addAll(compiler, batch, refused);
    this.#leftovers = [...indexes.entries()];
    for (const [set, index] of indexes.entries())
      if (compiler.forms[set]?.kind === "range") for (const key of index.untaken()) ranges.delete(set, key);
    this.#must(ranges.ops(), ranges);
    yield;
  }

  /** Deletes what the table held when it was filled and nobody wanted. @returns how many elements */
  *removeLeftovers(compiler: IpvsCompiler): Generator<void, number> {
    let count = 0;
    for (const [set, index] of this.#leftovers) {
      if (compiler.forms[set]?.kind === "range") continue;
      let changes = new ElementChanges(compiler.forms);
      for (const key of index.untaken()) {
        changes.delete(set, key);
        count++;
        if (changes.size < BATCH_ELEMENTS) continue;
        this.#must(changes.ops(), changes);
        changes = new ElementChanges(compiler.forms);
        yield;
      }
      this.#must(changes.ops(), changes);
    }
    this.#leftovers = [];
    return count;
  }

  /** One batch. @returns what the kernel refused it for: then nothing has happened */
  write(changes: ElementChanges): NftFailure | undefined {
    return this.#commit(changes.ops(), changes);
  }

  /** Brings rules to a changed node. @throws {TableRefused} */
  setNode(compiler: IpvsCompiler, node: NodeConfig): void {
    const before = new Map<string, string[]>();
    for (const rule of compiler.rules) {
      const list = before.get(rule.chain) ?? [];
      before.set(rule.chain, list);
      list.push(this.driver.canonicalRule(rule));
    }
    compiler.setNode(node);
    this.#must(diffRules(before, compiler.rules, (rule) => this.driver.canonicalRule(rule)));
  }

  /** @returns the table whose elements count: what was there, unless it had another layout or none */
  #layout(compiler: IpvsCompiler, state: NftTableState | undefined): NftTableState | undefined {
    if (state === undefined) {
      this.#must(compiler.layoutOps());
      return undefined;
    }
    const canonical = this.driver.canonicalRule.bind(this.driver);
    const diff = diffLayout(state, IPVS_CHAINS, ipvsSetsOf(compiler.family), compiler.rules, canonical);
    if (diff.kind === "other") {
      this.#must([{ op: "delete-table" }, ...compiler.layoutOps()]);
      return undefined;
    }
    this.#must(diff.ops);
    return state;
  }

  /** What is refused is found by halves. */
  #addAll(
    compiler: IpvsCompiler,
    elements: readonly (readonly [number, string])[],
    refused: RefusedElement[],
  ): void {
    const [first] = elements;
    if (first === undefined) return;
    const changes = new ElementChanges(compiler.forms);
    for (const [set, key] of elements) changes.add(set, key, "");
    const failure = this.write(changes);
    if (failure === undefined) return;
    if (elements.length === 1) {
      refused.push({ set: first[0], key: first[1], failure });
      return;
    }
    const middle = elements.length >> 1;
    this.#addAll(compiler, elements.slice(0, middle), refused);
    this.#addAll(compiler, elements.slice(middle), refused);
  }

  #must(ops: readonly NftOp[], changes?: ElementChanges): void {
    const failure = this.#commit(ops, changes);
    if (failure !== undefined) throw new TableRefused(this.driver.table, ops, failure);
  }

  #commit(ops: readonly NftOp[], changes?: ElementChanges): NftFailure | undefined {
    if (ops.length === 0) return undefined;
    const result = this.driver.commit(ops);
    if (result.kind === "failed") {
      this.counters.failedCommits++;
      return result.failures[0] ?? { opIndex: -1, errno: 0, code: "UNKNOWN" };
    }
    this.counters.commits++;
    this.counters.operations += ops.length;
    this.counters.elementsAdded += changes?.added ?? 0;
    this.counters.elementsDeleted += changes?.deleted ?? 0;
    return undefined;
  }
}
