/** Layer agent. Which revision was received, which is in the kernel, since when, and how long syncs take. */
import type { FeedBatch } from "../../feed/feed.ts";
import type { ReconcileClock } from "./clock.ts";
import type { ReconcilerStatus } from "./status.ts";

type ProgressStatus = Pick<
  ReconcilerStatus,
  | "programmed"
  | "revision"
  | "receivedRevision"
  | "programmedAtMs"
  | "pendingSinceMs"
  | "pendingForMs"
  | "origin"
  | "lastError"
  | "syncs"
>;

interface SyncMark {
  readonly asked: number;
  readonly batch: FeedBatch | undefined;
}

export class SyncProgress {
  readonly #clock: ReconcileClock;
  #received: FeedBatch | undefined;
  #isNews = false;
  /** Grows with everything that is to be written. */
  #asked = 0;
  #live: FeedBatch | undefined;
  #liveAtMs = 0;
  #startedMs: number | undefined;
  #pendingSinceMs: number | undefined;
  #lastError: { readonly atMs: number; readonly message: string } | undefined;
  #count = 0;
  #secondsSum = 0;
  #lastSeconds = 0;

  constructor(clock: ReconcileClock) {
    this.#clock = clock;
  }

  received(batch: FeedBatch): void {
    this.#received = batch;
    this.#isNews = true;
    this.started();
  }

  /** Something is to be written. */
  started(): void {
    this.#asked++;
    this.#startedMs ??= this.#clock.monotonicMs();
    this.#pendingSinceMs ??= this.#clock.now();
  }

  /** Something was received or begun that is not finished. */
  get isPending(): boolean {
    return this.#startedMs !== undefined;
  }

  /** Names what has been asked for up to now, for {@link finishedMark}. */
  mark(): SyncMark {
    return { asked: this.#asked, batch: this.#received };
  }

  /** What was asked for before `mark` is in the kernel; what came later is pending. @returns the revision when it is news */
  finishedMark(mark: SyncMark): bigint | undefined {
    if (mark.asked === this.#asked) return this.finished();
    const later = this.#received;
    this.#received = mark.batch;
    this.#isNews = mark.batch !== undefined && mark.batch !== this.#live;
    const revision = this.finished();
    this.#received = later;
    this.#isNews = later !== mark.batch;
    this.started();
    return revision;
  }

  /** Everything received is in the kernel. @returns the revision when it is news */
  finished(): bigint | undefined {
    if (this.#startedMs !== undefined) {
      this.#lastSeconds = (this.#clock.monotonicMs() - this.#startedMs) / 1000;
      this.#secondsSum += this.#lastSeconds;
      this.#count++;
    }
    this.#startedMs = undefined;
    this.#pendingSinceMs = undefined;
    if (!this.#isNews || this.#received === undefined) return undefined;
    this.#isNews = false;
    this.#live = this.#received;
    this.#liveAtMs = this.#clock.now();
    return this.#live.revision;
  }

  failed(message: string): void {
    this.#lastError = { atMs: this.#clock.now(), message };
  }

  status(): ProgressStatus {
    return {
      programmed: this.#live !== undefined,
      ...(this.#live === undefined
        ? {}
        : {
            revision: String(this.#live.revision),
            programmedAtMs: this.#liveAtMs,
            origin: this.#live.origin,
          }),
      ...(this.#received === undefined ? {} : { receivedRevision: String(this.#received.revision) }),
      ...(this.#pendingSinceMs === undefined ? {} : { pendingSinceMs: this.#pendingSinceMs }),
      ...(this.#startedMs === undefined ? {} : { pendingForMs: this.#clock.monotonicMs() - this.#startedMs }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      syncs: { count: this.#count, secondsSum: this.#secondsSum, lastSeconds: this.#lastSeconds },
    };
  }
}
