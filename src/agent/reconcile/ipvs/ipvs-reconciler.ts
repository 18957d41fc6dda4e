/**
 * Layer agent. Keeps IPVS, its dummy device and the nftables table around them equal to what the feed says. A change is written
 * at once; long work is cut into turns of the event loop. Looks after what drains, and every syncPeriod after what others changed.
 * Sources: docs/adr/0097, kube-proxy 1.33, pkg/proxy/ipvs.
 */
import type { IpvsDriver } from "../../../drivers/ipvs/driver.ts";
import type { NftDriver } from "../../../drivers/nftables/driver.ts";
import type { DummyDriver } from "../../../drivers/rtnetlink/index.ts";
import type { Cidr, IpFamily } from "../../../model/ip.ts";
import type { IpvsTimeouts } from "../../../model/ipvs.ts";
import type { PackedDestination } from "../../../plan/packed.ts";
import type { UnitChange } from "../../../plan/unit.ts";
import type { FlowFrontend } from "../../conntrack/flow-index.ts";
import { ModeReconciler, type ModeReconcilerOptions } from "../mode-reconciler.ts";
import type { WriteResult } from "../refusals.ts";
import { ServiceConnectionReader, type ServiceConnections } from "../service-connections.ts";
import type { FamilyStatus } from "../status.ts";
import type { SyncProgress } from "../sync-progress.ts";
import { IpvsProgrammer } from "./ipvs-programmer.ts";

export interface IpvsReconcilerOptions extends ModeReconcilerOptions {
  /** One driver a family, each sees the table `nodeplane-ipvs`; a family that is missing is not programmed. */
  readonly nft: Readonly<Partial<Record<IpFamily, NftDriver>>>;
  readonly ipvs: IpvsDriver;
  readonly dummy: DummyDriver;
  readonly scheduler: string;
  readonly excludeCIDRs: readonly Cidr[];
  /** 0 leaves the kernel's. */
  readonly timeouts: IpvsTimeouts;
  /** How long a removed endpoint may keep its connections. */
  readonly drainLimitMs: number;
  /** Time between two looks at what others may have changed. */
  readonly syncPeriodMs: number;
}

/** Slots taken from the planner at a time. */
const SLOTS_PER_TURN = 4_500;
/** Time between two looks at connections of what drains. */
const DRAIN_MS = 5_000;
/** Foreign changes of the table are collected this long. */
const REPAIR_DELAY_MS = 100;

export class IpvsReconciler extends ModeReconciler {
  readonly #options: IpvsReconcilerOptions;
  readonly #programmers: readonly IpvsProgrammer[];
  readonly #stopped = new AbortController();
  readonly #cancels = new Map<"retry" | "repair" | "drain" | "look", () => void>();
  /** What the kernel holds is not known: read it and write the difference. */
  #mustOpen = true;
  /** Timers that went off while something else ran. */
  readonly #due = new Set<"drain" | "look">();
  #isForeign = false;
  #hasNewNode = false;
  #running: Promise<void> | undefined;
  readonly #connections: ServiceConnectionReader;

