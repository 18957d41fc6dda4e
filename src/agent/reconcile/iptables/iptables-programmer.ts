/**
 * Layer agent. One family's iptables: writes unit changes, or everything where that is needed, and finds the unit that a
 * refused input was refused for. Knows no timers. Never empties a chain that is in use before what takes its place is there:
 * each table of an input is replaced as a whole.
 */
import type { IptablesDriver, RestoreResult } from "../../../drivers/iptables/index.ts";
import { NodeplaneError } from "../../../model/errors.ts";
import type { IpFamily } from "../../../model/ip.ts";
import { IptablesCompiler, type StagedUnits } from "../../../plan/iptables/compiler.ts";
import { CANARIES } from "../../../plan/iptables/node-rules.ts";
import type { RestoreInput } from "../../../plan/iptables/restore-input.ts";
import { parseSaved } from "../../../plan/iptables/saved-state.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import type { UnitChange } from "../../../plan/unit.ts";
import type { RefusedUnit } from "../refusals.ts";
import type { FamilyCounters, IptablesFigures } from "../status.ts";

/**
 * The nft variant takes time that grows with the square of the chains of one input: 11,000 in one take 16 s, in ten inputs
 * 2.4 s (docs/iptables.md).
 */
const NFT_CHAINS_PER_INPUT = 1_000;
/** Beyond what was measured the nft variant is refused, rather than left to stall the machine. */
export const MAX_NFT_CHAINS = 60_000;
/** As many changed units as make a full sync, which is split, the quicker way. */
const MANY_UNITS = 100;
/** Units that one full sync leaves out by the lines that were refused; beyond that, by halves. */
const MAX_BLAMED = 16;

interface Restored {
  readonly result: RestoreResult;
  /** Key of the unit that is to blame, where the command named a line. */
  readonly blamed?: string;
}

