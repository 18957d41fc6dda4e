/**
 * Layer dns. A service as the native engine keeps it: every name at and below it, with its addresses and SRV records. The
 * rules are those of `plugins/kubernetes/service-names.ts`; test/unit/dns/engine-names.test.ts compares the two. Pure.
 */

import { parseName } from "../../codec/dns/name.ts";
import type { EngineName, EngineNode } from "../../drivers/udp-engine/driver.ts";
import type { IpAddress } from "../../model/ip.ts";
import type { DnsPort, DnsSlice } from "../cluster/service-entry.ts";
import type { ClusterView } from "../plugins/kubernetes/cluster-view.ts";
import type { ShownService } from "../plugins/kubernetes/service-names.ts";

/** While a service is put together. */
interface Draft {
  readonly labels: readonly string[];
  readonly addresses: IpAddress[];
  entries: Entry[];
}

/** One port of one address, as `SrvEntry` in the plugin. */
interface Entry {
  readonly target: Draft;
  readonly port: number;
  readonly address: IpAddress;
}

const NO_SERVICES: EngineNode["services"] = { weight: 0, records: [] };

/**
 * Cost O(endpoints x ports).
 * @returns `undefined` when the name does not exist
 */
export function serviceName(view: ClusterView, id: number, entry: ShownService): EngineName | undefined {
  const { service } = entry;
  const slices = view.slices(entry);
  const isHeadless = service.kind === "headless";
  const nodes = new Nodes(view, slices);
  if (isHeadless && nodes.endpointEntries.length === 0 && !slices.some((slice) => slice.endpoints.length > 0))
    return undefined;
  const isZonal = view.options.zonal && isHeadless;
  const base = { view: id, key: [entry.name, entry.namespace], isZonal };
  if (service.kind === "external-name") {
    const target = parseName(service.externalName) ?? ".";
    return { ...base, kind: "alias", target, nodes: nodes.finish() };
  }
  // Such a name would be taken for a port's.
  if (nodes.hasUnderscore) return leftName(view, id, entry);
  const root = nodes.root;
  const entriesOf = (accept: (port: DnsPort) => boolean): Entry[] =>
    isHeadless
      ? nodes.endpointEntries.filter(({ of }) => accept(of)).map(({ entry: own }) => own)
      : service.ports
          .filter(accept)
          .flatMap(({ port }) => service.clusterIPs.map((address) => ({ target: root, port, address })));
  if (!isHeadless) root.addresses.push(...new Set(service.clusterIPs));
  root.entries = entriesOf(() => true);
  const ports = isHeadless
    ? slices.flatMap((slice) => (slice.endpoints.length > 0 ? slice.ports : []))
    : service.ports;
  for (const { name, protocol } of ports) {
    if (name === "") continue;
    nodes.node([`_${protocol}`]);
    const node = nodes.node([`_${name}`, `_${protocol}`]);
    if (node.entries.length === 0)
      node.entries = entriesOf((port) => port.name === name && port.protocol === protocol);
  }
  if (base.isZonal) addZones(nodes, slices);
  return { ...base, kind: "service", target: "", nodes: nodes.finish(isHeadless) };
}

/** `ZONE.pin._zone`, `ZONE.prefer._zone`; `*` stands for zones without endpoints. */
function addZones(nodes: Nodes, slices: readonly DnsSlice[]): void {
  nodes.node(["_zone"]);
  nodes.node(["pin", "_zone"]);
  nodes.node(["prefer", "_zone"]);
  nodes.node(["*", "pin", "_zone"]);
  const endpoints = slices.flatMap((slice) => slice.endpoints);
  const all = nodes.node(["*", "prefer", "_zone"]);
  all.addresses.push(...new Set(endpoints.map(({ address }) => address)));
  all.entries = nodes.endpointEntries.map(({ entry }) => entry);
  for (const zone of new Set(endpoints.map((endpoint) => endpoint.zone))) {
    if (zone === "") continue;
    const here = new Set(
      endpoints.filter((endpoint) => endpoint.zone === zone).map(({ address }) => address),
    );
    const entries = nodes.endpointEntries.filter(({ zone: own }) => own === zone).map(({ entry }) => entry);
    const pin = nodes.node([...zone.split("."), "pin", "_zone"]);
    pin.addresses.push(...here);
    pin.entries = entries;
    const prefer = nodes.node([...zone.split("."), "prefer", "_zone"]);
    prefer.addresses.push(...here);
    prefer.entries = entries;
  }
}

