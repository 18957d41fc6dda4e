/**
 * Layer agent. Keeps the kernel equal to what the feed says: objects in, unit changes, operations, one commit.
 * No timer lies between a feed's commit and the kernel's: a small change is in the kernel when {@link Reconciler.commit}
 * returns. Long work yields to the event loop between batches. Sources: design.md sections 2 and 4.
 */
import type { NftDriver } from "../../../drivers/nftables/driver.ts";
import type { FeedBatch, FeedListener, Programmed } from "../../../feed/feed.ts";
import type { IpFamily } from "../../../model/ip.ts";
import type { FeedObject, ObjectKey, ObjectProblem } from "../../../model/objects.ts";
import type { ProxyMode } from "../../../plan/mode.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import { Planner } from "../../../plan/planner.ts";
import type { UnitChange, UnitShape } from "../../../plan/unit.ts";
import type { ReconcileClock } from "../clock.ts";
import { machineClock } from "../clock.ts";
import type { ReconcileLog } from "../kernel-reconciler.ts";
import { Refusals, type RefusedUnit, type WriteResult } from "../refusals.ts";
import type { ReconcilerStatus } from "../status.ts";
import { SyncProgress } from "../sync-progress.ts";
import { Programmer } from "./programmer.ts";

export interface ReconcilerOptions {
  readonly mode: ProxyMode;
  /** One driver a family; a family that is missing is not programmed. Each sees the table `nodeplane` of its family. */
  readonly drivers: Readonly<Partial<Record<IpFamily, NftDriver>>>;
  readonly node: NodeConfig;
  readonly clock?: ReconcileClock;
  readonly log?: ReconcileLog;
  /** A revision is in the kernel: the feed's second acknowledgement. Skips revisions that a later one overtook. */
  readonly onProgrammed?: (programmed: Programmed) => void;
  /** The whole list, each time it changes. */
  readonly onProblems?: (problems: readonly ObjectProblem[]) => void;
  /** Told of units that were written, and when all of them are live: clean-up of connections comes after the rules. */
  readonly flows?: { changed(changes: readonly UnitChange[]): void; live(): void };
}

/** Slots taken from the planner at a time: with frontends and the like about 5,000 elements. */
const SLOTS_PER_TURN = 4_500;
/** Foreign changes are collected this long: who deletes a table often does more right after. */
const REPAIR_DELAY_MS = 100;
/** Least time between two readings of the table, so that a quarrel over it does not eat the machine. */
const REOPEN_INTERVAL_MS = 500;
/** So long after a reading an unexpected element is the fault of what is sent, not of what is believed. */
const FRESH_MS = 2_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MOST_MS = 60_000;

