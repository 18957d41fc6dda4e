/**
 * Layer plan. Elements of sets and maps as packed strings, and what it takes to get from one list to another. Pure.
 */
import type { NftElements, NftOp, NftVerdict } from "../../model/nftables.ts";
import { unpackBytes } from "../packed.ts";

/** How the elements of a set look. */
export interface ElementForm {
  readonly name: string;
  readonly keyBytes: number;
  /** `range`: the key is followed by its inclusive end, of the same length. */
  readonly kind: "set" | "map" | "verdict-map" | "range";
}

/** Parallel arrays: element i is in set `sets[i]` (an index of forms). Data of a verdict map is `goto NAME` or `jump NAME`. */
export class ElementList {
  readonly sets: number[] = [];
  readonly keys: string[] = [];
  readonly data: string[] = [];

  push(set: number, key: string, data: string): void {
    this.sets.push(set);
    this.keys.push(key);
    this.data.push(data);
  }

  get length(): number {
    return this.keys.length;
  }
}

const verdicts = new Map<string, NftVerdict>();

/** Units with session affinity have names of their own. */
const MAX_VERDICTS = 1_000;

/** `goto NAME` / `jump NAME` as a value; there are few, so they are kept. */
function verdictOf(text: string): NftVerdict {
  const known = verdicts.get(text);
  if (known !== undefined) return known;
  const chain = text.slice(5);
  const verdict: NftVerdict = text.startsWith("goto ") ? { kind: "goto", chain } : { kind: "jump", chain };
  if (verdicts.size < MAX_VERDICTS) verdicts.set(text, verdict);
  return verdict;
}

export function formatVerdictData(verdict: NftVerdict): string {
  return verdict.kind === "goto" || verdict.kind === "jump"
    ? `${verdict.kind} ${verdict.chain}`
    : verdict.kind;
}

function packKeys(form: ElementForm, keys: readonly string[]): Pick<NftElements, "keys" | "keyEnds"> {
  if (form.kind !== "range") return { keys: unpackBytes(keys.join("")) };
  return {
    keys: unpackBytes(keys.map((key) => key.slice(0, form.keyBytes)).join("")),
    keyEnds: unpackBytes(keys.map((key) => key.slice(form.keyBytes)).join("")),
  };
}

function packElements(form: ElementForm, keys: readonly string[], data: readonly string[]): NftElements {
  const packed = { count: keys.length, ...packKeys(form, keys) };
  if (form.kind === "verdict-map") return { ...packed, verdicts: data.map(verdictOf) };
  return form.kind === "map" ? { ...packed, data: unpackBytes(data.join("")) } : packed;
}

/** Collects additions and deletions of many units and turns them into one operation a set and kind. */
export class ElementChanges {
  readonly #forms: readonly ElementForm[];
  readonly #added: ({ keys: string[]; data: string[] } | undefined)[] = [];
  readonly #deleted: (string[] | undefined)[] = [];
  added = 0;
  deleted = 0;

  constructor(forms: readonly ElementForm[]) {
    this.#forms = forms;
  }

  get size(): number {
    return this.added + this.deleted;
  }

  add(set: number, key: string, data: string): void {
    let bucket = this.#added[set];
    if (bucket === undefined) {
      bucket = { keys: [], data: [] };
      this.#added[set] = bucket;
    }
    bucket.keys.push(key);
    bucket.data.push(data);
    this.added++;
  }

  delete(set: number, key: string): void {
    let bucket = this.#deleted[set];
    if (bucket === undefined) {
      bucket = [];
      this.#deleted[set] = bucket;
    }
    bucket.push(key);
    this.deleted++;
  }

  /** Adds what turns `before` into `after`. An element whose data changes is deleted and added: the kernel has no update. */
  diff(before: ElementList, after: ElementList): void {
    if (before.length === 0) {
      for (let i = 0; i < after.length; i++)
        this.add(after.sets[i] ?? 0, after.keys[i] ?? "", after.data[i] ?? "");
      return;
    }
    const old = new Map<string, string>();
    for (let i = 0; i < before.length; i++)
      old.set(String.fromCharCode(before.sets[i] ?? 0) + (before.keys[i] ?? ""), before.data[i] ?? "");
    for (let i = 0; i < after.length; i++) {
      const set = after.sets[i] ?? 0;
      const key = after.keys[i] ?? "";
      const data = after.data[i] ?? "";
      const id = String.fromCharCode(set) + key;
      const had = old.get(id);
      old.delete(id);
      if (had === data) continue;
      if (had !== undefined) this.delete(set, key);
      this.add(set, key, data);
    }
    for (const id of old.keys()) this.delete(id.charCodeAt(0), id.slice(1));
  }

  /** Operations in the order of the forms; in each set deletions come first. */
  ops(): readonly NftOp[] {
    const ops: NftOp[] = [];
    this.#forms.forEach((form, set) => {
      const deleted = this.#deleted[set];
      if (deleted !== undefined)
        ops.push({
          op: "delete-elements",
          set: form.name,
          elements: { count: deleted.length, ...packKeys(form, deleted) },
        });
      const added = this.#added[set];
      if (added !== undefined)
        ops.push({
          op: "add-elements",
          set: form.name,
          elements: packElements(form, added.keys, added.data),
        });
    });
    return ops;
  }
}
