/**
 * Random walks: the objects of a cluster as the API has them, which is all that the oracle and the agent see of a walk.
 * Fields that the API leaves out are left out here too, so that defaults are part of what is tested.
 */
import type { Random } from "./random.ts";

export const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
export type Protocol = (typeof PROTOCOLS)[number];
export type Family = "ip" | "ip6";
export type Policy = "Cluster" | "Local";

export interface PortJson {
  name?: string;
  protocol?: Protocol;
  port: number;
  nodePort?: number;
}

export interface ServiceJson {
  metadata: {
    namespace: string;
    name: string;
    creationTimestamp?: string;
    labels: Record<string, string>;
  };
  spec: {
    type?: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
    externalName?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    externalIPs?: string[];
    ports: PortJson[];
    internalTrafficPolicy?: Policy;
    externalTrafficPolicy?: Policy;
    sessionAffinity?: "None" | "ClientIP";
    sessionAffinityConfig?: { clientIP: { timeoutSeconds: number } };
    loadBalancerSourceRanges?: string[];
    healthCheckNodePort?: number;
  };
  ingress: { ip?: string; hostname?: string; ipMode?: "VIP" | "Proxy" }[];
}

export interface EndpointJson {
  addresses: string[];
  conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
  nodeName?: string;
  hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] };
}

export interface SliceJson {
  metadata: { namespace: string; name: string; labels: Record<string, string> };
  addressType: "IPv4" | "IPv6";
  /** A port without number is one that nobody may use. */
  ports: { name?: string; protocol?: Protocol; port?: number }[];
  endpoints: EndpointJson[];
  /** Address to weight. */
  weights: Record<string, number>;
}

export interface Cluster {
  /** By `namespace/name`. */
  services: Map<string, ServiceJson>;
  slices: Map<string, SliceJson>;
  serviceCidrs: string[];
  /** Zone label of the node; absent: the node has none. */
  zone?: string;
}

/** Edits a cluster. @returns what was done, or `undefined` when the cluster has nothing to do it to */
export type Change = (cluster: Cluster, random: Random) => string | undefined;

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const WEIGHTS_ANNOTATION = "nodeplane.dev/endpoint-weights";

export function familyOf(address: string): Family {
  return address.includes(":") ? "ip6" : "ip";
}

export function nameOf(object: ServiceJson | SliceJson): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

export function copyOf(cluster: Cluster): Cluster {
  return structuredClone(cluster);
}

/** What of the node an objects file says. */
export interface NodeFacts {
  readonly name: string;
  readonly internalAddresses: readonly string[];
}

/** The objects, one a line, for `--objects`. `stamp` makes each text differ from the one before. */
export function objectsText(cluster: Cluster, node: NodeFacts, stamp: number): string {
  const labels = cluster.zone === undefined ? {} : { "topology.kubernetes.io/zone": cluster.zone };
  const objects: unknown[] = [
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: node.name, uid: "node", labels },
      spec: {},
      status: { addresses: node.internalAddresses.map((address) => ({ type: "InternalIP", address })) },
    },
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "stamp", labels: { stamp: `n${stamp}` } } },
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: cluster.serviceCidrs },
    },
  ];
  for (const { ingress, ...service } of cluster.services.values()) {
    const status = ingress.length === 0 ? {} : { loadBalancer: { ingress } };
    objects.push({ apiVersion: "v1", kind: "Service", ...service, status });
  }
  for (const { weights, metadata, ...slice } of cluster.slices.values()) {
    const annotations =
      Object.keys(weights).length === 0 ? {} : { [WEIGHTS_ANNOTATION]: JSON.stringify(weights) };
    objects.push({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...metadata, annotations },
      ...slice,
    });
  }
  return objects.map((object) => `${JSON.stringify(object)}\n`).join("");
}
