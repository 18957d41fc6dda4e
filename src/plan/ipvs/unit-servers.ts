/**
 * Layer plan. One unit's virtual servers, addresses and set elements. IPVS has one set of destinations for a frontend,
 * whoever the client: see docs/adr/0096 for what that means to policy Local. Pure.
 */
import type { IpAddress, IpFamily } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import type { IpvsDestination, IpvsServer, IpvsService } from "../../model/ipvs.ts";
import { IPVS_FLAGS } from "../../model/ipvs.ts";
import { type ElementForm, ElementList } from "../nftables/element-list.ts";
import type { NodeConfig } from "../node-config.ts";
import { nodePortScope } from "../node-config.ts";
import type { PackedIp } from "../packed.ts";
import { addressBytes, packIp, unpackIp } from "../packed.ts";
import type { Frontend, Target, Unit } from "../unit.ts";
import { IPVS_SETS } from "./names.ts";

export interface IpvsContext {
  readonly family: IpFamily;
  readonly nodeName: string;
  readonly scheduler: string;
  /** Where node ports answer. */
  readonly nodePorts: readonly PackedIp[];
  /** Addresses that other devices of the node have. */
  readonly nodeAddresses: ReadonlySet<PackedIp>;
}

export interface UnitServers {
  readonly servers: readonly IpvsServer[];
  /** For the dummy device; other units may want the same. */
  readonly addresses: readonly PackedIp[];
  /** By {@link ipvsFormsOf}; those of `addresses` and `hairpins` may be other units' as well. */
  readonly elements: ElementList;
}

const NAMES = Object.values(IPVS_SETS);

/** Index of a set in {@link ipvsFormsOf}. */
export function setIndex(name: (typeof NAMES)[number]): number {
  return NAMES.indexOf(name);
}

/** Key of a frontend in the sets. */
export function frontendKey(address: PackedIp, protocol: number, port: number): string {
  return address + String.fromCharCode(protocol, 0, 0, 0, port >> 8, port & 255, 0, 0);
}

/** Forms of all sets of a family, by index. */
export function ipvsFormsOf(family: IpFamily): readonly ElementForm[] {
  const address = addressBytes(family);
  const bytesOf = (name: string): number => {
    if (name === IPVS_SETS.addresses) return address;
    if (name === IPVS_SETS.hairpins) return 2 * address;
    return name === IPVS_SETS.sourceRanges ? 2 * address + 8 : address + 8;
  };
  return NAMES.map((name) => ({
    name,
    keyBytes: bytesOf(name),
    kind: name === IPVS_SETS.sourceRanges ? "range" : "set",
  }));
}

function isLoopback(address: IpAddress): boolean {
  return address === "::1" || address.startsWith("127.");
}

/** @param node its addresses without those of the dummy device */
export function ipvsContext(node: NodeConfig, family: IpFamily, scheduler: string): IpvsContext {
  const own = node.nodeAddresses.filter((address) => ipFamily(address) === family);
  const scope = nodePortScope(node, family);
  const answering =
    scope.kind === "addresses" ? scope.addresses : own.filter((address) => !isLoopback(address));
  return {
    family,
    nodeName: node.nodeName,
    scheduler,
    nodePorts: answering.map(packIp),
    nodeAddresses: new Set(own.map(packIp)),
  };
}

/** FNV-1a over the characters. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}

function destinationsOf(targets: readonly Target[], seed: string): readonly IpvsDestination[] {
  // Round robin begins with the first: on other nodes, and for other units, with another one.
  const start = targets.length === 0 ? 0 : hash(seed) % targets.length;
  return [...targets.slice(start), ...targets.slice(0, start)].map(({ destination, slots }) => ({
    address: unpackIp(destination.slice(0, -2)),
    port:
      destination.charCodeAt(destination.length - 2) * 256 + destination.charCodeAt(destination.length - 1),
    weight: slots,
  }));
}

/** Destinations of a frontend; `isForOwnClients`: none is local, so others must not get there. */
function choose(
  unit: Unit,
  frontend: Frontend,
): { readonly targets: readonly Target[]; readonly isForOwnClients: boolean } {
  const { shape, cluster, local } = unit;
  const policy = frontend.class === "internal" ? shape.internalPolicy : shape.externalPolicy;
  if (policy === "Cluster") return { targets: cluster, isForOwnClients: false };
  const isForOwnClients = local.length === 0 && frontend.class !== "internal" && cluster.length > 0;
  return { targets: isForOwnClients ? cluster : local, isForOwnClients };
}

