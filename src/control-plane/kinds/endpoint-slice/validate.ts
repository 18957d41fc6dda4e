/** Layer control-plane. Validation of EndpointSlice (pkg/apis/discovery/validation/validation.go). */
import { duplicate, type FieldError, invalid, required, tooMany } from "../../registry/field-error.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from "../../registry/names.ts";
import { checkOneOf, checkOrdinaryIp, checkPort, checkText, PROTOCOLS } from "../common/field-checks.ts";
import { asObject, asText, objectsIn, textsIn } from "../common/json-access.ts";

export const MAX_ENDPOINTS = 1000;
export const MAX_PORTS = 100;
const MAX_ADDRESSES = 100;
const MAX_ZONE_HINTS = 8;
const ADDRESS_TYPES = ["FQDN", "IPv4", "IPv6"];

/** All checks of one slice; metadata is checked elsewhere. */
export function validateEndpointSlice(object: ApiObject): readonly FieldError[] {
  const addressType = asText(object["addressType"]);
  const endpoints = objectsIn(object["endpoints"]);
  const ports = objectsIn(object["ports"]);
  return [
    ...checkOneOf("addressType", addressType, ADDRESS_TYPES),
    ...(endpoints.length > MAX_ENDPOINTS
      ? [tooMany("endpoints", endpoints.length, MAX_ENDPOINTS)]
      : endpoints.flatMap((endpoint, index) => checkEndpoint(`endpoints[${index}]`, endpoint, addressType))),
    ...(ports.length > MAX_PORTS ? [tooMany("ports", ports.length, MAX_PORTS)] : checkPorts(ports)),
  ];
}

function checkEndpoint(field: string, endpoint: JsonObject, addressType: string): readonly FieldError[] {
  const addresses = textsIn(endpoint["addresses"]);
  const errors: FieldError[] = [];
  if (addresses.length === 0) {
    errors.push(required(`${field}.addresses`, "must contain at least 1 address"));
  } else if (addresses.length > MAX_ADDRESSES) {
    errors.push(tooMany(`${field}.addresses`, addresses.length, MAX_ADDRESSES));
  }
  addresses.forEach((address, index) => {
    errors.push(...checkAddress(`${field}.addresses[${index}]`, address, addressType));
  });
  const { hostname, nodeName, zone } = endpoint;
  if (typeof nodeName === "string")
    errors.push(...checkText(`${field}.nodeName`, nodeName, dns1123Subdomain));
  if (typeof zone === "string") errors.push(...checkText(`${field}.zone`, zone, labelValue));
  if (typeof hostname === "string") errors.push(...checkText(`${field}.hostname`, hostname, dns1123Label));
  errors.push(...checkHints(`${field}.hints`, asObject(endpoint["hints"])));
  return errors;
}

function checkAddress(field: string, address: string, addressType: string): readonly FieldError[] {
  switch (addressType) {
    case "IPv4":
      return address.includes(":")
        ? [invalid(field, address, "must be a valid IPv4 address")]
        : checkOrdinaryIp(field, address);
    case "IPv6":
      return address.includes(":")
        ? checkOrdinaryIp(field, address)
        : [invalid(field, address, "must be a valid IPv6 address")];
    case "FQDN":
      return checkText(field, address, dns1123Subdomain);
    default:
      return [];
  }
}

function checkHints(field: string, hints: JsonObject): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const list of ["forZones", "forNodes"]) {
    const names = objectsIn(hints[list]).map((hint) => asText(hint["name"]));
    if (names.length > MAX_ZONE_HINTS) {
      errors.push(tooMany(`${field}.${list}`, names.length, MAX_ZONE_HINTS));
      continue;
    }
    names.forEach((name, index) => {
      const at = `${field}.${list}[${index}].name`;
      if (names.indexOf(name) !== index) errors.push(duplicate(at, name));
      else if (name === "") errors.push(required(at));
      else errors.push(...checkText(at, name, list === "forZones" ? labelValue : dns1123Subdomain));
    });
  }
  return errors;
}

function checkPorts(ports: readonly JsonObject[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  ports.forEach((port, index) => {
    const field = `ports[${index}]`;
    const name = asText(port["name"]);
    if (name !== "") errors.push(...checkText(`${field}.name`, name, dns1123Label));
    if (seen.has(name)) errors.push(duplicate(`${field}.name`, name));
    seen.add(name);
    errors.push(...checkOneOf(`${field}.protocol`, port["protocol"], PROTOCOLS));
    if (port["port"] !== undefined) errors.push(...checkPort(`${field}.port`, port["port"]));
    const { appProtocol } = port;
    if (typeof appProtocol === "string") {
      errors.push(...checkText(`${field}.appProtocol`, appProtocol, qualifiedName));
    }
  });
  return errors;
}
