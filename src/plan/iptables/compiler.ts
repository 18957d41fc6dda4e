/**
 * Layer plan. Unit changes to input for iptables-restore. Keeps what it believes to be programmed; every change of that
 * belief can be taken back when the kernel refuses. No I/O. Source: kube-proxy 1.33, pkg/proxy/iptables/proxier.go.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { NodeConfig } from "../node-config.ts";
import type { Unit, UnitChange } from "../unit.ts";
import { CommonChains, isInPlace } from "./common-chains.ts";
import { isServiceChain, MARK_CHAIN } from "./names.ts";
import { hasLocalhostNodePorts, type IptablesFeatures, localMatch, markRule } from "./node-rules.ts";
import { declaration, type OwnedLines, type RestoreInput, RestoreWriter } from "./restore-input.ts";
import type { SavedState } from "./saved-state.ts";
import type { OwnChain } from "./unit-chains.ts";
import { CompiledUnit } from "./unit-rules.ts";

/** More endpoints than this, over all service ports: rules lose the comments that name endpoints. */
export const LARGE_CLUSTER_ENDPOINTS = 1000;
/** Of 10 endpoints each: some milliseconds. */
const UNITS_PER_TURN = 20;

interface Before {
  readonly key: string;
  readonly before: CompiledUnit | undefined;
}

/** Belief was moved to what units become. */
export interface StagedUnits {
  /**
   * Writes the units' own chains where they differ, and the shared chains whole: a few lines of every unit. To be asked for
   * before anything else is staged.
   */
  input(): RestoreInput;
  /** Takes the belief back. Only the latest one staged can be. */
  reject(): void;
  /** Takes the belief about one of the units back. */
  rejectUnit(key: string): void;
}

export class IptablesCompiler {
  readonly family: IpFamily;
  readonly #features: IptablesFeatures;
  readonly #units = new Map<string, CompiledUnit>();
  #node: NodeConfig;
  #order: readonly string[] | undefined;
  #endpoints = 0;
  #isLarge = false;

  constructor(family: IpFamily, node: NodeConfig, features: IptablesFeatures) {
    this.family = family;
    this.#node = node;
    this.#features = features;
  }

  get unitCount(): number {
    return this.#units.size;
  }

