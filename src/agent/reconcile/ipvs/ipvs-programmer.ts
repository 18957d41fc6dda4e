/**
 * Layer agent. One family of IPVS mode: table, virtual servers and addresses, in the order that keeps connections working and
 * the node's own ports shut. Decides nothing about services and knows no timers. See docs/adr/0097.
 */
import type { IpvsDriver } from "../../../drivers/ipvs/driver.ts";
import type { NftDriver, NftFailure } from "../../../drivers/nftables/driver.ts";
import type { DummyDriver } from "../../../drivers/rtnetlink/index.ts";
import { type Cidr, cidrContains, type IpFamily, ipFamily } from "../../../model/ip.ts";
import { ConnectionTotals, type UnitConnections } from "../../../plan/connection-totals.ts";
import { IpvsCompiler } from "../../../plan/ipvs/compiler.ts";
import { IPVS_SETS } from "../../../plan/ipvs/names.ts";
import { frontendKey, setIndex } from "../../../plan/ipvs/unit-servers.ts";
import { ElementChanges } from "../../../plan/nftables/element-list.ts";
import type { NodeConfig } from "../../../plan/node-config.ts";
import { type PackedDestination, type PackedIp, packIp } from "../../../plan/packed.ts";
import type { Unit, UnitChange } from "../../../plan/unit.ts";
import type { FlowFrontend } from "../../conntrack/flow-index.ts";
import type { ReconcileClock } from "../clock.ts";
import type { RefusedUnit, WriteResult } from "../refusals.ts";
import type { FamilyStatus } from "../status.ts";
import { IpvsAddresses } from "./ipvs-addresses.ts";
import { IpvsServers } from "./ipvs-servers.ts";
import { IpvsTable, type RefusedElement, recordedFrontends } from "./ipvs-table.ts";

export interface IpvsProgrammerOptions {
  readonly family: IpFamily;
  readonly nft: NftDriver;
  readonly ipvs: IpvsDriver;
  readonly dummy: DummyDriver;
  readonly node: NodeConfig;
  readonly scheduler: string;
  /** Virtual servers in these ranges that we do not want are left alone, even where they could be ours. */
  readonly excludeCIDRs: readonly Cidr[];
  readonly drainLimitMs: number;
  readonly clock: ReconcileClock;
}

const ADDRESSES = setIndex(IPVS_SETS.addresses);
/** The kernel does not hold what we believe. */
const DESYNC_CODES: ReadonlySet<string> = new Set(["EEXIST", "ENOENT", "EBUSY"]);

export class IpvsProgrammer {
  readonly family: IpFamily;
  readonly table: IpvsTable;
  readonly #options: IpvsProgrammerOptions;
  readonly #servers: IpvsServers;
  readonly #addresses: IpvsAddresses;
  readonly #connections = new ConnectionTotals();
  #compiler: IpvsCompiler;
  readonly #counts = { fullSyncs: 0, adoptions: 0, repairs: 0 };

  constructor(options: IpvsProgrammerOptions) {
    const { family, nft, ipvs, dummy, clock, drainLimitMs } = options;
    this.family = family;
    this.#options = options;
    this.table = new IpvsTable(nft);
    this.#servers = new IpvsServers({ family, driver: ipvs, clock, drainLimitMs });
    this.#addresses = new IpvsAddresses(family, dummy);
    this.#compiler = new IpvsCompiler(family, options.node, options.scheduler);
  }

  get hasDraining(): boolean {
    return this.#servers.book.drainingKeys().length > 0;
  }

