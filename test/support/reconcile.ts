/** Test code. A reconciler on a fake kernel and a fake clock, and a table read in a form that can be compared. */
import type { ReconcileClock } from "../../src/agent/reconcile/clock.ts";
import type { ReconcilerOptions } from "../../src/agent/reconcile/nftables/reconciler.ts";
import { Reconciler } from "../../src/agent/reconcile/nftables/reconciler.ts";
import { FakeNft, FakeNftKernel } from "../../src/drivers/nftables/index.ts";
import type { FeedBatch } from "../../src/feed/feed.ts";
import type { IpFamily } from "../../src/model/ip.ts";
import type { NftField, NftTableState } from "../../src/model/nftables.ts";
import type { FeedObject, ObjectKey } from "../../src/model/objects.ts";
import { formatVerdictData } from "../../src/plan/nftables/element-list.ts";
import { fieldBytes } from "../../src/plan/nftables/text.ts";
import { nodeConfig } from "./objects.ts";

/** Time that moves when a test says so. */
export class TestClock implements ReconcileClock {
  #nowMs = 1_000_000;
  #jumpedMs = 0;
  readonly #timers = new Set<{ atMs: number; callback: () => void }>();
  now(): number {
    return this.#nowMs + this.#jumpedMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  /** Somebody sets the machine's clock; no time passes. */
  jump(ms: number): void {
    this.#jumpedMs += ms;
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  async yieldTurn(): Promise<void> {}
  /** Moves time on, running what falls due. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter((t) => t.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.callback();
    }
    this.#nowMs = untilMs;
  }
}

export class World {
  readonly kernel = new FakeNftKernel();
  readonly clock = new TestClock();
  readonly drivers = {
    ip: new FakeNft({ family: "ip", name: "nodeplane" }, this.kernel),
    ip6: new FakeNft({ family: "ip6", name: "nodeplane" }, this.kernel),
  };
  reconciler: Reconciler;
  #revision = 0n;

  constructor(options: Partial<ReconcilerOptions> = {}) {
    this.reconciler = this.start(options);
  }

  /** A new agent on the same kernel. */
  start(options: Partial<ReconcilerOptions> = {}): Reconciler {
    this.reconciler?.stop();
    this.clock.advance(10_000);
    const { drivers, clock } = this;
    this.reconciler = new Reconciler({ mode: "nftables", drivers, clock, node: nodeConfig(), ...options });
    return this.reconciler;
  }

  get commits(): number {
    return this.drivers.ip.commits + this.drivers.ip6.commits;
  }

  /** One batch, through to the kernel. */
  async feed(
    upserts: Iterable<FeedObject>,
    removes: readonly ObjectKey[] = [],
    snapshot = false,
  ): Promise<FeedBatch> {
    this.#revision++;
    const batch: FeedBatch = { revision: this.#revision, snapshot, origin: "live", changedAtMs: 0 };
    this.reconciler.begin(batch);
    for (const key of removes) this.reconciler.remove(key);
    for (const object of upserts) this.reconciler.upsert(object);
    this.reconciler.commit(batch);
    await this.settle();
    return batch;
  }

  snapshot(objects: Iterable<FeedObject>): Promise<FeedBatch> {
    return this.feed(objects, [], true);
  }

  async settle(): Promise<void> {
    await this.reconciler.idle();
  }

  /** Sets of a family, comparable: see {@link normalise}. */
  sets(family: IpFamily = "ip"): Readonly<Record<string, readonly string[]>> {
    const state = this.drivers[family].read();
    return state === undefined ? {} : normalise(state);
  }
}

const widthOf = (fields: readonly NftField[]) => fields.reduce((sum, field) => sum + fieldBytes(field), 0);

/**
 * Elements as text, sorted. Slots of one frontend are compared as a group, whatever their order, and must be dense: which
 * endpoint stands where depends on history, and matters to nobody.
 */
export function normalise(state: NftTableState): Record<string, readonly string[]> {
  const result: Record<string, readonly string[]> = {};
  for (const [name, { set, elements }] of state.sets) {
    const width = widthOf(set.key);
    const dataWidth = set.data === "none" || set.data === "verdict" ? 0 : widthOf(set.data);
    const hex = (bytes: Uint8Array | undefined, from: number, length: number) =>
      Buffer.from((bytes ?? new Uint8Array()).subarray(from, from + length)).toString("hex");
    const lines: string[] = [];
    const groups = new Map<string, { data: string[]; indexes: number[] }>();
    for (let i = 0; i < elements.count; i++) {
      const data = hex(elements.data, i * dataWidth, dataWidth);
      if (!name.endsWith("slots")) {
        const verdict = elements.verdicts?.[i];
        const end = elements.keyEnds === undefined ? "" : `-${hex(elements.keyEnds, i * width, width)}`;
        const value = verdict === undefined ? data : formatVerdictData(verdict);
        lines.push(`${hex(elements.keys, i * width, width)}${end}: ${value}`);
        continue;
      }
      const frontend = hex(elements.keys, i * width, width - 4);
      const group = groups.get(frontend) ?? { data: [], indexes: [] };
      groups.set(frontend, group);
      group.data.push(data);
      group.indexes.push(Buffer.from(elements.keys).readUInt32LE(i * width + width - 4));
    }
    for (const [frontend, { data, indexes }] of groups) {
      const isDense = indexes.sort((a, b) => a - b).every((index, i) => index === i);
      if (!isDense) throw new Error(`${name} ${frontend}: slots ${indexes} are not dense`);
      lines.push(`${frontend}: ${data.sort().join(" ")}`);
    }
    result[name] = lines.sort();
  }
  return result;
}