export class IptablesProgrammer {
  readonly family: IpFamily;
  readonly driver: IptablesDriver;
  readonly #compiler: IptablesCompiler;
  readonly #yieldTurn: () => Promise<void>;
  #node: NodeConfig;
  /** Changes that no input taken by the kernel has held yet. */
  readonly #pending = new Map<string, UnitChange>();
  #needsFull = true;
  /** What is there, read ahead for the next full sync. */
  #saved: Promise<string> | undefined;
  #needsRecompile = false;
  #lastRules = { filter: 0, nat: 0 };
  readonly #counters = {
    commits: 0,
    failedCommits: 0,
    operations: 0,
    fullSyncs: 0,
    adoptions: 0,
    repairs: 0,
    partial: 0,
  };

  /**
   * @param yieldTurn lets the event loop turn once
   * @param hasAccounting the packet counters are there
   */
  constructor(
    driver: IptablesDriver,
    node: NodeConfig,
    yieldTurn: () => Promise<void>,
    hasAccounting = false,
  ) {
    this.family = driver.family;
    this.#yieldTurn = yieldTurn;
    this.driver = driver;
    this.#node = node;
    this.#compiler = new IptablesCompiler(driver.family, node, {
      hasRandomFully: driver.hasRandomFully,
      hasAccounting,
    });
  }

  get unitCount(): number {
    return this.#compiler.unitCount;
  }

  get counters(): FamilyCounters {
    const { partial: _, ...counters } = this.#counters;
    return { ...counters, elementsAdded: 0, elementsDeleted: 0 };
  }

  figures(): IptablesFigures {
    const { failedCommits, partial } = this.#counters;
    return {
      variant: this.driver.variant,
      rules: this.#compiler.ruleCounts(),
      lastRules: this.#lastRules,
      restoreFailures: failedCommits,
      partialRestoreFailures: partial,
    };
  }

  noLocalEndpoints(): { readonly internal: number; readonly external: number } {
    return this.#compiler.noLocalEndpoints();
  }

  /** The next sync writes everything. */
  requireFull(): void {
    this.#needsFull = true;
  }

  /** Another process reads what is there while something else is done here. Its failure is told to whoever waits for it. */
  readAhead(): void {
    this.#saved = this.driver.save();
    this.#saved.catch(() => {});
  }

  /** What was read ahead may no longer be true. */
  forgetRead(): void {
    this.#saved = undefined;
  }

  setNode(node: NodeConfig): void {
    this.#node = node;
    this.#needsRecompile = true;
    this.#needsFull = true;
  }

  /** @returns false when somebody has flushed our chains; the next sync is then a full one, and counted as a repair */
  async isIntact(): Promise<boolean> {
    for (const { table, chain } of CANARIES) {
      if (await this.driver.hasChain(table, chain)) continue;
      this.#needsFull = true;
      this.#counters.repairs++;
      return false;
    }
    return true;
  }

  /**
   * Brings the kernel to what is known, and `changes` on top.
   * @returns units that the kernel refused: they are as they were before
   * @throws {NodeplaneError} when nothing could be written; `changes` are kept for the next time
   */
  async sync(changes: readonly UnitChange[]): Promise<readonly RefusedUnit[]> {
    for (const change of changes) this.#pending.set(change.key, change);
    if (this.#pending.size === 0 && !this.#needsFull) return [];
    const list = [...this.#pending.values()];
    const isFull = this.#needsFull;
    // What asks for a full sync from here on asks for the next one.
    this.#needsFull = false;
    if (isFull && this.#saved === undefined) this.readAhead();
    const staged = this.#compiler.stage(list);
    try {
      this.#checkSize();
      const refused = await this.#write(list, staged, isFull);
      this.#pending.clear();
      return refused;
    } catch (error) {
      staged.reject();
      this.#needsFull = true;
      this.#needsRecompile = true;
      throw error;
    }
  }

  #checkSize(): void {
    if (this.driver.variant === "legacy") return;
    const { chainCount } = this.#compiler;
    if (chainCount <= MAX_NFT_CHAINS) return;
    const detail = `${chainCount} chains are too many for iptables-nft (at most ${MAX_NFT_CHAINS}): use mode nftables, or iptables-legacy`;
    throw new NodeplaneError("IPTABLES_FAILED", { operation: this.family, detail });
  }

  async #write(
    list: readonly UnitChange[],
    staged: StagedUnits,
    isFull: boolean,
  ): Promise<readonly RefusedUnit[]> {
    const isRecompiled = this.#needsRecompile || this.#compiler.needsRecompile;
    if (isRecompiled) this.#compiler.recompile(this.#node);
    this.#needsRecompile = false;
    const isTooMuch = this.driver.variant === "nft" && list.length > MANY_UNITS;
    if (!isFull && !isRecompiled && !isTooMuch) {
      if ((await this.#restore(staged.input())).result.kind === "restored") return [];
      this.#counters.partial++;
    }
    return this.#full(list, staged);
  }

  /** Writes everything; a unit whose line is refused goes back to what it was. */
  async #full(list: readonly UnitChange[], staged: StagedUnits): Promise<readonly RefusedUnit[]> {
    const refused: RefusedUnit[] = [];
    const open = new Map(list.map((change) => [change.key, change]));
    for (;;) {
      const { result, blamed = "" } = await this.#restoreAll();
      if (result.kind === "restored") return refused;
      const change = open.get(blamed);
      if (change === undefined || refused.length >= MAX_BLAMED) {
        staged.reject();
        return [...refused, ...(await this.#isolate([...open.values()], result.message))];
      }
      open.delete(change.key);
      staged.rejectUnit(change.key);
      refused.push(refusal(change, result.message));
    }
  }

  /** No line tells who is to blame: from what was good before, units are added by halves. */
  async #isolate(list: readonly UnitChange[], message: string): Promise<readonly RefusedUnit[]> {
    const { result } = await this.#restoreAll();
    if (result.kind === "failed") {
      const detail = list.length === 0 ? message : result.message;
      throw new NodeplaneError("IPTABLES_FAILED", { operation: `${this.family} full sync`, detail });
    }
    const refused: RefusedUnit[] = [];
    await this.#halves(list, refused);
    // A refused input may have written its first table.
    if (refused.length > 0) await this.#restore(this.#compiler.stage([]).input());
    return refused;
  }

  async #halves(list: readonly UnitChange[], refused: RefusedUnit[]): Promise<void> {
    const [first] = list;
    if (first === undefined) return;
    const staged = this.#compiler.stage(list);
    const { result } = await this.#restore(staged.input());
    if (result.kind === "restored") return;
    staged.reject();
    if (list.length === 1) {
      refused.push(refusal(first, result.message));
      return;
    }
    const middle = list.length >> 1;
    await this.#halves(list.slice(0, middle), refused);
    await this.#halves(list.slice(middle), refused);
  }

  async #restoreAll(): Promise<Restored> {
    const saved = parseSaved(await this.#readAndRender());
    this.#counters.fullSyncs++;
    const most = this.driver.variant === "nft" ? NFT_CHAINS_PER_INPUT : Number.POSITIVE_INFINITY;
    const written = { filter: 0, nat: 0 };
    let lines = 0;
    for (const input of this.#compiler.fullInputs(saved, most)) {
      const done = await this.#restore(input);
      if (done.result.kind === "failed") return done;
      lines += input.size.lines;
      written.filter += input.size.rules.filter;
      written.nat += input.size.rules.nat;
    }
    if (lines === 0) this.#counters.adoptions++;
    this.#lastRules = written;
    return { result: { kind: "restored" } };
  }

  /** What is there. Rules are rendered as long as that takes. */
  async #readAndRender(): Promise<string> {
    const saved = this.#saved ?? this.driver.save();
    this.#saved = undefined;
    let isRead = false;
    const read = () => {
      isRead = true;
    };
    await Promise.race([saved.then(read, read), Promise.resolve().then(() => {})]);
    for (const _ of isRead ? [] : this.#compiler.render()) {
      await this.#yieldTurn();
      if (isRead) break;
    }
    return saved;
  }

  async #restore(input: RestoreInput): Promise<Restored> {
    const result = await this.driver.restore(input.text);
    if (result.kind === "failed") {
      this.#counters.failedCommits++;
      const blamed = result.line === undefined ? undefined : input.ownerOf(result.line);
      return blamed === undefined ? { result } : { result, blamed };
    }
    const { lines, rules } = input.size;
    if (lines > 0) this.#counters.commits++;
    this.#counters.operations += lines;
    this.#lastRules = rules;
    return { result };
  }
}

function refusal(change: UnitChange, message: string): RefusedUnit {
  return { change, failure: { opIndex: -1, errno: 0, code: "RESTORE_FAILED", message } };
}
