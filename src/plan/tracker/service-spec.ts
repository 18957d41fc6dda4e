/**
 * Layer plan. A Service reduced to what planning needs, and the shapes of its units. Pure.
 * Which Services are proxied: kube-proxy 1.33, pkg/proxy/util (ShouldSkipService).
 */
import type { Cidr, IpAddress, IpFamily } from "../../model/ip.ts";
import { cidrContains, ipFamily } from "../../model/ip.ts";
import type { EndpointSlice, Service, ServicePort, TrafficPolicy } from "../../model/objects.ts";
import type { NodeConfig } from "../node-config.ts";
import { PROTOCOL_NUMBERS, packIp } from "../packed.ts";
import { mergeRanges, rangeOfCidr } from "../ranges.ts";
import type { AddressRange, Frontend, UnitShape } from "../unit.ts";

/** Label whose presence, with any value, hands a Service to another proxy. */
const PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name";
const HEADLESS_LABEL = "service.kubernetes.io/headless";

/** A node answers for this Service: it is not headless, not an ExternalName, and no other proxy's. */
export function isProxied({ type, headless, clusterIPs, meta: { labels } }: Service): boolean {
  if (type === "ExternalName" || headless || clusterIPs.length === 0) return false;
  return !(PROXY_NAME_LABEL in labels || HEADLESS_LABEL in labels);
}

/** Slices of headless Services carry the label; no node leads anything to their endpoints. */
export function isProxiedSlice({ serviceName, meta: { labels } }: EndpointSlice): boolean {
  return serviceName !== "" && !(HEADLESS_LABEL in labels);
}

export interface SpecPort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
  readonly nodePort: number;
}

/** A Service that is proxied. */
export interface ServiceSpec {
  readonly namespace: string;
  readonly name: string;
  /** Infinity when unknown, so that objects of known age win. */
  readonly createdAtMs: number;
  readonly clusterIPs: readonly IpAddress[];
  readonly externalIPs: readonly IpAddress[];
  /** Load-balancer addresses of ipMode VIP, with their index in `status.loadBalancer.ingress`. */
  readonly ingress: readonly { readonly ip: IpAddress; readonly index: number }[];
  readonly sourceRanges: readonly Cidr[];
  readonly ports: readonly SpecPort[];
  readonly internalPolicy: TrafficPolicy;
  readonly externalPolicy: TrafficPolicy;
  readonly affinitySeconds: number;
  /** 0 when the Service needs no health check on nodes. */
  readonly healthCheckNodePort: number;
}

const NONE: readonly never[] = [];
/** Equal ports and names of 10,000 Services are one value each. */
const MAX_SHARED = 10_000;
const sharedPorts = new Map<string, SpecPort>();
const sharedTexts = new Map<string, string>();

function sharedPort(port: ServicePort): SpecPort {
  const text = `${port.name}/${port.protocol}/${port.port}/${port.nodePort}`;
  const known = sharedPorts.get(text);
  if (known !== undefined) return known;
  const { name, nodePort } = port;
  const made = { name, protocol: PROTOCOL_NUMBERS[port.protocol], port: port.port, nodePort };
  if (sharedPorts.size < MAX_SHARED) sharedPorts.set(text, made);
  return made;
}

/** For texts that repeat from Service to Service: namespaces, paths of fields. */
function shared(text: string): string {
  const known = sharedTexts.get(text);
  if (known !== undefined) return known;
  if (sharedTexts.size < MAX_SHARED) sharedTexts.set(text, text);
  return text;
}

/** Without the room that an array has for growing. */
function exact<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? NONE : list.slice();
}

