/**
 * Layer dns. What the resolver keeps of a Service and its EndpointSlices: only ready endpoints, only what names are made
 * of, texts in lower case. Parts are replaced whole, never changed, so that they may be read at any time.
 */
import type { IpAddress } from "../../model/ip.ts";
import type { EndpointSlice, Service } from "../../model/objects.ts";

export type Labels = Readonly<Record<string, string>>;

export interface DnsPort {
  /** Empty for an unnamed port. */
  readonly name: string;
  /** `tcp`, `udp`, `sctp`. */
  readonly protocol: string;
  readonly port: number;
}

export interface DnsService {
  readonly kind: "cluster-ip" | "headless" | "external-name";
  readonly clusterIPs: readonly IpAddress[];
  /** externalIPs and addresses of the load balancer. */
  readonly externalIPs: readonly IpAddress[];
  /** Host name of the load balancer, where it has one instead of addresses. */
  readonly ingressHostname: string;
  readonly ports: readonly DnsPort[];
  /** Empty unless external-name. */
  readonly externalName: string;
  readonly labels: Labels;
}

export interface DnsEndpoint {
  readonly address: IpAddress;
  /** Empty when there is none. */
  readonly hostname: string;
  readonly podName: string;
  readonly zone: string;
}

export interface DnsSlice {
  readonly name: string;
  readonly ports: readonly DnsPort[];
  readonly endpoints: readonly DnsEndpoint[];
  readonly labels: Labels;
}

/** A service name of a namespace: its Service, its slices, or only one of the two while the other has not come yet. */
export class ServiceEntry {
  readonly namespace: string;
  readonly name: string;
  service: DnsService | undefined;
  /** Sorted by name: answers do not depend on the order of arrival. */
  slices: readonly DnsSlice[] = [];

  constructor(namespace: string, name: string) {
    this.namespace = namespace;
    this.name = name;
  }

  get isEmpty(): boolean {
    return this.service === undefined && this.slices.length === 0;
  }

  setSlice(slice: DnsSlice): void {
    const others = this.slices.filter((known) => known.name !== slice.name);
    this.slices = [...others, slice].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  removeSlice(name: string): DnsSlice | undefined {
    const gone = this.slices.find((slice) => slice.name === name);
    if (gone !== undefined) this.slices = this.slices.filter((slice) => slice !== gone);
    return gone;
  }
}

const NO_LABELS: Labels = {};

export function trimService(service: Service): DnsService {
  return {
    kind: service.type === "ExternalName" ? "external-name" : service.headless ? "headless" : "cluster-ip",
    clusterIPs: service.clusterIPs,
    externalIPs: [
      ...service.externalIPs,
      ...service.loadBalancerIngress.flatMap((ingress) => (ingress.ip === undefined ? [] : [ingress.ip])),
    ],
    ingressHostname: service.loadBalancerIngress.find((ingress) => ingress.hostname)?.hostname ?? "",
    ports: service.ports.map(trimPort),
    externalName: service.externalName ?? "",
    labels: hasLabels(service.meta.labels) ? service.meta.labels : NO_LABELS,
  };
}

export function trimSlice(slice: EndpointSlice): DnsSlice {
  return {
    name: slice.meta.name,
    ports: slice.ports.map(trimPort),
    endpoints: slice.endpoints
      .filter((endpoint) => endpoint.ready)
      .flatMap((endpoint) => endpoint.addresses.map((address) => trimEndpoint(endpoint, address))),
    labels: slice.meta.labels,
  };
}

function trimEndpoint(endpoint: EndpointSlice["endpoints"][number], address: IpAddress): DnsEndpoint {
  return {
    address,
    hostname: endpoint.hostname?.toLowerCase() ?? "",
    podName: endpoint.targetPod?.split("/")[1]?.toLowerCase() ?? "",
    zone: endpoint.zone?.toLowerCase() ?? "",
  };
}

function trimPort(port: {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}): DnsPort {
  return { name: port.name.toLowerCase(), protocol: port.protocol.toLowerCase(), port: port.port };
}

function hasLabels(labels: Labels): boolean {
  for (const _ in labels) return true;
  return false;
}