  status(): FamilyStatus {
    const { counters } = this.table;
    const { book, counters: servers } = this.#servers;
    const { counters: addresses } = this.#addresses;
    return {
      family: this.family,
      units: this.#compiler.unitCount,
      elements: this.#compiler.elementCount,
      counters: {
        ...this.#counts,
        commits: counters.commits,
        failedCommits: counters.failedCommits + servers.failed + addresses.failed,
        operations: counters.operations + servers.operations + addresses.changes,
        elementsAdded: counters.elementsAdded,
        elementsDeleted: counters.elementsDeleted,
      },
      noLocalEndpoints: this.#compiler.noLocalEndpoints(),
      ipvs: {
        scheduler: this.#options.scheduler,
        virtualServers: book.serverCount,
        destinations: book.destinationCount,
        draining: book.drainingCount,
        drained: servers.drained,
        serverOperations: servers.operations,
        failedOperations: servers.failed,
      },
    };
  }

  /** New connections of every service port since they are counted. @param shown by every virtual server */
  connections(shown: ReadonlyMap<string, number>): Iterable<UnitConnections> {
    this.#connections.take(this.#compiler.counted(), shown);
    return this.#connections.latest;
  }

  /** Where a frontend's new connections are led. */
  destinationsOf(frontend: FlowFrontend): ReadonlySet<PackedDestination> {
    return this.#compiler.destinationsOf(frontend);
  }

  countRepair(): void {
    this.#counts.repairs++;
  }

  /** Forgets everything: {@link load} all units, then {@link open}. */
  reset(node: NodeConfig): void {
    this.#compiler = new IpvsCompiler(this.family, node, this.#options.scheduler);
  }

  /** Notes units without writing. */
  load(changes: readonly UnitChange[]): void {
    this.#compiler.stage(changes);
  }

