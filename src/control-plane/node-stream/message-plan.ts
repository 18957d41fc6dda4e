/**
 * Layer control-plane. Cuts what a node lacks into messages of at most 256 KiB. A difference is a row of complete
 * groups, cut where the revision changes, so that a node can resume after each; a snapshot is one group.
 * Messages are put together only when they are sent: a plan holds references to fields that all nodes share.
 */
import { encodeBegin, encodeCommit, MAX_MESSAGE_BYTES } from "../../codec/stream/server-message.ts";
import type { CatalogField, CatalogRange } from "./catalog.ts";

/** Room for begin, commit and their tags. */
const FRAME_BYTES = 512;
const BUDGET = MAX_MESSAGE_BYTES - FRAME_BYTES;
/** Groups of a difference are closed when they are this large: a node can then acknowledge and resume. */
const GROUP_BUDGET = 128 * 1024;

interface Cut {
  readonly start: number;
  readonly end: number;
  /** Set in the first message of a group. */
  readonly begin?: Buffer;
  /** Set in the last one. */
  readonly commit?: Buffer;
  /** What the node holds after the message; unchanged in the middle of a group. */
  readonly revision: number;
}

export class MessagePlan {
  readonly isSnapshot: boolean;
  /** What the node holds after the last message. */
  readonly revision: number;
  readonly #fields: readonly CatalogField[];
  readonly #cuts: readonly Cut[];
  /** A plan of one small message is shared by nearly all nodes: put together once. */
  #single: Buffer | undefined;

  private constructor(isSnapshot: boolean, range: CatalogRange, cuts: readonly Cut[]) {
    this.isSnapshot = isSnapshot;
    this.revision = range.revision;
    this.#fields = range.fields;
    this.#cuts = cuts;
  }

  /** The difference from `since`. An empty range still gives one message, which moves the node's revision on. */
  static difference(range: CatalogRange, since: number): MessagePlan {
    return new MessagePlan(false, range, cutDifference(range, since));
  }

  static snapshot(
    range: CatalogRange,
    options: { readonly epoch: string; readonly isAuthoritative: boolean; readonly leftOut: number },
  ): MessagePlan {
    const begin = encodeBegin({
      revision: range.revision,
      snapshot: true,
      authoritative: options.isAuthoritative,
      fromRevision: 0,
      changedAtMs: range.changedAtMs,
      epoch: options.epoch,
    });
    const commit = encodeCommit({ revision: range.revision, leftOut: options.leftOut });
    const cuts = cutGroup(range.fields, {
      start: 0,
      end: range.fields.length,
      begin,
      commit,
      before: 0,
      after: range.revision,
    });
    return new MessagePlan(true, range, cuts);
  }

  /** True when there is nothing to tell but a newer revision. */
  get isEmpty(): boolean {
    return this.#fields.length === 0 && !this.isSnapshot;
  }

  get messages(): number {
    return this.#cuts.length;
  }

  /** Revision that the node holds after message `index`. */
  revisionAfter(index: number): number {
    return this.#cuts[index]?.revision ?? this.revision;
  }

  /** True when message `index` completes a group: the node can resume there. */
  endsGroup(index: number): boolean {
    return this.#cuts[index]?.commit !== undefined;
  }

  /** Bytes of message `index`, at most 256 KiB. */
  message(index: number): Buffer {
    if (this.#single !== undefined) return this.#single;
    const cut = this.#cuts[index];
    const parts: Buffer[] = [];
    if (cut?.begin !== undefined) parts.push(cut.begin);
    for (let at = cut?.start ?? 0; at < (cut?.end ?? 0); at++) {
      const field = this.#fields[at];
      if (field !== undefined) parts.push(field.bytes);
    }
    if (cut?.commit !== undefined) parts.push(cut.commit);
    const message = Buffer.concat(parts);
    if (this.#cuts.length === 1) this.#single = message;
    return message;
  }
}

interface Group {
  readonly start: number;
  readonly end: number;
  readonly begin: Buffer;
  readonly commit: Buffer;
  readonly before: number;
  readonly after: number;
}

function cutGroup(fields: readonly CatalogField[], group: Group): readonly Cut[] {
  const cuts: Cut[] = [];
  let start = group.start;
  let bytes = 0;
  for (let at = group.start; at < group.end; at++) {
    const size = fields[at]?.bytes.length ?? 0;
    if (bytes > 0 && bytes + size > BUDGET) {
      cuts.push({ start, end: at, revision: group.before });
      start = at;
      bytes = 0;
    }
    bytes += size;
  }
  cuts.push({ start, end: group.end, revision: group.before });
  return cuts.map((cut, index) => ({
    ...cut,
    ...(index === 0 ? { begin: group.begin } : {}),
    ...(index === cuts.length - 1 ? { commit: group.commit, revision: group.after } : {}),
  }));
}

function cutDifference(range: CatalogRange, since: number): readonly Cut[] {
  const { fields } = range;
  const cuts: Cut[] = [];
  let from = since;
  let start = 0;
  let bytes = 0;
  for (let at = 0; at <= fields.length; at++) {
    const field = fields[at];
    const isLast = field === undefined;
    const isEdge = at > start && fields[at - 1]?.revision !== field?.revision;
    if (!isLast && !(isEdge && bytes + field.bytes.length > GROUP_BUDGET)) {
      bytes += field.bytes.length;
      continue;
    }
    const revision = isLast ? range.revision : (fields[at - 1]?.revision ?? range.revision);
    const begin = encodeBegin({
      revision,
      snapshot: false,
      authoritative: false,
      fromRevision: from,
      changedAtMs: range.changedAtMs,
      epoch: "",
    });
    const commit = encodeCommit({ revision, leftOut: 0 });
    cuts.push(...cutGroup(fields, { start, end: at, begin, commit, before: from, after: revision }));
    from = revision;
    start = at;
    bytes = field?.bytes.length ?? 0;
  }
  return cuts;
}
