/**
 * Layer dns. Names below `svc.ZONE`: services, endpoints, ports, zonal names. Pure over the view of the cluster.
 * Source: Kubernetes DNS specification 1.1.0; facts sections 1 and 9 for what is answered differently from CoreDNS.
 */
import { TYPE } from "../../../codec/dns/constants.ts";
import { labelsOf, parseName } from "../../../codec/dns/name.ts";
import type { IpAddress } from "../../../model/ip.ts";
import type {
  DnsEndpoint,
  DnsPort,
  DnsService,
  DnsSlice,
  ServiceEntry,
} from "../../cluster/service-entry.ts";
import type { ClusterView } from "./cluster-view.ts";
import { type Asked, type Finding, MISSING, NODATA } from "./finding.ts";
import { addressRecords, type SrvEntry, srvRecords } from "./records.ts";

export type ShownService = ServiceEntry & { readonly service: DnsService };

/** A service and under which name and addresses it is answered. */
export interface ServiceAt {
  readonly view: ClusterView;
  readonly asked: Asked;
  readonly entry: ShownService;
  /** Of the service itself; a headless one has those of its endpoints. */
  readonly addresses: readonly IpAddress[];
  /** As targets of SRV have it, with the client's spelling of the zone. */
  readonly serviceName: string;
}

interface Found extends ServiceAt {
  readonly slices: readonly DnsSlice[];
}

/** @param rest what stands before `.svc.ZONE`, lower case, without a final dot; may be empty for `svc.ZONE` itself */
export function findServiceName(view: ClusterView, asked: Asked, rest: string): Finding {
  if (rest === "") return NODATA;
  const namespaceDot = rest.lastIndexOf(".");
  if (namespaceDot < 0) return view.hasNamespace(rest) ? NODATA : MISSING;
  const serviceDot = rest.lastIndexOf(".", namespaceDot - 1);
  const entry = view.service(rest.slice(serviceDot + 1));
  if (entry === undefined) return MISSING;
  const below = serviceDot < 0 ? "" : rest.slice(0, serviceDot);
  if (entry.service.kind === "external-name") {
    return below === "" ? { kind: "alias", target: absolute(entry.service.externalName) } : MISSING;
  }
  const serviceName = `${entry.name}.${entry.namespace}.svc.${asked.zoneSpelling}`;
  return findInService({ view, asked, entry, addresses: entry.service.clusterIPs, serviceName }, below);
}

/** @param below lower-case labels left of the service, without a final dot; empty for the service itself */
export function findInService(at: ServiceAt, below: string): Finding {
  const { view, entry } = at;
  const slices = view.slices(entry);
  if (entry.service.kind === "headless" && !slices.some((slice) => slice.endpoints.length > 0))
    return MISSING;
  const found: Found = { ...at, slices };
  if (below === "") return atService(found);
  const labels = labelsOf(below);
  const zonal =
    view.options.zonal && entry.service.kind === "headless" ? zonalName(found, labels) : undefined;
  if (zonal !== undefined) return zonal;
  if (labels.length === 1) return oneLabel(found, labels[0] ?? "");
  return labels.length === 2 ? portName(found, labels[0] ?? "", labels[1] ?? "") : MISSING;
}

function absolute(name: string): string {
  return parseName(name) ?? ".";
}

function atService(found: Found): Finding {
  const { asked, view, entry } = found;
  const { ttlSeconds } = view.options;
  if (asked.type === TYPE.SRV)
    return srvFinding(
      found,
      serviceEntries(found, () => true),
    );
  const addresses =
    entry.service.kind === "headless" ? endpointsOf(found.slices).map((e) => e.address) : found.addresses;
  return { kind: "exists", answers: addressRecords(asked.owner, asked.type, ttlSeconds, addresses) };
}

function endpointsOf(slices: readonly DnsSlice[]): DnsEndpoint[] {
  return slices.flatMap((slice) => slice.endpoints);
}

/** Entries of all ports that `accept` takes: of the cluster addresses, or of the endpoints of a headless service. */
function serviceEntries(found: Found, accept: (port: DnsPort) => boolean): SrvEntry[] {
  const { entry, serviceName } = found;
  if (entry.service.kind === "headless") return endpointEntries(found, accept, () => true);
  return entry.service.ports
    .filter(accept)
    .flatMap(({ port }) => found.addresses.map((address) => ({ target: serviceName, port, address })));
}

