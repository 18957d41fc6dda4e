/**
 * Layer model. The trimmed Kubernetes objects that agents and resolvers work with: what the node stream
 * carries and what object files are read into. Field meanings are those of the Kubernetes API v1;
 * only what nodeplane uses is kept. Absent optional fields mean "not set".
 * Defaults of the API (type ClusterIP, policies Cluster, ready=true when nil …) are already applied.
 */
import type { Cidr, IpAddress } from "./ip.ts";

export type ObjectKind = "Service" | "EndpointSlice" | "Namespace" | "Node" | "ServiceCIDR" | "Pod";
export type Protocol = "TCP" | "UDP" | "SCTP";
export type TrafficPolicy = "Cluster" | "Local";

/** Identity of one object; `namespace` is empty for cluster-scoped kinds. */
export interface ObjectKey {
  readonly kind: ObjectKind;
  readonly namespace: string;
  readonly name: string;
}

export interface ObjectMeta {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Milliseconds since the epoch, 0 when unknown. Older objects win conflicts. */
  readonly creationTimestampMs: number;
  readonly deletionTimestampMs?: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Only annotations that nodeplane reads. */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ServicePort {
  /** Empty when the port is unnamed. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1–65535. */
  readonly port: number;
  /** 0 when there is none. */
  readonly nodePort: number;
}

export interface LoadBalancerIngress {
  readonly ip?: IpAddress;
  readonly hostname?: string;
  readonly ipMode: "VIP" | "Proxy";
}

export interface Service {
  readonly kind: "Service";
  readonly meta: ObjectMeta;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  /** True for `clusterIP: None`; then `clusterIPs` is empty. */
  readonly headless: boolean;
  /** At most one address a family. */
  readonly clusterIPs: readonly IpAddress[];
  readonly externalIPs: readonly IpAddress[];
  readonly loadBalancerIngress: readonly LoadBalancerIngress[];
  readonly loadBalancerSourceRanges: readonly Cidr[];
  readonly ports: readonly ServicePort[];
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** 0 when there is none. */
  readonly healthCheckNodePort: number;
  readonly sessionAffinity: "None" | "ClientIP";
  /** Only meaningful with ClientIP. */
  readonly affinityTimeoutSeconds: number;
  readonly publishNotReadyAddresses: boolean;
  /** Only for type ExternalName; no trailing dot. */
  readonly externalName?: string;
}

export interface EndpointPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly appProtocol?: string;
}

export interface Endpoint {
  /** At least one; kube-proxy semantics use only the first. */
  readonly addresses: readonly IpAddress[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly hintZones?: readonly string[];
  readonly hintNodes?: readonly string[];
  /** 0–256; absent means 1. From the annotation on the slice. */
  readonly weight?: number;
  /** `namespace/name` of the Pod behind it. */
  readonly targetPod?: string;
}

export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly meta: ObjectMeta;
  /** Value of the label `kubernetes.io/service-name`. */
  readonly serviceName: string;
  readonly addressType: "IPv4" | "IPv6";
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface Namespace {
  readonly kind: "Namespace";
  readonly meta: ObjectMeta;
}

export interface Node {
  readonly kind: "Node";
  readonly meta: ObjectMeta;
  readonly internalIPs: readonly IpAddress[];
  readonly podCIDRs: readonly Cidr[];
  readonly zone?: string;
  readonly taintKeys: readonly string[];
}

export interface ServiceCidr {
  readonly kind: "ServiceCIDR";
  readonly meta: ObjectMeta;
  readonly cidrs: readonly Cidr[];
}

export interface Pod {
  readonly kind: "Pod";
  readonly meta: ObjectMeta;
  readonly podIPs: readonly IpAddress[];
  readonly nodeName?: string;
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
  readonly hostNetwork: boolean;
}

/** One object of the kinds that a feed can deliver. */
export type FeedObject = Service | EndpointSlice | Namespace | Node | ServiceCidr | Pod;

/** Key of `object`. */
export function keyOf(object: FeedObject): ObjectKey {
  return { kind: object.kind, namespace: object.meta.namespace, name: object.meta.name };
}

/** `Kind/namespace/name`: unique text of a key, for maps and messages. */
export function formatKey(key: ObjectKey): string {
  return `${key.kind}/${key.namespace}/${key.name}`;
}

/** A user's object that cannot be used, wholly or in part. Reported beside results, never thrown. */
export interface ObjectProblem {
  readonly object: ObjectKey;
  /** CamelCase, stable: the reason of the Event and the label of the metric. */
  readonly reason: string;
  /** Path inside the object, as in the API's own errors (`spec.ports[0].port`); empty for the whole object. */
  readonly field: string;
  readonly message: string;
}
