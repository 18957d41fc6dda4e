/**
 * Layer agent. Keeps iptables equal to what the feed says. Unlike nftables mode, changes are collected for minSyncPeriod
 * and written by another process, so a commit of the feed returns before the kernel has it. Looks after canary chains every
 * syncPeriod and writes everything once an hour. Source: facts/kube-proxy-behaviour.md section 1.5.
 */
import type { IptablesDriver } from "../../../drivers/iptables/index.ts";
import type { FeedBatch } from "../../../feed/feed.ts";
import type { IpFamily } from "../../../model/ip.ts";
import type { FeedObject, ObjectKey, ObjectProblem } from "../../../model/objects.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import { Planner } from "../../../plan/planner.ts";
import type { UnitChange, UnitShape } from "../../../plan/unit.ts";
import { machineClock, type ReconcileClock } from "../clock.ts";
import type { KernelReconciler, ReconcileLog, ReconcilerCallbacks } from "../kernel-reconciler.ts";
import { Refusals } from "../refusals.ts";
import type { ReconcilerStatus } from "../status.ts";
import { SyncProgress } from "../sync-progress.ts";
import { IptablesProgrammer } from "./iptables-programmer.ts";

export interface IptablesReconcilerOptions extends ReconcilerCallbacks {
  readonly drivers: Readonly<Partial<Record<IpFamily, IptablesDriver>>>;
  readonly node: NodeConfig;
  /** The packet counters are there, and rules can add to them. */
  readonly hasAccounting?: boolean;
  /** Least time between two syncs; 0: at once. */
  readonly minSyncPeriodMs: number;
  /** Time between two looks at the canary chains. */
  readonly syncPeriodMs: number;
  readonly clock?: ReconcileClock;
  readonly log?: ReconcileLog;
}

/** Services beyond which this mode is no good choice. */
export const MANY_SERVICES = 1000;
const FULL_SYNC_MS = 3_600_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MOST_MS = 60_000;

export class IptablesReconciler implements KernelReconciler {
  readonly #options: IptablesReconcilerOptions;
  readonly #clock: ReconcileClock;
  readonly #log: ReconcileLog;
  readonly #planner: Planner;
  readonly #programmers: readonly IptablesProgrammer[];
  readonly #refusals = new Refusals();
  readonly #progress: SyncProgress;
  #nodeText: string;
  /** A complete state has been received: before that nothing may be written. */
  #hasState = false;
  #isStopped = false;
  #hasWarned = false;
  #running: Promise<void> | undefined;
  /** Cancels the sync that is waited for; `isSoon`: waiting for minSyncPeriod, not for a retry. */
  #waiting: { readonly cancel: () => void; readonly isSoon: boolean } | undefined;
  #cancelCanary: (() => void) | undefined;
  #lastSyncMs = Number.NEGATIVE_INFINITY;
  #lastFullMs = Number.NEGATIVE_INFINITY;
  #retryMs = RETRY_FIRST_MS;
  #problemsSeen = -1;
  #problems: readonly ObjectProblem[] = [];

