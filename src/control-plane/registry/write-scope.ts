/** Layer control-plane. Collects what one write reads and writes beside its object: the hooks' {@link WriteContext}. */
import type { Compare, Entry, Operation, Store } from "../store/store.ts";
import type { ClusterSettings, WriteContext } from "./kind.ts";

const PAGE = 5_000;

export class WriteScope implements WriteContext {
  readonly settings: ClusterSettings;
  readonly nowMs: number;
  readonly dryRun: boolean;
  readonly #store: Store;
  readonly #read = new Map<string, number>();
  readonly #operations = new Map<string, Operation>();

  constructor(store: Store, context: { settings: ClusterSettings; nowMs: number; dryRun: boolean }) {
    this.#store = store;
    this.settings = context.settings;
    this.nowMs = context.nowMs;
    this.dryRun = context.dryRun;
  }

  async read(key: string): Promise<string | undefined> {
    const pending = this.#operations.get(key);
    if (pending !== undefined) return pending.type === "put" ? pending.value : undefined;
    return (await this.readEntry(key))?.value;
  }

  /** As read(), with the revision; does not see pending writes. */
  async readEntry(key: string): Promise<Entry | undefined> {
    const entry = await this.#store.get(key);
    this.compare(key, entry?.modRevision ?? 0);
    return entry;
  }

  async keys(prefix: string): Promise<readonly string[]> {
    const keys: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#store.list(
        after === undefined ? { prefix, limit: PAGE } : { prefix, limit: PAGE, after },
      );
      keys.push(...page.entries.map(({ key }) => key));
      if (page.remaining === 0) break;
      after = keys.at(-1);
    }
    return keys;
  }

  put(key: string, value: string): void {
    this.operate({ type: "put", key, value });
  }

  remove(key: string): void {
    this.operate({ type: "delete", key });
  }

  /** The first comparison of a key stands: a later read cannot hide a change in between. */
  compare(key: string, modRevision: number): void {
    if (!this.#read.has(key)) this.#read.set(key, modRevision);
  }

  operate(operation: Operation): void {
    this.#operations.set(operation.key, operation);
  }

  /** @returns the revision, or `undefined` when something changed meanwhile: run the whole write again */
  async commit(): Promise<number | undefined> {
    const compare: Compare[] = [...this.#read].map(([key, modRevision]) => ({ key, modRevision }));
    const result = await this.#store.transact({ compare, operations: [...this.#operations.values()] });
    return result.succeeded ? result.revision : undefined;
  }
}
