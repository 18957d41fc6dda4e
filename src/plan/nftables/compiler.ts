/**
 * Layer plan. Unit changes to nf_tables operations. Keeps what it believes to be programmed; every change of that
 * belief is staged, and taken back when the kernel refuses. No I/O.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { NftOp, NftRule, NftSet, NftTableState } from "../../model/nftables.ts";
import type { NodeConfig } from "../node-config.ts";
import { nodePortScope } from "../node-config.ts";
import { packIp } from "../packed.ts";
import type { AddressRange, Unit, UnitChange } from "../unit.ts";
import { affinityLayout } from "./affinity.ts";
import { AffinityObjects } from "./affinity-objects.ts";
import { ElementChanges, ElementList } from "./element-list.ts";
import { setsOf } from "./names.ts";
import { chainsOf, rulesOf } from "./rules.ts";
import type { CompiledUnit } from "./unit-elements.ts";
import { compileUnit, formsOf, pushShared, pushUnit, SET } from "./unit-elements.ts";

/** Operations and the change of belief that goes with them. */
export interface Staged {
  readonly ops: readonly NftOp[];
  readonly added: number;
  readonly deleted: number;
  /** Takes the belief back, when the kernel refused. Only the latest one staged can be. */
  reject(): void;
}

type Undo = () => void;

export class NftCompiler {
  readonly family: IpFamily;
  readonly forms: ReturnType<typeof formsOf>;
  #node: NodeConfig;
  readonly #units = new Map<string, CompiledUnit>();
  /** Holders of shared elements, by set and key. */
  readonly #holders = new Map<string, number>();
  /** Elements of the node itself: node addresses and service ranges. */
  #own = new ElementList();
  #ranges: readonly AddressRange[] = [];
  #elements = 0;
  readonly #affinity = new AffinityObjects();
  /** Of units that were adopted: to be sent before their elements. */
  #adoptedOps: NftOp[] = [];

  constructor(family: IpFamily, node: NodeConfig) {
    this.family = family;
    this.#node = node;
    this.forms = formsOf(family);
  }

  get unitCount(): number {
    return this.#units.size;
  }

  get elementCount(): number {
    return this.#elements;
  }

  /** Units with policy Local whose usable endpoints are all elsewhere: their clients are dropped. Cost O(units). */
  noLocalEndpoints(): { readonly internal: number; readonly external: number } {
    let internal = 0;
    let external = 0;
    for (const { shape, localSlots, hasAny } of this.#units.values()) {
      if (localSlots !== "" || !hasAny) continue;
      if (shape.internalPolicy === "Local") internal++;
      if (shape.externalPolicy === "Local" && shape.frontends.some((f) => f.class !== "internal")) external++;
    }
    return { internal, external };
  }

