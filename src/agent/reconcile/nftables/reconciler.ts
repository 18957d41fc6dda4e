/**
 * Layer agent. Keeps the kernel equal to what the feed says: objects in, unit changes, operations, one commit.
 * No timer lies between a feed's commit and the kernel's: a small change is in the kernel when {@link Reconciler.commit}
 * returns. Long work yields to the event loop between batches. Sources: docs/nftables.md, docs/adr/0020.
 */
import type { NftDriver } from "../../../drivers/nftables/driver.ts";
import type { IpFamily } from "../../../model/ip.ts";
import type { ProxyMode } from "../../../plan/mode.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import type { UnitChange } from "../../../plan/unit.ts";
import { ModeReconciler, type ModeReconcilerOptions } from "../mode-reconciler.ts";
import type { WriteResult } from "../refusals.ts";
import { ServiceConnectionReader, type ServiceConnections } from "../service-connections.ts";
import type { FamilyStatus } from "../status.ts";
import { Programmer } from "./programmer.ts";

export interface ReconcilerOptions extends ModeReconcilerOptions {
  readonly mode: ProxyMode;
  /** One driver a family; a family that is missing is not programmed. Each sees the table `nodeplane` of its family. */
  readonly drivers: Readonly<Partial<Record<IpFamily, NftDriver>>>;
}

/** Slots taken from the planner at a time: with frontends and the like about 5,000 elements. */
const SLOTS_PER_TURN = 4_500;
/** Foreign changes are collected this long: who deletes a table often does more right after. */
const REPAIR_DELAY_MS = 100;
/** Least time between two readings of the table, so that a quarrel over it does not eat the machine. */
const REOPEN_INTERVAL_MS = 500;
/** So long after a reading an unexpected element is the fault of what is sent, not of what is believed. */
const FRESH_MS = 2_000;

export class Reconciler extends ModeReconciler {
  readonly #programmers: readonly Programmer[];
  readonly #stopped = new AbortController();
  #hasNewNode = false;
  #turns: Promise<void> | undefined;
  readonly #reopen = new Set<Programmer>();
  /** Read, and being filled; true: to mend what others did. */
  readonly #opened = new Map<Programmer, boolean>();
  /** Families whose table others have changed since it was read. */
  readonly #foreign = new Set<Programmer>();
  #lastReopenMs = Number.NEGATIVE_INFINITY;
  #cancelRetry: (() => void) | undefined;
  #cancelRepair: (() => void) | undefined;
  readonly #connections: ServiceConnectionReader;

