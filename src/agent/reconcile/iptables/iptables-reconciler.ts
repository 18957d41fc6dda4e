/**
 * Layer agent. Keeps iptables equal to what the feed says. Unlike nftables mode, changes are collected for minSyncPeriod
 * and written by another process, so a commit of the feed returns before the kernel has it. Looks after canary chains every
 * syncPeriod and writes everything once an hour. Source: kube-proxy 1.33, pkg/proxy/iptables/proxier.go (syncProxyRules).
 */
import type { IptablesDriver } from "../../../drivers/iptables/index.ts";
import type { FeedBatch } from "../../../feed/feed.ts";
import type { IpFamily } from "../../../model/ip.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import type { UnitChange } from "../../../plan/unit.ts";
import { ModeReconciler, type ModeReconcilerOptions } from "../mode-reconciler.ts";
import type { FamilyStatus } from "../status.ts";
import { IptablesProgrammer } from "./iptables-programmer.ts";

export interface IptablesReconcilerOptions extends ModeReconcilerOptions {
  readonly drivers: Readonly<Partial<Record<IpFamily, IptablesDriver>>>;
  /** The packet counters are there, and rules can add to them. */
  readonly hasAccounting?: boolean;
  /** Least time between two syncs; 0: at once. */
  readonly minSyncPeriodMs: number;
  /** Time between two looks at the canary chains. */
  readonly syncPeriodMs: number;
}

/** Services beyond which this mode is no good choice. */
export const MANY_SERVICES = 1000;
const FULL_SYNC_MS = 3_600_000;
/** What was read so long before the first state was complete is read once more. */
const READ_AHEAD_MS = 2_000;

type SyncOutcome = "written" | "refused" | "failed";

export class IptablesReconciler extends ModeReconciler {
  readonly #options: IptablesReconcilerOptions;
  readonly #programmers: readonly IptablesProgrammer[];
  #isStopped = false;
  #hasWarned = false;
  #running: Promise<void> | undefined;
  /** Cancels the sync that is waited for; `isSoon`: waiting for minSyncPeriod, not for a retry. */
  #waiting: { readonly cancel: () => void; readonly isSoon: boolean } | undefined;
  #cancelCanary: (() => void) | undefined;
  #lastSyncMs = Number.NEGATIVE_INFINITY;
  #lastFullMs = Number.NEGATIVE_INFINITY;
  #readAheadMs = Number.NEGATIVE_INFINITY;

