/**
 * Layer control-plane. Works out ipFamilyPolicy and ipFamilies of a Service before its addresses are allocated
 * (pkg/registry/core/service/storage/alloc.go initIPFamilyFields). In place; pure otherwise.
 */
import { type FieldError, invalid } from "../../registry/field-error.ts";
import { checkServiceIps } from "./validate-ips.ts";
import {
  familyOf,
  type IpFamilyName,
  isExternalName,
  isSelectorless,
  needsClusterIp,
  otherFamily,
  type ServiceSpec,
  sameList,
} from "./view.ts";

/**
 * @param configured families that the cluster has, its default first; never empty
 * @param before the stored spec; absent on create
 */
export function initFamilies(
  now: ServiceSpec,
  before: ServiceSpec | undefined,
  configured: readonly IpFamilyName[],
): readonly FieldError[] {
  if (isExternalName(now)) return [];
  if (isUnchangedPreferDualStack(now, before)) return [];
  const headlessSelectorless = now.clusterIP === "None" && isSelectorless(now);
  now.ipFamilyPolicy ??=
    before?.ipFamilyPolicy ?? (headlessSelectorless ? "RequireDualStack" : "SingleStack");
  const bad = checkServiceIps(now);
  if (bad.length > 0) return bad;
  const errors = [...(before === undefined ? [] : trim(now, before)), ...checkPolicy(now)];
  errors.push(...inferFamilies(now, configured));
  if (errors.length > 0) return errors;
  const defaultFamily = configured[0] ?? "IPv4";
  if (headlessSelectorless) {
    // May name families that the cluster does not have: nothing is allocated for it.
    extend(now, defaultFamily, true);
    return [];
  }
  const missing = checkConfigured(now, configured);
  if (missing.length > 0) return missing;
  extend(now, defaultFamily, configured.length === 2);
  return [];
}

/** A PreferDualStack Service is not up- or downgraded because the cluster changed; only on request. */
export function isUnchangedPreferDualStack(now: ServiceSpec, before: ServiceSpec | undefined): boolean {
  if (before === undefined || now.type !== before.type || !needsClusterIp(now)) return false;
  if (now.ipFamilyPolicy !== "PreferDualStack" || before.ipFamilyPolicy !== "PreferDualStack") return false;
  return sameList(now.clusterIPs, before.clusterIPs) && sameList(now.ipFamilies, before.ipFamilies);
}

/** Asking for SingleStack alone gives up the second address and family; naming fewer without asking is an error. */
function trim(now: ServiceSpec, before: ServiceSpec): FieldError[] {
  const [ips, families] = [now.clusterIPs ?? [], now.ipFamilies ?? []];
  if (now.ipFamilyPolicy === "SingleStack") {
    if (sameList(ips, before.clusterIPs) && ips.length > 1) now.clusterIPs = ips.slice(0, 1);
    if (sameList(families, before.ipFamilies) && families.length > 1) now.ipFamilies = families.slice(0, 1);
    return [];
  }
  const reduced = (list: readonly string[], old: readonly string[] | undefined): boolean =>
    list.length > 0 && list.length < (old ?? []).length;
  const errors: FieldError[] = [];
  const say = (what: string): void => {
    const text = `must be 'SingleStack' to release the secondary ${what}`;
    errors.push(invalid("spec.ipFamilyPolicy", now.ipFamilyPolicy, text));
  };
  if (isExternalName(before)) return [];
  if (reduced(ips, before.clusterIPs)) say("cluster IP");
  if (reduced(families, before.ipFamilies)) say("IP family");
  return errors;
}

function checkPolicy(now: ServiceSpec): FieldError[] {
  if (now.ipFamilyPolicy !== "SingleStack") return [];
  const text = (what: string): string =>
    `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`;
  const errors: FieldError[] = [];
  if ((now.clusterIPs ?? []).length === 2) {
    errors.push(invalid("spec.ipFamilyPolicy", now.ipFamilyPolicy, text("cluster IPs")));
  }
  if ((now.ipFamilies ?? []).length === 2) {
    errors.push(invalid("spec.ipFamilyPolicy", now.ipFamilyPolicy, text("IP families")));
  }
  return errors;
}

function inferFamilies(now: ServiceSpec, configured: readonly IpFamilyName[]): FieldError[] {
  const ips = now.clusterIPs ?? [];
  if (ips[0] === "None") return [];
  const families = [...(now.ipFamilies ?? [])];
  const errors: FieldError[] = [];
  ips.forEach((ip, index) => {
    if (index < families.length) return;
    const family = familyOf(ip);
    if (configured.includes(family)) families.push(family);
    else {
      errors.push(invalid(`spec.clusterIPs[${index}]`, ips, `${family} is not configured on this cluster`));
    }
  });
  if (families.length > 0) now.ipFamilies = families;
  return errors;
}

function checkConfigured(now: ServiceSpec, configured: readonly IpFamilyName[]): FieldError[] {
  const errors: FieldError[] = [];
  if (now.ipFamilyPolicy === "RequireDualStack" && configured.length < 2) {
    const text = "this cluster is not configured for dual-stack services";
    errors.push(invalid("spec.ipFamilyPolicy", now.ipFamilyPolicy, text));
  }
  (now.ipFamilies ?? []).forEach((family, index) => {
    if (configured.includes(family)) return;
    errors.push(invalid(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"));
  });
  return errors;
}

/** Fills the default family, and the second one for the dual-stack policies where `second` is possible. */
function extend(now: ServiceSpec, defaultFamily: IpFamilyName, second: boolean): void {
  const families = [...(now.ipFamilies ?? [])];
  const first = families[0] ?? defaultFamily;
  if (families.length === 0) families.push(first);
  if (families.length === 1 && second && now.ipFamilyPolicy !== "SingleStack")
    families.push(otherFamily(first));
  now.ipFamilies = families;
}