export class Reconciler implements FeedListener {
  readonly #options: ReconcilerOptions;
  readonly #clock: ReconcileClock;
  readonly #log: ReconcileLog;
  readonly #planner: Planner;
  readonly #programmers: readonly Programmer[];
  readonly #refusals = new Refusals();
  readonly #progress: SyncProgress;
  readonly #stopped = new AbortController();
  #node: NodeConfig;
  #nodeText: string;
  /** A complete state has been received: before that nothing may be deleted from the kernel. */
  #hasState = false;
  #turns: Promise<void> | undefined;
  #reopen = new Set<Programmer>();
  /** Read, and being filled. */
  readonly #opened = new Set<Programmer>();
  /** Families whose next opening mends what others did. */
  #foreign = new Set<Programmer>();
  #lastReopenMs = Number.NEGATIVE_INFINITY;
  #cancelRetry: (() => void) | undefined;
  #cancelRepair: (() => void) | undefined;
  #retryMs = RETRY_FIRST_MS;
  #problemsSeen = -1;
  #problems: readonly ObjectProblem[] = [];

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? machineClock;
    this.#log = options.log ?? (() => {});
    this.#node = options.node;
    this.#nodeText = JSON.stringify(options.node);
    this.#planner = new Planner(options.node);
    this.#progress = new SyncProgress(this.#clock);
    this.#programmers = (["ip", "ip6"] as const).flatMap((family) => {
      const driver = options.drivers[family];
      return driver === undefined ? [] : [new Programmer(family, driver, options.node)];
    });
    for (const programmer of this.#programmers) {
      this.#reopen.add(programmer);
      programmer.driver.watch((what) => this.#foreignChange(programmer, what), this.#stopped.signal);
    }
  }

  begin(_batch: FeedBatch): void {
    this.#planner.begin();
  }

  upsert(object: FeedObject): void {
    this.#planner.upsert(object);
  }

  remove(key: ObjectKey): void {
    this.#planner.remove(key);
  }

  commit(batch: FeedBatch): void {
    this.#planner.commit(batch.snapshot);
    if (batch.snapshot) this.#hasState = true;
    if (!this.#hasState) return;
    this.#progress.received(batch);
    if (this.#planner.takeServiceRangesChanged()) this.#applyNode();
    this.#run();
  }

  /** Plans anew for a changed node: addresses, zone, pod range. Rules and elements that stay equal are not touched. */
  setNode(node: NodeConfig): void {
    const text = JSON.stringify(node);
    if (text === this.#nodeText) return;
    this.#node = node;
    this.#nodeText = text;
    this.#planner.setNode(node);
    if (!this.#hasState) return;
    this.#progress.started();
    this.#applyNode();
    this.#run();
  }

  status(): ReconcilerStatus {
    const { services, slices, endpoints } = this.#planner.counts;
    return {
      mode: this.#options.mode,
      services,
      endpointSlices: slices,
      endpoints,
      families: this.#programmers.map((programmer) => ({
        family: programmer.family,
        units: programmer.unitCount,
        elements: programmer.elementCount,
        counters: programmer.counters,
        noLocalEndpoints: programmer.noLocalEndpoints(),
      })),
      refused: this.#problems,
      ...this.#progress.status(),
    };
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
      if (this.#attempt(() => this.#turn()) && !this.#planner.hasChanges && this.#reopen.size === 0) {
        this.#finished();
        return;
      }
      if (this.#reopen.size > 0)
        this.#log("warn", "the kernel's table is not what it should be; reading it", {});
    }
    this.#turns = this.#runTurns().then((isComplete) => {
      this.#turns = undefined;
      // A batch may have been committed after the last look and before this.
      if (isComplete && (this.#progress.isPending || this.#planner.hasChanges)) this.#run();
    });
  }

  /** @returns false when it has to go on later, for which a timer is set */
  async #runTurns(): Promise<boolean> {
    do {
      if (this.#reopen.size > 0 && !this.#openTables()) return false;
      while (this.#planner.hasChanges) {
        if (!this.#attempt(() => this.#turn())) return false;
        await this.#clock.yieldTurn();
        if (this.#stopped.signal.aborted) return false;
      }
      for (const programmer of this.#opened) {
        this.#opened.delete(programmer);
        if (!this.#attempt(() => this.#closeOpening(programmer), programmer)) return false;
      }
    } while (this.#planner.hasChanges || this.#reopen.size > 0);
    this.#finished();
    return true;
  }

  /** One batch a family. */
  #turn(): void {
    const changes = this.#planner.takeChanges(SLOTS_PER_TURN);
    const isFresh = this.#clock.monotonicMs() - this.#lastReopenMs < FRESH_MS;
    for (const programmer of this.#programmers) {
      let own = changes.filter((change) => change.family === programmer.family);
      if (!programmer.isLive) own = this.#refusals.withoutWithheld(own);
      if (own.length > 0) this.#note(programmer, programmer.write(own, isFresh), own);
    }
    this.#options.flows?.changed(changes);
  }

  /** Connections of services with session affinity that sets of clients had no room for, by family. */
  affinityNotRemembered(): ReadonlyMap<IpFamily, number> {
    return new Map(this.#programmers.map((one) => [one.family, one.affinityNotRemembered()]));
  }

  /** Where flows of a unit may lead, see {@link Planner.flowTargets}. */
  flowTargets(shape: UnitShape): ReturnType<Planner["flowTargets"]> {
    return this.#planner.flowTargets(shape);
  }

  /** Ranges of the ServiceCIDRs of a family. */
  serviceRanges(family: IpFamily): ReturnType<Planner["serviceRanges"]> {
    return this.#planner.serviceRanges(family);
  }

  /** Opens the tables that need it; every unit is to be written to them then. @returns false when it has to wait */
  #openTables(): boolean {
    const waitMs = this.#lastReopenMs + REOPEN_INTERVAL_MS - this.#clock.monotonicMs();
    if (waitMs > 0) {
      this.#later(waitMs, () => this.#run());
      return false;
    }
    this.#lastReopenMs = this.#clock.monotonicMs();
    const opening = [...this.#reopen];
    this.#reopen = new Set();
    this.#planner.touchAll();
    for (const programmer of opening) {
      const { family } = programmer;
      const open = () => {
        const found = programmer.open(this.#node, this.#planner.serviceRanges(family));
        this.#log("info", `table ${family} nodeplane: found ${found}`, { family });
      };
      if (!this.#attempt(open, programmer)) return false;
      this.#opened.add(programmer);
    }
    return true;
  }

  /** Every unit has been written to a table just opened: deletes what is left over in it. */
  #closeOpening(programmer: Programmer): void {
    const result = programmer.finish();
    this.#note(programmer, result, []);
    if (!programmer.isLive) return;
    if (this.#foreign.delete(programmer) && result.wrote) {
      programmer.countRepair();
      const { family } = programmer;
      this.#log("warn", `table ${family} nodeplane: mended foreign changes`, { family });
    }
    const withheld = this.#refusals.takeWithheld(programmer.family);
    if (withheld.length > 0) this.#note(programmer, programmer.write(withheld, true), withheld);
  }

  /** Files the outcome of a write. */
  #note(programmer: Programmer, result: WriteResult, written: readonly UnitChange[]): void {
    if (result.isDesynced) {
      // What these units were to be comes again from the planner when the table is filled.
      this.#reopen.add(programmer);
      this.#refusals.withhold(result.refused);
      return;
    }
    this.#refusals.settle(written, result.refused);
    for (const { change, failure } of result.refused) this.#logRefused(change, failure);
    if (result.refused.length > 0) this.#retry();
  }

  #logRefused(change: UnitChange, failure: RefusedUnit["failure"]): void {
    this.#log("error", "the kernel refused a service port", {
      unit: change.key,
      code: failure.code,
      ...(failure.message === undefined ? {} : { kernel: failure.message }),
    });
  }

  /** Runs what talks to the kernel. @returns false after an error, which is logged, kept and followed by another try */
  #attempt(action: () => void, programmer?: Programmer): boolean {
    try {
      action();
      return true;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#progress.failed(message);
      this.#log("error", message, { retryMs: this.#retryMs });
      for (const one of programmer === undefined ? this.#programmers : [programmer]) this.#reopen.add(one);
      this.#retry();
      return false;
    }
  }

  /** Tries again what was refused, and what could not be read or written, less and less often. */
  #retry(): void {
    this.#later(this.#retryMs, () => {
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
      for (const { namespace, service } of this.#refusals.units()) this.#planner.touch(namespace, service);
      this.#run();
    });
  }

  #later(delayMs: number, action: () => void): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.#clock.after(delayMs, () => {
      this.#cancelRetry = undefined;
      action();
    });
  }

  #applyNode(): void {
    for (const programmer of this.#programmers) {
      if (!programmer.isLive) {
        this.#reopen.add(programmer);
        continue;
      }
      const ranges = this.#planner.serviceRanges(programmer.family);
      this.#attempt(() => this.#note(programmer, programmer.setNode(this.#node, ranges), []), programmer);
    }
  }

  #finished(): void {
    if (this.#refusals.isEmpty) this.#retryMs = RETRY_FIRST_MS;
    this.#reportProblems();
    this.#options.flows?.live();
    const revision = this.#progress.finished();
    if (revision !== undefined) this.#options.onProgrammed?.({ revision, refused: this.#problems });
  }

  #reportProblems(): void {
    const seen = this.#planner.problemsRevision + this.#refusals.revision;
    if (seen === this.#problemsSeen) return;
    this.#problemsSeen = seen;
    this.#problems = [...this.#planner.problems(), ...this.#refusals.problems()];
    this.#options.onProblems?.(this.#problems);
  }

  #foreignChange(programmer: Programmer, what: "table-deleted" | "changed"): void {
    if (!this.#hasState || this.#stopped.signal.aborted) return;
    this.#foreign.add(programmer);
    if (this.#cancelRepair !== undefined) return;
    this.#log("warn", `table ${programmer.family} nodeplane: ${what} by somebody else`, {
      family: programmer.family,
    });
    this.#cancelRepair = this.#clock.after(REPAIR_DELAY_MS, () => {
      this.#cancelRepair = undefined;
      for (const one of this.#foreign) this.#reopen.add(one);
      this.#run();
    });
  }
}
