/**
 * Layer control-plane. Checks that several kinds share, with the texts of upstream
 * (apimachinery util/validation/validation.go, pkg/apis/core/validation/validation.go).
 */
import { formatCidr, type IpAddress, ipFamily, ipToBytes, parseCidr, parseIp } from "../../../model/ip.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "../../registry/field-error.ts";
import type { Json } from "../../registry/json.ts";
import { sameJson } from "../../registry/json.ts";
import { labelValue, qualifiedName } from "../../registry/names.ts";
import { asNumber, asText, textMap } from "./json-access.ts";

const PORT_RANGE = "must be between 1 and 65535, inclusive";
const VALID_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const VALID_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

type Check = (value: string) => readonly string[];

/** One error for each text that `check` returns. */
export function checkText(field: string, value: string, check: Check): readonly FieldError[] {
  return check(value).map((text) => invalid(field, value, text));
}

/** An absent number counts as 0, as the Go field does. */
export function checkPort(field: string, value: Json | undefined): readonly FieldError[] {
  const port = asNumber(value);
  return Number.isInteger(port) && port >= 1 && port <= 65_535 ? [] : [invalid(field, port, PORT_RANGE)];
}

/** An IANA service name: at most 15 of a-z, 0-9 and -, with a letter (RFC 6335). */
export function portName(value: string): readonly string[] {
  const problems: string[] = [];
  if (value.length > 15) problems.push("must be no more than 15 characters");
  if (!/^[-a-z0-9]+$/.test(value)) {
    problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (!/[a-z]/.test(value)) problems.push("must contain at least one letter (a-z)");
  if (value.includes("--")) problems.push("must not contain consecutive hyphens");
  if (value.startsWith("-") || value.endsWith("-")) problems.push("must not begin or end with a hyphen");
  return problems;
}

export function checkPortOrName(field: string, value: Json | undefined): readonly FieldError[] {
  return typeof value === "string" ? checkText(field, value, portName) : checkPort(field, value);
}

/** `undefined` and "" are "required"; anything outside `allowed` is "unsupported". `allowed` is sorted for the message. */
export function checkOneOf(
  field: string,
  value: Json | undefined,
  allowed: readonly string[],
): readonly FieldError[] {
  const text = asText(value);
  if (text === "") return [required(field)];
  return allowed.includes(text) ? [] : [notSupported(field, text, allowed.toSorted())];
}

export const PROTOCOLS = ["SCTP", "TCP", "UDP"] as const;

export function checkIp(field: string, value: string): readonly FieldError[] {
  return parseIp(value) === undefined ? [invalid(field, value, VALID_IP)] : [];
}

export function checkCidr(field: string, value: string): readonly FieldError[] {
  return parseCidr(value) === undefined ? [invalid(field, value, VALID_CIDR)] : [];
}

/** A range whose host bits are zero, in canonical form. */
export function checkNetwork(field: string, value: string): readonly FieldError[] {
  const cidr = parseCidr(value);
  if (cidr === undefined) return [invalid(field, value, VALID_CIDR)];
  const canonical = formatCidr(cidr);
  return canonical === value
    ? []
    : [invalid(field, value, `must be in canonical form (${JSON.stringify(canonical)})`)];
}

/** Not unspecified, loopback, link-local or link-local multicast. */
export function checkOrdinaryIp(field: string, value: string): readonly FieldError[] {
  const ip = parseIp(value);
  if (ip === undefined) return [invalid(field, value, VALID_IP)];
  const problem = specialRange(ip);
  return problem === undefined ? [] : [invalid(field, value, problem)];
}

function specialRange(ip: IpAddress): string | undefined {
  const bytes = ipToBytes(ip);
  const [first = 0, second = 0, third = 0] = bytes;
  const v4 = ipFamily(ip) === "ip";
  const leadingZeros = bytes.slice(0, -1).every((byte) => byte === 0);
  const last = bytes.at(-1) ?? 0;
  if (leadingZeros && last === 0) return `may not be unspecified (${ip})`;
  if (v4 ? first === 127 : leadingZeros && last === 1) {
    return "may not be in the loopback range (127.0.0.0/8, ::1/128)";
  }
  if (v4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80) {
    return "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
  }
  if (v4 ? first === 224 && second === 0 && third === 0 : first === 0xff && (second & 0x0f) === 2) {
    return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
  }
  return undefined;
}

/** Keys and values of a label map or selector. */
export function checkLabels(field: string, value: Json | undefined): readonly FieldError[] {
  return Object.entries(textMap(value)).flatMap(([key, text]) => [
    ...checkText(field, key, qualifiedName),
    ...checkText(field, text, labelValue),
  ]);
}

/** `field is immutable` unless both are equal. */
export function checkUnchanged(
  field: string,
  now: Json | undefined,
  before: Json | undefined,
): readonly FieldError[] {
  return sameJson(now, before) ? [] : [invalid(field, now, "field is immutable")];
}

/** For ConfigMap and Secret: everything under `fields` is fixed once `immutable` is true. */
export function checkImmutableContent(
  now: Readonly<Record<string, Json | undefined>>,
  before: Readonly<Record<string, Json | undefined>>,
  fields: readonly string[],
): readonly FieldError[] {
  if (before["immutable"] !== true) return [];
  const text = "field is immutable when `immutable` is set";
  return [
    ...(now["immutable"] === true ? [] : [forbidden("immutable", text)]),
    ...fields.filter((name) => !sameJson(now[name], before[name])).map((name) => forbidden(name, text)),
  ];
}
