/**
 * Layer feed. Objects from the control plane's node stream, and the node's own reports back. Connects again by itself,
 * resumes where it was, keeps what it has when the control plane is gone, and boots from what it kept on disk.
 */
import { setTimeout as delay } from "node:timers/promises";
import { encodeNodeMessage, type NodeMessage, type NodeRole } from "../../codec/stream/node-message.ts";
import type { Welcome } from "../../codec/stream/server-message.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { ObjectKind, ObjectProblem } from "../../model/objects.ts";
import { VERSION } from "../../model/version.ts";
import type { Feed, FeedListener, NodeReport, NodeReporter, Programmed } from "../feed.ts";
import { fitRefused } from "./acknowledgement.ts";
import { backoffMs } from "./backoff.ts";
import { Connection, type ConnectionFiles, readKeys, type StreamEnd } from "./connection.ts";
import { DiskStateStore } from "./disk-state-store.ts";
import { MemoryStateStore } from "./memory-state-store.ts";
import { Receiver } from "./receiver.ts";
import { ReportSender } from "./report-sender.ts";
import type { StateStore } from "./state-store.ts";

export interface StreamFeedOptions extends ConnectionFiles {
  /** `host:port` of the node stream. */
  readonly address: string;
  readonly nodeName: string;
  readonly role: NodeRole;
  /** Kinds to receive; the default is what the role needs. */
  readonly sets?: readonly ObjectKind[];
  /** Folder of the kept state; `undefined`: nothing is kept over a restart. */
  readonly stateDir: string | undefined;
  /** One line for the log, for what is wrong and not told through `connection`. */
  readonly onProblem?: (message: string) => void;
  readonly now?: () => number;
  /** From 0 to 1. */
  readonly random?: () => number;
  /** Waits between attempts; the longer one after a refusal. */
  readonly backoff?: { readonly minMs: number; readonly maxMs: number; readonly refusedMs: number };
}

/** Counters of one feed, for metrics and tests. */
export interface StreamFeedCounters {
  readonly connects: number;
  readonly messages: number;
  readonly bytes: number;
  readonly differences: number;
  readonly snapshots: number;
  readonly snapshotsRefused: number;
}

const DEFAULT_SETS: Readonly<Record<NodeRole, readonly ObjectKind[]>> = {
  agent: ["Service", "EndpointSlice", "Node", "ServiceCIDR"],
  dns: ["Service", "EndpointSlice", "Namespace", "Node", "ServiceCIDR"],
};
const DEFAULT_BACKOFF = { minMs: 500, maxMs: 15_000, refusedMs: 20_000 };
/** Messages with objects that may be under way: at 256 KiB each, 2 MiB. */
const CREDITS = 8;
/** A stream that lived this long was a good one: the next wait is short again. */
const GOOD_STREAM_MS = 10_000;
const TOUCH_MS = 30_000;
/** After a refused snapshot the stream stays, for reports, and is made anew after this time. */
const REFUSED_SNAPSHOT_MS = 60_000;

interface Pending {
  credits: number;
  received: number;
  programmed: boolean;
  heartbeat: boolean;
}

export class StreamFeed implements Feed, NodeReporter {
  readonly #options: StreamFeedOptions;
  readonly #now: () => number;
  readonly #sets: readonly ObjectKind[];
  #store: StateStore;
  readonly #reports: ReportSender;
  #receiver: Receiver | undefined;
  #connection: Connection | undefined;
  /** True between the server's welcome and the end of the stream. */
  #isWelcome = false;
  #synced = false;
  #equalAtMs: number;
  #connects = 0;
  #programmed: Programmed | undefined;
  #isBeating = false;
  #snapshotRefusal: ObjectProblem | undefined;
  /** What goes up with the next message. */
  #pending: Pending | undefined;
  #queue: Buffer[] = [];
  #draining: Promise<void> | undefined;

  constructor(options: StreamFeedOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#equalAtMs = this.#now();
    this.#sets = options.sets ?? DEFAULT_SETS[options.role];
    const problem = (message: string): void => options.onProblem?.(message);
    this.#store =
      options.stateDir === undefined
        ? new MemoryStateStore()
        : new DiskStateStore(options.stateDir, (error) => problem(error.message));
    this.#reports = new ReportSender({ send: (report) => this.#send({ report }), onProblem: problem });
  }

