/**
 * Layer control-plane. Checks of clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy
 * (pkg/apis/core/validation ValidateServiceClusterIPsRelatedFields and the two update rules).
 */
import { duplicate, type FieldError, invalid, notSupported, required } from "../../registry/field-error.ts";
import { checkIp } from "../common/field-checks.ts";
import { familyOf, isExternalName, isHeadless, type ServiceSpec } from "./view.ts";

const FAMILIES = ["IPv4", "IPv6"];
const POLICIES = ["PreferDualStack", "RequireDualStack", "SingleStack"];

export function checkServiceIps(spec: ServiceSpec): readonly FieldError[] {
  const ips = spec.clusterIPs ?? [];
  const errors: FieldError[] = [...checkSingular(spec, ips)];
  const familyErrors = checkFamilies(spec.ipFamilies ?? []);
  errors.push(...familyErrors);
  if (spec.ipFamilyPolicy !== undefined && !POLICIES.includes(spec.ipFamilyPolicy)) {
    errors.push(notSupported("spec.ipFamilyPolicy", spec.ipFamilyPolicy, POLICIES));
  }
  const addressErrors = checkAddresses(ips);
  errors.push(...addressErrors);
  if (ips.length > 2) errors.push(invalid("spec.clusterIPs", ips, "may only hold up to 2 values"));
  if (addressErrors.length > 0) return errors;
  if (ips.length > 1 && new Set(ips.map(familyOf)).size < ips.length) {
    errors.push(invalid("spec.clusterIPs", ips, "may specify no more than one IP for each IP family"));
  }
  if (!isHeadless(spec) && familyErrors.length === 0) {
    ips.forEach((ip, index) => {
      const want = spec.ipFamilies?.[index];
      if (want === undefined || want === familyOf(ip)) return;
      const text = `expected an ${want} value as indicated by \`ipFamilies[${index}]\``;
      errors.push(invalid(`spec.clusterIPs[${index}]`, ip, text));
    });
  }
  return errors;
}

function checkSingular(spec: ServiceSpec, ips: string[]): readonly FieldError[] {
  if ((spec.clusterIP ?? "") === "") {
    return ips.length > 0
      ? [invalid("spec.clusterIPs", ips, "must be empty when `clusterIP` is not specified")]
      : [];
  }
  if (ips.length === 0) return [required("spec.clusterIPs")];
  return ips[0] === spec.clusterIP
    ? []
    : [invalid("spec.clusterIPs", ips, "first value must match `clusterIP`")];
}

function checkFamilies(families: readonly string[]): readonly FieldError[] {
  return families.flatMap((family, index) => {
    const field = `spec.ipFamilies[${index}]`;
    if (!FAMILIES.includes(family)) return [notSupported(field, family, FAMILIES)];
    return families.indexOf(family) === index ? [] : [duplicate(field, family)];
  });
}

function checkAddresses(ips: string[]): readonly FieldError[] {
  return ips.flatMap((ip, index) => {
    if (index === 0 && ip === "None") {
      return ips.length > 1
        ? [invalid("spec.clusterIPs", ips, "'None' must be the first and only value")]
        : [];
    }
    return checkIp(`spec.clusterIPs[${index}]`, ip);
  });
}

const FIXED = "may not change once set";

/** The first address is for good; the second may come, and go with policy SingleStack. */
export function checkClusterIpsUpdate(now: ServiceSpec, before: ServiceSpec): readonly FieldError[] {
  if (isExternalName(now) || isExternalName(before)) return [];
  if (isHeadless(now) && isHeadless(before)) return [];
  const [ips, old] = [now.clusterIPs ?? [], before.clusterIPs ?? []];
  const fixed = (index: number): FieldError => invalid(`spec.clusterIPs[${index}]`, ips, FIXED);
  if (ips.length === old.length) {
    return old.flatMap((ip, index) => (ip === ips[index] ? [] : [fixed(index)]));
  }
  if (ips.length === 0) return [invalid("spec.clusterIPs[0]", ips, "primary clusterIP can not be unset")];
  const errors = old.length > 0 && ips[0] !== old[0] ? [fixed(0)] : [];
  if (ips.length < old.length && now.ipFamilyPolicy !== "SingleStack") {
    errors.push(
      invalid(
        "spec.ipFamilyPolicy",
        now.ipFamilyPolicy,
        "must be set to 'SingleStack' when releasing the secondary clusterIP",
      ),
    );
  }
  return errors;
}

/** The same for families, which headless Services may change freely. */
export function checkFamiliesUpdate(now: ServiceSpec, before: ServiceSpec): readonly FieldError[] {
  if (isExternalName(now) || isExternalName(before)) return [];
  if (isHeadless(now) && isHeadless(before)) return [];
  const [families, old] = [now.ipFamilies ?? [], before.ipFamilies ?? []];
  const fixed = (index: number): FieldError => invalid(`spec.ipFamilies[${index}]`, families, FIXED);
  if (families.length === old.length) {
    return old.flatMap((family, index) => (family === families[index] ? [] : [fixed(index)]));
  }
  // Left out by the client: the families are worked out again from the addresses.
  if (families.length === 0) return [];
  const errors = old.length > 0 && families[0] !== old[0] ? [fixed(0)] : [];
  if (families.length < old.length && now.ipFamilyPolicy !== "SingleStack") {
    errors.push(
      invalid(
        "spec.ipFamilyPolicy",
        now.ipFamilyPolicy,
        "must be set to 'SingleStack' when releasing the secondary ipFamily",
      ),
    );
  }
  return errors;
}
