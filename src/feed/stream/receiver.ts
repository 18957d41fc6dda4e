/**
 * Layer feed. What happens with messages from the control plane, one after the other: differences go to the listener at
 * once and to the disk after it; a snapshot goes to the disk first, is judged, and is then delivered from there, so that
 * no listener ever sees a part of one. Knows no transport.
 */
import type { Begin, Welcome } from "../../codec/stream/server-message.ts";
import { malformed } from "../../codec/stream/wire.ts";
import type { FeedListener } from "../feed.ts";
import { batchOf, Delivery } from "./delivery.ts";
import { type Assembled, GroupAssembler } from "./group-assembler.ts";
import { SnapshotGuard } from "./snapshot-guard.ts";
import type { StateStore } from "./state-store.ts";

/** What this node holds. */
export interface Held {
  readonly epoch: string;
  readonly revision: number;
  /** Kinds, joined by commas. */
  readonly sets: string;
}

export interface ReceiverCounters {
  messages: number;
  bytes: number;
  differences: number;
  snapshots: number;
  snapshotsRefused: number;
}

export interface ReceiverOptions {
  readonly store: StateStore;
  /** Kinds that are asked for. */
  readonly sets: readonly string[];
  readonly listener: FeedListener;
  readonly withTargets: boolean;
  readonly onWelcome: (welcome: Welcome) => void;
  readonly onReportTaken: (sequence: number) => void;
  /** The control plane wants the report again. */
  readonly onReportWanted: () => void;
  /** The node holds this revision now. */
  readonly onHeld: (revision: number) => void;
  readonly onSnapshotRefused: (reason: string) => void;
}

export class Receiver {
  readonly counters: ReceiverCounters = {
    messages: 0,
    bytes: 0,
    differences: 0,
    snapshots: 0,
    snapshotsRefused: 0,
  };
  readonly #options: ReceiverOptions;
  #store: StateStore;
  readonly #delivery: Delivery;
  #assembler = new GroupAssembler();
  #held: Held | undefined;
  #guard: SnapshotGuard | undefined;
  #ignores = false;
  #mustRefetch = false;
  /** Kinds that the server of the present stream gives. */
  #sets: string;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#sets = options.sets.join();
    this.#delivery = new Delivery(options.listener, options.withTargets);
  }

  get held(): Held | undefined {
    return this.#held;
  }

  get refused(): Delivery["refused"] {
    return this.#delivery.refused;
  }

  /** What to tell the server: revision 0 asks for a snapshot of the epoch that is held. */
  get hello(): { readonly epoch: string; readonly revision: number } {
    const revision = this.#mustRefetch ? 0 : (this.#held?.revision ?? 0);
    return { epoch: this.#held?.epoch ?? "", revision };
  }

  /** Goes on with another store, which holds nothing yet: everything is fetched anew. */
  useStore(store: StateStore): void {
    this.#store = store;
    this.#mustRefetch = true;
  }

  /** Delivers what an earlier run has kept. @returns when that was last known to be current, `undefined`: nothing kept */
  async restore(): Promise<number | undefined> {
    const store = this.#store;
    const kept = await store.load();
    if (kept === undefined) return undefined;
    const batch = {
      revision: BigInt(kept.revision),
      snapshot: true,
      origin: "persisted" as const,
      changedAtMs: 0,
    };
    await this.#delivery.snapshot(batch, store.objects());
    this.#held = { epoch: kept.epoch, revision: kept.revision, sets: kept.sets };
    return kept.savedAtMs;
  }

  /** A new stream begins: what was incomplete on the old one is forgotten. */
  restart(): void {
    this.#assembler = new GroupAssembler();
    this.#guard = undefined;
    this.#ignores = false;
  }

  /**
   * Takes one message. The promise is `undefined` when everything is done already: small changes wait for nothing.
   * @throws {NodeplaneError} STREAM_MALFORMED, also as a rejection: the stream must end
   */
  take(message: Buffer): Promise<void> | undefined {
    this.counters.messages++;
    this.counters.bytes += message.length;
    const assembled = this.#assembler.take(message);
    if (assembled.welcome !== undefined) this.#welcome(assembled.welcome);
    if (assembled.reportTaken !== undefined) this.#options.onReportTaken(assembled.reportTaken);
    if (assembled.isReportWanted) this.#options.onReportWanted();
    if (this.#ignores) return undefined;
    if (assembled.difference !== undefined) return this.#difference(assembled.difference);
    if (assembled.isSnapshotPart) return this.#snapshotPart(message, assembled);
    return undefined;
  }

  #welcome(welcome: Welcome): void {
    this.#sets = this.#options.sets.filter((set) => !welcome.unknownSets.includes(set)).join();
    if (this.#held !== undefined && this.#held.sets !== this.#sets && !this.#mustRefetch) {
      // A difference would lack the older objects of the kinds that are new.
      this.#mustRefetch = true;
      malformed(`sets changed from "${this.#held.sets}" to "${this.#sets}"; everything is fetched anew`);
    }
    this.#options.onWelcome(welcome);
  }

  #difference(difference: NonNullable<Assembled["difference"]>): Promise<void> | undefined {
    const { begin, messages } = difference;
    const held = this.#held;
    if (held === undefined || begin.fromRevision !== held.revision) {
      this.#mustRefetch = true;
      return malformed(
        `a difference from revision ${begin.fromRevision}, but this node holds ${held?.revision ?? 0}`,
      );
    }
    this.counters.differences++;
    this.#delivery.difference(begin, messages);
    this.#held = { ...held, revision: begin.revision };
    this.#store.append(messages);
    this.#options.onHeld(begin.revision);
    return this.#store.isSettled ? undefined : this.#store.settled();
  }

  async #snapshotPart(message: Buffer, assembled: Assembled): Promise<void> {
    const store = this.#store;
    if (assembled.snapshotBegin !== undefined) {
      await store.beginSnapshot(this.#sets);
      const isJudged = this.#held !== undefined && !assembled.snapshotBegin.authoritative;
      this.#guard = isJudged ? new SnapshotGuard() : undefined;
    }
    this.#guard?.learn(message);
    await store.addToSnapshot(message);
    if (assembled.snapshotEnd === undefined) return;
    const refusal = await this.#guard?.refusal(store.keys());
    this.#guard = undefined;
    if (refusal === undefined) await this.#takeSnapshot(assembled.snapshotEnd.begin);
    else {
      await store.abortSnapshot();
      this.counters.snapshotsRefused++;
      this.#ignores = true;
      this.#options.onSnapshotRefused(refusal);
    }
  }

  async #takeSnapshot(begin: Begin): Promise<void> {
    this.counters.snapshots++;
    await this.#store.commitSnapshot();
    this.#mustRefetch = false;
    this.#held = { epoch: begin.epoch, revision: begin.revision, sets: this.#sets };
    await this.#delivery.snapshot(batchOf(begin, "live"), this.#store.objects());
    this.#options.onHeld(begin.revision);
  }
}
