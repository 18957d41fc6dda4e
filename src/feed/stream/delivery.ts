/**
 * Layer feed. Hands objects to the listener. An object whose bytes make no sense is left out and remembered by its key,
 * to be refused by it; everything else goes on.
 */
import { decodeObject, decodeObjectKey } from "../../codec/stream/decode-object.ts";
import { type Begin, visitServerMessage } from "../../codec/stream/server-message.ts";
import { NodeplaneError } from "../../model/errors.ts";
import {
  type FeedObject,
  formatKey,
  keyOf,
  type ObjectKey,
  type ObjectProblem,
} from "../../model/objects.ts";
import type { FeedBatch, FeedListener } from "../feed.ts";
import type { KeptObject } from "./state-store.ts";

type Step = { readonly object: FeedObject } | { readonly removed: ObjectKey };

export class Delivery {
  readonly #listener: FeedListener;
  readonly #withTargets: boolean;
  readonly #refused = new Map<string, ObjectProblem>();

  /** @param withTargets false leaves `targetPod` of endpoints out */
  constructor(listener: FeedListener, withTargets: boolean) {
    this.#listener = listener;
    this.#withTargets = withTargets;
  }

  /** Objects that could not be read. */
  get refused(): readonly ObjectProblem[] {
    return [...this.#refused.values()];
  }

  /** One complete difference. Everything is read before the listener hears of it. */
  difference(begin: Begin, messages: readonly Buffer[]): void {
    const steps: Step[] = [];
    for (const message of messages)
      visitServerMessage(message, {
        upsert: (bytes, start, end) => {
          const object = this.#read({ bytes, start, end });
          if (object !== undefined) steps.push({ object });
        },
        remove: (removed) => {
          this.#refused.delete(formatKey(removed));
          steps.push({ removed });
        },
      });
    const batch = batchOf(begin, "live");
    this.#listener.begin(batch);
    for (const step of steps)
      if ("object" in step) this.#listener.upsert(step.object);
      else this.#listener.remove(step.removed);
    this.#listener.commit(batch);
  }

  /** A whole state. */
  async snapshot(batch: FeedBatch, objects: AsyncIterable<readonly KeptObject[]>): Promise<void> {
    this.#refused.clear();
    this.#listener.begin(batch);
    for await (const some of objects)
      for (const kept of some) {
        const object = this.#read(kept);
        if (object !== undefined) this.#listener.upsert(object);
      }
    this.#listener.commit(batch);
  }

  #read({ bytes, start, end }: KeptObject): FeedObject | undefined {
    try {
      const object = decodeObject(bytes, start, end, this.#withTargets);
      if (object !== undefined && this.#refused.size > 0) this.#refused.delete(formatKey(keyOf(object)));
      return object;
    } catch (error) {
      if (!(error instanceof NodeplaneError)) throw error;
      const key = decodeObjectKey(bytes, start, end);
      if (key !== undefined)
        this.#refused.set(formatKey(key), {
          object: key,
          reason: "MalformedObject",
          field: "",
          message: error.message,
        });
      return undefined;
    }
  }
}

export function batchOf(begin: Begin, origin: FeedBatch["origin"]): FeedBatch {
  return {
    revision: BigInt(begin.revision),
    snapshot: begin.snapshot,
    origin,
    changedAtMs: begin.changedAtMs,
  };
}