  /** Reads what is there and writes the difference. @throws {TableRefused}, {NodeplaneError} */
  async open(): Promise<WriteResult & { readonly found: "nothing" | "ours" }> {
    const compiler = this.#compiler;
    const { clock } = this.#options;
    const state = this.table.read();
    const device = new Set(this.#addresses.open());
    const recorded = recordedFrontends(state, this.family);
    const busy = await this.#servers.load((service, key) => {
      if (compiler.server(key) !== undefined) return true;
      const address = packIp(service.address);
      const isOurs =
        device.has(address) || recorded.has(frontendKey(address, service.protocol, service.port));
      return isOurs && !this.#isExcluded(service.address);
    });
    this.#keepBusy(busy);
    const refused: RefusedElement[] = [];
    for (const _ of this.table.fill(compiler, state, refused)) await clock.yieldTurn();
    const keys = new Set([...compiler.serverKeys(), ...this.#servers.book.keys()]);
    const result = await this.#finish(keys);
    const { missing, extra } = this.#addresses.compare(compiler.addresses(), (one) =>
      compiler.wantsAddress(one),
    );
    const addresses = await this.#addresses.write(missing, extra, (one) => compiler.wantsAddress(one));
    for (const _ of this.table.removeLeftovers(compiler)) await clock.yieldTurn();
    this.#counts[state === undefined ? "fullSyncs" : "adoptions"]++;
    const blamed = [...refused, ...addresses.map(({ address, failure }) => ofAddress(address, failure))];
    return {
      refused: [...result.refused, ...this.#blame(blamed)],
      isDesynced: result.isDesynced,
      found: state === undefined ? "nothing" : "ours",
    };
  }

  /** Writes changed units. Without any, tries again what was refused. */
  async write(changes: readonly UnitChange[]): Promise<WriteResult> {
    const staged = this.#compiler.stage(changes);
    const failure = this.table.write(staged.elements);
    if (failure === undefined) return this.#finish(staged.servers);
    staged.reject();
    if (DESYNC_CODES.has(failure.code)) return { refused: [], isDesynced: true };
    const [first] = changes;
    if (changes.length === 1 && first !== undefined)
      return { refused: [{ change: first, failure }], isDesynced: false };
    const refused: RefusedUnit[] = [];
    for (const change of changes) {
      const result = await this.write([change]);
      refused.push(...result.refused);
      if (result.isDesynced) return { refused, isDesynced: true };
    }
    return { refused, isDesynced: false };
  }

  /** Units follow: all of them have to be written again. @throws {TableRefused} */
  setNode(node: NodeConfig): void {
    this.table.setNode(this.#compiler, node);
  }

  /** Removes what has drained. */
  async drain(): Promise<WriteResult> {
    await this.#servers.drain(this.#compiler);
    return this.#finish([]);
  }

  /** Looks for what others changed of virtual servers and addresses, and mends it. The table has a watch of its own. */
  async look(): Promise<WriteResult & { readonly mended: number }> {
    const odd = await this.#servers.compare();
    const wants = (address: PackedIp) => this.#compiler.wantsAddress(address);
    const { missing, extra } = this.#addresses.compare(this.#compiler.addresses(), wants);
    const mended = odd.length + missing.length + extra.length;
    if (mended === 0) return { refused: [], isDesynced: false, mended };
    this.#counts.repairs++;
    const result = await this.#finish(odd);
    const addresses = await this.#addresses.write(missing, extra, wants);
    const refused = this.#blame(addresses.map(({ address, failure }) => ofAddress(address, failure)));
    return { ...result, refused: [...result.refused, ...refused], mended };
  }

  /** Virtual servers, then addresses, then what was left of addresses in the table: nothing answers unguarded meanwhile. */
  async #finish(keys: Iterable<string>): Promise<WriteResult> {
    const compiler = this.#compiler;
    const refused: RefusedUnit[] = [];
    const all = new Set(keys);
    const failed = await this.#servers.settle(all, compiler);
    for (const [key, failure] of failed) {
      const unit = compiler.unit(compiler.ownerOf(key) ?? "");
      if (unit !== undefined) refused.push(refusedUnit(unit, failure));
    }
    const kept = new ElementChanges(compiler.forms);
    for (const key of new Set([...all, ...compiler.keptKeys()])) this.#noteKept(key, kept);
    const isDesynced = this.table.write(kept) !== undefined;
    const { added, released } = compiler.takeAddresses();
    const addresses = await this.#addresses.write(added, released, (one) => compiler.wantsAddress(one));
    const gone = new ElementChanges(compiler.forms);
    for (const address of released) gone.delete(ADDRESSES, address);
    const failure = this.table.write(gone);
    refused.push(...this.#blame(addresses.map((one) => ofAddress(one.address, one.failure))));
    return { refused, isDesynced: isDesynced || failure !== undefined };
  }

  /** A virtual server that is there and that nobody wants holds its address; others do not. */
  #noteKept(key: string, elements: ElementChanges): void {
    const service = this.#servers.book.service(key);
    if (service !== undefined && this.#compiler.server(key) === undefined)
      this.#compiler.keep(service, elements);
    else this.#compiler.letGo(key, elements);
  }

  /** After a restart: what is kept must be among the wanted elements before the table is compared with them. */
  #keepBusy(busy: ReadonlySet<string>): void {
    const elements = new ElementChanges(this.#compiler.forms);
    for (const key of busy) this.#noteKept(key, elements);
    this.#compiler.takeAddresses();
  }

  #isExcluded(address: Parameters<typeof ipFamily>[0]): boolean {
    return this.#options.excludeCIDRs.some(
      (cidr) => ipFamily(cidr.address) === ipFamily(address) && cidrContains(cidr, address),
    );
  }

  #blame(elements: readonly RefusedElement[]): readonly RefusedUnit[] {
    return elements.flatMap(({ set, key, failure }) =>
      this.#compiler.unitsWith(set, key).map((unit) => refusedUnit(unit, failure)),
    );
  }
}

function ofAddress(
  address: PackedIp,
  { errno, code }: { readonly errno: number; readonly code: string },
): RefusedElement {
  return { set: ADDRESSES, key: address, failure: { opIndex: -1, errno, code, message: "address refused" } };
}

function refusedUnit(unit: Unit, failure: NftFailure): RefusedUnit {
  const { key, family } = unit.shape;
  return { change: { key, family, unit }, failure };
}