  /** Chains of service ports. Cost O(units). */
  get chainCount(): number {
    let count = 0;
    for (const { counts } of this.#units.values()) count += counts.chains;
    return count;
  }

  /** True when crossing the limit of a large cluster left rules behind that are written the other way. */
  get needsRecompile(): boolean {
    return this.#isLarge !== this.#endpoints > LARGE_CLUSTER_ENDPOINTS;
  }

  /** Rules that the tables should hold. Cost O(units). */
  ruleCounts(): Readonly<Record<"filter" | "nat", number>> {
    return this.#common().ruleCounts();
  }

  /** Units with policy Local whose usable endpoints are all elsewhere. Cost O(units). */
  noLocalEndpoints(): { readonly internal: number; readonly external: number } {
    let internal = 0;
    let external = 0;
    for (const { lacksLocal } of this.#units.values()) {
      if (lacksLocal.internal) internal++;
      if (lacksLocal.external) external++;
    }
    return { internal, external };
  }

  /** Plans anew for a changed node, or for another size of the cluster; a full input has to follow. */
  recompile(node: NodeConfig): void {
    this.#node = node;
    this.#isLarge = this.#endpoints > LARGE_CLUSTER_ENDPOINTS;
    for (const [key, { unit }] of this.#units) this.#set(key, this.#compile(unit));
  }

  /** Moves the belief to what units become. Cost: the changed units. */
  stage(changes: readonly UnitChange[]): StagedUnits {
    const undo: Before[] = [];
    // Nothing is programmed yet: what size it will be can be known before any rule is written.
    if (this.#units.size === 0) {
      const endpoints = changes.reduce((sum, { unit }) => sum + (unit === undefined ? 0 : sizeOf(unit)), 0);
      this.#isLarge = endpoints > LARGE_CLUSTER_ENDPOINTS;
    }
    for (const { key, unit } of changes) {
      undo.push({ key, before: this.#units.get(key) });
      this.#set(key, unit === undefined ? undefined : this.#compile(unit));
    }
    return {
      input: () => this.#changedInput(undo),
      reject: () => {
        for (const { key, before } of undo.reverse()) this.#set(key, before);
      },
      rejectUnit: (wanted) => {
        for (const { key, before } of undo) if (key === wanted) this.#set(key, before);
      },
    };
  }

  #changedInput(changed: readonly Before[]): RestoreInput {
    const writer = new RestoreWriter();
    this.#common().write(writer);
    const removed: string[] = [];
    for (const { key, before } of changed) {
      const old = new Map(before?.chains().map((chain) => [chain.name, chain.rules]));
      for (const chain of this.#units.get(key)?.chains() ?? []) {
        if (!equalRules(old.get(chain.name), chain.rules)) this.#ownChain(writer, key, chain);
        old.delete(chain.name);
      }
      for (const name of old.keys()) removed.push(name);
    }
    for (const name of removed) writer.remove("nat", name);
    return writer.finish();
  }

  /** What differs between belief and what the tables hold: missing jumps, chains that are not as they should be, stale ones. */
  fullInput(saved: SavedState): RestoreInput {
    const writer = new RestoreWriter();
    this.#common().complete(writer, saved);
    for (const chain of this.#stale(saved)) writer.remove("nat", chain);
    writer.stream("nat", () => this.#ownChains(saved));
    return writer.finish();
  }

  /** Chains of units that are not as they should be, unit by unit, rendered when they are asked for. */
  *#ownChains(saved: SavedState): Iterable<OwnedLines> {
    const isNew = ![...saved.nat.chains].some(isServiceChain);
    for (const key of this.#sorted()) {
      const lines: string[] = [];
      const rules: string[] = [];
      const unit = this.#units.get(key);
      for (const chain of unit?.chains() ?? []) {
        if (!isNew && isInPlace(saved, "nat", chain)) continue;
        lines.push(declaration(chain.name));
        for (const rule of chain.rules) rules.push(rule);
      }
      for (const rule of rules) lines.push(rule);
      unit?.forgetChains();
      yield { key, lines, rules: rules.length };
    }
  }

  /** Renders chains of some units each time it is asked, until they are read: for a time in which there is nothing else to do. */
  *render(): Iterable<undefined> {
    let count = 0;
    for (const unit of this.#units.values()) {
      unit.keepChains();
      if (++count % UNITS_PER_TURN === 0) yield;
    }
  }

  /**
   * The same as {@link fullInput} in several inputs, to be taken in this order: chains of whole units first, then what leads
   * to them, then stale chains away. No unit is in two inputs, so no packet sees half of one. No line in any when nothing differs.
   * @param maxChains about how many chains an input has
   */
  fullInputs(saved: SavedState, maxChains: number): readonly RestoreInput[] {
    if (maxChains === Number.POSITIVE_INFINITY) return [this.fullInput(saved)];
    const stale = this.#stale(saved);
    if (this.chainCount + stale.length <= maxChains) return [this.fullInput(saved)];
    const inputs: RestoreInput[] = [];
    let writer = new RestoreWriter();
    let size = 0;
    const cut = (least: number): void => {
      if (writer.isEmpty || size < least) return;
      inputs.push(writer.finish());
      writer = new RestoreWriter();
      size = 0;
    };
    for (const key of this.#sorted()) {
      const unit = this.#units.get(key);
      for (const chain of unit?.chains() ?? []) {
        if (isInPlace(saved, "nat", chain)) continue;
        if (writer.isEmpty && inputs.length === 0) {
          writer.declare("nat", MARK_CHAIN);
          writer.add("nat", [markRule(this.#node)]);
        }
        this.#ownChain(writer, key, chain);
        size++;
      }
      unit?.forgetChains();
      cut(maxChains);
    }
    cut(0);
    this.#common().complete(writer, saved);
    cut(0);
    for (const chain of stale) {
      writer.remove("nat", chain);
      size++;
      cut(maxChains);
    }
    cut(0);
    return inputs;
  }

  /** Chains of service ports that no unit asks for. What is rendered for that is kept: the units are compared next. */
  #stale(saved: SavedState): readonly string[] {
    const found = [...saved.nat.chains].filter(isServiceChain);
    if (found.length === 0) return [];
    const wanted = new Set<string>();
    for (const unit of this.#units.values()) for (const { name } of unit.keepChains()) wanted.add(name);
    return found.filter((chain) => !wanted.has(chain));
  }

  #ownChain(writer: RestoreWriter, key: string, chain: OwnChain): void {
    writer.declare("nat", chain.name);
    writer.add("nat", chain.rules, key);
  }

  #compile(unit: Unit): CompiledUnit {
    const local = localMatch(this.#node, this.family);
    const { masqueradeAll } = this.#node;
    const countsLoopback =
      this.#features.hasAccounting === true && hasLocalhostNodePorts(this.#node, this.family);
    return new CompiledUnit(unit, { local, masqueradeAll, isLarge: this.#isLarge, countsLoopback });
  }

  #set(key: string, unit: CompiledUnit | undefined): void {
    const before = this.#units.get(key);
    const sizeBefore = before === undefined ? 0 : sizeOf(before.unit);
    this.#endpoints += (unit === undefined ? 0 : sizeOf(unit.unit)) - sizeBefore;
    if ((before === undefined) !== (unit === undefined)) this.#order = undefined;
    if (unit === undefined) this.#units.delete(key);
    else this.#units.set(key, unit);
  }

  /** The chains that exist once, as they should be now. */
  #common(): CommonChains {
    const units = this.#sorted().flatMap((key) => this.#units.get(key) ?? []);
    return new CommonChains({ node: this.#node, family: this.family, features: this.#features, units });
  }

  #sorted(): readonly string[] {
    this.#order ??= [...this.#units.keys()].sort();
    return this.#order;
  }
}

/** Endpoints of a unit, as they count for the size of the cluster. */
function sizeOf(unit: Unit): number {
  return Math.max(unit.cluster.length, unit.local.length);
}

function equalRules(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a !== undefined && a.length === b.length && a.every((rule, i) => rule === b[i]);
}