  constructor(options: IptablesReconcilerOptions) {
    super("iptables", options);
    this.#options = options;
    this.#programmers = (["ip", "ip6"] as const).flatMap((family) => {
      const driver = options.drivers[family];
      return driver === undefined
        ? []
        : [new IptablesProgrammer(driver, options.node, () => this.clock.yieldTurn(), options.hasAccounting)];
    });
    this.#watchCanaries();
  }

  /**
   * The first complete state is on its way: another process reads what is there while it is taken. Of one family, the one that
   * mostly has services; starting a process takes this one some milliseconds.
   */
  override begin(batch: FeedBatch): void {
    super.begin(batch);
    if (this.hasState || !batch.snapshot || this.#isReadAhead()) return;
    this.#readAheadMs = this.clock.monotonicMs();
    this.#programmers[0]?.readAhead();
  }

  protected takeNode(node: NodeConfig): void {
    this.planner.setNode(node);
    for (const programmer of this.#programmers) programmer.setNode(node);
  }

  /** Syncs as soon as minSyncPeriod allows. */
  protected wake(): void {
    if (this.#isStopped || this.#running !== undefined || this.#waiting?.isSoon === true) return;
    const waitMs = this.#lastSyncMs + this.#options.minSyncPeriodMs - this.clock.monotonicMs();
    if (waitMs <= 0) this.#syncNow();
    else this.#wait(waitMs, true);
  }

  protected families(): readonly FamilyStatus[] {
    return this.#programmers.map((programmer) => {
      const iptables = programmer.figures();
      return {
        family: programmer.family,
        units: programmer.unitCount,
        elements: iptables.rules.filter + iptables.rules.nat,
        counters: programmer.counters,
        noLocalEndpoints: programmer.noLocalEndpoints(),
        iptables,
      };
    });
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

  #wait(delayMs: number, isSoon: boolean): void {
    this.#waiting?.cancel();
    const cancel = this.clock.after(delayMs, () => {
      this.#waiting = undefined;
      this.#syncNow();
    });
    this.#waiting = { cancel, isSoon };
  }

  #syncNow(): void {
    if (this.#isStopped || this.#running !== undefined) return;
    this.#waiting?.cancel();
    this.#waiting = undefined;
    this.#lastSyncMs = this.clock.monotonicMs();
    this.#running = this.#sync().then((isDone) => {
      this.#running = undefined;
      if (!isDone) this.#retry();
      else if (this.progress.isPending || this.planner.hasChanges) this.wake();
    });
  }

  #isReadAhead(): boolean {
    return this.clock.monotonicMs() - this.#readAheadMs < READ_AHEAD_MS;
  }

  /** @returns false when it has to be tried again */
  async #sync(): Promise<boolean> {
    const now = this.clock.monotonicMs();
    if (!this.#isReadAhead()) for (const programmer of this.#programmers) programmer.forgetRead();
    const isFull = now - this.#lastFullMs >= FULL_SYNC_MS;
    this.touchRefused();
    const changes = this.planner.takeChanges(Number.POSITIVE_INFINITY);
    this.noteFlows(changes);
    const mark = this.progress.mark();
    this.#warnOfMany();
    const work = this.#programmers.map((programmer) => {
      const own = changes.filter(({ family }) => family === programmer.family);
      return { programmer, own };
    });
    // The family with the most to write first: the other's processes start while iptables-restore reads.
    work.sort((a, b) => b.own.length - a.own.length);
    const syncs: Promise<SyncOutcome>[] = [];
    for (const { programmer, own } of work) {
      if (isFull) programmer.requireFull();
      syncs.push(this.#syncFamily(programmer, own));
      await this.clock.yieldTurn();
    }
    const outcomes = await Promise.all(syncs);
    if (outcomes.includes("failed")) {
      this.reportProblems();
      return false;
    }
    const isDone = !outcomes.includes("refused");
    if (isFull) this.#lastFullMs = now;
    if (isDone) this.retryDelay.reset();
    this.live(mark);
    return isDone;
  }

  /** @returns refused: everything but some units is written; failed: nothing is known to be */
  async #syncFamily(programmer: IptablesProgrammer, own: readonly UnitChange[]): Promise<SyncOutcome> {
    const { family } = programmer;
    try {
      const refused = await programmer.sync(own);
      this.refusals.settle(own, refused);
      this.logRefused(refused);
      return refused.length > 0 ? "refused" : "written";
    } catch (error) {
      this.failed(error, { family });
      return "failed";
    }
  }

  #retry(): void {
    this.#wait(this.retryDelay.ms, false);
    this.retryDelay.grow();
  }

  #warnOfMany(): void {
    const { services } = this.planner.counts;
    if (this.#hasWarned || services <= MANY_SERVICES) return;
    this.#hasWarned = true;
    this.log("warn", "iptables mode is slow with so many services; use mode nftables", {
      services,
      recommended: MANY_SERVICES,
    });
  }

  #watchCanaries(): void {
    this.#cancelCanary = this.clock.after(this.#options.syncPeriodMs, () => {
      void this.#checkCanaries().then(() => {
        if (!this.#isStopped) this.#watchCanaries();
      });
    });
  }

  async #checkCanaries(): Promise<void> {
    if (!this.hasState || this.#running !== undefined) return;
    const isFullDue = this.clock.monotonicMs() - this.#lastFullMs >= FULL_SYNC_MS;
    let mustSync = isFullDue;
    for (const programmer of this.#programmers) {
      try {
        if (await programmer.isIntact()) continue;
        const { family } = programmer;
        this.log("warn", "a canary chain is gone: somebody flushed the rules; writing them again", {
          family,
        });
        mustSync = true;
      } catch (error) {
        this.log("warn", error instanceof Error ? error.message : String(error), {});
      }
    }
    if (mustSync) this.wake();
  }
}
