/** Layer control-plane. v1 Endpoints: the older form of a Service's endpoints, still what many people write by hand. */
import { AGE, NAME } from "../../registry/columns.ts";
import { duplicate, type FieldError, required } from "../../registry/field-error.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { dns1123Label, dns1123Subdomain, qualifiedName } from "../../registry/names.ts";
import { checkOneOf, checkOrdinaryIp, checkPort, checkText, PROTOCOLS } from "../common/field-checks.ts";
import { asNumber, asText, objectsIn, setDefaultValue } from "../common/json-access.ts";
import { ENDPOINTS as SCHEMA } from "./schema.ts";

/** The first three of `items`, then how many more there are. */
export function firstAndMore(items: readonly string[], separator: string): string {
  const shown = items.slice(0, 3).join(separator);
  return items.length > 3 ? `${shown} + ${items.length - 3} more...` : shown;
}

function setDefaults(object: ApiObject): void {
  for (const subset of objectsIn(object["subsets"])) {
    for (const port of objectsIn(subset["ports"])) setDefaultValue(port, "protocol", "TCP");
  }
}

function checkAddress(field: string, address: JsonObject): readonly FieldError[] {
  const { hostname, nodeName } = address;
  return [
    ...checkOrdinaryIp(`${field}.ip`, asText(address["ip"])),
    ...(typeof hostname === "string" ? checkText(`${field}.hostname`, hostname, dns1123Label) : []),
    ...(typeof nodeName === "string" ? checkText(`${field}.nodeName`, nodeName, dns1123Subdomain) : []),
  ];
}

function checkSubset(field: string, subset: JsonObject): readonly FieldError[] {
  const ready = objectsIn(subset["addresses"]);
  const notReady = objectsIn(subset["notReadyAddresses"]);
  const ports = objectsIn(subset["ports"]);
  const errors: FieldError[] = [];
  if (ready.length + notReady.length === 0) {
    errors.push(required(field, "must specify `addresses` or `notReadyAddresses`"));
  }
  ready.forEach((address, i) => {
    errors.push(...checkAddress(`${field}.addresses[${i}]`, address));
  });
  notReady.forEach((address, i) => {
    errors.push(...checkAddress(`${field}.notReadyAddresses[${i}]`, address));
  });
  const names = new Set<string>();
  ports.forEach((port, i) => {
    const at = `${field}.ports[${i}]`;
    const name = asText(port["name"]);
    if (name === "" && ports.length > 1) errors.push(required(`${at}.name`));
    else if (name !== "") errors.push(...checkText(`${at}.name`, name, dns1123Label));
    if (name !== "" && names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    errors.push(...checkPort(`${at}.port`, port["port"]));
    errors.push(...checkOneOf(`${at}.protocol`, port["protocol"], PROTOCOLS));
    const { appProtocol } = port;
    if (typeof appProtocol === "string") {
      errors.push(...checkText(`${at}.appProtocol`, appProtocol, qualifiedName));
    }
  });
  return errors;
}

/** `ip:port` of all ready addresses, by subset and port. */
function formatAddresses(object: ApiObject): string {
  const list: string[] = [];
  for (const subset of objectsIn(object["subsets"])) {
    const ips = objectsIn(subset["addresses"]).map((address) => asText(address["ip"]));
    const ports = objectsIn(subset["ports"]).map((port) => asNumber(port["port"]));
    if (ports.length === 0) list.push(...ips);
    for (const port of ports) {
      list.push(...ips.map((ip) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`)));
    }
  }
  return list.length === 0 ? "<none>" : firstAndMore(list, ",");
}

export const ENDPOINTS: Kind = {
  group: "",
  version: "v1",
  kind: "Endpoints",
  plural: "endpoints",
  singular: "endpoints",
  shortNames: ["ep"],
  namespaced: true,
  allowCreateOnUpdate: true,
  schema: SCHEMA,
  setDefaults,
  validate: (object) =>
    objectsIn(object["subsets"]).flatMap((subset, index) => checkSubset(`subsets[${index}]`, subset)),
  columns: [
    NAME,
    { name: "Endpoints", type: "string", description: "Addresses that are ready.", cell: formatAddresses },
    AGE,
  ],
};
