/**
 * Layer control-plane. What the server fills in and takes away before a Service is checked
 * (pkg/registry/core/service/storage/storage.go: normalize, patch and drop). All in place.
 */
import { type ApiObject, sameJson } from "../../registry/json.ts";
import {
  hasNodePorts,
  isExternallyAccessible,
  isLoadBalancer,
  needsClusterIp,
  needsHealthCheckPort,
  nodePortsOf,
  type ServiceSpec,
  sameList,
  serviceSpec,
} from "./view.ts";

/** `clusterIP` given alone becomes the first of `clusterIPs`. The reverse is refused by validation, as upstream does. */
export function prepareServiceCreate(service: ApiObject): void {
  const spec = serviceSpec(service);
  if ((spec.clusterIP ?? "") !== "" && (spec.clusterIPs ?? []).length === 0) {
    spec.clusterIPs = [spec.clusterIP ?? ""];
  }
  service["status"] = { loadBalancer: {} };
}

export function prepareServiceUpdate(service: ApiObject, old: ApiObject): void {
  const [now, before] = [serviceSpec(service), serviceSpec(old)];
  keepAllocated(now, before);
  normalizeClusterIps(now, before);
  dropTypeDependent(now, before);
  if (isLoadBalancer(before) && !isLoadBalancer(now)) service["status"] = { loadBalancer: {} };
}

/** What an update leaves out keeps its value: so a manifest without clusterIP can be put again and again. */
function keepAllocated(now: ServiceSpec, before: ServiceSpec): void {
  if (needsClusterIp(before) && needsClusterIp(now)) {
    if ((now.clusterIP ?? "") === "" && before.clusterIP !== undefined) now.clusterIP = before.clusterIP;
    if ((now.clusterIPs ?? []).length === 0 && now.clusterIP === before.clusterIP && before.clusterIPs) {
      now.clusterIPs = [...before.clusterIPs];
    }
  }
  if (hasNodePorts(before) && hasNodePorts(now)) keepNodePorts(now, before);
  if (needsHealthCheckPort(before) && needsHealthCheckPort(now) && (now.healthCheckNodePort ?? 0) === 0) {
    if (before.healthCheckNodePort !== undefined) now.healthCheckNodePort = before.healthCheckNodePort;
  }
}

/** By port name; a number that the user has given to another port is left alone. */
function keepNodePorts(now: ServiceSpec, before: ServiceSpec): void {
  const kept = nodePortsOf(before);
  const used = new Set(nodePortsOf(now).filter((port) => kept.includes(port)));
  const byName = new Map((before.ports ?? []).map((port) => [port.name ?? "", port.nodePort ?? 0]));
  for (const port of now.ports ?? []) {
    if ((port.nodePort ?? 0) !== 0) continue;
    const previous = byName.get(port.name ?? "") ?? 0;
    if (previous === 0 || used.has(previous)) continue;
    port.nodePort = previous;
    used.add(previous);
  }
}

/** Old clients know `clusterIP` only: what they change or clear there is carried over to `clusterIPs`. */
function normalizeClusterIps(now: ServiceSpec, before: ServiceSpec): void {
  const [ip, oldIp] = [now.clusterIP ?? "", before.clusterIP ?? ""];
  if ((now.clusterIPs ?? []).length === 0 && ip === oldIp && (before.clusterIPs ?? []).length > 0) {
    now.clusterIPs = [...(before.clusterIPs ?? [])];
  }
  if (ip === oldIp || !sameList(now.clusterIPs, before.clusterIPs)) return;
  if (ip === "") delete now.clusterIPs;
  else now.clusterIPs = [ip];
}

/** Fields that the new type does not have go, unless the user has changed them: then validation tells. */
function dropTypeDependent(now: ServiceSpec, before: ServiceSpec): void {
  if (needsClusterIp(before) && !needsClusterIp(now)) {
    if (now.clusterIP === before.clusterIP && sameList(now.clusterIPs, before.clusterIPs)) {
      delete now.clusterIP;
      delete now.clusterIPs;
    }
    if (sameList(now.ipFamilies, before.ipFamilies)) delete now.ipFamilies;
    if (now.ipFamilyPolicy === before.ipFamilyPolicy) delete now.ipFamilyPolicy;
  }
  if (hasNodePorts(before) && !hasNodePorts(now) && sameList(portTexts(now), portTexts(before))) {
    for (const port of now.ports ?? []) delete port.nodePort;
  }
  if (needsHealthCheckPort(before) && !needsHealthCheckPort(now)) {
    if (now.healthCheckNodePort === before.healthCheckNodePort) delete now.healthCheckNodePort;
  }
  if (isLoadBalancer(before) && !isLoadBalancer(now)) {
    if (now.allocateLoadBalancerNodePorts === before.allocateLoadBalancerNodePorts) {
      delete now.allocateLoadBalancerNodePorts;
    }
    if (now.loadBalancerClass === before.loadBalancerClass) delete now.loadBalancerClass;
  }
  if (isExternallyAccessible(before) && !isExternallyAccessible(now)) {
    if (sameJson(now.externalTrafficPolicy, before.externalTrafficPolicy)) delete now.externalTrafficPolicy;
  }
}

function portTexts(spec: ServiceSpec): readonly string[] {
  return nodePortsOf(spec).map(String).toSorted();
}