/** A name that the engine cannot hold; its addresses are named, so that reverse names are left to the chain as well. */
export function leftName(view: ClusterView, id: number, entry: ShownService): EngineName {
  const endpoints = view.slices(entry).flatMap((slice) => slice.endpoints.map(({ address }) => address));
  const node = {
    labels: [],
    addresses: [...entry.service.clusterIPs, ...endpoints],
    hasReverse: true,
    services: NO_SERVICES,
  };
  const key = [entry.name, entry.namespace];
  return { view: id, kind: "left", key, isZonal: false, target: "", nodes: [node] };
}

export function namespaceName(id: number, name: string): EngineName {
  return { view: id, kind: "namespace", key: [name], isZonal: false, target: "", nodes: [] };
}

class Nodes {
  readonly root: Draft = { labels: [], addresses: [], entries: [] };
  readonly endpointEntries: { readonly of: DnsPort; readonly zone: string; readonly entry: Entry }[] = [];
  readonly #drafts = new Map<string, Draft>([["", this.root]]);
  hasUnderscore = false;
  /** Two endpoints of different names have one address. */
  #shared = false;
  readonly #seen = new Set<IpAddress>();

  constructor(view: ClusterView, slices: readonly DnsSlice[]) {
    for (const slice of slices) {
      for (const endpoint of slice.endpoints) {
        const { address } = endpoint;
        const label = view.endpointName(endpoint);
        if (label.startsWith("_")) this.hasUnderscore = true;
        const target = this.node([label]);
        if (target.addresses.length === 0 || !target.addresses.includes(address)) {
          target.addresses.push(address);
          if (this.#seen.has(address)) this.#shared = true;
          this.#seen.add(address);
        }
        for (const of of slice.ports) {
          const entry = { target, port: of.port, address };
          target.entries.push(entry);
          this.endpointEntries.push({ of, zone: endpoint.zone, entry });
        }
      }
    }
  }

  node(labels: readonly string[]): Draft {
    const key = labels.join(".");
    let draft = this.#drafts.get(key);
    if (draft === undefined) {
      draft = { labels, addresses: [], entries: [] };
      this.#drafts.set(key, draft);
    }
    return draft;
  }

  /** @param isUnion the name itself has the addresses of all endpoints */
  finish(isUnion = false): readonly EngineNode[] {
    const made = new Map<Draft, { -readonly [K in keyof EngineNode]: EngineNode[K] }>();
    for (const draft of this.#drafts.values()) {
      const isAll = isUnion && draft === this.root;
      const hasReverse = !isAll && draft.labels.at(-1) !== "_zone";
      const addresses = isAll ? (this.#shared ? [...this.#seen] : "all") : draft.addresses;
      made.set(draft, { labels: draft.labels, addresses, hasReverse, services: NO_SERVICES });
    }
    for (const [draft, node] of made) {
      if (draft.entries.length > 0) node.services = services(draft.entries, made);
    }
    return [...made.values()];
  }
}

/** Records once for each target and port; weights share 100 among the entries before that. */
function services(entries: readonly Entry[], made: ReadonlyMap<Draft, EngineNode>): EngineNode["services"] {
  const weight = Math.max(1, Math.floor(100 / entries.length));
  const records: { port: number; target: EngineNode }[] = [];
  const ports = new Map<Draft, { readonly ports: Set<number>; readonly addresses: Set<IpAddress> }>();
  for (const { target, port, address } of entries) {
    let known = ports.get(target);
    if (known === undefined) {
      known = { ports: new Set(), addresses: new Set() };
      ports.set(target, known);
    }
    known.addresses.add(address);
    const node = made.get(target);
    if (known.ports.has(port) || node === undefined) continue;
    known.ports.add(port);
    records.push({ port, target: node });
  }
  // The engine adds all addresses of a target; where slices differ in their ports some may not belong.
  for (const [draft, known] of ports) if (draft.addresses.length !== known.addresses.size) return "left";
  return { weight, records };
}
