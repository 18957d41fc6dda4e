/**
 * Layer control-plane. A cache of all objects of one resource, kept up by list and watch, with indices. Level-based:
 * handlers are told that an object changed and what it was; what they then do is decided from the cache.
 * Own writes are put in at once ({@link observe}), so a controller never acts on a state older than its last write.
 * Objects in the cache are shared: never change one.
 */
import { ApiError } from "../../registry/api-error.ts";
import type { ObjectClient } from "../../registry/client.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { ControllerClock, ControllerLog } from "../controller.ts";

/** `namespace/name`, or `name` for cluster-wide objects. */
export function keyOf(object: ApiObject): string {
  return keyFor(object.metadata.namespace ?? "", object.metadata.name ?? "");
}

export function keyFor(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

/** `now` is absent when the object is gone, `old` when it is new. */
export type ChangeHandler = (now: ApiObject | undefined, old: ApiObject | undefined) => void;
export type Indexer = (object: ApiObject) => readonly string[];

export interface InformerDeps {
  readonly client: ObjectClient;
  readonly clock: ControllerClock;
  readonly log: ControllerLog;
}

const RETRY_MS = 1_000;
const revisionOf = (object: ApiObject): number => Number(object.metadata.resourceVersion ?? 0);
const NOTHING: ReadonlySet<string> = new Set();

export class Informer {
  readonly resource: string;
  readonly #deps: InformerDeps;
  readonly #objects = new Map<string, ApiObject>();
  /** Revisions of deletions that this process made and the watch has not shown yet. */
  readonly #deleted = new Map<string, number>();
  readonly #indexers = new Map<string, Indexer>();
  readonly #indices = new Map<string, Map<string, Set<string>>>();
  readonly #handlers = new Set<ChangeHandler>();
  readonly #waiting: (() => void)[] = [];
  #synced = false;

  constructor(resource: string, deps: InformerDeps) {
    this.resource = resource;
    this.#deps = deps;
  }

  get synced(): boolean {
    return this.#synced;
  }

  /** Resolves after the first complete list. */
  async untilSynced(): Promise<void> {
    if (!this.#synced) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get(key: string): ApiObject | undefined {
    return this.#objects.get(key);
  }

  all(): Iterable<ApiObject> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Objects with this value in the index, which must have been added. */
  byIndex(index: string, value: string): ApiObject[] {
    const keys = this.#indices.get(index)?.get(value) ?? NOTHING;
    return [...keys].map((key) => this.#objects.get(key)).filter((object) => object !== undefined);
  }

  countByIndex(index: string, value: string): number {
    return this.#indices.get(index)?.get(value)?.size ?? 0;
  }

  /** Adding an index twice is harmless. */
  addIndex(index: string, indexer: Indexer): void {
    if (this.#indexers.has(index)) return;
    this.#indexers.set(index, indexer);
    this.#indices.set(index, new Map());
    for (const [key, object] of this.#objects) this.#putIndex(index, key, indexer(object));
  }

  /** Also told about everything that is there already. @returns a function that ends it */
  onChange(handler: ChangeHandler): () => void {
    this.#handlers.add(handler);
    for (const object of this.#objects.values()) handler(object, undefined);
    return () => this.#handlers.delete(handler);
  }

  /** Takes in the result of an own write. */
  observe(object: ApiObject): void {
    this.#upsert(keyOf(object), object);
  }

  /** Takes in an own deletion. */
  forget(object: ApiObject): void {
    const key = keyOf(object);
    const known = this.#objects.get(key);
    if (known === undefined || known.metadata.uid !== object.metadata.uid) return;
    this.#deleted.set(key, revisionOf(known));
    this.#remove(key);
  }

  /** Lists and watches until `signal` aborts; failures are logged and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#listAndWatch(signal);
      } catch (error) {
        if (signal.aborted) return;
        const isExpired = error instanceof ApiError && error.code === 410;
        if (!isExpired) {
          this.#deps.log.warn(
            { resource: this.resource, error: String(error) },
            "watch failed; listing again",
          );
          await this.#deps.clock.sleep(RETRY_MS, signal);
        }
      }
    }
  }

  async #listAndWatch(signal: AbortSignal): Promise<void> {
    const { client } = this.#deps;
    const { items, resourceVersion } = await client.list(this.resource);
    this.#replace(items, Number(resourceVersion));
    this.#synced = true;
    for (const wake of this.#waiting.splice(0)) wake();
    for await (const event of client.watch(this.resource, { resourceVersion }, signal)) {
      if (event.type === "BOOKMARK") continue;
      const key = keyOf(event.object);
      if (event.type === "DELETED") this.#watchedDelete(key, event.object);
      else this.#upsert(key, event.object);
    }
  }

  /** Objects that are not in the list and not newer than it are gone. */
  #replace(items: readonly ApiObject[], revision: number): void {
    const listed = new Set(items.map(keyOf));
    for (const [key, object] of this.#objects) {
      if (!listed.has(key) && revisionOf(object) <= revision) this.#remove(key);
    }
    for (const [key, deleted] of this.#deleted) if (deleted <= revision) this.#deleted.delete(key);
    for (const object of items) this.#upsert(keyOf(object), object);
  }

  #watchedDelete(key: string, last: ApiObject): void {
    const known = this.#objects.get(key);
    const deleted = this.#deleted.get(key);
    if (deleted !== undefined && revisionOf(last) >= deleted) this.#deleted.delete(key);
    if (known !== undefined && revisionOf(known) <= revisionOf(last)) this.#remove(key);
  }

  #upsert(key: string, object: ApiObject): void {
    const old = this.#objects.get(key);
    const deleted = this.#deleted.get(key);
    if (deleted !== undefined && revisionOf(object) <= deleted) return;
    if (old !== undefined && revisionOf(old) >= revisionOf(object)) return;
    this.#objects.set(key, object);
    for (const [index, indexer] of this.#indexers) {
      if (old !== undefined) this.#dropIndex(index, key, indexer(old));
      this.#putIndex(index, key, indexer(object));
    }
    this.#tell(object, old);
  }

  #remove(key: string): void {
    const old = this.#objects.get(key);
    if (old === undefined) return;
    this.#objects.delete(key);
    for (const [index, indexer] of this.#indexers) this.#dropIndex(index, key, indexer(old));
    this.#tell(undefined, old);
  }

  #tell(now: ApiObject | undefined, old: ApiObject | undefined): void {
    for (const handler of this.#handlers) handler(now, old);
  }

  #putIndex(index: string, key: string, values: readonly string[]): void {
    const byValue = this.#indices.get(index);
    for (const value of values) {
      const keys = byValue?.get(value);
      if (keys === undefined) byValue?.set(value, new Set([key]));
      else keys.add(key);
    }
  }

  #dropIndex(index: string, key: string, values: readonly string[]): void {
    const byValue = this.#indices.get(index);
    for (const value of values) {
      const keys = byValue?.get(value);
      keys?.delete(key);
      if (keys?.size === 0) byValue?.delete(value);
    }
  }
}
