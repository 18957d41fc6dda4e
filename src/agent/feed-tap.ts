/**
 * Layer agent. Stands between the feed and the reconciler and passes everything on: notes this node's own object,
 * counts changes for metrics, remembers when changes were made for the programming latency.
 */
import type { FeedBatch, FeedListener } from "../feed/feed.ts";
import type { FeedObject, Node, ObjectKey } from "../model/objects.ts";

/** Revisions whose latency is still to be measured; more are forgotten, oldest first. */
const MAX_WAITING = 1000;

export interface FeedTapOptions {
  readonly nodeName: string;
  readonly target: FeedListener;
  /** This node's object is another now; called before the batch is committed to the target. */
  readonly onNode: (node: Node | undefined) => void;
  readonly onCommit: (
    batch: FeedBatch,
    changes: { readonly services: number; readonly endpointSlices: number },
  ) => void;
  readonly onConnection: (connected: boolean, reason: string) => void;
  /** Sees every object that passes. */
  readonly observers: readonly FeedListener[];
}

export class FeedTap implements FeedListener {
  readonly #options: FeedTapOptions;
  /** The target is last: observers know a batch before it is planned. */
  readonly #listeners: readonly FeedListener[];
  readonly #waiting = new Map<bigint, number>();
  #node: Node | undefined;
  #nextNode: Node | undefined;
  #services = 0;
  #endpointSlices = 0;

  constructor(options: FeedTapOptions) {
    this.#options = options;
    this.#listeners = [...options.observers, options.target];
  }

  begin(batch: FeedBatch): void {
    this.#nextNode = batch.snapshot ? undefined : this.#node;
    this.#services = 0;
    this.#endpointSlices = 0;
    for (const listener of this.#listeners) listener.begin(batch);
  }

  upsert(object: FeedObject): void {
    this.#count(object.kind);
    if (object.kind === "Node" && object.meta.name === this.#options.nodeName) this.#nextNode = object;
    for (const listener of this.#listeners) listener.upsert(object);
  }

  remove(key: ObjectKey): void {
    this.#count(key.kind);
    if (key.kind === "Node" && key.name === this.#options.nodeName) this.#nextNode = undefined;
    for (const listener of this.#listeners) listener.remove(key);
  }

  commit(batch: FeedBatch): void {
    const changed = this.#node !== this.#nextNode;
    this.#node = this.#nextNode;
    if (changed) this.#options.onNode(this.#node);
    if (batch.changedAtMs > 0 && !batch.snapshot) {
      this.#waiting.set(batch.revision, batch.changedAtMs);
      if (this.#waiting.size > MAX_WAITING) {
        const [oldest] = this.#waiting.keys();
        if (oldest !== undefined) this.#waiting.delete(oldest);
      }
    }
    this.#options.onCommit(batch, { services: this.#services, endpointSlices: this.#endpointSlices });
    for (const listener of this.#listeners) listener.commit(batch);
  }

  connection(connected: boolean, reason: string): void {
    this.#options.onConnection(connected, reason);
    this.#options.target.connection?.(connected, reason);
  }

  /** When the changes up to `revision` were made, in milliseconds since the epoch; each is told once. */
  changedUpTo(revision: bigint): readonly number[] {
    const times: number[] = [];
    for (const [waiting, changedAtMs] of this.#waiting) {
      if (waiting > revision) continue;
      this.#waiting.delete(waiting);
      times.push(changedAtMs);
    }
    return times;
  }

  #count(kind: ObjectKey["kind"]): void {
    if (kind === "Service") this.#services++;
    else if (kind === "EndpointSlice") this.#endpointSlices++;
  }
}
