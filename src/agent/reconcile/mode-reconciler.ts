/**
 * Layer agent. What the reconcilers of all modes have in common: the planner that takes the feed's objects, units that were
 * refused, how far the kernel is, and what is told to whom. When and how something is written is the mode's own.
 */
import type { FeedBatch } from "../../feed/feed.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { FeedObject, ObjectKey, ObjectProblem } from "../../model/objects.ts";
import type { ProxyMode } from "../../plan/mode.ts";
import type { NodeConfig } from "../../plan/node-config.ts";
import { Planner } from "../../plan/planner.ts";
import type { UnitChange, UnitShape } from "../../plan/unit.ts";
import { machineClock, type ReconcileClock } from "./clock.ts";
import type { KernelReconciler, ReconcileLog, ReconcilerCallbacks } from "./kernel-reconciler.ts";
import { Refusals, type RefusedUnit } from "./refusals.ts";
import { RetryDelay } from "./retry-delay.ts";
import type { FamilyStatus, ReconcilerStatus } from "./status.ts";
import { SyncProgress } from "./sync-progress.ts";

export interface ModeReconcilerOptions extends ReconcilerCallbacks {
  readonly node: NodeConfig;
  readonly clock?: ReconcileClock;
  readonly log?: ReconcileLog;
}

export abstract class ModeReconciler implements KernelReconciler {
  readonly #mode: ProxyMode;
  readonly #callbacks: ReconcilerCallbacks;
  protected readonly clock: ReconcileClock;
  protected readonly log: ReconcileLog;
  protected readonly planner: Planner;
  protected readonly refusals = new Refusals();
  protected readonly progress: SyncProgress;
  protected readonly retryDelay = new RetryDelay();
  protected node: NodeConfig;
  #nodeText: string;
  #hasState = false;
  #problemsSeen = -1;
  #problems: readonly ObjectProblem[] = [];

  constructor(mode: ProxyMode, options: ModeReconcilerOptions) {
    this.#mode = mode;
    this.#callbacks = options;
    this.clock = options.clock ?? machineClock;
    this.log = options.log ?? (() => {});
    this.node = options.node;
    this.#nodeText = JSON.stringify(options.node);
    this.planner = new Planner(options.node);
    this.progress = new SyncProgress(this.clock);
  }

  /** Plans for `node` from now on, as far as that can be done at once. */
  protected abstract takeNode(node: NodeConfig): void;
  /** Something is to be written. Only called when there is a complete state. */
  protected abstract wake(): void;
  protected abstract families(): readonly FamilyStatus[];
  abstract idle(): Promise<void>;
  abstract stop(): void;

  /** A complete state has been received: before that nothing may be written, or deleted from the kernel. */
  protected get hasState(): boolean {
    return this.#hasState;
  }

  begin(_batch: FeedBatch): void {
    this.planner.begin();
  }

  upsert(object: FeedObject): void {
    this.planner.upsert(object);
  }

  remove(key: ObjectKey): void {
    this.planner.remove(key);
  }

  commit(batch: FeedBatch): void {
    this.planner.commit(batch.snapshot);
    if (batch.snapshot) this.#hasState = true;
    if (!this.#hasState) return;
    this.progress.received(batch);
    this.wake();
  }

  setNode(node: NodeConfig): void {
    const text = JSON.stringify(node);
    if (text === this.#nodeText) return;
    this.#nodeText = text;
    this.node = node;
    this.takeNode(node);
    if (!this.#hasState) return;
    this.progress.started();
    this.wake();
  }

  status(): ReconcilerStatus {
    const { services, slices, endpoints } = this.planner.counts;
    return {
      mode: this.#mode,
      services,
      endpointSlices: slices,
      endpoints,
      families: this.families(),
      refused: this.#problems,
      ...this.progress.status(),
    };
  }

  flowTargets(shape: UnitShape): ReturnType<Planner["flowTargets"]> {
    return this.planner.flowTargets(shape);
  }

  serviceRanges(family: IpFamily): ReturnType<Planner["serviceRanges"]> {
    return this.planner.serviceRanges(family);
  }

  /** Notes and logs why nothing could be written. From now on something is pending, also when no change asked for it. */
  protected failed(error: unknown, fields: Readonly<Record<string, unknown>> = {}): void {
    const message = error instanceof Error ? error.message : String(error);
    this.progress.failed(message);
    this.progress.started();
    this.log("error", message, { ...fields, retryMs: this.retryDelay.ms });
  }

  protected logRefused(refused: readonly RefusedUnit[]): void {
    for (const { change, failure } of refused)
      this.log("error", "the kernel refused a service port", {
        unit: change.key,
        code: failure.code,
        ...(failure.message === undefined ? {} : { kernel: failure.message }),
      });
  }

  /** Flows of these units may have to end once the units are live. */
  protected noteFlows(changes: readonly UnitChange[]): void {
    this.#callbacks.flows?.changed(changes);
  }

  /** Units that were refused are planned, and so tried, once more. */
  protected touchRefused(): void {
    for (const { namespace, service } of this.refusals.units()) this.planner.touch(namespace, service);
  }

  /** Everything asked for, or all that was before `mark`, is in the kernel, but for what was refused. */
  protected live(mark?: ReturnType<SyncProgress["mark"]>): void {
    this.reportProblems();
    this.#callbacks.flows?.live();
    const revision = mark === undefined ? this.progress.finished() : this.progress.finishedMark(mark);
    if (revision !== undefined) this.#callbacks.onProgrammed?.({ revision, refused: this.#problems });
  }

  /** Tells of the whole list when it has changed. */
  protected reportProblems(): void {
    const seen = this.planner.problemsRevision + this.refusals.revision;
    if (seen === this.#problemsSeen) return;
    this.#problemsSeen = seen;
    this.#problems = [...this.planner.problems(), ...this.refusals.problems()];
    this.#callbacks.onProblems?.(this.#problems);
  }
}
