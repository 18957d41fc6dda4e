/**
 * Layer agent. Keeps IPVS, its dummy device and the nftables table around them equal to what the feed says. A change is written
 * at once; long work is cut into turns of the event loop. Looks after what drains, and every syncPeriod after what others changed.
 * Sources: design.md section 5, facts/kube-proxy-behaviour.md section 2.3.
 */
import type { IpvsDriver } from "../../../drivers/ipvs/driver.ts";
import type { NftDriver } from "../../../drivers/nftables/driver.ts";
import type { DummyDriver } from "../../../drivers/rtnetlink/index.ts";
import type { FeedBatch } from "../../../feed/feed.ts";
import type { Cidr, IpFamily } from "../../../model/ip.ts";
import type { IpvsTimeouts } from "../../../model/ipvs.ts";
import type { FeedObject, ObjectKey, ObjectProblem } from "../../../model/objects.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import { Planner } from "../../../plan/planner.ts";
import type { UnitChange, UnitShape } from "../../../plan/unit.ts";
import { machineClock, type ReconcileClock } from "../clock.ts";
import type { KernelReconciler, ReconcileLog, ReconcilerCallbacks } from "../kernel-reconciler.ts";
import { Refusals, type WriteResult } from "../refusals.ts";
import type { ReconcilerStatus } from "../status.ts";
import { SyncProgress } from "../sync-progress.ts";
import { IpvsProgrammer } from "./ipvs-programmer.ts";

export interface IpvsReconcilerOptions extends ReconcilerCallbacks {
  /** One driver a family, each sees the table `nodeplane-ipvs`; a family that is missing is not programmed. */
  readonly nft: Readonly<Partial<Record<IpFamily, NftDriver>>>;
  readonly ipvs: IpvsDriver;
  readonly dummy: DummyDriver;
  readonly node: NodeConfig;
  readonly scheduler: string;
  readonly excludeCIDRs: readonly Cidr[];
  /** 0 leaves the kernel's. */
  readonly timeouts: IpvsTimeouts;
  /** How long a removed endpoint may keep its connections. */
  readonly drainLimitMs: number;
  /** Time between two looks at what others may have changed. */
  readonly syncPeriodMs: number;
  readonly clock?: ReconcileClock;
  readonly log?: ReconcileLog;
}

/** Slots taken from the planner at a time. */
const SLOTS_PER_TURN = 4_500;
/** Time between two looks at connections of what drains. */
const DRAIN_MS = 5_000;
/** Foreign changes of the table are collected this long. */
const REPAIR_DELAY_MS = 100;
const RETRY_FIRST_MS = 1_000;
const RETRY_MOST_MS = 60_000;

export class IpvsReconciler implements KernelReconciler {
  readonly #options: IpvsReconcilerOptions;
  readonly #clock: ReconcileClock;
  readonly #log: ReconcileLog;
  readonly #planner: Planner;
  readonly #programmers: readonly IpvsProgrammer[];
  readonly #refusals = new Refusals();
  readonly #progress: SyncProgress;
  readonly #stopped = new AbortController();
  readonly #cancels = new Map<"retry" | "repair" | "drain" | "look", () => void>();
  #node: NodeConfig;
  #nodeText: string;
  /** A complete state has been received: before that nothing may be written. */
  #hasState = false;
  /** What the kernel holds is not known: read it and write the difference. */
  #mustOpen = true;
  /** Timers that went off while something else ran. */
  readonly #due = new Set<"drain" | "look">();
  #isForeign = false;
  #hasNewNode = false;
  #running: Promise<void> | undefined;
  #retryMs = RETRY_FIRST_MS;
  #problemsSeen = -1;
  #problems: readonly ObjectProblem[] = [];

