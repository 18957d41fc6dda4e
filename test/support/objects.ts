/** Test code. Model objects with defaults, for tests and benchmarks. */
import type { Endpoint, EndpointSlice, ObjectMeta, Service } from "../../src/model/objects.ts";
import type { NodeConfig } from "../../src/plan/node-config.ts";
import { mustCidr, mustIp } from "./packet-cases.ts";

export function meta(namespace: string, name: string): ObjectMeta {
  return { namespace, name, uid: "", creationTimestampMs: 0, labels: {}, annotations: {} };
}

export type ServiceFields = Partial<Omit<Service, "kind" | "meta" | "clusterIPs">> & {
  readonly clusterIPs?: readonly string[];
  readonly createdAtMs?: number;
  readonly labels?: Readonly<Record<string, string>>;
};

/** A ClusterIP service with port 80/TCP unless said otherwise; `name` is `namespace/name` or a name in `default`. */
export function service(name: string, fields: ServiceFields = {}): Service {
  const [namespace = "", own = ""] = name.includes("/") ? name.split("/") : ["default", name];
  const { clusterIPs = ["10.96.0.10"], createdAtMs = 0, labels = {}, ...rest } = fields;
  return {
    kind: "Service",
    meta: { ...meta(namespace, own), creationTimestampMs: createdAtMs, labels },
    type: "ClusterIP",
    headless: false,
    clusterIPs: clusterIPs.map(mustIp),
    externalIPs: [],
    loadBalancerIngress: [],
    loadBalancerSourceRanges: [],
    ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
    internalTrafficPolicy: "Cluster",
    externalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    sessionAffinity: "None",
    affinityTimeoutSeconds: 10_800,
    publishNotReadyAddresses: false,
    ...rest,
  };
}

export function endpoint(address: string, fields: Partial<Endpoint> = {}): Endpoint {
  return { addresses: [mustIp(address)], ready: true, serving: true, terminating: false, ...fields };
}

/** The slice `NAME-1` of service `name`, port 8080/TCP. */
export function slice(
  name: string,
  endpoints: readonly (string | Endpoint)[],
  fields: Partial<Omit<EndpointSlice, "kind" | "meta">> & {
    readonly suffix?: string;
    readonly labels?: Readonly<Record<string, string>>;
  } = {},
): EndpointSlice {
  const [namespace = "", own = ""] = name.includes("/") ? name.split("/") : ["default", name];
  const { suffix = "1", labels = {}, ...rest } = fields;
  const [first] = endpoints;
  const text = typeof first === "string" ? first : (first?.addresses[0] ?? "");
  return {
    kind: "EndpointSlice",
    meta: { ...meta(namespace, `${own}-${suffix}`), labels },
    serviceName: own,
    addressType: text.includes(":") ? "IPv6" : "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 8080 }],
    endpoints: endpoints.map((one) => (typeof one === "string" ? endpoint(one) : one)),
    ...rest,
  };
}

export function nodeConfig(fields: Partial<NodeConfig> = {}): NodeConfig {
  return {
    nodeName: "node1",
    nodeAddresses: ["192.168.0.2", "2001:db8::1", "127.0.0.1", "::1"].map(mustIp),
    primaryAddresses: ["192.168.0.2", "2001:db8::1"].map(mustIp),
    localTraffic: { kind: "cidrs", cidrs: [mustCidr("10.244.0.0/16"), mustCidr("fd00:10:244::/56")] },
    masqueradeAll: false,
    masqueradeBit: 14,
    nodePortAddresses: "primary",
    ...fields,
  };
}

/** The n-th address behind `base` (IPv4). */
export function nthIp(base: string, n: number): string {
  const [a = 0, b = 0, c = 0, d = 0] = base.split(".").map(Number);
  const sum = ((a << 24) | (b << 16) | (c << 8) | d) + n;
  return [24, 16, 8, 0].map((shift) => (sum >>> shift) & 255).join(".");
}