  get synced(): boolean {
    return this.#synced;
  }

  get counters(): StreamFeedCounters {
    const received = this.#receiver?.counters;
    return {
      connects: this.#connects,
      messages: received?.messages ?? 0,
      bytes: received?.bytes ?? 0,
      differences: received?.differences ?? 0,
      snapshots: received?.snapshots ?? 0,
      snapshotsRefused: received?.snapshotsRefused ?? 0,
    };
  }

  /** What is wrong with the data at present: a refused snapshot, objects that cannot be read. */
  get problems(): readonly ObjectProblem[] {
    const own = this.#receiver?.refused ?? [];
    return this.#snapshotRefusal === undefined ? own : [this.#snapshotRefusal, ...own];
  }

  ageSeconds(): number {
    if (this.#isWelcome && this.#snapshotRefusal === undefined) return 0;
    return Math.max(0, (this.#now() - this.#equalAtMs) / 1000);
  }

  acknowledge(programmed: Programmed): void {
    this.#programmed = programmed;
    this.#later().programmed = true;
  }

  report(report: NodeReport): void {
    this.#reports.set(report);
  }

  heartbeat(): void {
    this.#isBeating = true;
    if (this.#isWelcome) this.#later().heartbeat = true;
  }

  /** @throws {NodeplaneError} FILE_UNREADABLE, CONFIG_INVALID when the certificates cannot be used at start */
  async run(listener: FeedListener, signal: AbortSignal): Promise<void> {
    await readKeys(this.#options);
    const receiver = this.#makeReceiver(listener);
    this.#receiver = receiver;
    const savedAtMs = await receiver.restore();
    if (savedAtMs !== undefined) {
      this.#equalAtMs = savedAtMs;
      this.#synced = true;
    }
    const touch = setInterval(() => {
      if (this.ageSeconds() === 0) void this.#store.touch();
    }, TOUCH_MS);
    try {
      await this.#connectUntil(listener, receiver, signal);
    } finally {
      clearInterval(touch);
      await this.#store.close();
    }
  }

  #makeReceiver(listener: FeedListener): Receiver {
    return new Receiver({
      store: this.#store,
      sets: this.#sets,
      listener,
      withTargets: this.#options.role === "dns",
      onWelcome: (welcome) => this.#welcome(welcome, listener),
      onReportTaken: (sequence) => this.#reports.taken(sequence),
      onReportWanted: () => this.#reports.again(),
      onHeld: (revision) => {
        this.#synced = true;
        this.#snapshotRefusal = undefined;
        this.#later().received = revision;
      },
      onSnapshotRefused: (reason) => this.#refuseSnapshot(reason),
    });
  }

  async #connectUntil(listener: FeedListener, receiver: Receiver, signal: AbortSignal): Promise<void> {
    const backoff = this.#options.backoff ?? DEFAULT_BACKOFF;
    const random = this.#options.random ?? Math.random;
    let attempt = 0;
    let lastReason = "";
    while (!signal.aborted) {
      const startedMs = this.#now();
      const end = await this.#connectOnce(receiver, signal);
      const wasWelcome = this.#isWelcome;
      this.#isWelcome = false;
      this.#reports.disconnected();
      if (signal.aborted) return;
      if (wasWelcome) this.#equalAtMs = this.#snapshotRefusal === undefined ? this.#now() : this.#equalAtMs;
      if (wasWelcome || end.reason !== lastReason) listener.connection?.(false, end.reason);
      lastReason = end.reason;
      if (wasWelcome && this.#now() - startedMs >= GOOD_STREAM_MS) attempt = 0;
      const waitMs = end.isRefused
        ? backoff.refusedMs * (0.5 + random() / 2)
        : backoffMs(attempt, random(), backoff);
      attempt++;
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One stream, from connecting to its end. */
  async #connectOnce(receiver: Receiver, signal: AbortSignal): Promise<StreamEnd> {
    let connection: Connection;
    try {
      const keys = await readKeys(this.#options);
      connection = new Connection(this.#options.address, keys, (message) => this.#take(message, receiver));
    } catch (error) {
      if (this.#connects === 0 && error instanceof NodeplaneError) throw error;
      return { reason: error instanceof Error ? error.message : String(error), isRefused: false };
    }
    this.#connects++;
    this.#connection = connection;
    this.#pending = undefined;
    receiver.restart();
    const stop = (): void => connection.close("stopped");
    signal.addEventListener("abort", stop, { once: true });
    this.#hello(connection, receiver);
    const end = await connection.ended;
    signal.removeEventListener("abort", stop);
    this.#connection = undefined;
    this.#queue = [];
    await this.#draining;
    return end;
  }

  #hello(connection: Connection, receiver: Receiver): void {
    const { nodeName, role } = this.#options;
    const hello = {
      node: nodeName,
      role,
      sets: this.#sets,
      ...receiver.hello,
      credits: CREDITS,
      version: VERSION,
    };
    connection.send(encodeNodeMessage({ hello }));
  }

  #welcome(welcome: Welcome, listener: FeedListener): void {
    this.#isWelcome = true;
    if (this.#programmed !== undefined) this.#later().programmed = true;
    // The Lease may have waited for this stream.
    if (this.#isBeating) this.#later().heartbeat = true;
    this.#reports.connected();
    const skipped =
      welcome.unknownSets.length > 0 ? `; it does not know ${welcome.unknownSets.join(", ")}` : "";
    listener.connection?.(true, `connected to ${this.#options.address}${skipped}`);
  }

  #refuseSnapshot(message: string): void {
    const object = { kind: "Node", namespace: "", name: this.#options.nodeName } as const;
    this.#snapshotRefusal = { object, reason: "SnapshotRefused", field: "", message };
    this.#options.onProblem?.(message);
    this.#later().programmed = true;
    const connection = this.#connection;
    setTimeout(() => connection?.close("the control plane is asked again"), REFUSED_SNAPSHOT_MS).unref();
  }

  #take(message: Buffer, receiver: Receiver): void {
    this.#queue.push(message);
    this.#draining ??= this.#drain(receiver);
  }

  /** Synchronous up to the first message that needs the disk. The queue is bounded by the credits. */
  #drain(receiver: Receiver): Promise<void> | undefined {
    for (let message = this.#queue.shift(); message !== undefined; message = this.#queue.shift()) {
      let work: Promise<void> | undefined;
      try {
        work = receiver.take(message);
      } catch (error) {
        work = this.#broken(error, receiver);
      }
      if (work !== undefined) return this.#drainAfter(work, receiver);
      this.#later().credits++;
    }
    return undefined;
  }

  async #drainAfter(work: Promise<void>, receiver: Receiver): Promise<void> {
    try {
      await work;
      this.#later().credits++;
    } catch (error) {
      await this.#broken(error, receiver);
    } finally {
      this.#draining = undefined;
    }
    this.#draining = this.#drain(receiver);
  }

  /** A message that cannot be taken ends the stream; a disk that cannot be written to is done without. */
  async #broken(error: unknown, receiver: Receiver): Promise<void> {
    if (!(error instanceof Error)) throw error;
    const isMessage = error instanceof NodeplaneError;
    if (!isMessage && !("syscall" in error)) throw error;
    this.#queue = [];
    this.#options.onProblem?.(
      isMessage ? error.message : `nothing is kept on disk from now on: ${error.message}`,
    );
    this.#connection?.close(error.message);
    if (isMessage) return;
    const old = this.#store;
    this.#store = new MemoryStateStore();
    receiver.useStore(this.#store);
    await old.close().catch(() => undefined);
  }

  /** Collects what goes up: one message for everything that happens in one turn of the loop. */
  #later(): Pending {
    if (this.#pending === undefined) {
      this.#pending = { credits: 0, received: 0, programmed: false, heartbeat: false };
      setImmediate(() => this.#flush());
    }
    return this.#pending;
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === undefined || !this.#isWelcome) return;
    this.#send({
      ...(pending.credits === 0 ? {} : { credits: pending.credits }),
      ...(pending.received === 0 ? {} : { received: pending.received }),
      ...(pending.heartbeat ? { heartbeat: true } : {}),
      ...(pending.programmed ? { programmed: this.#acknowledgement() } : {}),
    });
  }

  #acknowledgement(): NonNullable<NodeMessage["programmed"]> {
    const refused = [...this.problems, ...(this.#programmed?.refused ?? [])];
    return { revision: Number(this.#programmed?.revision ?? 0n), refused: fitRefused(refused) };
  }

  #send(message: NodeMessage): void {
    this.#connection?.send(encodeNodeMessage(message));
  }
}