  /** The table without elements: sets, chains, rules. Rules come before elements, or the kernel checks every element anew. */
  layoutOps(): readonly NftOp[] {
    return [
      { op: "add-table" },
      ...chainsOf().map((chain): NftOp => ({ op: "add-chain", chain })),
      ...this.sets.map((set): NftOp => ({ op: "add-set", set })),
      ...rulesOf(this.#node, this.family).map((rule): NftOp => ({ op: "add-rule", rule })),
    ];
  }

  /** Sets that every unit's elements are in. */
  get sets(): readonly NftSet[] {
    return setsOf(this.family, this.#node.countConnections);
  }

  get rules(): readonly NftRule[] {
    return rulesOf(this.#node, this.family);
  }

  /** Belief is moved to what units become; the operations bring the kernel there. */
  stage(changes: readonly UnitChange[]): Staged {
    const element = new ElementChanges(this.forms);
    const undo: Undo[] = [];
    const objects: NftOp[] = [];
    for (const change of changes) {
      this.#stageUnit(change.key, change.unit, element, undo);
      this.#stageAffinity(change.key, objects, undo);
    }
    return this.#staged(element, undo, objects);
  }

  /** True while some service port has session affinity. */
  get hasAffinity(): boolean {
    return this.#affinity.units.length > 0;
  }

  /** Operations that remove chains and sets that lost their unit: a batch of their own, after what led traffic away. */
  removalOps(): readonly NftOp[] {
    return this.#affinity.removal();
  }

  /** They are removed, or gone. */
  removed(): void {
    this.#affinity.removed();
  }

  /** Tells what chains and sets of units a table has that is being taken over. */
  adoptObjects(state: NftTableState, canonical: (rule: NftRule) => string): void {
    this.#affinity.adopt(state, canonical);
  }

  /** Operations that units taken over by {@link adopt} need before their elements. */
  takeAdoptedOps(): readonly NftOp[] {
    const ops = this.#adoptedOps;
    this.#adoptedOps = [];
    return ops;
  }

  /** Elements that follow from the node configuration and from ServiceCIDRs. */
  stageNode(node: NodeConfig, ranges: readonly AddressRange[]): Staged {
    const before = this.#own;
    const after = new ElementList();
    const scope = nodePortScope(node, this.family);
    if (scope.kind === "addresses")
      for (const address of scope.addresses) after.push(SET.nodeAddresses, packIp(address), "");
    for (const range of ranges) after.push(SET.serviceRanges, range.first + range.last, "");
    const element = new ElementChanges(this.forms);
    element.diff(before, after);
    const [oldNode, oldRanges] = [this.#node, this.#ranges];
    this.#own = after;
    this.#node = node;
    this.#ranges = ranges;
    const objects: NftOp[] = [];
    const undo: Undo[] = [
      () => {
        this.#own = before;
        this.#node = oldNode;
        this.#ranges = oldRanges;
      },
    ];
    for (const key of this.#affinity.units) this.#stageAffinity(key, objects, undo);
    return this.#staged(element, undo, objects);
  }

  /** What the table should hold beside the units. */
  get ownElements(): ElementList {
    return this.#own;
  }

  /** The unit as it is programmed, if it is. */
  compiled(key: string): CompiledUnit | undefined {
    return this.#units.get(key);
  }

  /** All units, as they are programmed. */
  units(): Iterable<CompiledUnit> {
    return this.#units.values();
  }

  /** Takes over a unit as it is, or as it is to be. @returns its elements, without shared ones that an earlier unit brought */
  adopt(compiled: CompiledUnit): ElementList {
    const list = new ElementList();
    pushUnit(list, compiled);
    const shared = new ElementList();
    pushShared(shared, compiled);
    for (let i = 0; i < shared.length; i++) {
      const set = shared.sets[i] ?? 0;
      const key = shared.keys[i] ?? "";
      if (this.#hold(set, key)) list.push(set, key, "");
    }
    this.#units.set(compiled.shape.key, compiled);
    this.#stageAffinity(compiled.shape.key, this.#adoptedOps, []);
    this.#elements += list.length;
    return list;
  }

  /** Counts a holder. @returns true for the first */
  #hold(set: number, key: string): boolean {
    const id = String.fromCharCode(set) + key;
    const count = this.#holders.get(id) ?? 0;
    this.#holders.set(id, count + 1);
    return count === 0;
  }

  /** @returns true when nobody holds it any more */
  #release(set: number, key: string): boolean {
    const id = String.fromCharCode(set) + key;
    const count = this.#holders.get(id) ?? 0;
    if (count > 1) this.#holders.set(id, count - 1);
    else this.#holders.delete(id);
    return count <= 1;
  }

  #stageAffinity(key: string, ops: NftOp[], undo: Undo[]): void {
    const unit = this.#units.get(key);
    const layout = unit === undefined ? undefined : affinityLayout(unit, this.#node);
    const exchanged = this.#affinity.exchange(key, layout);
    if (exchanged === undefined) return;
    ops.push(...exchanged.ops);
    undo.push(exchanged.undo);
  }

  #staged(element: ElementChanges, undo: Undo[], objects: readonly NftOp[]): Staged {
    const grown = element.added - element.deleted;
    this.#elements += grown;
    return {
      ops: objects.length === 0 ? element.ops() : [...objects, ...element.ops()],
      added: element.added,
      deleted: element.deleted,
      reject: () => {
        this.#elements -= grown;
        for (const step of undo.reverse()) step();
      },
    };
  }

  #stageUnit(key: string, unit: Unit | undefined, element: ElementChanges, undo: Undo[]): void {
    const before = this.#units.get(key);
    const after = unit === undefined ? undefined : compileUnit(unit, before);
    const had = new ElementList();
    const has = new ElementList();
    if (before !== undefined) pushUnit(had, before);
    if (after !== undefined) pushUnit(has, after);
    element.diff(had, has);
    this.#exchangeShared(before, after, element);
    if (after === undefined) this.#units.delete(key);
    else this.#units.set(key, after);
    undo.push(() => {
      this.#exchangeShared(after, before, undefined);
      if (before === undefined) this.#units.delete(key);
      else this.#units.set(key, before);
    });
  }

  #exchangeShared(
    before: CompiledUnit | undefined,
    after: CompiledUnit | undefined,
    element: ElementChanges | undefined,
  ): void {
    const had = new ElementList();
    const has = new ElementList();
    if (before !== undefined) pushShared(had, before);
    if (after !== undefined) pushShared(has, after);
    // Hold before release: an element in both stays where it is.
    for (let i = 0; i < has.length; i++) {
      const [set, key] = [has.sets[i] ?? 0, has.keys[i] ?? ""];
      if (this.#hold(set, key)) element?.add(set, key, "");
    }
    for (let i = 0; i < had.length; i++) {
      const [set, key] = [had.sets[i] ?? 0, had.keys[i] ?? ""];
      if (this.#release(set, key)) element?.delete(set, key);
    }
  }
}
