/**
 * Layer plan. Objects in, unit changes out; the state between is what the objects said, packed. Work follows what
 * changed: a changed slice costs its service's endpoints, nothing else. No I/O, no clock.
 *
 * Objects are staged between {@link Planner.begin} and {@link Planner.commit}, so changes can be taken at any time
 * without seeing half a batch.
 */
import type { Cidr, IpFamily } from "../model/ip.ts";
import type { FeedObject, ObjectKey, ObjectProblem } from "../model/objects.ts";
import type { HintMatch } from "./endpoints.ts";
import { matchHints } from "./endpoints.ts";
import type { NodeConfig } from "./node-config.ts";
import { mergeRanges, rangeOfCidr } from "./ranges.ts";
import { ShapeClaims } from "./shape-claims.ts";
import type { ServiceSpec } from "./tracker/service-spec.ts";
import { isProxiedSlice, reduceService, shapesOf } from "./tracker/service-spec.ts";
import type { SliceRecord } from "./tracker/slice-record.ts";
import { endpointCount, equalRecords, PortLists, packSlice } from "./tracker/slice-record.ts";
import { StringTable } from "./tracker/string-table.ts";
import type { AddressRange, UnitChange, UnitShape } from "./unit.ts";
import { flowTargets, planUnit } from "./unit-of-service.ts";

/** Everything known about one service name. */
interface Entry {
  spec: ServiceSpec | undefined;
  /** Sorted by name. */
  slices: readonly SliceRecord[];
  /** As the Service asks for; claims are registered for these. */
  asked: readonly UnitShape[];
  /** Without the frontends lost to others; `undefined` when it must be worked out anew. */
  shapes: readonly UnitShape[] | undefined;
  /** Shapes of the units last taken: often the same list as `shapes`. */
  taken: readonly UnitShape[];
  problems: readonly ObjectProblem[];
}

interface StagedSlice {
  /** `namespace/name` of the Service. */
  readonly service: string;
  /** `undefined` when it is gone. */
  readonly record: SliceRecord | undefined;
}

/** What a batch brings, by `namespace/name`; `undefined` when it is gone. */
class StagedBatch {
  readonly services = new Map<string, ServiceSpec | undefined>();
  readonly slices = new Map<string, StagedSlice>();
  readonly cidrs = new Map<string, readonly Cidr[] | undefined>();
}

const NO_SHAPES: readonly UnitShape[] = [];
const NO_PROBLEMS: readonly ObjectProblem[] = [];

export class Planner {
  #node: NodeConfig;
  readonly #entries = new Map<string, Entry>();
  /** `namespace/slice` to `namespace/service`. */
  readonly #serviceOfSlice = new Map<string, string>();
  readonly #cidrs = new Map<string, readonly Cidr[]>();
  readonly #sliceProblems = new Map<string, readonly ObjectProblem[]>();
  readonly #names = new StringTable();
  readonly #ports = new PortLists();
  readonly #claims = new ShapeClaims();
  #hints: HintMatch[] = [];
  #dirty = new Set<string>();
  #staged = new StagedBatch();
  #stagedSliceProblems = new Map<string, readonly ObjectProblem[]>();
  #endpoints = 0;
  #services = 0;
  #rangesChanged = true;
  /** Counts every change of the list of problems, so that callers see cheaply whether to look. */
  problemsRevision = 0;

  constructor(node: NodeConfig) {
    this.#node = node;
  }

