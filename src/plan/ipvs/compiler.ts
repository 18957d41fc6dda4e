/**
 * Layer plan. Unit changes to what IPVS mode wants: virtual servers, addresses of the dummy device, elements of the sets.
 * Counts what units share. A change can be taken back when nf_tables refuses its elements. Cost follows the units changed.
 * Pure.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { IpvsServer, IpvsServiceKey } from "../../model/ipvs.ts";
import { ipvsServiceKey } from "../../model/ipvs.ts";
import type { NftOp, NftRule } from "../../model/nftables.ts";
import type { CountedUnit } from "../connection-totals.ts";
import { ElementChanges } from "../nftables/element-list.ts";
import type { NodeConfig } from "../node-config.ts";
import type { PackedDestination, PackedIp } from "../packed.ts";
import { packIp, packPort, unpackIp } from "../packed.ts";
import type { Unit, UnitChange } from "../unit.ts";
import { elementId, Holders } from "./holders.ts";
import { IPVS_CHAINS, IPVS_SETS, ipvsSetsOf } from "./names.ts";
import { ipvsRulesOf } from "./rules.ts";
import {
  compileIpvsUnit,
  frontendKey,
  type IpvsContext,
  ipvsContext,
  ipvsFormsOf,
  setIndex,
  type UnitServers,
} from "./unit-servers.ts";

interface Compiled extends UnitServers {
  readonly unit: Unit;
}

export interface StagedIpvs {
  /** Elements for one batch, before anything else. Addresses that nobody wants any more are not in it. */
  readonly elements: ElementChanges;
  /** Virtual servers that may have changed. */
  readonly servers: ReadonlySet<string>;
  /** Takes everything back. Only the latest one staged can be. */
  reject(): void;
}

const ADDRESSES = setIndex(IPVS_SETS.addresses);
const KEPT = setIndex(IPVS_SETS.kept);

export class IpvsCompiler {
  readonly family: IpFamily;
  readonly forms: ReturnType<typeof ipvsFormsOf>;
  readonly #scheduler: string;
  #node: NodeConfig;
  #context: IpvsContext;
  readonly #units = new Map<string, Compiled>();
  readonly #holders = new Holders();
  /** Units that want a virtual server, oldest first: the first one's counts. */
  readonly #owners = new Map<string, string[]>();
  /** Elements of virtual servers that are there for their connections alone. */
  readonly #kept = new Map<string, readonly string[]>();
  #added = new Set<PackedIp>();
  /** Addresses whose last holder went: still on the device and in the set. */
  #released = new Set<PackedIp>();

  constructor(family: IpFamily, node: NodeConfig, scheduler: string) {
    this.family = family;
    this.forms = ipvsFormsOf(family);
    this.#scheduler = scheduler;
    this.#node = node;
    this.#context = ipvsContext(node, family, scheduler);
  }

  get unitCount(): number {
    return this.#units.size;
  }

  get elementCount(): number {
    return this.#holders.size;
  }

