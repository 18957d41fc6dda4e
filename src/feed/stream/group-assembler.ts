/**
 * Layer feed. Puts the messages of a stream together to groups. A difference is held until it is complete, so that its
 * receiver never sees a half; a snapshot is passed on piece by piece, to be kept on disk. Does no I/O.
 * @throws {NodeplaneError} STREAM_MALFORMED when the groups make no sense
 */
import {
  type Begin,
  type Commit,
  visitServerMessage,
  type Welcome,
} from "../../codec/stream/server-message.ts";
import { malformed } from "../../codec/stream/wire.ts";

/** What became of one message. */
export interface Assembled {
  readonly welcome?: Welcome;
  readonly reportTaken?: number;
  readonly isReportWanted: boolean;
  readonly snapshotBegin?: Begin;
  /** The message holds fields of a snapshot. */
  readonly isSnapshotPart: boolean;
  readonly snapshotEnd?: { readonly begin: Begin; readonly commit: Commit };
  /** A complete difference, with all its messages. */
  readonly difference?: {
    readonly begin: Begin;
    readonly commit: Commit;
    readonly messages: readonly Buffer[];
  };
}

/** A difference that is larger than this is refused: the server makes them of at most 256 KiB but for one transaction. */
const MAX_HELD_BYTES = 16 * 1024 * 1024;

export class GroupAssembler {
  #begin: Begin | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;

  take(message: Buffer): Assembled {
    let welcome: Welcome | undefined;
    let reportTaken: number | undefined;
    let begin: Begin | undefined;
    let commit: Commit | undefined;
    let hasFields = false;
    let isReportWanted = false;
    visitServerMessage(message, {
      welcome: (value) => {
        welcome = value;
      },
      begin: (value) => {
        if (this.#begin !== undefined || begin !== undefined) malformed("a group begins inside another");
        begin = value;
      },
      upsert: () => {
        hasFields = true;
      },
      remove: () => {
        hasFields = true;
      },
      commit: (value) => {
        commit = value;
      },
      reportTaken: (value) => {
        reportTaken = value;
      },
      reportAgain: () => {
        isReportWanted = true;
      },
    });
    return {
      isReportWanted,
      ...(welcome === undefined ? {} : { welcome }),
      ...(reportTaken === undefined ? {} : { reportTaken }),
      ...this.#group(message, { begin, commit, hasFields }),
    };
  }

  #group(
    message: Buffer,
    seen: {
      readonly begin: Begin | undefined;
      readonly commit: Commit | undefined;
      readonly hasFields: boolean;
    },
  ): Pick<Assembled, "snapshotBegin" | "isSnapshotPart" | "snapshotEnd" | "difference"> {
    const begin = this.#begin ?? seen.begin;
    if (begin === undefined) {
      if (seen.hasFields || seen.commit !== undefined) malformed("objects outside of a group");
      return { isSnapshotPart: false };
    }
    this.#begin = begin;
    const { commit } = seen;
    if (commit !== undefined && commit.revision !== begin.revision)
      malformed("a commit of another revision than its begin");
    if (commit !== undefined) this.#begin = undefined;
    if (begin.snapshot)
      return {
        isSnapshotPart: true,
        ...(seen.begin === undefined ? {} : { snapshotBegin: begin }),
        ...(commit === undefined ? {} : { snapshotEnd: { begin, commit } }),
      };
    this.#held.push(message);
    this.#heldBytes += message.length;
    if (this.#heldBytes > MAX_HELD_BYTES) malformed(`a difference of more than ${MAX_HELD_BYTES} bytes`);
    if (commit === undefined) return { isSnapshotPart: false };
    const messages = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    return { isSnapshotPart: false, difference: { begin, commit, messages } };
  }
}