  constructor(options: IpvsReconcilerOptions) {
    super("ipvs", options);
    this.#options = options;
    const { ipvs, dummy, node, scheduler, excludeCIDRs, drainLimitMs } = options;
    const common = { ipvs, dummy, node, scheduler, excludeCIDRs, drainLimitMs, clock: this.clock };
    this.#programmers = (["ip", "ip6"] as const).flatMap((family) => {
      const nft = options.nft[family];
      return nft === undefined ? [] : [new IpvsProgrammer({ family, nft, ...common })];
    });
    const read = () => {
      const shown = ipvs.readConnections();
      return this.#programmers.flatMap((programmer) => [...programmer.connections(shown)]);
    };
    this.#connections = new ServiceConnectionReader(this.clock, read);
    for (const { family, table } of this.#programmers)
      table.driver.watch((what) => this.#foreignChange(family, what), this.#stopped.signal);
    this.#later("look", options.syncPeriodMs);
  }

  protected takeNode(): void {
    this.#hasNewNode = true;
  }

  protected wake(): void {
    this.#run();
  }

  protected families(): readonly FamilyStatus[] {
    return this.#programmers.map((programmer) => programmer.status());
  }

  serviceConnections(): readonly ServiceConnections[] {
    return this.node.countConnections === true ? this.#connections.latest() : [];
  }

  /** IPVS forgets a flow to a destination that it has no more, and would lead it on while conntrack replaces the old address. */
  flowDestinations(frontend: FlowFrontend): ReadonlySet<PackedDestination> {
    const programmer = this.#programmers.find(({ family }) => family === frontend.family);
    return programmer?.destinationsOf(frontend) ?? new Set();
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
      .catch((error: unknown) => this.#startAgain(error))
      .then(() => {
        this.#running = undefined;
      });
  }

  async #work(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      if (this.#hasNewNode) this.#applyNode();
      if (this.#mustOpen) await this.#open();
      else if (this.planner.hasChanges || this.progress.isPending) await this.#sync();
      else if (this.#due.delete("drain")) await this.#drain();
      else if (this.#due.delete("look")) await this.#look();
      else return;
      // A quarrel over the table must not eat the machine: the timer opens it again.
      if (this.#mustOpen) return;
    }
  }

  #applyNode(): void {
    this.#hasNewNode = false;
    this.planner.setNode(this.node);
    if (this.#mustOpen) return;
    this.#mustOpen = true;
    for (const programmer of this.#programmers) programmer.setNode(this.node);
    this.#mustOpen = false;
    this.planner.touchAll();
  }

  /** Takes over what is in the kernel, or begins with nothing. */
  async #open(): Promise<void> {
    const mark = this.progress.mark();
    const { ipvs, timeouts } = this.#options;
    if (timeouts.tcpSeconds + timeouts.tcpFinSeconds + timeouts.udpSeconds > 0) ipvs.writeTimeouts(timeouts);
    this.planner.touchAll();
    for (const programmer of this.#programmers) programmer.reset(this.node);
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
      this.log("info", `ipvs, ${family}: found ${found}`, { family });
      if (isForeign) programmer.countRepair();
      this.#note(this.refusals.changes(family), result);
    }
    this.#finished(mark);
  }

  async #sync(): Promise<void> {
    const mark = this.progress.mark();
    await this.#eachChange(async (programmer, own) => {
      this.#note(own, await programmer.write(own));
    });
    if (!this.#mustOpen) this.#finished(mark);
  }

  /** Takes all changes there are, turn by turn. */
  async #eachChange(
    action: (programmer: IpvsProgrammer, own: readonly UnitChange[]) => Promise<void>,
  ): Promise<void> {
    while (this.planner.hasChanges && !this.#stopped.signal.aborted) {
      const changes = this.planner.takeChanges(SLOTS_PER_TURN);
      this.noteFlows(changes);
      for (const programmer of this.#programmers) {
        const own = changes.filter(({ family }) => family === programmer.family);
        if (own.length > 0) await action(programmer, own);
      }
      if (this.planner.hasChanges) await this.clock.yieldTurn();
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
      if (mended > 0) this.log("warn", `ipvs, ${family}: mended foreign changes`, { family, mended });
    }
    this.reportProblems();
    this.#watchDraining();
  }

  #note(written: readonly UnitChange[], result: WriteResult): void {
    this.refusals.settle(written, result.refused);
    this.logRefused(result.refused);
    if (result.isDesynced) {
      this.log("warn", "the kernel's table is not what it should be; reading it", {});
      this.#mustOpen = true;
    }
    if (result.refused.length > 0 || result.isDesynced) this.#retry();
  }

  #finished(mark: ReturnType<SyncProgress["mark"]>): void {
    this.#watchDraining();
    if (this.#mustOpen) {
      this.reportProblems();
      return;
    }
    if (this.refusals.isEmpty) this.retryDelay.reset();
    this.live(mark);
  }

  #startAgain(error: unknown): void {
    this.failed(error);
    this.#mustOpen = true;
    this.reportProblems();
    this.#retry();
  }

  /** Tries again what was refused, and what could not be read or written, less and less often. */
  #retry(): void {
    if (this.#cancels.has("retry")) return;
    this.#later("retry", this.retryDelay.ms);
    this.retryDelay.grow();
  }

  #watchDraining(): void {
    if (this.#programmers.some(({ hasDraining }) => hasDraining)) this.#later("drain", DRAIN_MS);
  }

  #later(what: "retry" | "repair" | "drain" | "look", delayMs: number): void {
    if (this.#cancels.has(what) || this.#stopped.signal.aborted) return;
    const cancel = this.clock.after(delayMs, () => {
      this.#cancels.delete(what);
      if (what === "drain" || what === "look") this.#due.add(what);
      else if (what === "repair") this.#mustOpen = true;
      else this.touchRefused();
      if (this.hasState) this.#run();
      else if (what === "look") this.#later("look", this.#options.syncPeriodMs);
    });
    this.#cancels.set(what, cancel);
  }

  #foreignChange(family: IpFamily, what: "table-deleted" | "changed"): void {
    if (!this.hasState) return;
    this.#isForeign = true;
    this.log("warn", `table ${family} nodeplane-ipvs: ${what} by somebody else`, { family });
    this.#later("repair", REPAIR_DELAY_MS);
  }
}