  constructor(options: IptablesReconcilerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? machineClock;
    this.#log = options.log ?? (() => {});
    this.#nodeText = JSON.stringify(options.node);
    this.#planner = new Planner(options.node, { hasAffinity: true });
    this.#progress = new SyncProgress(this.#clock);
    this.#programmers = (["ip", "ip6"] as const).flatMap((family) => {
      const driver = options.drivers[family];
      return driver === undefined
        ? []
        : [new IptablesProgrammer(driver, options.node, options.hasAccounting)];
    });
    this.#watchCanaries();
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
    this.#schedule();
  }

  setNode(node: NodeConfig): void {
    const text = JSON.stringify(node);
    if (text === this.#nodeText) return;
    this.#nodeText = text;
    this.#planner.setNode(node);
    for (const programmer of this.#programmers) programmer.setNode(node);
    if (!this.#hasState) return;
    this.#progress.started();
    this.#schedule();
  }

  status(): ReconcilerStatus {
    const { services, slices, endpoints } = this.#planner.counts;
    return {
      mode: "iptables",
      services,
      endpointSlices: slices,
      endpoints,
      families: this.#programmers.map((programmer) => {
        const iptables = programmer.figures();
        return {
          family: programmer.family,
          units: programmer.unitCount,
          elements: iptables.rules.filter + iptables.rules.nat,
          counters: programmer.counters,
          noLocalEndpoints: programmer.noLocalEndpoints(),
          iptables,
        };
      }),
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
    while (this.#running !== undefined || this.#waiting?.isSoon === true) {
      if (this.#running !== undefined) await this.#running;
      else this.#syncNow();
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting?.cancel();
    this.#waiting = undefined;
    this.#cancelCanary?.();
  }

  /** Syncs as soon as minSyncPeriod allows. */
  #schedule(): void {
    if (this.#isStopped || this.#running !== undefined || this.#waiting?.isSoon === true) return;
    const waitMs = this.#lastSyncMs + this.#options.minSyncPeriodMs - this.#clock.monotonicMs();
    if (waitMs <= 0) this.#syncNow();
    else this.#wait(waitMs, true);
  }

  #wait(delayMs: number, isSoon: boolean): void {
    this.#waiting?.cancel();
    const cancel = this.#clock.after(delayMs, () => {
      this.#waiting = undefined;
      this.#syncNow();
    });
    this.#waiting = { cancel, isSoon };
  }

  #syncNow(): void {
    if (this.#isStopped || this.#running !== undefined) return;
    this.#waiting?.cancel();
    this.#waiting = undefined;
    this.#lastSyncMs = this.#clock.monotonicMs();
    this.#running = this.#sync().then((isDone) => {
      this.#running = undefined;
      if (!isDone) this.#retry();
      else if (this.#progress.isPending || this.#planner.hasChanges) this.#schedule();
    });
  }

  /** @returns false when it has to be tried again */
  async #sync(): Promise<boolean> {
    const now = this.#clock.monotonicMs();
    const isFull = now - this.#lastFullMs >= FULL_SYNC_MS;
    for (const { namespace, service } of this.#refusals.units()) this.#planner.touch(namespace, service);
    const changes = this.#planner.takeChanges(Number.POSITIVE_INFINITY);
    this.#options.flows?.changed(changes);
    const mark = this.#progress.mark();
    this.#warnOfMany();
    const syncs = this.#programmers.map((programmer) => this.#syncFamily(programmer, changes, isFull));
    const outcomes = await Promise.all(syncs);
    if (outcomes.includes("failed")) {
      this.#reportProblems();
      return false;
    }
    const isDone = !outcomes.includes("refused");
    if (isFull) this.#lastFullMs = now;
    if (isDone) this.#retryMs = RETRY_FIRST_MS;
    this.#finished(mark);
    return isDone;
  }

  /** @returns refused: everything but some units is written; failed: nothing is known to be */
  async #syncFamily(
    programmer: IptablesProgrammer,
    changes: readonly UnitChange[],
    isFull: boolean,
  ): Promise<"written" | "refused" | "failed"> {
    const { family } = programmer;
    if (isFull) programmer.requireFull();
    const own = changes.filter((change) => change.family === family);
    try {
      const refused = await programmer.sync(own);
      this.#refusals.settle(own, refused);
      for (const { change, failure } of refused)
        this.#log("error", "iptables refused a service port", { unit: change.key, reason: failure.message });
      return refused.length > 0 ? "refused" : "written";
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#progress.failed(message);
      this.#log("error", message, { family, retryMs: this.#retryMs });
      return "failed";
    }
  }

  #finished(mark: ReturnType<SyncProgress["mark"]>): void {
    this.#reportProblems();
    this.#options.flows?.live();
    const revision = this.#progress.finishedMark(mark);
    if (revision !== undefined) this.#options.onProgrammed?.({ revision, refused: this.#problems });
  }

  #retry(): void {
    this.#wait(this.#retryMs, false);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
  }

  #reportProblems(): void {
    const seen = this.#planner.problemsRevision + this.#refusals.revision;
    if (seen === this.#problemsSeen) return;
    this.#problemsSeen = seen;
    this.#problems = [...this.#planner.problems(), ...this.#refusals.problems()];
    this.#options.onProblems?.(this.#problems);
  }

  #warnOfMany(): void {
    const { services } = this.#planner.counts;
    if (this.#hasWarned || services <= MANY_SERVICES) return;
    this.#hasWarned = true;
    this.#log("warn", "iptables mode is slow with so many services; use mode nftables", {
      services,
      recommended: MANY_SERVICES,
    });
  }

  #watchCanaries(): void {
    this.#cancelCanary = this.#clock.after(this.#options.syncPeriodMs, () => {
      void this.#checkCanaries().then(() => {
        if (!this.#isStopped) this.#watchCanaries();
      });
    });
  }

  async #checkCanaries(): Promise<void> {
    if (!this.#hasState || this.#running !== undefined) return;
    const isFullDue = this.#clock.monotonicMs() - this.#lastFullMs >= FULL_SYNC_MS;
    let mustSync = isFullDue;
    for (const programmer of this.#programmers) {
      try {
        if (await programmer.isIntact()) continue;
        const { family } = programmer;
        this.#log("warn", "a canary chain is gone: somebody flushed the rules; writing them again", {
          family,
        });
        mustSync = true;
      } catch (error) {
        this.#log("warn", error instanceof Error ? error.message : String(error), {});
      }
    }
    if (mustSync) this.#schedule();
  }
}