  get rules(): readonly NftRule[] {
    return ipvsRulesOf(this.#node, this.family);
  }

  /** The table without elements. */
  layoutOps(): readonly NftOp[] {
    return [
      { op: "add-table" },
      ...IPVS_CHAINS.map((chain): NftOp => ({ op: "add-chain", chain })),
      ...ipvsSetsOf(this.family).map((set): NftOp => ({ op: "add-set", set })),
      ...this.rules.map((rule): NftOp => ({ op: "add-rule", rule })),
    ];
  }

  /** Units compiled from here on are for this node: all of them must be staged again. */
  setNode(node: NodeConfig): void {
    this.#node = node;
    this.#context = ipvsContext(node, this.family, this.#scheduler);
  }

  unit(key: string): Unit | undefined {
    return this.#units.get(key)?.unit;
  }

  /** The virtual server as it is to be. */
  server(key: string): IpvsServer | undefined {
    const owner = this.#owners.get(key)?.[0];
    return owner === undefined
      ? undefined
      : this.#units.get(owner)?.servers.find(({ service }) => ipvsServiceKey(service) === key);
  }

  /** Where a virtual server leads new connections. */
  destinationsOf(server: {
    readonly protocol: number;
    readonly address: PackedIp;
    readonly port: number;
  }): ReadonlySet<PackedDestination> {
    const { protocol, port } = server;
    const key = ipvsServiceKey({ family: this.family, protocol, address: unpackIp(server.address), port });
    const used = (this.server(key)?.destinations ?? []).filter(({ weight }) => weight > 0);
    return new Set(used.map((one) => packIp(one.address) + packPort(one.port)));
  }

  /** Unit whose virtual server this is. */
  ownerOf(key: string): string | undefined {
    return this.#owners.get(key)?.[0];
  }

  serverKeys(): Iterable<string> {
    return this.#owners.keys();
  }

  /** Units and the keys of their virtual servers, which count connections. */
  *counted(): Iterable<CountedUnit> {
    for (const [key, { unit, servers }] of this.#units) {
      const own = servers.map(({ service }) => ipvsServiceKey(service));
      yield { shape: unit.shape, counters: own.filter((server) => this.ownerOf(server) === key) };
    }
  }

  /** Units that want an element, or an address by its element. Cost O(elements): for what the kernel refused. */
  unitsWith(set: number, key: string): readonly Unit[] {
    return [...this.#units.values()]
      .filter(({ elements: { sets, keys } }) => keys.some((one, i) => one === key && sets[i] === set))
      .map(({ unit }) => unit);
  }

  elementIds(): Iterable<string> {
    return this.#holders.ids();
  }

  wantsAddress(address: PackedIp): boolean {
    return this.#holders.has(elementId(ADDRESSES, address));
  }

  /** Every address of the device. Cost O(elements). */
  addresses(): readonly PackedIp[] {
    const found: PackedIp[] = [];
    for (const id of this.#holders.ids()) if (id.charCodeAt(0) === ADDRESSES) found.push(id.slice(1));
    return found;
  }

  /** Units with policy Local whose usable endpoints are all elsewhere. Cost O(units). */
  noLocalEndpoints(): { readonly internal: number; readonly external: number } {
    let internal = 0;
    let external = 0;
    for (const { unit } of this.#units.values()) {
      const { shape, local, hasAny } = unit;
      if (local.length > 0 || !hasAny) continue;
      if (shape.internalPolicy === "Local") internal++;
      if (shape.externalPolicy === "Local" && shape.frontends.some((f) => f.class !== "internal")) external++;
    }
    return { internal, external };
  }

  stage(changes: readonly UnitChange[]): StagedIpvs {
    const elements = new ElementChanges(this.forms);
    const servers = new Set<string>();
    const [added, released] = [[...this.#added], [...this.#released]];
    const before: (readonly [string, Compiled | undefined])[] = [];
    for (const { key, unit } of changes) {
      before.push([key, this.#units.get(key)]);
      const after = unit === undefined ? undefined : { unit, ...compileIpvsUnit(unit, this.#context) };
      this.#exchange(key, after, elements, servers);
    }
    const reject = () => {
      const undone = new ElementChanges(this.forms);
      for (const [key, compiled] of before.reverse()) this.#exchange(key, compiled, undone, servers);
      this.#added = new Set(added);
      this.#released = new Set(released);
    };
    return { elements, servers, reject };
  }

  /**
   * What became of addresses since the last time.
   * @returns `added`: to be put on the device, now that their elements are there; `released`: to be taken off it, and their
   *   elements to be deleted after
   */
  takeAddresses(): { readonly added: readonly PackedIp[]; readonly released: readonly PackedIp[] } {
    const taken = { added: [...this.#added], released: [...this.#released] };
    this.#added = new Set();
    this.#released = new Set();
    return taken;
  }

  /** A virtual server that nobody wants stays for its connections, and its address with it. */
  keep(service: IpvsServiceKey, elements: ElementChanges): void {
    const key = ipvsServiceKey(service);
    if (this.#kept.has(key)) return;
    const address = packIp(service.address);
    const ids = [elementId(KEPT, frontendKey(address, service.protocol, service.port))];
    if (!this.#context.nodeAddresses.has(address)) ids.push(elementId(ADDRESSES, address));
    this.#kept.set(key, ids);
    for (const id of ids) if (this.#holders.hold(id)) this.#came(id, elements);
  }

  /** It is gone, or wanted again. */
  letGo(key: string, elements: ElementChanges): void {
    for (const id of this.#kept.get(key) ?? []) if (this.#holders.release(id)) this.#went(id, elements);
    this.#kept.delete(key);
  }

  /** Virtual servers that are kept. */
  keptKeys(): Iterable<string> {
    return this.#kept.keys();
  }

  #came(id: string, elements: ElementChanges): void {
    const [set, key] = [id.charCodeAt(0), id.slice(1)];
    if (set === ADDRESSES) {
      // One that was released and not taken yet is still there.
      if (this.#released.delete(key)) return;
      this.#added.add(key);
    }
    elements.add(set, key, "");
  }

  #went(id: string, elements: ElementChanges): void {
    const [set, key] = [id.charCodeAt(0), id.slice(1)];
    if (set !== ADDRESSES) elements.delete(set, key);
    else {
      this.#added.delete(key);
      this.#released.add(key);
    }
  }

  #exchange(key: string, after: Compiled | undefined, elements: ElementChanges, servers: Set<string>): void {
    const before = this.#units.get(key);
    this.#holders.exchange(before?.elements, after?.elements, (id, isNew) =>
      isNew ? this.#came(id, elements) : this.#went(id, elements),
    );
    const had = new Set(before?.servers.map(({ service }) => ipvsServiceKey(service)));
    const has = new Set(after?.servers.map(({ service }) => ipvsServiceKey(service)));
    for (const server of had) {
      servers.add(server);
      if (!has.has(server)) this.#disown(server, key);
    }
    for (const server of has) {
      servers.add(server);
      if (!had.has(server)) this.#own(server, key);
    }
    if (after === undefined) this.#units.delete(key);
    else this.#units.set(key, after);
  }

  #own(server: string, unit: string): void {
    const owners = this.#owners.get(server);
    if (owners === undefined) this.#owners.set(server, [unit]);
    else owners.push(unit);
  }

  #disown(server: string, unit: string): void {
    const rest = (this.#owners.get(server) ?? []).filter((owner) => owner !== unit);
    if (rest.length === 0) this.#owners.delete(server);
    else this.#owners.set(server, rest);
  }
}
