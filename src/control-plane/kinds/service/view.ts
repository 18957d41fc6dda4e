/** Layer control-plane. A typed look at the JSON of a Service, and the questions that its rules are made of. */
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import { asObject, ensureObject } from "../common/json-access.ts";

export type IpFamilyName = "IPv4" | "IPv6";

export type ServicePort = {
  name?: string;
  protocol?: string;
  appProtocol?: string;
  port?: number;
  targetPort?: number | string;
  nodePort?: number;
};

export type ServiceSpec = {
  type?: string;
  selector?: { [key: string]: string };
  clusterIP?: string;
  clusterIPs?: string[];
  ports?: ServicePort[];
  externalIPs?: string[];
  externalName?: string;
  sessionAffinity?: string;
  sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
  loadBalancerSourceRanges?: string[];
  loadBalancerClass?: string;
  externalTrafficPolicy?: string;
  internalTrafficPolicy?: string;
  healthCheckNodePort?: number;
  publishNotReadyAddresses?: boolean;
  ipFamilies?: IpFamilyName[];
  ipFamilyPolicy?: string;
  allocateLoadBalancerNodePorts?: boolean;
  trafficDistribution?: string;
};

/** The spec of a Service, made when missing. Its fields have the types of the schema. */
export function serviceSpec(service: ApiObject): ServiceSpec {
  return ensureObject(service, "spec") as ServiceSpec;
}

/** The status' load balancer entry points. */
export function loadBalancerIngress(service: ApiObject): JsonObject[] {
  const { ingress } = asObject(asObject(service["status"])["loadBalancer"]);
  return Array.isArray(ingress) ? (ingress as JsonObject[]) : [];
}

const typeIs = (spec: ServiceSpec, ...types: readonly string[]): boolean => types.includes(spec.type ?? "");

export const isHeadless = (spec: ServiceSpec): boolean => spec.clusterIPs?.[0] === "None";
export const isExternalName = (spec: ServiceSpec): boolean => typeIs(spec, "ExternalName");
export const isLoadBalancer = (spec: ServiceSpec): boolean => typeIs(spec, "LoadBalancer");
export const needsClusterIp = (spec: ServiceSpec): boolean =>
  typeIs(spec, "ClusterIP", "NodePort", "LoadBalancer");
/** Types that have node ports, allocated for them or not. */
export const hasNodePorts = (spec: ServiceSpec): boolean => typeIs(spec, "NodePort", "LoadBalancer");
/** Node ports are to be chosen where the user names none. */
export const wantsNodePorts = (spec: ServiceSpec): boolean =>
  typeIs(spec, "NodePort") || (isLoadBalancer(spec) && spec.allocateLoadBalancerNodePorts !== false);
export const isExternallyAccessible = (spec: ServiceSpec): boolean =>
  hasNodePorts(spec) || (typeIs(spec, "ClusterIP") && (spec.externalIPs ?? []).length > 0);
export const needsHealthCheckPort = (spec: ServiceSpec): boolean =>
  isLoadBalancer(spec) && spec.externalTrafficPolicy === "Local";
export const isSelectorless = (spec: ServiceSpec): boolean => Object.keys(spec.selector ?? {}).length === 0;

export const familyOf = (ip: string): IpFamilyName => (ip.includes(":") ? "IPv6" : "IPv4");
export const otherFamily = (family: IpFamilyName): IpFamilyName => (family === "IPv4" ? "IPv6" : "IPv4");

/** Equal lists; an absent list is an empty one. */
export function sameList(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  const [left, right] = [a ?? [], b ?? []];
  return left.length === right.length && left.every((value, index) => value === right[index]);
}

/** Distinct node ports of the ports, without the health check port. */
export function nodePortsOf(spec: ServiceSpec): number[] {
  const numbers = (spec.ports ?? []).map((port) => port.nodePort ?? 0).filter((port) => port !== 0);
  return [...new Set(numbers)];
}
