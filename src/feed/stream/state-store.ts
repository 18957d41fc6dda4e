/**
 * Layer feed. Where the stream feed keeps what it received, so that a node boots without its control plane and resumes
 * where it was. `DiskStateStore` is the real one; `MemoryStateStore` keeps nothing over a restart.
 */
import type { ObjectKey } from "../../model/objects.ts";

/** What was found at start. */
export interface KeptState {
  readonly epoch: string;
  readonly revision: number;
  /** Kinds that it holds, as given to {@link StateStore.beginSnapshot}. */
  readonly sets: string;
  /** When the state was last known to equal its source, milliseconds since the epoch. */
  readonly savedAtMs: number;
}

/** One field of a message: an Object at `bytes[start, end)`. */
export interface KeptObject {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export interface StateStore {
  /** Opens what is there; `undefined` when there is nothing usable. Called once, first. */
  load(): Promise<KeptState | undefined>;
  /** The objects of the state as it is now, each once, some at a time: good until the next ones are asked for. */
  objects(): AsyncIterable<readonly KeptObject[]>;
  /** Keys of the objects of the state as it is now. */
  keys(): AsyncIterable<ObjectKey>;
  /** Messages of one complete difference. Returns at once; written in order, later. */
  append(messages: readonly Buffer[]): void;
  /** Starts a snapshot beside the present state; what an earlier one held is dropped. */
  beginSnapshot(sets: string): Promise<void>;
  addToSnapshot(message: Buffer): Promise<void>;
  /** The snapshot takes the state's place. Afterwards {@link objects} gives its objects. */
  commitSnapshot(): Promise<void>;
  abortSnapshot(): Promise<void>;
  /** The state equals its source at this moment. */
  touch(): Promise<void>;
  /** True when not much is waiting to be written. */
  readonly isSettled: boolean;
  /** Resolves when that is so. */
  settled(): Promise<void>;
  close(): Promise<void>;
}
