/** Layer control-plane. Validation of Services, with upstream's texts (pkg/apis/core/validation ValidateService). */
import { type FieldError, forbidden, invalid, required } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import { dns1123Subdomain, qualifiedName } from "../../registry/names.ts";
import {
  checkCidr,
  checkLabels,
  checkOneOf,
  checkOrdinaryIp,
  checkPort,
  checkText,
} from "../common/field-checks.ts";
import { checkServiceIps } from "./validate-ips.ts";
import { checkServicePorts } from "./validate-ports.ts";
import {
  isExternallyAccessible,
  isExternalName,
  isHeadless,
  isLoadBalancer,
  needsClusterIp,
  needsHealthCheckPort,
  type ServiceSpec,
  serviceSpec,
} from "./view.ts";

const TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const DISTRIBUTIONS = ["PreferClose", "PreferSameNode", "PreferSameZone"];
const ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'";
const MAX_AFFINITY_SECONDS = 86_400;
const HINTS_ANNOTATION = "service.kubernetes.io/topology-aware-hints";
const MODE_ANNOTATION = "service.kubernetes.io/topology-mode";
const RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges";

/** A health check port of 0 is accepted here: it is chosen when the object is written. */
export function validateService(service: ApiObject): readonly FieldError[] {
  const spec = serviceSpec(service);
  return [
    ...checkAnnotations(service),
    ...((spec.ports ?? []).length === 0 && !isHeadless(spec) && !isExternalName(spec)
      ? [required("spec.ports")]
      : []),
    ...checkTypeAndAddress(spec),
    ...checkServicePorts(spec),
    ...checkLabels("spec.selector", spec.selector),
    ...checkAffinity(spec),
    ...checkServiceIps(spec),
    ...(spec.externalIPs ?? []).flatMap((ip, index) => checkOrdinaryIp(`spec.externalIPs[${index}]`, ip)),
    ...checkOneOf("spec.type", spec.type, TYPES),
    ...checkSourceRanges(service, spec),
    ...checkLoadBalancer(spec),
    ...checkExternalTraffic(spec),
    ...checkInternalTraffic(spec),
    ...(spec.trafficDistribution === undefined
      ? []
      : checkOneOf("spec.trafficDistribution", spec.trafficDistribution, DISTRIBUTIONS)),
  ];
}

function checkAnnotations(service: ApiObject): readonly FieldError[] {
  const mode = service.metadata.annotations?.[MODE_ANNOTATION];
  const hints = service.metadata.annotations?.[HINTS_ANNOTATION];
  if (mode === undefined || hints === undefined || mode === hints) return [];
  const text = `must match annotations[${HINTS_ANNOTATION}] when both are specified`;
  return [invalid(`metadata.annotations[${MODE_ANNOTATION}]`, mode, text)];
}

function checkTypeAndAddress(spec: ServiceSpec): readonly FieldError[] {
  if ((spec.type === "LoadBalancer" || spec.type === "NodePort") && isHeadless(spec)) {
    return [invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`)];
  }
  if (!isExternalName(spec)) return [];
  const text = "may not be set for ExternalName services";
  const errors: FieldError[] = [];
  if ((spec.clusterIPs ?? []).length > 0) errors.push(forbidden("spec.clusterIPs", text));
  if ((spec.ipFamilies ?? []).length > 0) errors.push(forbidden("spec.ipFamilies", text));
  if (spec.ipFamilyPolicy !== undefined) errors.push(forbidden("spec.ipFamilyPolicy", text));
  const name = (spec.externalName ?? "").replace(/\.$/, "");
  if (name === "") errors.push(required("spec.externalName"));
  else errors.push(...checkText("spec.externalName", name, dns1123Subdomain));
  return errors;
}

function checkAffinity(spec: ServiceSpec): readonly FieldError[] {
  const errors = [...checkOneOf("spec.sessionAffinity", spec.sessionAffinity, ["ClientIP", "None"])];
  const config = spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "None" && config !== undefined) {
    errors.push(forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None"));
  }
  if (spec.sessionAffinity !== "ClientIP") return errors;
  const seconds = config?.clientIP?.timeoutSeconds;
  const field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
  if (seconds === undefined) errors.push(required(field, "when session affinity type is ClientIP"));
  else if (seconds <= 0 || seconds > MAX_AFFINITY_SECONDS) {
    errors.push(invalid(field, seconds, `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`));
  }
  return errors;
}

/** Blanks around a range are tolerated, and the field is called LoadBalancerSourceRanges in errors: so it is upstream. */
function checkSourceRanges(service: ApiObject, spec: ServiceSpec): readonly FieldError[] {
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotation = service.metadata.annotations?.[RANGES_ANNOTATION];
  if (ranges.length > 0) {
    const field = "spec.LoadBalancerSourceRanges";
    return [
      ...(isLoadBalancer(spec) ? [] : [forbidden(field, ONLY_LOAD_BALANCER)]),
      ...ranges.flatMap((range, index) => checkCidr(`${field}[${index}]`, range.trim())),
    ];
  }
  if (annotation === undefined) return [];
  const field = `metadata.annotations[${RANGES_ANNOTATION}]`;
  const texts = annotation.trim() === "" ? [] : annotation.split(",").map((text) => text.trim());
  return [
    ...(isLoadBalancer(spec) ? [] : [forbidden(field, ONLY_LOAD_BALANCER)]),
    ...texts.flatMap((range) => checkCidr(field, range)),
  ];
}

function checkLoadBalancer(spec: ServiceSpec): readonly FieldError[] {
  const errors: FieldError[] = [];
  const allocate = spec.allocateLoadBalancerNodePorts;
  if (!isLoadBalancer(spec)) {
    if (allocate !== undefined)
      errors.push(forbidden("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER));
    if (spec.loadBalancerClass !== undefined)
      errors.push(forbidden("spec.loadBalancerClass", ONLY_LOAD_BALANCER));
    return errors;
  }
  if (allocate === undefined) errors.push(required("spec.allocateLoadBalancerNodePorts"));
  if (spec.loadBalancerClass !== undefined) {
    errors.push(...checkText("spec.loadBalancerClass", spec.loadBalancerClass, qualifiedName));
  }
  return errors;
}

function checkExternalTraffic(spec: ServiceSpec): readonly FieldError[] {
  const policy = spec.externalTrafficPolicy ?? "";
  const errors: FieldError[] = [];
  if (isExternallyAccessible(spec)) {
    errors.push(...checkOneOf("spec.externalTrafficPolicy", policy, ["Cluster", "Local"]));
  } else if (policy !== "") {
    errors.push(
      invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services"),
    );
  }
  const port = spec.healthCheckNodePort ?? 0;
  if (port !== 0 && !needsHealthCheckPort(spec)) {
    const text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.push(invalid("spec.healthCheckNodePort", port, text));
  } else if (port !== 0) errors.push(...checkPort("spec.healthCheckNodePort", port));
  return errors;
}

function checkInternalTraffic(spec: ServiceSpec): readonly FieldError[] {
  const policy = spec.internalTrafficPolicy;
  const field = "spec.internalTrafficPolicy";
  if (policy === undefined) return needsClusterIp(spec) ? [required(field)] : [];
  return checkOneOf(field, policy, ["Cluster", "Local"]);
}
