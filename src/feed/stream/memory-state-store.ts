/**
 * Layer feed. A StateStore without a disk: keeps the bytes of the present objects by key. For machines without a state
 * folder, for a disk that failed, and for tests. Nothing survives a restart.
 */
import { decodeObjectKey } from "../../codec/stream/decode-object.ts";
import { visitServerMessage } from "../../codec/stream/server-message.ts";
import { formatKey, type ObjectKey } from "../../model/objects.ts";
import type { KeptObject, KeptState, StateStore } from "./state-store.ts";

interface Kept extends KeptObject {
  readonly key: ObjectKey;
}

export class MemoryStateStore implements StateStore {
  readonly isSettled = true;
  #objects = new Map<string, Kept>();
  #spool = new Map<string, Kept>();

  async load(): Promise<KeptState | undefined> {
    return await Promise.resolve(undefined);
  }

  async *objects(): AsyncGenerator<readonly KeptObject[]> {
    yield [...this.#objects.values()];
    await Promise.resolve();
  }

  async *keys(): AsyncGenerator<ObjectKey> {
    for (const { key } of this.#objects.values()) yield key;
    await Promise.resolve();
  }

  append(messages: readonly Buffer[]): void {
    for (const message of messages) put(message, this.#objects);
  }

  async beginSnapshot(_sets: string): Promise<void> {
    this.#spool = new Map();
    await Promise.resolve();
  }

  async addToSnapshot(message: Buffer): Promise<void> {
    put(message, this.#spool);
    await Promise.resolve();
  }

  async commitSnapshot(): Promise<void> {
    this.#objects = this.#spool;
    await this.abortSnapshot();
  }

  async abortSnapshot(): Promise<void> {
    this.#spool = new Map();
    await Promise.resolve();
  }

  async touch(): Promise<void> {}
  async settled(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Copies, so that a small object does not hold the whole message it came in. */
function put(message: Buffer, into: Map<string, Kept>): void {
  visitServerMessage(message, {
    upsert: (bytes, start, end) => {
      const key = decodeObjectKey(bytes, start, end);
      const copy = Buffer.from(bytes.subarray(start, end));
      if (key !== undefined) into.set(formatKey(key), { key, bytes: copy, start: 0, end: copy.length });
    },
    remove: (key) => {
      into.delete(formatKey(key));
    },
  });
}
