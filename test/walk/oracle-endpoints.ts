/**
 * Random walks, oracle: which endpoints of one service port this node uses, straight from the objects. Written from
 * what kube-proxy 1.33 does (pkg/proxy/topology.go) and docs/differences.md, not from the planner, whose code must not be used here.
 */
import type { Cluster, EndpointJson, Family, Protocol, SliceJson } from "./cluster.ts";
import { familyOf, SERVICE_NAME_LABEL } from "./cluster.ts";

export interface OracleEndpoint {
  readonly address: string;
  /** `address:port`, IPv6 in brackets. */
  readonly text: string;
  readonly weight: number;
  /** On this node. */
  readonly isLocal: boolean;
  /** On this node for all that the slice says: it is, or the slice names no node. */
  readonly mayBeHere: boolean;
}

export interface OracleSets {
  readonly cluster: readonly OracleEndpoint[];
  readonly local: readonly OracleEndpoint[];
}

interface Candidate extends OracleEndpoint {
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

function candidate(
  endpoint: EndpointJson,
  slice: SliceJson,
  port: number,
  nodeName: string,
): Candidate | undefined {
  const [address] = endpoint.addresses;
  if (address === undefined || familyOf(address) !== (slice.addressType === "IPv4" ? "ip" : "ip6"))
    return undefined;
  const { ready, serving, terminating } = endpoint.conditions ?? {};
  return {
    address,
    text: address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`,
    weight: slice.weights[address] ?? 1,
    isLocal: endpoint.nodeName === nodeName,
    mayBeHere: endpoint.nodeName === undefined || endpoint.nodeName === nodeName,
    isReady: ready ?? true,
    isServing: serving ?? true,
    isTerminating: terminating ?? false,
    zones: (endpoint.hints?.forZones ?? []).map(({ name }) => name),
    nodes: (endpoint.hints?.forNodes ?? []).map(({ name }) => name),
  };
}

/** Of two entries for one endpoint: local wins, then ready, then serving, then not terminating, then the first. */
function isBetter(a: Candidate, b: Candidate): boolean {
  const order = (one: Candidate) =>
    [one.isLocal, one.isReady, one.isServing, !one.isTerminating].map(Number).join("");
  return order(a) > order(b);
}

function candidates(cluster: Cluster, of: PortOf): readonly Candidate[] {
  const [namespace = "", own = ""] = of.service.split("/");
  const slices = [...cluster.slices.values()]
    .filter(
      ({ metadata, addressType }) =>
        metadata.namespace === namespace &&
        metadata.labels[SERVICE_NAME_LABEL] === own &&
        addressType === (of.family === "ip" ? "IPv4" : "IPv6"),
    )
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    const usable = slice.ports.filter(({ port }) => port !== undefined);
    const port = usable.find(
      (one) => (one.name ?? "") === of.portName && (one.protocol ?? "TCP") === of.protocol,
    );
    for (const endpoint of port === undefined ? [] : slice.endpoints) {
      const one = candidate(endpoint, slice, port?.port ?? 0, of.nodeName);
      // Weight 0 drains: as if the entry were not there.
      if (one === undefined || one.weight === 0) continue;
      const known = found.get(one.text);
      if (known === undefined || isBetter(one, known)) found.set(one.text, one);
    }
  }
  return [...found.values()];
}

interface PortOf {
  /** The node that asks. */
  readonly nodeName: string;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
}

/** Same-node mode, else same-zone mode, else all (row 26). */
function byHints(
  ready: readonly Candidate[],
  nodeName: string,
  zone: string | undefined,
): readonly Candidate[] {
  if (ready.every(({ nodes }) => nodes.length > 0)) {
    const here = ready.filter(({ nodes }) => nodes.includes(nodeName));
    if (here.length > 0) return here;
  }
  if (zone !== undefined && ready.every(({ zones }) => zones.length > 0)) {
    const here = ready.filter(({ zones }) => zones.includes(zone));
    if (here.length > 0) return here;
  }
  return ready;
}

const lasts = (one: Candidate) => one.isServing && one.isTerminating;

/** Both sets, whether a policy asks for them or not. Nothing usable anywhere: both are empty. */
export function endpointSets(cluster: Cluster, of: PortOf): OracleSets {
  const all = candidates(cluster, of);
  const ready = all.filter(({ isReady }) => isReady);
  const localReady = ready.filter(({ isLocal }) => isLocal);
  return {
    cluster: ready.length > 0 ? byHints(ready, of.nodeName, cluster.zone) : all.filter(lasts),
    local: localReady.length > 0 ? localReady : all.filter((one) => one.isLocal && lasts(one)),
  };
}
