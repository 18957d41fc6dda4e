/** Test code. A table in memory: applies operations as the kernel would and keeps rules as values, for the tracer. */
import type {
  NftChain,
  NftElements,
  NftField,
  NftOp,
  NftRule,
  NftSet,
  NftVerdict,
} from "../../src/model/nftables.ts";
import { fieldBytes } from "../../src/plan/nftables/text.ts";
import { packBytes } from "../../src/plan/packed.ts";

export interface ModelElement {
  readonly end?: string;
  readonly data?: string;
  readonly verdict?: NftVerdict;
}

export interface ModelSet {
  readonly set: NftSet;
  readonly elements: Map<string, ModelElement>;
}

const widthOf = (fields: readonly NftField[]) => fields.reduce((sum, field) => sum + fieldBytes(field), 0);

function* unpack(set: NftSet, elements: NftElements): Iterable<[string, ModelElement]> {
  const keyBytes = widthOf(set.key);
  const dataBytes = set.data === "none" || set.data === "verdict" ? 0 : widthOf(set.data);
  const slice = (bytes: Uint8Array, i: number, width: number) =>
    packBytes(bytes.subarray(i * width, (i + 1) * width));
  if (elements.keys.length !== keyBytes * elements.count)
    throw new Error(`${set.name}: keys of wrong length`);
  for (let i = 0; i < elements.count; i++) {
    const verdict = elements.verdicts?.[i];
    yield [
      slice(elements.keys, i, keyBytes),
      {
        ...(elements.keyEnds === undefined ? {} : { end: slice(elements.keyEnds, i, keyBytes) }),
        ...(elements.data === undefined ? {} : { data: slice(elements.data, i, dataBytes) }),
        ...(verdict === undefined ? {} : { verdict }),
      },
    ];
  }
}

export class TableModel {
  readonly chains = new Map<string, NftChain>();
  readonly rules = new Map<string, NftRule[]>();
  readonly sets = new Map<string, ModelSet>();

  /** @throws for whatever the kernel would refuse */
  apply(ops: Iterable<NftOp>): this {
    for (const op of ops) this.#apply(op);
    return this;
  }

  set(name: string): ModelSet {
    const held = this.sets.get(name);
    if (held === undefined) throw new Error(`no set ${name}`);
    return held;
  }

  /** Everything in sets, sorted: equal for equal tables. */
  dump(): string[] {
    const lines: string[] = [];
    for (const [name, { elements }] of this.sets)
      for (const [key, element] of elements) lines.push(JSON.stringify([name, key, element]));
    return lines.sort();
  }

  elementCount(): number {
    let count = 0;
    for (const { elements } of this.sets.values()) count += elements.size;
    return count;
  }

  #apply(op: NftOp): void {
    switch (op.op) {
      case "add-table":
        return;
      case "add-chain":
        this.chains.set(op.chain.name, op.chain);
        this.rules.set(op.chain.name, []);
        return;
      case "add-set":
        this.sets.set(op.set.name, { set: op.set, elements: new Map() });
        return;
      case "add-rule": {
        const rules = this.rules.get(op.rule.chain);
        if (rules === undefined) throw new Error(`no chain ${op.rule.chain}`);
        rules.push(op.rule);
        return;
      }
      case "flush-chain":
        this.rules.set(op.chain, []);
        return;
      case "add-elements":
        this.#add(this.set(op.set), op.elements);
        return;
      case "delete-elements":
        this.#delete(this.set(op.set), op.elements);
        return;
      default:
        throw new Error(`operation ${op.op} is not expected here`);
    }
  }

  #add(held: ModelSet, elements: NftElements): void {
    for (const [key, element] of unpack(held.set, elements)) {
      if (
        element.verdict !== undefined &&
        "chain" in element.verdict &&
        !this.chains.has(element.verdict.chain)
      )
        throw new Error(`${held.set.name}: no chain ${element.verdict.chain}`);
      if (held.elements.has(key)) throw new Error(`${held.set.name}: element is there already (EEXIST)`);
      held.elements.set(key, element);
    }
  }

  #delete(held: ModelSet, elements: NftElements): void {
    for (const [key] of unpack({ ...held.set, data: "none" }, { ...elements }))
      if (!held.elements.delete(key)) throw new Error(`${held.set.name}: no such element (ENOENT)`);
  }
}
