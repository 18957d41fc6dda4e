/**
 * Layer agent. Keeps the kernel equal to what the feed says: objects in, unit changes, operations, one commit.
 * No timer lies between a feed's commit and the kernel's. Sources: design.md sections 2 and 4.
 */
import type { NftDriver } from "../../drivers/nftables/driver.ts";
import type { FeedBatch, FeedListener, Programmed } from "../../feed/feed.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { FeedObject, ObjectKey, ObjectProblem } from "../../model/objects.ts";
import type { ProxyMode } from "../../plan/mode.ts";
import type { NodeConfig } from "../../plan/node-config.ts";
import type { ReconcilerStatus } from "./status.ts";

export type ReconcileLog = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** Time, injected. */
export interface ReconcileClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds on a clock that never jumps, with fractions. */
  monotonicMs(): number;
  /** Calls back once; `cancel` is harmless afterwards. */
  after(delayMs: number, callback: () => void): { cancel(): void };
  /** Lets the event loop turn once. */
  yieldTurn(): Promise<void>;
}

export interface ReconcilerOptions {
  readonly mode: ProxyMode;
  /** One driver a family; a family that is missing is not programmed. Each sees the table `nodeplane` of its family. */
  readonly drivers: Readonly<Partial<Record<IpFamily, NftDriver>>>;
  readonly node: NodeConfig;
  readonly clock?: ReconcileClock;
  readonly log?: ReconcileLog;
  /** A revision is in the kernel: the feed's second acknowledgement. Once for each committed feed batch that got there last. */
  readonly onProgrammed?: (programmed: Programmed) => void;
  /** The whole list, each time it changes. */
  readonly onProblems?: (problems: readonly ObjectProblem[]) => void;
}

export class Reconciler implements FeedListener {
  constructor(options: ReconcilerOptions) {
    void options;
  }

  begin(batch: FeedBatch): void {
    void batch;
  }
  upsert(object: FeedObject): void {
    void object;
  }
  remove(key: ObjectKey): void {
    void key;
  }
  commit(batch: FeedBatch): void {
    void batch;
  }
  connection(connected: boolean, reason: string): void {
    void connected;
    void reason;
  }

  /** Plans anew for a changed node: addresses, zone, pod range. Rules and elements that stay equal are not touched. */
  setNode(node: NodeConfig): void {
    void node;
  }

  status(): ReconcilerStatus {
    throw new Error("not there yet");
  }

  /** Resolves when nothing is left to be written (or only retries wait). For tests, benchmarks and shutdown. */
  async idle(): Promise<void> {}

  /** Stops watching and writing; what is in the kernel stays. */
  stop(): void {}
}