  get counts(): { readonly services: number; readonly slices: number; readonly endpoints: number } {
    return { services: this.#services, slices: this.#serviceOfSlice.size, endpoints: this.#endpoints };
  }

  /** Forgets what an unfinished batch staged. */
  begin(): void {
    this.#staged = new StagedBatch();
    this.#stagedSliceProblems = new Map();
  }

  upsert(object: FeedObject): void {
    const name = `${object.meta.namespace}/${object.meta.name}`;
    if (object.kind === "Service") this.#staged.services.set(name, reduceService(object));
    else if (object.kind === "ServiceCIDR") this.#staged.cidrs.set(name, object.cidrs);
    else if (object.kind === "EndpointSlice") {
      this.#stagedSliceProblems.delete(name);
      if (!isProxiedSlice(object)) {
        this.#staged.slices.set(name, GONE_SLICE);
        return;
      }
      const problems: ObjectProblem[] = [];
      const record = packSlice(object, this.#names, this.#ports, problems);
      const service = `${object.meta.namespace}/${object.serviceName}`;
      this.#staged.slices.set(name, { service, record });
      if (problems.length > 0) this.#stagedSliceProblems.set(name, problems);
    }
  }

  remove(key: ObjectKey): void {
    const name = `${key.namespace}/${key.name}`;
    if (key.kind === "Service") this.#staged.services.set(name, undefined);
    else if (key.kind === "ServiceCIDR") this.#staged.cidrs.set(name, undefined);
    else if (key.kind === "EndpointSlice") this.#staged.slices.set(name, GONE_SLICE);
  }

  /** Makes what was staged count. @param snapshot true when everything that was not staged is gone */
  commit(snapshot: boolean): void {
    const { services, slices, cidrs } = this.#staged;
    if (snapshot) this.#stageAbsent(this.#staged);
    for (const [name, spec] of services) this.#setService(name, spec);
    for (const [name, { service, record }] of slices)
      this.#setSlice(name, service, record, this.#stagedSliceProblems.get(name));
    for (const [name, ranges] of cidrs) this.#setCidrs(name, ranges);
    this.begin();
  }

  /** Plans anew what depends on the node: hints and locality of all services, source ranges of some. */
  setNode(node: NodeConfig): void {
    const old = this.#node;
    this.#node = node;
    const isElsewhere = old.nodeName !== node.nodeName || (old.zone ?? "") !== (node.zone ?? "");
    const hasOtherAddresses = old.primaryAddresses.join() !== node.primaryAddresses.join();
    if (isElsewhere) this.#hints = [];
    for (const [name, entry] of this.#entries) {
      if (isElsewhere) this.#dirty.add(name);
      if (hasOtherAddresses && entry.spec !== undefined && entry.spec.sourceRanges.length > 0)
        this.#claim(name, entry, shapesOf(entry.spec, node));
    }
  }

  /** Marks a service as changed, so that its units are taken again. */
  touch(namespace: string, service: string): void {
    this.#dirty.add(`${namespace}/${service}`);
  }

  /** Marks everything as changed: for a table that is to be filled or compared. */
  touchAll(): void {
    for (const name of this.#entries.keys()) this.#dirty.add(name);
  }

  get hasChanges(): boolean {
    return this.#dirty.size > 0;
  }

  /**
   * Takes changes of whole services until about `maxTargets` slots are in them. Services that lose a frontend come
   * before those that gain it. Call until {@link hasChanges} is false.
   */
  takeChanges(maxTargets: number): readonly UnitChange[] {
    const changes: UnitChange[] = [];
    let targets = 0;
    for (const name of this.#dirty) {
      this.#dirty.delete(name);
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      targets += 1 + this.#take(name, entry, changes);
      if (targets >= maxTargets) break;
    }
    return changes;
  }

  /** Endpoints that flows of a unit may lead to, policies and hints left aside, as the slices are now. */
  flowTargets(shape: UnitShape): ReturnType<typeof flowTargets> {
    return flowTargets(shape, this.#entries.get(`${shape.namespace}/${shape.service}`)?.slices ?? []);
  }

  /** Ranges of the ServiceCIDRs of a family, merged. */
  serviceRanges(family: IpFamily): readonly AddressRange[] {
    const ranges = [...this.#cidrs.values()].flat().map(rangeOfCidr);
    const bytes = family === "ip" ? 4 : 16;
    return mergeRanges(ranges.filter((range) => range.first.length === bytes));
  }

  /** True once after ServiceCIDRs changed. */
  takeServiceRangesChanged(): boolean {
    const changed = this.#rangesChanged;
    this.#rangesChanged = false;
    return changed;
  }

  /** All problems of user objects, by object. */
  problems(): readonly ObjectProblem[] {
    const all = [...this.#sliceProblems.values()].flat();
    for (const entry of this.#entries.values()) all.push(...entry.problems);
    return all;
  }

  #take(name: string, entry: Entry, changes: UnitChange[]): number {
    const shapes = entry.shapes ?? this.#claims.owned(entry.asked);
    entry.shapes = shapes;
    const problems = this.#claims.conflicts(entry.asked, shapes);
    let targets = 0;
    if (entry.taken !== shapes) {
      const now = new Set(shapes.map((shape) => shape.key));
      for (const { key, family } of entry.taken) if (!now.has(key)) changes.push({ key, family });
      entry.taken = shapes;
    }
    for (const shape of shapes) {
      const unit = this.#unit(shape, entry, problems);
      targets += (unit.cluster.length + unit.local.length) * shape.frontends.length;
      changes.push({ key: shape.key, family: shape.family, unit });
    }
    if (problems.length > 0 || entry.problems.length > 0) this.problemsRevision++;
    entry.problems = problems.length > 0 ? problems : NO_PROBLEMS;
    if (entry.spec === undefined && entry.slices.length === 0) this.#entries.delete(name);
    return targets;
  }

  #unit(shape: UnitShape, entry: Entry, problems: ObjectProblem[]) {
    return planUnit(shape, entry.slices, {
      nodeNumber: this.#names.intern(this.#node.nodeName),
      hints: (number) => this.#hintMatch(number),
      problems,
    });
  }

  #hintMatch(number: number): HintMatch {
    const known = this.#hints[number];
    if (known !== undefined) return known;
    const match = matchHints(this.#names.at(number), this.#node.nodeName, this.#node.zone ?? "");
    this.#hints[number] = match;
    return match;
  }

  #entry(name: string): Entry {
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    const entry: Entry = {
      spec: undefined,
      slices: [],
      asked: NO_SHAPES,
      shapes: NO_SHAPES,
      taken: NO_SHAPES,
      problems: NO_PROBLEMS,
    };
    this.#entries.set(name, entry);
    return entry;
  }

  #setService(name: string, spec: ServiceSpec | undefined): void {
    if (spec === undefined && !this.#entries.has(name)) return;
    const entry = this.#entry(name);
    this.#services += (spec === undefined ? 0 : 1) - (entry.spec === undefined ? 0 : 1);
    entry.spec = spec;
    this.#claim(name, entry, spec === undefined ? NO_SHAPES : shapesOf(spec, this.#node));
  }

  /** Claims what the entry asks for, and marks all that this touches. */
  #claim(name: string, entry: Entry, asked: readonly UnitShape[]): void {
    const claimant = { name, createdAtMs: entry.spec?.createdAtMs ?? 0 };
    const { losers, heirs } = this.#claims.exchange(claimant, entry.asked, asked);
    entry.asked = asked;
    entry.shapes = undefined;
    // Who loses a frontend is written before who gains it: the order of this set.
    for (const other of losers) this.#markShapes(other);
    this.#dirty.add(name);
    for (const other of heirs) this.#markShapes(other);
  }

  #markShapes(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.shapes = undefined;
    this.#dirty.delete(name);
    this.#dirty.add(name);
  }

  #setSlice(
    name: string,
    service: string,
    record: SliceRecord | undefined,
    problems: readonly ObjectProblem[] = NO_PROBLEMS,
  ): void {
    if (problems.length > 0 || this.#sliceProblems.has(name)) {
      this.problemsRevision++;
      if (problems.length > 0) this.#sliceProblems.set(name, problems);
      else this.#sliceProblems.delete(name);
    }
    const known = this.#serviceOfSlice.get(name);
    const sliceName = name.slice(name.indexOf("/") + 1);
    if (known !== undefined && (record === undefined || known !== service))
      this.#replaceSlice(known, sliceName, undefined);
    if (record === undefined) this.#serviceOfSlice.delete(name);
    else {
      if (known !== service) this.#serviceOfSlice.set(name, service);
      this.#replaceSlice(service, sliceName, record);
    }
  }

  #replaceSlice(service: string, name: string, record: SliceRecord | undefined): void {
    const entry = this.#entry(service);
    const old = entry.slices.find((slice) => slice.name === name);
    if (old !== undefined && record !== undefined && equalRecords(old, record)) return;
    const others =
      entry.slices.length === 1 && old !== undefined ? [] : entry.slices.filter((s) => s !== old);
    this.#endpoints +=
      (record === undefined ? 0 : endpointCount(record)) - (old === undefined ? 0 : endpointCount(old));
    entry.slices =
      record === undefined
        ? others
        : [...others, record].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    this.#dirty.add(service);
  }

  #setCidrs(name: string, cidrs: readonly Cidr[] | undefined): void {
    if (cidrs === undefined) this.#cidrs.delete(name);
    else this.#cidrs.set(name, cidrs);
    this.#rangesChanged = true;
  }

  #stageAbsent({ services, slices, cidrs }: StagedBatch): void {
    for (const [name, entry] of this.#entries)
      if (entry.spec !== undefined && !services.has(name)) services.set(name, undefined);
    for (const name of this.#serviceOfSlice.keys()) if (!slices.has(name)) slices.set(name, GONE_SLICE);
    for (const name of this.#cidrs.keys()) if (!cidrs.has(name)) cidrs.set(name, undefined);
  }
}

const GONE_SLICE: StagedSlice = { service: "", record: undefined };