function endpointEntries(
  found: Found,
  acceptPort: (port: DnsPort) => boolean,
  acceptEndpoint: (endpoint: DnsEndpoint) => boolean,
): SrvEntry[] {
  const { view, slices, serviceName } = found;
  return slices.flatMap((slice) => {
    const ports = slice.ports.filter(acceptPort);
    if (ports.length === 0) return [];
    return slice.endpoints.filter(acceptEndpoint).flatMap((endpoint) => {
      const target = `${view.endpointName(endpoint)}.${serviceName}`;
      return ports.map(({ port }) => ({ target, port, address: endpoint.address }));
    });
  });
}

function srvFinding(found: Found, entries: readonly SrvEntry[]): Finding {
  const { asked, view } = found;
  return { kind: "exists", ...srvRecords(asked.owner, view.options.ttlSeconds, entries) };
}

/** An endpoint, or `_tcp`: the node between a service and its ports, which exists without data (RFC 8020). */
function oneLabel(found: Found, label: string): Finding {
  const { asked, view, slices } = found;
  if (label.startsWith("_")) {
    const hasPort = portsOf(found).some((port) => port.name !== "" && `_${port.protocol}` === label);
    return hasPort ? NODATA : MISSING;
  }
  const isNamed = (endpoint: DnsEndpoint): boolean => view.endpointName(endpoint) === label;
  if (asked.type === TYPE.SRV) {
    if (!slices.some((slice) => slice.endpoints.some(isNamed))) return MISSING;
    return srvFinding(
      found,
      endpointEntries(found, () => true, isNamed),
    );
  }
  const endpoints = endpointsOf(slices).filter(isNamed);
  if (endpoints.length === 0) return MISSING;
  const addresses = endpoints.map((endpoint) => endpoint.address);
  return {
    kind: "exists",
    answers: addressRecords(asked.owner, asked.type, view.options.ttlSeconds, addresses),
  };
}

/** Ports that have names: of the service, or of the slices of a headless one. */
function portsOf(found: Found): readonly DnsPort[] {
  if (found.entry.service.kind !== "headless") return found.entry.service.ports;
  return found.slices.flatMap((slice) => (slice.endpoints.length > 0 ? slice.ports : []));
}

/** `_port._protocol`: only SRV lives there. */
function portName(found: Found, portLabel: string, protocolLabel: string): Finding {
  if (!portLabel.startsWith("_") || !protocolLabel.startsWith("_")) return MISSING;
  const name = portLabel.slice(1);
  const protocol = protocolLabel.slice(1);
  const accept = (port: DnsPort): boolean =>
    port.name !== "" && port.name === name && port.protocol === protocol;
  if (!portsOf(found).some(accept)) return MISSING;
  return found.asked.type === TYPE.SRV ? srvFinding(found, serviceEntries(found, accept)) : NODATA;
}

/**
 * `ZONE.pin._zone` and `ZONE.prefer._zone` of a headless service; the zone may hold dots.
 * @returns `undefined` when the labels have another shape
 */
function zonalName(found: Found, labels: readonly string[]): Finding | undefined {
  if (labels.at(-1) !== "_zone") return undefined;
  const directive = labels.at(-2);
  if (labels.length === 1) return NODATA;
  if (directive !== "pin" && directive !== "prefer") return MISSING;
  if (labels.length === 2) return NODATA;
  const zone = labels.slice(0, -2).join(".");
  const { asked, view } = found;
  const isThere = (endpoint: DnsEndpoint): boolean => endpoint.zone === zone;
  const all = endpointsOf(found.slices);
  // One decision for all types: who asks for both families must not be led out of the zone by the one that is missing there.
  const useAll = directive === "prefer" && !all.some(isThere);
  const accept = (endpoint: DnsEndpoint): boolean => useAll || isThere(endpoint);
  if (asked.type === TYPE.SRV)
    return srvFinding(
      found,
      endpointEntries(found, () => true, accept),
    );
  const addresses = all.filter(accept).map((endpoint) => endpoint.address);
  return {
    kind: "exists",
    answers: addressRecords(asked.owner, asked.type, view.options.ttlSeconds, addresses),
  };
}
