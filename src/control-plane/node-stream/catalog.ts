/**
 * Layer control-plane. What nodes are given, encoded once for all of them: the current objects as message fields, and
 * the order in which they changed, so that the difference from any revision is a walk over what changed since.
 * Knows no streams. Memory is bounded by the objects plus a fixed number of removals.
 */
import { encodeRemove, encodeUpsert } from "../../codec/stream/server-message.ts";
import { formatKey, type ObjectKey, type ObjectKind } from "../../model/objects.ts";
import type { ReportProblems, SourceChange, SourceGroup, SourceState } from "./object-source.ts";

/** One object or removal, as a field of a ServerMessage. */
export interface CatalogField {
  readonly kind: ObjectKind;
  readonly bytes: Buffer;
  readonly revision: number;
}

/** What a node lacks, in the order of revisions. */
export interface CatalogRange {
  readonly fields: readonly CatalogField[];
  /** The node holds this when it has taken the fields. */
  readonly revision: number;
  readonly changedAtMs: number;
}

export type KindFilter = ReadonlySet<ObjectKind>;

/** Larger objects are refused: with begin and commit around it a message stays below 256 KiB. */
export const MAX_FIELD_BYTES = 250 * 1024;
const MAX_REMOVALS = 50_000;
/** The list of changes is cleaned when it is this much longer than what it needs. */
const SLACK = 1000;

interface Held extends CatalogField {
  readonly isRemoval: boolean;
}

interface Step {
  readonly revision: number;
  readonly key: string;
}

export class Catalog {
  readonly #report: ReportProblems;
  #held = new Map<string, Held>();
  #removals = 0;
  #steps: Step[] = [];
  #tooLarge = new Set<string>();
  #revision = 0;
  #oldest = 0;
  #changedAtMs = 0;

  constructor(report: ReportProblems) {
    this.#report = report;
  }

  /** Everything up to it is in the catalog. */
  get revision(): number {
    return this.#revision;
  }

  /** Objects that are in no message because they are too large. */
  get leftOut(): number {
    return this.#tooLarge.size;
  }

  get objects(): number {
    return this.#held.size - this.#removals;
  }

  /** Bytes of all encoded objects. */
  encodedBytes(): number {
    let sum = 0;
    for (const held of this.#held.values()) sum += held.bytes.length;
    return sum;
  }

  /** Takes a whole state in place of what was there. */
  load(state: SourceState): void {
    this.#held = new Map();
    this.#steps = [];
    this.#removals = 0;
    this.#tooLarge = new Set();
    const changes: SourceChange[] = [
      ...state.objects.map(({ object, revision }) => ({
        key: { kind: object.kind, namespace: object.meta.namespace, name: object.meta.name },
        object,
        revision,
      })),
      ...state.removals.map(({ key, revision }) => ({ key, object: undefined, revision })),
    ].sort((a, b) => a.revision - b.revision);
    // A key that was removed and made again stands twice: the later one holds.
    for (const change of changes) this.#put(change);
    this.#revision = state.revision;
    this.#oldest = state.oldestRevision;
    this.#trim();
  }

  /** Takes changes. @returns true when something changed that nodes can see */
  apply(group: SourceGroup): boolean {
    let isChanged = false;
    for (const change of group.changes) if (this.#put(change)) isChanged = true;
    this.#revision = Math.max(this.#revision, group.revision);
    if (isChanged) this.#changedAtMs = group.changedAtMs;
    this.#trim();
    return isChanged;
  }

  /** What a node lacks that holds `since`; `undefined` when that is too old and only a snapshot helps. */
  difference(since: number, kinds: KindFilter): CatalogRange | undefined {
    if (since < this.#oldest || since > this.#revision) return undefined;
    const fields: CatalogField[] = [];
    for (let at = this.#firstAfter(since); at < this.#steps.length; at++) {
      const field = this.#fieldAt(at);
      if (field !== undefined && kinds.has(field.kind)) fields.push(field);
    }
    return { fields, revision: this.#revision, changedAtMs: this.#changedAtMs };
  }

  /** Every object, in the order of its last change. */
  snapshot(kinds: KindFilter): CatalogRange {
    const fields: CatalogField[] = [];
    for (let at = 0; at < this.#steps.length; at++) {
      const field = this.#fieldAt(at);
      if (field !== undefined && !field.isRemoval && kinds.has(field.kind)) fields.push(field);
    }
    return { fields, revision: this.#revision, changedAtMs: this.#changedAtMs };
  }

  /** The field of a step, unless a later step stands for the same key. */
  #fieldAt(at: number): Held | undefined {
    const step = this.#steps[at];
    const held = step === undefined ? undefined : this.#held.get(step.key);
    return held?.revision === step?.revision ? held : undefined;
  }

  /** Position of the first step after a revision: steps are in the order of revisions. */
  #firstAfter(revision: number): number {
    let low = 0;
    let high = this.#steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#steps[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #put(change: SourceChange): boolean {
    const key = formatKey(change.key);
    const before = this.#held.get(key);
    const bytes = change.object === undefined ? undefined : this.#encode(change, key);
    if (bytes === undefined) {
      // A removal is kept even when the object is unknown: nodes may have it from before a restart.
      if (before?.isRemoval !== true) this.#removals++;
      this.#set(key, {
        kind: change.key.kind,
        bytes: encodeRemove(change.key),
        revision: change.revision,
        isRemoval: true,
      });
      return true;
    }
    // Trimmed, many changes of an object are none: nothing to tell.
    if (before !== undefined && !before.isRemoval && before.bytes.equals(bytes)) return false;
    if (before?.isRemoval === true) this.#removals--;
    this.#set(key, { kind: change.key.kind, bytes, revision: change.revision, isRemoval: false });
    return true;
  }

  #set(key: string, held: Held): void {
    this.#held.set(key, held);
    this.#steps.push({ revision: held.revision, key });
  }

  /** `undefined` when the object is too large for a message; that is reported, and again when it is mended. */
  #encode(change: SourceChange, key: string): Buffer | undefined {
    if (change.object === undefined) return undefined;
    const bytes = encodeUpsert(change.object);
    if (bytes.length <= MAX_FIELD_BYTES) {
      if (this.#tooLarge.delete(key)) this.#report(change.key, []);
      return bytes;
    }
    this.#tooLarge.add(key);
    this.#report(change.key, [tooLarge(change.key, bytes.length)]);
    return undefined;
  }

  /** Drops steps that no longer stand for anything, and the oldest removals. */
  #trim(): void {
    if (this.#steps.length <= this.#held.size + this.#held.size / 2 + SLACK && this.#removals <= MAX_REMOVALS)
      return;
    let excess = Math.max(0, this.#removals - MAX_REMOVALS * 0.8);
    if (this.#removals <= MAX_REMOVALS) excess = 0;
    const steps: Step[] = [];
    for (let at = 0; at < this.#steps.length; at++) {
      const step = this.#steps[at];
      const held = this.#fieldAt(at);
      if (step === undefined || held === undefined) continue;
      if (held.isRemoval && excess > 0) {
        excess--;
        this.#removals--;
        this.#held.delete(step.key);
        this.#oldest = Math.max(this.#oldest, held.revision);
      } else steps.push(step);
    }
    this.#steps = steps;
  }
}

function tooLarge(object: ObjectKey, bytes: number) {
  return {
    object,
    reason: "ObjectTooLarge",
    field: "",
    message: `is ${bytes} bytes for nodes, more than the ${MAX_FIELD_BYTES} that one message can hold; split it`,
  };
}
