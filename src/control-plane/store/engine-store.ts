/** Layer control-plane. A Store over an engine in the same thread. */
import type { StoreEngine } from "./engine.ts";
import type {
  Entry,
  ListRequest,
  ListResult,
  Store,
  StoreOptions,
  Transaction,
  TransactionResult,
  Watch,
  WatchGroup,
  WatchListener,
  WatchRequest,
} from "./store.ts";
import { WatchHub } from "./watch-hub.ts";

const HISTORY_CHUNK = 500;

export class EngineStore implements Store {
  readonly #engine: StoreEngine;
  readonly #hub: WatchHub;
  #timer: NodeJS.Timeout | undefined;

  constructor(engine: StoreEngine, options: StoreOptions) {
    this.#engine = engine;
    this.#hub = new WatchHub(
      {
        ephemeralPrefixes: options.ephemeralPrefixes,
        history: async (prefix, from) => await Promise.resolve(engine.history(prefix, from, HISTORY_CHUNK)),
      },
      engine.revision(),
    );
  }

  get epoch(): string {
    return this.#engine.epoch;
  }

  revision(): number {
    return this.#hub.revision();
  }

  compactRevision(): number {
    return this.#engine.compactRevision();
  }

  async get(key: string): Promise<Entry | undefined> {
    return await Promise.resolve(this.#engine.get(key));
  }

  async list(request: ListRequest): Promise<ListResult> {
    return await Promise.resolve(this.#engine.list(request));
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    const { result, group } = this.#engine.transact(transaction);
    this.#publish(group);
    return await Promise.resolve(result);
  }

  watch(request: WatchRequest, listener: WatchListener): Watch {
    return this.#hub.watch(request, listener);
  }

  subscribe(listener: (group: WatchGroup) => void): () => void {
    return this.#hub.subscribe(listener);
  }

  async grantLease(ttlSeconds: number): Promise<number> {
    const lease = this.#engine.grantLease(ttlSeconds, Date.now());
    this.#arm();
    return await Promise.resolve(lease);
  }

  async keepAlive(lease: number): Promise<boolean> {
    return await Promise.resolve(this.#engine.keepAlive(lease, Date.now()));
  }

  async revokeLease(lease: number): Promise<void> {
    this.#publish(this.#engine.endLeases(lease, Date.now()));
    await Promise.resolve();
  }

  async compact(revision: number): Promise<void> {
    this.#engine.compact(revision);
    await Promise.resolve();
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#hub.close();
    await Promise.resolve();
  }

  #publish(group: WatchGroup | undefined): void {
    if (group !== undefined) this.#hub.publish(group);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const next = this.#engine.nextExpiryMs();
    if (next === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#publish(this.#engine.endLeases(undefined, Date.now()));
        this.#arm();
      },
      Math.min(Math.max(0, next - Date.now()), 2 ** 31 - 1),
    );
    this.#timer.unref();
  }
}
