/**
 * Layer control-plane. The store by default: SQLite in a worker thread, so that the disk never stops the event loop.
 * Watches live in this thread and are fed by the worker's report after each commit.
 */
import { Worker } from "node:worker_threads";
import { NodeplaneError } from "../../model/errors.ts";
import type { Answers, Call, Reply, Report, Request, WorkerSettings } from "./sqlite-protocol.ts";
import {
  CompactedError,
  type Entry,
  type ListRequest,
  type ListResult,
  type Store,
  type StoreOptions,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchGroup,
  type WatchListener,
  type WatchRequest,
} from "./store.ts";
import { WatchHub } from "./watch-hub.ts";

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

export class SqliteStore implements Store {
  readonly epoch: string;
  readonly #worker: Worker;
  readonly #hub: WatchHub;
  readonly #path: string;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #compacted: number;
  #failure: NodeplaneError | undefined;
  #closing = false;
  #onFailure: (error: NodeplaneError) => void = () => undefined;

  private constructor(worker: Worker, settings: WorkerSettings, first: Report) {
    this.#worker = worker;
    this.#path = settings.path;
    this.epoch = first.started?.epoch ?? "";
    this.#compacted = first.compactRevision;
    this.#hub = new WatchHub(
      {
        ephemeralPrefixes: settings.options.ephemeralPrefixes,
        history: async (prefix, from) => await this.#call<"history">({ call: "history", prefix, from }),
      },
      first.started?.revision ?? 0,
    );
    worker.on("message", (report: Report) => this.#report(report));
    worker.on("error", (error) => this.#fail(new Error(messageOf(error))));
    worker.on("exit", () => this.#fail(new Error("the store's thread has ended")));
  }

  /** Opens or creates the file. @throws {NodeplaneError} STORE_FAILED */
  static async open(path: string, options: StoreOptions): Promise<SqliteStore> {
    const settings: WorkerSettings = { path, options };
    const worker = new Worker(new URL("./sqlite.worker.ts", import.meta.url), {
      workerData: settings,
      resourceLimits: { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 16 },
    });
    const first = await new Promise<Report>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", (error) => reject(error instanceof Error ? error : new Error(String(error))));
    }).catch((error: unknown) => {
      throw new NodeplaneError("STORE_FAILED", { path, detail: messageOf(error) }, error);
    });
    if (first.failed !== undefined) {
      await worker.terminate();
      const detail = /locked/.test(first.failed) ? "in use by another process" : first.failed;
      throw new NodeplaneError("STORE_FAILED", { path, detail });
    }
    return new SqliteStore(worker, settings, first);
  }

  /** Called once if the thread ends by itself: from then on every call fails. */
  onFailure(listener: (error: NodeplaneError) => void): void {
    this.#onFailure = listener;
  }

  revision(): number {
    return this.#hub.revision();
  }

  compactRevision(): number {
    return this.#compacted;
  }

  async get(key: string): Promise<Entry | undefined> {
    return await this.#call<"get">({ call: "get", key });
  }

  async list(request: ListRequest): Promise<ListResult> {
    return await this.#call<"list">({ call: "list", request });
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    return await this.#call<"transact">({ call: "transact", transaction });
  }

  watch(request: WatchRequest, listener: WatchListener): Watch {
    return this.#hub.watch(request, listener);
  }

  subscribe(listener: (group: WatchGroup) => void): () => void {
    return this.#hub.subscribe(listener);
  }

  async grantLease(ttlSeconds: number): Promise<number> {
    return await this.#call<"grantLease">({ call: "grantLease", ttlSeconds });
  }

  async keepAlive(lease: number): Promise<boolean> {
    return await this.#call<"keepAlive">({ call: "keepAlive", lease });
  }

  async revokeLease(lease: number): Promise<void> {
    await this.#call<"revokeLease">({ call: "revokeLease", lease });
  }

  async compact(revision: number): Promise<void> {
    await this.#call<"compact">({ call: "compact", revision });
  }

  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#closing = true;
    await this.#call<"close">({ call: "close" });
    this.#fail(new Error("the store is closed"));
    await this.#worker.terminate();
  }

  async #call<Name extends Call["call"]>(what: Extract<Call, { call: Name }>): Promise<Answers[Name]> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#lastId += 1;
    const request: Request = { id: this.#lastId, what };
    return await new Promise<Answers[Name]>((resolve, reject) => {
      this.#waiting.set(request.id, { resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  #report(report: Report): void {
    this.#compacted = report.compactRevision;
    for (const group of report.groups) this.#hub.publish(group);
    for (const reply of report.replies) this.#settle(reply);
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value as never);
    else if (reply.compacted !== undefined) waiting?.reject(new CompactedError(...reply.compacted));
    else waiting?.reject(new NodeplaneError("STORE_FAILED", { path: this.#path, detail: reply.message }));
  }

  #fail(cause: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = new NodeplaneError("STORE_FAILED", { path: this.#path, detail: cause.message }, cause);
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
    this.#hub.close();
    if (!this.#closing) this.#onFailure(this.#failure);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