  constructor(options: IpvsReconcilerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? machineClock;
    this.#log = options.log ?? (() => {});
    this.#node = options.node;
    this.#nodeText = JSON.stringify(options.node);
    this.#planner = new Planner(options.node);
    this.#progress = new SyncProgress(this.#clock);
    const { ipvs, dummy, node, scheduler, excludeCIDRs, drainLimitMs } = options;
    const common = { ipvs, dummy, node, scheduler, excludeCIDRs, drainLimitMs, clock: this.#clock };
    this.#programmers = (["ip", "ip6"] as const).flatMap((family) => {
      const nft = options.nft[family];
      return nft === undefined ? [] : [new IpvsProgrammer({ family, nft, ...common })];
    });
    for (const { family, table } of this.#programmers)
      table.driver.watch((what) => this.#foreignChange(family, what), this.#stopped.signal);
    this.#later("look", options.syncPeriodMs);
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
    this.#run();
  }

  setNode(node: NodeConfig): void {
    const text = JSON.stringify(node);
    if (text === this.#nodeText) return;
    this.#node = node;
    this.#nodeText = text;
    this.#hasNewNode = true;
    if (!this.#hasState) return;
    this.#progress.started();
    this.#run();
  }

  status(): ReconcilerStatus {
    const { services, slices, endpoints } = this.#planner.counts;
    return {
      mode: "ipvs",
      services,
      endpointSlices: slices,
      endpoints,
      families: this.#programmers.map((programmer) => programmer.status()),
      refused: this.#problems,
      ...this.#progress.status(),
    };
  }

  flowTargets(shape: UnitShape): ReturnType<Planner["flowTargets"]> {
    return this.#planner.flowTargets(shape);
  }

  serviceRanges(family: IpFamily): ReturnType<Planner["serviceRanges"]> {
    return this.#planner.serviceRanges(family);
  }

  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  stop(): void {
    this.#stopped.abort();
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }

  #run(): void {
    if (this.#running !== undefined || this.#stopped.signal.aborted) return;
    // After a failure the timer opens it again, however many changes come.
    if (this.#mustOpen && this.#cancels.has("retry")) return;
    this.#running = this.#work()
      .catch((error: unknown) => this.#failed(error))
      .then(() => {
        this.#running = undefined;
      });
  }

  async #work(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      if (this.#hasNewNode) this.#applyNode();
      if (this.#mustOpen) await this.#open();
      else if (this.#planner.hasChanges || this.#progress.isPending) await this.#sync();
      else if (this.#due.delete("drain")) await this.#drain();
      else if (this.#due.delete("look")) await this.#look();
      else return;
      // A quarrel over the table must not eat the machine: the timer opens it again.
      if (this.#mustOpen) return;
    }
  }

  #applyNode(): void {
    this.#hasNewNode = false;
    this.#planner.setNode(this.#node);
    if (this.#mustOpen) return;
    this.#mustOpen = true;
    for (const programmer of this.#programmers) programmer.setNode(this.#node);
    this.#mustOpen = false;
    this.#planner.touchAll();
  }

  /** Takes over what is in the kernel, or begins with nothing. */
  async #open(): Promise<void> {
    const mark = this.#progress.mark();
    const { ipvs, timeouts } = this.#options;
    if (timeouts.tcpSeconds + timeouts.tcpFinSeconds + timeouts.udpSeconds > 0) ipvs.writeTimeouts(timeouts);
    this.#planner.touchAll();
    for (const programmer of this.#programmers) programmer.reset(this.#node);
    await this.#eachChange((programmer, own) => {
      programmer.load(own);
      return Promise.resolve();
    });
    // From here on a foreign change asks for another look.
    this.#mustOpen = false;
    const isForeign = this.#isForeign;
    this.#isForeign = false;
    for (const programmer of this.#programmers) {
      const { found, ...result } = await programmer.open();
      const { family } = programmer;
      this.#log("info", `ipvs, ${family}: found ${found}`, { family });
      if (isForeign) programmer.countRepair();
      this.#note(this.#refusals.changes(family), result);
    }
    this.#finished(mark);
  }

  async #sync(): Promise<void> {
    const mark = this.#progress.mark();
    await this.#eachChange(async (programmer, own) => {
      this.#note(own, await programmer.write(own));
    });
    if (!this.#mustOpen) this.#finished(mark);
  }

  /** Takes all changes there are, turn by turn. */
  async #eachChange(
    action: (programmer: IpvsProgrammer, own: readonly UnitChange[]) => Promise<void>,
  ): Promise<void> {
    while (this.#planner.hasChanges && !this.#stopped.signal.aborted) {
      const changes = this.#planner.takeChanges(SLOTS_PER_TURN);
      this.#options.flows?.changed(changes);
      for (const programmer of this.#programmers) {
        const own = changes.filter(({ family }) => family === programmer.family);
        if (own.length > 0) await action(programmer, own);
      }
      if (this.#planner.hasChanges) await this.#clock.yieldTurn();
    }
  }

  async #drain(): Promise<void> {
    for (const programmer of this.#programmers) this.#note([], await programmer.drain());
    this.#watchDraining();
  }

  async #look(): Promise<void> {
    this.#later("look", this.#options.syncPeriodMs);
    for (const programmer of this.#programmers) {
      const { mended, ...result } = await programmer.look();
      this.#note([], result);
      const { family } = programmer;
      if (mended > 0) this.#log("warn", `ipvs, ${family}: mended foreign changes`, { family, mended });
    }
    this.#reportProblems();
    this.#watchDraining();
  }

  #note(written: readonly UnitChange[], result: WriteResult): void {
    this.#refusals.settle(written, result.refused);
    for (const { change, failure } of result.refused)
      this.#log("error", "the kernel refused a service port", {
        unit: change.key,
        code: failure.code,
        ...(failure.message === undefined ? {} : { kernel: failure.message }),
      });
    if (result.isDesynced) {
      this.#log("warn", "the kernel's table is not what it should be; reading it", {});
      this.#mustOpen = true;
    }
    if (result.refused.length > 0 || result.isDesynced) this.#retry();
  }

  #finished(mark: ReturnType<SyncProgress["mark"]>): void {
    if (this.#refusals.isEmpty && !this.#mustOpen) this.#retryMs = RETRY_FIRST_MS;
    this.#reportProblems();
    this.#watchDraining();
    if (this.#mustOpen) return;
    this.#options.flows?.live();
    const revision = this.#progress.finishedMark(mark);
    if (revision !== undefined) this.#options.onProgrammed?.({ revision, refused: this.#problems });
  }

  #failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#progress.failed(message);
    this.#log("error", message, { retryMs: this.#retryMs });
    this.#mustOpen = true;
    this.#reportProblems();
    this.#retry();
  }

  /** Tries again what was refused, and what could not be read or written, less and less often. */
  #retry(): void {
    if (this.#cancels.has("retry")) return;
    this.#later("retry", this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
  }

  #reportProblems(): void {
    const seen = this.#planner.problemsRevision + this.#refusals.revision;
    if (seen === this.#problemsSeen) return;
    this.#problemsSeen = seen;
    this.#problems = [...this.#planner.problems(), ...this.#refusals.problems()];
    this.#options.onProblems?.(this.#problems);
  }

  #watchDraining(): void {
    if (this.#programmers.some(({ hasDraining }) => hasDraining)) this.#later("drain", DRAIN_MS);
  }

  #later(what: "retry" | "repair" | "drain" | "look", delayMs: number): void {
    if (this.#cancels.has(what) || this.#stopped.signal.aborted) return;
    const cancel = this.#clock.after(delayMs, () => {
      this.#cancels.delete(what);
      if (what === "drain" || what === "look") this.#due.add(what);
      else if (what === "repair") this.#mustOpen = true;
      else
        for (const { namespace, service } of this.#refusals.units()) this.#planner.touch(namespace, service);
      if (this.#hasState) this.#run();
      else if (what === "look") this.#later("look", this.#options.syncPeriodMs);
    });
    this.#cancels.set(what, cancel);
  }

  #foreignChange(family: IpFamily, what: "table-deleted" | "changed"): void {
    if (!this.#hasState) return;
    this.#isForeign = true;
    this.#log("warn", `table ${family} nodeplane-ipvs: ${what} by somebody else`, { family });
    this.#later("repair", REPAIR_DELAY_MS);
  }
}