function serviceOf(unit: Unit, context: IpvsContext, address: PackedIp, port: number): IpvsService {
  const { family, protocol, affinitySeconds } = unit.shape;
  const persistent = affinitySeconds > 0 ? IPVS_FLAGS.persistent : 0;
  // Hashes over the client's port as well, or all connections of a client would go to one endpoint.
  const byPort = context.scheduler === "mh" ? IPVS_FLAGS.scheduler2 : 0;
  return {
    family,
    protocol,
    address: unpackIp(address),
    port,
    scheduler: context.scheduler,
    flags: persistent + byPort,
    timeoutSeconds: affinitySeconds,
  };
}

function pushFrontend(
  elements: ElementList,
  unit: Unit,
  frontend: Frontend,
  key: string,
  isForOwnClients: boolean,
): void {
  elements.push(setIndex(IPVS_SETS.frontends), key, "");
  if (frontend.class === "internal") elements.push(setIndex(IPVS_SETS.internal), key, "");
  else if (unit.shape.externalPolicy === "Cluster") elements.push(setIndex(IPVS_SETS.masquerade), key, "");
  if (isForOwnClients) elements.push(setIndex(IPVS_SETS.ownClients), key, "");
}

function pushGuard(elements: ElementList, unit: Unit, key: string): void {
  elements.push(setIndex(IPVS_SETS.guarded), key, "");
  for (const { first, last } of unit.shape.sourceRanges)
    elements.push(setIndex(IPVS_SETS.sourceRanges), key + first + key + last, "");
}

function pushHairpins(elements: ElementList, unit: Unit, context: IpvsContext): void {
  const seen = new Set<string>();
  for (const { destination, mayBeHere } of [...unit.cluster, ...unit.local]) {
    const address = destination.slice(0, -2);
    // What is on the host network meets itself on the loopback device, where nothing is to be replaced.
    if (!mayBeHere || seen.has(address) || context.nodeAddresses.has(address)) continue;
    seen.add(address);
    elements.push(setIndex(IPVS_SETS.hairpins), address + address, "");
  }
}

/** All of one unit. Cost O(frontends x endpoints). */
export function compileIpvsUnit(unit: Unit, context: IpvsContext): UnitServers {
  const { shape } = unit;
  const servers: IpvsServer[] = [];
  const addresses = new Set<PackedIp>();
  const elements = new ElementList();
  for (const frontend of shape.frontends) {
    const { targets, isForOwnClients } = choose(unit, frontend);
    const destinations = destinationsOf(targets, context.nodeName + shape.key);
    if (frontend.class !== "node-port" && !context.nodeAddresses.has(frontend.address))
      addresses.add(frontend.address);
    for (const address of frontend.class === "node-port" ? context.nodePorts : [frontend.address]) {
      const { port } = frontend;
      const key = frontendKey(address, shape.protocol, port);
      if (frontend.isGuarded) pushGuard(elements, unit, key);
      if (destinations.length === 0) {
        elements.push(setIndex(unit.hasAny ? IPVS_SETS.drop : IPVS_SETS.reject), key, "");
        continue;
      }
      servers.push({ service: serviceOf(unit, context, address, port), destinations });
      pushFrontend(elements, unit, frontend, key, isForOwnClients);
    }
  }
  for (const address of addresses) elements.push(setIndex(IPVS_SETS.addresses), address, "");
  pushHairpins(elements, unit, context);
  return { servers, addresses: [...addresses], elements };
}