  constructor(options: ReconcilerOptions) {
    super(options.mode, options);
    this.#programmers = (["ip", "ip6"] as const).flatMap((family) => {
      const driver = options.drivers[family];
      return driver === undefined ? [] : [new Programmer(family, driver, options.node)];
    });
    const read = () => this.#programmers.flatMap((programmer) => [...programmer.connections()]);
    this.#connections = new ServiceConnectionReader(this.clock, read);
    for (const programmer of this.#programmers) {
      this.#reopen.add(programmer);
      programmer.driver.watch((what) => this.#foreignChange(programmer, what), this.#stopped.signal);
    }
  }

  protected takeNode(node: NodeConfig): void {
    this.planner.setNode(node);
    this.#hasNewNode = true;
  }

  /** Rules and elements that stay equal are not touched. */
  protected wake(): void {
    if (this.planner.takeServiceRangesChanged() || this.#hasNewNode) this.#applyNode();
    this.#run();
  }

  protected families(): readonly FamilyStatus[] {
    return this.#programmers.map((programmer) => ({
      family: programmer.family,
      units: programmer.unitCount,
      elements: programmer.elementCount,
      counters: programmer.counters,
      noLocalEndpoints: programmer.noLocalEndpoints(),
    }));
  }

  /** Resolves when nothing is left to be written but what waits for a retry. */
  async idle(): Promise<void> {
    while (this.#turns !== undefined) await this.#turns;
  }

  /** Stops watching and writing; what is in the kernel stays. */
  stop(): void {
    this.#stopped.abort();
    this.#cancelRetry?.();
    this.#cancelRepair?.();
  }

  /** Writes what is to be written: at once when it is little, else turn by turn. */
  #run(): void {
    if (this.#turns !== undefined || this.#stopped.signal.aborted) return;
    if (this.#reopen.size === 0) {
      if (this.#attempt(() => this.#turn()) && !this.planner.hasChanges && this.#reopen.size === 0) {
        this.#finished();
        return;
      }
      if (this.#reopen.size > 0)
        this.log("warn", "the kernel's table is not what it should be; reading it", {});
    }
    this.#turns = this.#runTurns().then((isComplete) => {
      this.#turns = undefined;
      // A batch may have been committed after the last look and before this.
      if (isComplete && (this.progress.isPending || this.planner.hasChanges)) this.#run();
    });
  }

  /** @returns false when it has to go on later, for which a timer is set */
  async #runTurns(): Promise<boolean> {
    do {
      if (this.#reopen.size > 0 && !this.#openTables()) return false;
      while (this.planner.hasChanges) {
        if (!this.#attempt(() => this.#turn())) return false;
        await this.clock.yieldTurn();
        if (this.#stopped.signal.aborted) return false;
      }
      for (const [programmer, isForeign] of this.#opened) {
        this.#opened.delete(programmer);
        if (!this.#attempt(() => this.#closeOpening(programmer, isForeign), programmer)) return false;
      }
    } while (this.planner.hasChanges || this.#reopen.size > 0);
    this.#finished();
    return true;
  }

  /** One batch a family. */
  #turn(): void {
    const changes = this.planner.takeChanges(SLOTS_PER_TURN);
    const isFresh = this.clock.monotonicMs() - this.#lastReopenMs < FRESH_MS;
    for (const programmer of this.#programmers) {
      let own = changes.filter((change) => change.family === programmer.family);
      if (!programmer.isLive) own = this.refusals.withoutWithheld(own);
      if (own.length > 0) this.#note(programmer, programmer.write(own, isFresh), own);
    }
    this.noteFlows(changes);
  }

  /** Connections of services with session affinity that sets of clients had no room for, by family. */
  affinityNotRemembered(): ReadonlyMap<IpFamily, number> {
    return new Map(this.#programmers.map((one) => [one.family, one.affinityNotRemembered()]));
  }

  serviceConnections(): readonly ServiceConnections[] {
    return this.node.countConnections === true ? this.#connections.latest() : [];
  }

  /** Opens the tables that need it; every unit is to be written to them then. @returns false when it has to wait */
  #openTables(): boolean {
    const waitMs = this.#lastReopenMs + REOPEN_INTERVAL_MS - this.clock.monotonicMs();
    if (waitMs > 0) {
      this.#later(waitMs, () => this.#run());
      return false;
    }
    this.#lastReopenMs = this.clock.monotonicMs();
    this.planner.touchAll();
    for (const programmer of [...this.#reopen]) {
      this.#reopen.delete(programmer);
      const { family } = programmer;
      // What comes from here on may not be in what is read now: it asks for another opening.
      const isForeign = this.#foreign.delete(programmer);
      const open = () => {
        const found = programmer.open(this.node, this.planner.serviceRanges(family));
        this.log("info", `table ${family} nodeplane: found ${found}`, { family });
      };
      if (!this.#attempt(open, programmer)) return false;
      this.#opened.set(programmer, isForeign);
    }
    return true;
  }

  /** Every unit has been written to a table just opened: deletes what is left over in it. */
  #closeOpening(programmer: Programmer, isForeign: boolean): void {
    const result = programmer.finish();
    this.#note(programmer, result, []);
    if (!programmer.isLive) return;
    if (isForeign && result.wrote) {
      programmer.countRepair();
      const { family } = programmer;
      this.log("warn", `table ${family} nodeplane: mended foreign changes`, { family });
    }
    const withheld = this.refusals.takeWithheld(programmer.family);
    if (withheld.length > 0) this.#note(programmer, programmer.write(withheld, true), withheld);
  }

  /** Files the outcome of a write. */
  #note(programmer: Programmer, result: WriteResult, written: readonly UnitChange[]): void {
    if (result.isDesynced) {
      // What these units were to be comes again from the planner when the table is filled.
      this.#reopen.add(programmer);
      this.refusals.withhold(result.refused);
      return;
    }
    this.refusals.settle(written, result.refused);
    this.logRefused(result.refused);
    if (result.refused.length > 0) this.#retry();
  }

  /** Runs what talks to the kernel. @returns false after an error, which is logged, kept and followed by another try */
  #attempt(action: () => void, programmer?: Programmer): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.failed(error);
      for (const one of programmer === undefined ? this.#programmers : [programmer]) this.#reopen.add(one);
      this.#retry();
      return false;
    }
  }

  /** Tries again what was refused, and what could not be read or written, less and less often. */
  #retry(): void {
    this.#later(this.retryDelay.ms, () => {
      this.retryDelay.grow();
      this.touchRefused();
      this.#run();
    });
  }

  #later(delayMs: number, action: () => void): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.clock.after(delayMs, () => {
      this.#cancelRetry = undefined;
      action();
    });
  }

  #applyNode(): void {
    this.#hasNewNode = false;
    for (const programmer of this.#programmers) {
      if (!programmer.isLive) {
        this.#reopen.add(programmer);
        continue;
      }
      const ranges = this.planner.serviceRanges(programmer.family);
      this.#attempt(() => this.#note(programmer, programmer.setNode(this.node, ranges), []), programmer);
    }
  }

  #finished(): void {
    if (this.refusals.isEmpty) this.retryDelay.reset();
    this.live();
  }

  #foreignChange(programmer: Programmer, what: "table-deleted" | "changed"): void {
    if (!this.hasState || this.#stopped.signal.aborted) return;
    this.#foreign.add(programmer);
    if (this.#cancelRepair !== undefined) return;
    this.log("warn", `table ${programmer.family} nodeplane: ${what} by somebody else`, {
      family: programmer.family,
    });
    this.#cancelRepair = this.clock.after(REPAIR_DELAY_MS, () => {
      this.#cancelRepair = undefined;
      for (const one of this.#foreign) this.#reopen.add(one);
      this.#run();
    });
  }
}
