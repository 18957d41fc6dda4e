/** Layer control-plane. What must not change in a Service, and the check of its status. */
import { type FieldError, forbidden, invalid, notSupported, required } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import { dns1123Subdomain } from "../../registry/names.ts";
import { checkIp, checkText } from "../common/field-checks.ts";
import { asText } from "../common/json-access.ts";
import { checkClusterIpsUpdate, checkFamiliesUpdate } from "./validate-ips.ts";
import { isLoadBalancer, loadBalancerIngress, needsHealthCheckPort, serviceSpec } from "./view.ts";

export function validateServiceUpdate(service: ApiObject, old: ApiObject): readonly FieldError[] {
  const [now, before] = [serviceSpec(service), serviceSpec(old)];
  const errors = [...checkClusterIpsUpdate(now, before), ...checkFamiliesUpdate(now, before)];
  if (isLoadBalancer(now) && isLoadBalancer(before) && now.loadBalancerClass !== before.loadBalancerClass) {
    errors.push(invalid("spec.loadBalancerClass", now.loadBalancerClass, "may not change once set"));
  }
  if (
    needsHealthCheckPort(now) &&
    needsHealthCheckPort(before) &&
    now.healthCheckNodePort !== before.healthCheckNodePort
  ) {
    errors.push(forbidden("spec.healthCheckNodePort", "field is immutable"));
  }
  return errors;
}

const IP_MODES = ["Proxy", "VIP"];

export function validateServiceStatus(service: ApiObject): readonly FieldError[] {
  const ingress = loadBalancerIngress(service);
  if (ingress.length > 0 && !isLoadBalancer(serviceSpec(service))) {
    return [forbidden("status.loadBalancer.ingress", 'may only be used when `spec.type` is "LoadBalancer"')];
  }
  return ingress.flatMap((entry, index) => {
    const field = `status.loadBalancer.ingress[${index}]`;
    const [ip, hostname, mode] = [asText(entry["ip"]), asText(entry["hostname"]), asText(entry["ipMode"])];
    const errors: FieldError[] = [];
    if (ip !== "") errors.push(...checkIp(`${field}.ip`, ip));
    if (ip !== "" && mode === "")
      errors.push(required(`${field}.ipMode`, "must be specified when `ip` is set"));
    if (ip === "" && mode !== "") {
      errors.push(forbidden(`${field}.ipMode`, "may not be specified when `ip` is not set"));
    } else if (mode !== "" && !IP_MODES.includes(mode)) {
      errors.push(notSupported(`${field}.ipMode`, mode, IP_MODES));
    }
    if (hostname !== "") {
      errors.push(...checkText(`${field}.hostname`, hostname, dns1123Subdomain));
      if (checkIp("", hostname).length === 0) {
        errors.push(invalid(`${field}.hostname`, hostname, "must be a DNS name, not an IP address"));
      }
    }
    return errors;
  });
}
