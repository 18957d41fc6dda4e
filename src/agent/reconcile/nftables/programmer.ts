/**
 * Layer agent. One family's table: brings it to life (new, adopted or rebuilt) and writes unit changes into it.
 * Decides nothing about services and knows no timers; the reconciler calls it. Every call that writes is synchronous.
 */
import type { NftCommit, NftDriver, NftFailure } from "../../../drivers/nftables/driver.ts";
import type { IpFamily } from "../../../model/ip.ts";
import type { NftOp, NftTable } from "../../../model/nftables.ts";
import type { UnitConnections } from "../../../plan/connection-totals.ts";
import { Adoption } from "../../../plan/nftables/adoption.ts";
import { NftCompiler } from "../../../plan/nftables/compiler.ts";
import { ElementChanges } from "../../../plan/nftables/element-list.ts";
import { diffLayout, diffRules } from "../../../plan/nftables/layout-diff.ts";
import { chainsOf } from "../../../plan/nftables/rules.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import type { AddressRange, UnitChange } from "../../../plan/unit.ts";
import type { RefusedUnit, WriteResult } from "../refusals.ts";
import type { FamilyCounters } from "../status.ts";
import { ConnectionCounts } from "./connection-counts.ts";

/** Elements in one batch while many are written: a transaction of 5,000 takes about 15 ms. */
const BATCH_ELEMENTS = 5_000;
/** Errors that say that the kernel does not hold what we believe, rather than that it dislikes what we sent. */
const DESYNC_CODES: ReadonlySet<string> = new Set(["EEXIST", "ENOENT", "EBUSY"]);

const WRITTEN: WriteResult = { refused: [], isDesynced: false };

type Phase =
  | { readonly kind: "down" }
  | { readonly kind: "live" }
  | {
      readonly kind: "adopting";
      readonly adoption: Adoption;
      changes: ElementChanges;
      /** Whose elements are in `changes`. */
      units: UnitChange[];
      /** Changed again after they were taken over. */
      readonly later: Map<string, UnitChange>;
    }
  | { readonly kind: "rebuilding"; readonly units: Map<string, UnitChange> };

/** What {@link Programmer.open} found. */
export type Found = "nothing" | "ours" | "another layout";

