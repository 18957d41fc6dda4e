/**
 * Layer plan. A table that is in the kernel already, compared with what units need: only the difference is written, and
 * endpoints stay in the slots they have. Pure.
 */
import type { NftTableState } from "../../model/nftables.ts";
import { addressBytes } from "../packed.ts";
import type { Unit } from "../unit.ts";
import type { NftCompiler } from "./compiler.ts";
import { ElementIndex } from "./element-index.ts";
import type { ElementList } from "./element-list.ts";
import { ElementChanges } from "./element-list.ts";
import type { Pair } from "./names.ts";
import type { CompiledUnit } from "./unit-elements.ts";
import { compileUnit, frontendPairKey, packIndex, SET } from "./unit-elements.ts";

export class Adoption {
  readonly #compiler: NftCompiler;
  readonly #indexes: readonly ElementIndex[];
  /** Ranges wait for the end: one that is new may overlap one that has to go, which is an error to the kernel. */
  readonly #ranges: ElementChanges;

  constructor(compiler: NftCompiler, state: NftTableState) {
    this.#compiler = compiler;
    this.#ranges = new ElementChanges(compiler.forms);
    const none = { count: 0, keys: new Uint8Array() };
    this.#indexes = compiler.forms.map(
      (form) => new ElementIndex(form, state.sets.get(form.name)?.elements ?? none),
    );
  }

  /** Takes a unit over; what the kernel lacks or has otherwise goes into `changes`. */
  unit(unit: Unit, changes: ElementChanges): void {
    this.compare(this.#compiler.adopt(compileUnit(unit, this.#asInKernel(unit))), changes);
  }

  /** Compares any elements with the kernel's. */
  compare(list: ElementList, changes: ElementChanges): void {
    for (let i = 0; i < list.length; i++) {
      const set = list.sets[i] ?? 0;
      const key = list.keys[i] ?? "";
      const data = list.data[i] ?? "";
      const index = this.#indexes[set];
      const at = index?.find(key) ?? -1;
      if (at >= 0) index?.take(at);
      if (at >= 0 && index?.hasData(at, data)) continue;
      if (at >= 0) changes.delete(set, key);
      (this.#compiler.forms[set]?.kind === "range" ? this.#ranges : changes).add(set, key, data);
    }
  }

  /**
   * Batches that come last: ranges, then what nobody took, frontends before the slots behind them.
   * @param most elements in a batch
   */
  *leftovers(most: number): Iterable<ElementChanges> {
    const { forms } = this.#compiler;
    const isSlots = (set: number) => forms[set]?.kind === "map";
    forms.forEach((form, set) => {
      if (form.kind === "range")
        for (const key of this.#indexes[set]?.untaken() ?? []) this.#ranges.delete(set, key);
    });
    if (this.#ranges.size > 0) yield this.#ranges;
    for (const wantsSlots of [false, true]) {
      let changes = new ElementChanges(forms);
      for (const [set, form] of forms.entries()) {
        if (form.kind === "range" || isSlots(set) !== wantsSlots) continue;
        for (const key of this.#indexes[set]?.untaken() ?? []) {
          changes.delete(set, key);
          if (changes.size < most) continue;
          yield changes;
          changes = new ElementChanges(forms);
        }
      }
      if (changes.size > 0) yield changes;
    }
  }

  /** Slots of a unit as the kernel has them, from the first frontend that has any. */
  #asInKernel(unit: Unit): CompiledUnit {
    const { shape } = unit;
    let clusterSlots = "";
    let localSlots = "";
    for (const frontend of shape.frontends) {
      const isInternal = frontend.class === "internal";
      const isLocal = (isInternal ? shape.internalPolicy : shape.externalPolicy) === "Local";
      const { pair, key } = frontendPairKey(shape, frontend);
      if (isLocal && localSlots === "") localSlots = this.#slots(pair, key);
      if (clusterSlots !== "") continue;
      if (!isLocal) clusterSlots = this.#slots(pair, key);
      else if (!isInternal)
        clusterSlots = this.#slots(pair === "frontend" ? "short-frontend" : "short-node-port", key);
    }
    return { shape, clusterSlots, localSlots, hasAny: unit.hasAny, hairpins: "" };
  }

  #slots(pair: Pair, key: string): string {
    const index = this.#indexes[SET.slots[pair]];
    if (index === undefined) return "";
    const width = addressBytes(this.#compiler.family) + 2;
    // Joined at the end: a string put together piece by piece would keep its pieces.
    const slots: string[] = [];
    for (let i = 0; ; i++) {
      const at = index.find(key + packIndex(i));
      if (at < 0) return slots.join("");
      slots.push(index.data(at).slice(0, width));
    }
  }
}
