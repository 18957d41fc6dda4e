/** Layer control-plane. Defaults of Services (pkg/apis/core/v1/defaults.go SetDefaults_Service), in place. */
import type { ApiObject } from "../../registry/json.ts";
import { asText, setDefault } from "../common/json-access.ts";
import {
  isExternallyAccessible,
  isLoadBalancer,
  loadBalancerIngress,
  needsClusterIp,
  serviceSpec,
} from "./view.ts";

const AFFINITY_TIMEOUT_SECONDS = 10_800;

export function setServiceDefaults(service: ApiObject): void {
  const spec = serviceSpec(service);
  if ((spec.sessionAffinity ?? "") === "") spec.sessionAffinity = "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (
    spec.sessionAffinity === "ClientIP" &&
    spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined
  ) {
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: AFFINITY_TIMEOUT_SECONDS } };
  }
  if ((spec.type ?? "") === "") spec.type = "ClusterIP";
  for (const port of spec.ports ?? []) {
    if ((port.protocol ?? "") === "") port.protocol = "TCP";
    const target = port.targetPort;
    if ((target === undefined || target === 0 || target === "") && port.port !== undefined) {
      port.targetPort = port.port;
    }
  }
  if (needsClusterIp(spec)) spec.internalTrafficPolicy ??= "Cluster";
  if (isLoadBalancer(spec)) spec.allocateLoadBalancerNodePorts ??= true;
  if (isExternallyAccessible(spec) && (spec.externalTrafficPolicy ?? "") === "") {
    spec.externalTrafficPolicy = "Cluster";
  }
  for (const ingress of loadBalancerIngress(service)) {
    if (asText(ingress["ip"]) !== "") setDefault(ingress, "ipMode", "VIP");
  }
}