/** @returns `undefined` for Services that are not proxied */
export function reduceService(service: Service): ServiceSpec | undefined {
  if (!isProxied(service)) return undefined;
  const { meta } = service;
  const ingress = service.loadBalancerIngress.flatMap((entry, index) =>
    entry.ip !== undefined && entry.ipMode === "VIP" ? [{ ip: entry.ip, index }] : [],
  );
  return {
    namespace: shared(meta.namespace),
    name: meta.name,
    createdAtMs: meta.creationTimestampMs > 0 ? meta.creationTimestampMs : Number.POSITIVE_INFINITY,
    clusterIPs: exact(service.clusterIPs),
    externalIPs: exact(service.externalIPs),
    ingress: exact(ingress),
    sourceRanges: exact(service.loadBalancerSourceRanges),
    ports: service.ports.map(sharedPort),
    internalPolicy: service.internalTrafficPolicy,
    externalPolicy: service.externalTrafficPolicy,
    affinitySeconds: service.sessionAffinity === "ClientIP" ? service.affinityTimeoutSeconds : 0,
    healthCheckNodePort:
      service.type === "LoadBalancer" && service.externalTrafficPolicy === "Local"
        ? service.healthCheckNodePort
        : 0,
  };
}

/**
 * Source ranges of a family. When they let the node in, they let in the load-balancer addresses too: a packet of the
 * node's own may already carry one as its source (facts row 50).
 */
function sourceRanges(spec: ServiceSpec, family: IpFamily, node: NodeConfig): readonly AddressRange[] {
  const ranges = spec.sourceRanges.filter((cidr) => ipFamily(cidr.address) === family);
  if (ranges.length === 0) return NONE;
  const own = node.primaryAddresses.find((address) => ipFamily(address) === family);
  const isNodeAllowed = own !== undefined && ranges.some((cidr) => cidrContains(cidr, own));
  const all = ranges.map(rangeOfCidr);
  if (isNodeAllowed) {
    for (const { ip } of spec.ingress) {
      if (ipFamily(ip) === family) all.push({ first: packIp(ip), last: packIp(ip) });
    }
  }
  return mergeRanges(all);
}

function frontendsOf(
  spec: ServiceSpec,
  port: SpecPort,
  portIndex: number,
  family: IpFamily,
): readonly Frontend[] {
  const guarded = spec.sourceRanges.some((cidr) => ipFamily(cidr.address) === family);
  const frontends: Frontend[] = [];
  const taken = new Set<string>();
  const add = (kind: Frontend["class"], address: IpAddress, field: string, isGuarded: boolean) => {
    const packed = packIp(address);
    if (ipFamily(address) !== family || taken.has(packed)) return;
    taken.add(packed);
    frontends.push({ class: kind, address: packed, port: port.port, isGuarded, field: shared(field) });
  };
  spec.clusterIPs.forEach((ip, i) => {
    add("internal", ip, `spec.clusterIPs[${i}]`, false);
  });
  for (const { ip, index } of spec.ingress)
    add("external", ip, `status.loadBalancer.ingress[${index}].ip`, guarded);
  spec.externalIPs.forEach((ip, i) => {
    add("external", ip, `spec.externalIPs[${i}]`, false);
  });
  if (port.nodePort > 0) {
    const field = `spec.ports[${portIndex}].nodePort`;
    frontends.push({
      class: "node-port",
      address: "",
      port: port.nodePort,
      isGuarded: false,
      field: shared(field),
    });
  }
  return exact(frontends);
}

/** Units of a Service before conflicts: one a port and family in which it has a cluster address. */
export function shapesOf(spec: ServiceSpec, node: NodeConfig): readonly UnitShape[] {
  const shapes: UnitShape[] = [];
  for (const clusterIp of spec.clusterIPs) {
    const family = ipFamily(clusterIp);
    const ranges = sourceRanges(spec, family, node);
    spec.ports.forEach((port, index) => {
      shapes.push({
        key: `${spec.namespace}/${spec.name}:${port.name}/${port.protocol}/${family}`,
        namespace: spec.namespace,
        service: spec.name,
        portName: port.name,
        family,
        protocol: port.protocol,
        frontends: frontendsOf(spec, port, index, family),
        internalPolicy: spec.internalPolicy,
        externalPolicy: spec.externalPolicy,
        affinitySeconds: spec.affinitySeconds,
        sourceRanges: ranges,
        ...(spec.healthCheckNodePort === 0 ? {} : { healthCheckNodePort: spec.healthCheckNodePort }),
      });
    });
  }
  return exact(shapes);
}