export class Programmer {
  readonly family: IpFamily;
  readonly driver: NftDriver;
  readonly #connections: ConnectionCounts;
  #compiler: NftCompiler;
  #node: NodeConfig;
  #ranges: readonly AddressRange[] = [];
  #phase: Phase = { kind: "down" };
  /** Elements and rules changed since {@link open}: nothing when the table was right. */
  #writes = 0;
  #notRemembered = 0;
  #counted: ReadonlyMap<string, number> = new Map();
  readonly #counters = {
    commits: 0,
    failedCommits: 0,
    operations: 0,
    elementsAdded: 0,
    elementsDeleted: 0,
    fullSyncs: 0,
    adoptions: 0,
    cleanupFailures: 0,
    repairs: 0,
  };

  constructor(family: IpFamily, driver: NftDriver, node: NodeConfig) {
    this.family = family;
    this.driver = driver;
    this.#connections = new ConnectionCounts(driver);
    this.#node = node;
    this.#compiler = new NftCompiler(family, node);
  }

  get isLive(): boolean {
    return this.#phase.kind === "live";
  }

  get counters(): FamilyCounters {
    return { ...this.#counters };
  }

  get unitCount(): number {
    return this.#compiler.unitCount;
  }

  get elementCount(): number {
    return this.#compiler.elementCount;
  }

  noLocalEndpoints(): { readonly internal: number; readonly external: number } {
    return this.#compiler.noLocalEndpoints();
  }

  /** Connections that sets of clients had no room for, since the start. Reads rules only while there is session affinity. */
  affinityNotRemembered(): number {
    if (!this.isLive || !this.#compiler.hasAffinity) return this.#notRemembered;
    const now = this.driver.counted();
    for (const [chain, packets] of now) {
      // A chain that was written anew counts from zero again.
      const before = this.#counted.get(chain) ?? 0;
      this.#notRemembered += packets >= before ? packets - before : packets;
    }
    this.#counted = now;
    return this.#notRemembered;
  }

  /** New connections of every service port since they are counted. Reads the frontend maps while the table is live. */
  connections(): Iterable<UnitConnections> {
    if (this.isLive) this.#connections.read(this.#compiler);
    return this.#connections.latest;
  }

  countRepair(): void {
    this.#counters.repairs++;
  }

  /**
   * Reads the table and gets ready for {@link write} with every unit there is, then {@link finish}. Makes it if it is
   * missing: rules first, since a rule added to full maps makes the kernel check every element.
   */
  open(node: NodeConfig, ranges: readonly AddressRange[]): Found {
    this.#phase = { kind: "down" };
    this.#node = node;
    this.#ranges = ranges;
    this.#compiler = new NftCompiler(this.family, node);
    this.#writes = 0;
    const state = this.driver.read();
    if (state === undefined) {
      const own = this.#compiler.stageNode(node, ranges);
      this.#must([...this.#compiler.layoutOps(), ...own.ops], own.added, 0);
      this.#counters.fullSyncs++;
      this.#phase = { kind: "live" };
      return "nothing";
    }
    const canonical = this.driver.canonicalRule.bind(this.driver);
    const diff = diffLayout(state, chainsOf(), this.#compiler.sets, this.#compiler.rules, canonical);
    if (diff.kind === "other") {
      this.#phase = { kind: "rebuilding", units: new Map() };
      return "another layout";
    }
    if (diff.ops.length > 0) this.#must(diff.ops, 0, 0);
    this.#compiler.adoptObjects(state, canonical);
    const adoption = new Adoption(this.#compiler, state);
    const changes = new ElementChanges(this.#compiler.forms);
    this.#compiler.stageNode(node, ranges);
    adoption.compare(this.#compiler.ownElements, changes);
    this.#phase = { kind: "adopting", adoption, changes, units: [], later: new Map() };
    return "ours";
  }

  /**
   * Writes units (or, while a table is being taken over, notes what has to be written).
   * @param isFresh the table was read a moment ago: an element that is there or missing against expectation is then the
   *   fault of what is sent, and reading again would not help
   */
  write(changes: readonly UnitChange[], isFresh: boolean): WriteResult {
    const phase = this.#phase;
    if (phase.kind === "live") return this.#writeLive(changes, isFresh);
    if (phase.kind === "rebuilding") for (const change of changes) phase.units.set(change.key, change);
    if (phase.kind !== "adopting") return WRITTEN;
    for (const change of changes) {
      if (this.#compiler.compiled(change.key) !== undefined) {
        phase.later.set(change.key, change);
        continue;
      }
      if (change.unit === undefined) continue;
      phase.adoption.unit(change.unit, phase.changes);
      phase.units.push(change);
    }
    return phase.changes.size >= BATCH_ELEMENTS ? this.#flush(phase) : WRITTEN;
  }

  /** All units have been written: deletes what nobody asked for. @returns whether anything differed, and what failed */
  finish(): WriteResult & { readonly wrote: boolean } {
    const phase = this.#phase;
    if (phase.kind === "rebuilding") {
      return { ...this.#rebuild([...phase.units.values()]), wrote: true };
    }
    if (phase.kind !== "adopting") return { ...WRITTEN, wrote: this.#writes > 0 };
    const result = this.#flush(phase);
    if (result.isDesynced) return { ...result, wrote: true };
    for (const changes of phase.adoption.leftovers(BATCH_ELEMENTS))
      this.#must(changes.ops(), changes.added, changes.deleted);
    this.#removeSpare();
    this.#counters.adoptions++;
    this.#phase = { kind: "live" };
    const late = this.#writeLive([...phase.later.values()], true);
    return { ...late, wrote: this.#writes > 0 };
  }

  /** Brings rules and node elements to a changed node; units are the planner's. */
  setNode(node: NodeConfig, ranges: readonly AddressRange[]): WriteResult {
    const before = new Map<string, string[]>();
    for (const rule of this.#compiler.rules) {
      const list = before.get(rule.chain) ?? [];
      before.set(rule.chain, list);
      list.push(this.driver.canonicalRule(rule));
    }
    this.#node = node;
    this.#ranges = ranges;
    const staged = this.#compiler.stageNode(node, ranges);
    const rules = diffRules(before, this.#compiler.rules, (rule) => this.driver.canonicalRule(rule));
    const result = this.#commit([...rules, ...staged.ops], staged.added, staged.deleted);
    if (result.kind === "committed") return WRITTEN;
    staged.reject();
    return { refused: [], isDesynced: true };
  }

  #rebuild(units: readonly UnitChange[]): WriteResult {
    const own = this.#compiler.stageNode(this.#node, this.#ranges);
    const staged = this.#compiler.stage(units);
    const empty: NftOp[] = [{ op: "delete-table" }, ...this.#compiler.layoutOps(), ...own.ops];
    // One batch: packets see the old table or the whole new one.
    const result = this.#commit([...empty, ...staged.ops], own.added + staged.added, 0);
    this.#phase = { kind: "live" };
    this.#counters.fullSyncs++;
    if (result.kind === "committed") return WRITTEN;
    staged.reject();
    this.#must(empty, own.added, 0);
    return this.#writeSingly(units, result);
  }

  #writeLive(changes: readonly UnitChange[], isFresh: boolean): WriteResult {
    const staged = this.#compiler.stage(changes);
    const result = this.#commit(staged.ops, staged.added, staged.deleted);
    if (result.kind === "committed") {
      this.#removeSpare();
      return WRITTEN;
    }
    staged.reject();
    if (!isFresh && isDesync(result)) return { refused: [], isDesynced: true };
    return this.#writeSingly(changes, result);
  }

  /** After a refused batch: each unit in a batch of its own, so that one bad unit stops no other. */
  #writeSingly(changes: readonly UnitChange[], first: NftCommit & { kind: "failed" }): WriteResult {
    const refused: RefusedUnit[] = [];
    for (const change of changes) {
      const staged = this.#compiler.stage([change]);
      if (staged.ops.length === 0) continue;
      const result = changes.length === 1 ? first : this.#commit(staged.ops, staged.added, staged.deleted);
      if (result.kind === "committed") {
        this.#removeSpare();
        continue;
      }
      staged.reject();
      refused.push({ change, failure: result.failures[0] ?? UNKNOWN_FAILURE });
    }
    return { refused, isDesynced: false };
  }

  /** Chains and sets that lost their unit. A kernel that still holds on to one is asked again after the next write. */
  #removeSpare(): void {
    const ops = this.#compiler.removalOps();
    if (ops.length === 0) return;
    const result = this.driver.commit(ops);
    if (result.kind === "failed") this.#counters.cleanupFailures++;
    if (result.kind === "failed" && result.failures.some(({ code }) => code === "EBUSY")) return;
    this.#writes += ops.length;
    this.#compiler.removed();
  }

  #flush(phase: Extract<Phase, { kind: "adopting" }>): WriteResult {
    const { changes, units } = phase;
    phase.changes = new ElementChanges(this.#compiler.forms);
    phase.units = [];
    const objects = this.#compiler.takeAdoptedOps();
    if (changes.size === 0 && objects.length === 0) return WRITTEN;
    const result = this.#commit([...objects, ...changes.ops()], changes.added, changes.deleted);
    if (result.kind === "committed") return WRITTEN;
    const failure = result.failures[0] ?? UNKNOWN_FAILURE;
    // What was taken over is wrong now, so the table has to be read again in any case.
    return { refused: units.map((change) => ({ change, failure })), isDesynced: true };
  }

  #commit(ops: readonly NftOp[], added: number, deleted: number): NftCommit {
    if (ops.length === 0) return { kind: "committed" };
    const result = this.driver.commit(ops);
    if (result.kind === "failed") {
      this.#counters.failedCommits++;
      return result;
    }
    this.#writes += ops.length;
    this.#counters.commits++;
    this.#counters.operations += ops.length;
    this.#counters.elementsAdded += added;
    this.#counters.elementsDeleted += deleted;
    return result;
  }

  /** For what cannot fail because of a user's object. @throws {TableRefused} */
  #must(ops: readonly NftOp[], added: number, deleted: number): void {
    const result = this.#commit(ops, added, deleted);
    if (result.kind === "failed") throw new TableRefused(this.driver.table, ops, result.failures[0]);
  }
}

const UNKNOWN_FAILURE: NftFailure = { opIndex: -1, errno: 0, code: "UNKNOWN" };

function isDesync(result: NftCommit & { kind: "failed" }): boolean {
  return result.failures.some((failure) => DESYNC_CODES.has(failure.code));
}

/** The kernel refused the table itself: nothing can be programmed. */
export class TableRefused extends Error {
  constructor(table: NftTable, ops: readonly NftOp[], failure: NftFailure | undefined) {
    const op = ops[failure?.opIndex ?? -1];
    const what = op === undefined ? "the batch" : describe(op);
    super(
      `table ${table.family} ${table.name}: kernel refused ${what}: ${failure?.code ?? "?"} ${failure?.message ?? ""}`.trim(),
    );
    this.name = "TableRefused";
  }
}

function describe(op: NftOp): string {
  switch (op.op) {
    case "add-chain":
      return `${op.op} ${op.chain.name}`;
    case "delete-chain":
    case "flush-chain":
      return `${op.op} ${op.chain}`;
    case "add-rule":
      return `${op.op} in ${op.rule.chain}`;
    case "add-set":
      return `${op.op} ${op.set.name}`;
    case "delete-set":
    case "add-elements":
    case "delete-elements":
      return `${op.op} ${op.set}`;
    default:
      return op.op;
  }
}
