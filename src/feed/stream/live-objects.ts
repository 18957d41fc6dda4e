/**
 * Layer feed. Which objects of a log of messages are alive: the log is one snapshot and then differences, so an object
 * of the snapshot counts unless a difference names it, and of a difference the last mention counts. Only the keys that
 * differences name are held in memory.
 */
import { decodeObjectKey } from "../../codec/stream/decode-object.ts";
import { type Begin, type Commit, visitServerMessage } from "../../codec/stream/server-message.ts";
import { formatKey, type ObjectKey } from "../../model/objects.ts";

/** Gets every field of the messages with a running number. */
export interface LogField {
  readonly ordinal: number;
  readonly key: ObjectKey | undefined;
  /** Absent for a removal. */
  readonly object?: {
    readonly bytes: Buffer;
    readonly start: number;
    readonly end: number;
    readonly fieldStart: number;
  };
}

/** Walks through the messages of a log in order and keeps track of groups. */
export class LogWalk {
  #ordinal = 0;
  #isSnapshot = false;
  #isOpen = false;
  #epoch = "";
  #revision = 0;
  /** Last mention of each key in the differences that are complete. */
  readonly #last = new Map<string, number>();
  #pending: [string, number][] = [];

  /** True between a begin and its commit. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get epoch(): string {
    return this.#epoch;
  }

  get revision(): number {
    return this.#revision;
  }

  /** True when the log has more than its snapshot. */
  get hasDifferences(): boolean {
    return this.#last.size > 0;
  }

  /** Reads one message. @returns false when the log makes no sense here: what is before the open group holds */
  learn(message: Buffer): boolean {
    let isSound = true;
    visitServerMessage(message, {
      begin: (begin) => {
        isSound &&= this.#begin(begin);
      },
      upsert: (bytes, start, end) => this.#mention(() => decodeObjectKey(bytes, start, end)),
      remove: (key) => this.#mention(() => key),
      commit: (commit) => this.#commit(commit),
    });
    return isSound;
  }

  /** The fields of one message that are alive, after all messages were learned; call in the same order from the start. */
  alive(message: Buffer, counter: { ordinal: number }): readonly NonNullable<LogField["object"]>[] {
    const found: NonNullable<LogField["object"]>[] = [];
    visitServerMessage(message, {
      upsert: (bytes, start, end, fieldStart) => {
        const ordinal = counter.ordinal++;
        if (this.#last.size > 0) {
          const key = decodeObjectKey(bytes, start, end);
          const last = key === undefined ? undefined : this.#last.get(formatKey(key));
          if (last !== undefined && last !== ordinal) return;
        }
        found.push({ bytes, start, end, fieldStart });
      },
      remove: () => {
        counter.ordinal++;
      },
    });
    return found;
  }

  #begin(begin: Begin): boolean {
    if (this.#isOpen) return false;
    // Only the first group may be a snapshot, and it must be one; a difference must follow on what is there.
    if (begin.snapshot !== (this.#revision === 0)) return false;
    if (!begin.snapshot && begin.fromRevision !== this.#revision) return false;
    this.#isOpen = true;
    this.#isSnapshot = begin.snapshot;
    this.#pending = [];
    if (begin.snapshot) this.#epoch = begin.epoch;
    return true;
  }

  #mention(readKey: () => ObjectKey | undefined): void {
    const ordinal = this.#ordinal++;
    if (this.#isSnapshot) return;
    const key = readKey();
    if (key !== undefined) this.#pending.push([formatKey(key), ordinal]);
  }

  #commit(commit: Commit): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#revision = commit.revision;
    for (const [key, ordinal] of this.#pending) this.#last.set(key, ordinal);
    this.#pending = [];
  }
}
