/**
 * Layer model. EndpointSlice (discovery.k8s.io/v1) from API JSON, with the weights of nodeplane's annotation.
 * Defaults as the API has them: ready and serving absent mean true, terminating absent means false.
 */
import { ipFamily } from "../ip.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "../objects.ts";
import { readIps } from "./addresses.ts";
import {
  isItem,
  isRecord,
  type Json,
  type Parsed,
  type Problems,
  readBoolean,
  readChoice,
  readInteger,
  readList,
  readPortName,
  readRecord,
  readText,
} from "./fields.ts";
import { readMeta, SERVICE_NAME_LABEL } from "./meta.ts";
import { PROTOCOLS } from "./service.ts";
import { readWeights, type Weights } from "./weights.ts";

/** Ten times what the API server accepts: more in one object is an accident. */
const MAX_ENDPOINTS = 10_000;
const MAX_PORTS = 1000;
const MAX_ADDRESSES = 100;
const MAX_HINTS = 64;

/** Parses an EndpointSlice whose key is that of `problems`. */
export function parseEndpointSlice(json: Json, problems: Problems): Parsed<EndpointSlice> {
  const meta = readMeta(json, problems);
  const serviceName = meta.labels[SERVICE_NAME_LABEL] ?? "";
  if (serviceName === "") {
    const field = `metadata.labels[${SERVICE_NAME_LABEL}]`;
    problems.add("MissingServiceName", field, "must name the Service of this slice");
    return { problems: problems.list };
  }
  const addressType = json["addressType"];
  if (addressType !== "IPv4" && addressType !== "IPv6") {
    problems.add("UnsupportedAddressType", "addressType", `must be "IPv4" or "IPv6"`);
    return { problems: problems.list };
  }
  const weights = readWeights(meta.annotations, problems);
  const endpoints: Endpoint[] = [];
  for (const [index, item] of readList(json["endpoints"], "endpoints", problems, MAX_ENDPOINTS).entries()) {
    const field = `endpoints[${index}]`;
    if (!isItem(item, field, problems)) continue;
    const endpoint = readEndpoint(item, field, { addressType, weights, namespace: meta.namespace }, problems);
    if (endpoint !== undefined) endpoints.push(endpoint);
  }
  const ports = readEndpointPorts(json["ports"], "ports", problems);
  return {
    object: { kind: "EndpointSlice", meta, serviceName, addressType, ports, endpoints },
    problems: problems.list,
  };
}

/** Ports of a slice or of a subset of Endpoints. */
export function readEndpointPorts(value: unknown, path: string, problems: Problems): readonly EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const [index, item] of readList(value, path, problems, MAX_PORTS).entries()) {
    const field = `${path}[${index}]`;
    if (!isItem(item, field, problems)) continue;
    const protocol = readChoice(item["protocol"], `${field}.protocol`, problems, {
      allowed: PROTOCOLS,
      fallback: "TCP",
    });
    const given = item["port"] ?? 0;
    const port = readInteger(given, `${field}.port`, problems, { min: 1, max: 65_535, fallback: undefined });
    const name = readPortName(item["name"], `${field}.name`, problems);
    if (protocol === undefined || port === undefined || name === undefined) continue;
    const appProtocol = readText(item["appProtocol"], `${field}.appProtocol`, problems);
    ports.push({
      name,
      protocol,
      port,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    });
  }
  return ports;
}

interface SliceContext {
  readonly addressType: "IPv4" | "IPv6";
  readonly weights: Weights;
  readonly namespace: string;
}

function readEndpoint(
  item: Json,
  field: string,
  slice: SliceContext,
  problems: Problems,
): Endpoint | undefined {
  const family = slice.addressType === "IPv4" ? "ip" : "ip6";
  const all = readIps(item["addresses"], `${field}.addresses`, problems, MAX_ADDRESSES);
  const addresses = all.filter((address) => ipFamily(address) === family);
  if (addresses.length < all.length)
    problems.add("WrongFamily", `${field}.addresses`, `must be ${slice.addressType} as addressType says`);
  const first = addresses[0];
  if (first === undefined) {
    if (all.length === 0 && !Array.isArray(item["addresses"]))
      problems.add("MissingAddress", `${field}.addresses`, "must have at least one address");
    return undefined;
  }
  const conditions = readRecord(item["conditions"], `${field}.conditions`, problems);
  const flag = (name: string, fallback: boolean) =>
    readBoolean(conditions[name], `${field}.conditions.${name}`, problems, fallback);
  const weight = slice.weights.get(first);
  return {
    addresses,
    ready: flag("ready", true),
    serving: flag("serving", true),
    terminating: flag("terminating", false),
    ...readPlace(item, field, problems),
    ...readHints(item, field, problems),
    ...(weight === undefined ? {} : { weight }),
    ...readTarget(item["targetRef"], slice.namespace),
  };
}

function readPlace(
  item: Json,
  field: string,
  problems: Problems,
): Pick<Endpoint, "hostname" | "nodeName" | "zone"> {
  const hostname = readText(item["hostname"], `${field}.hostname`, problems);
  const nodeName = readText(item["nodeName"], `${field}.nodeName`, problems);
  const zone = readText(item["zone"], `${field}.zone`, problems);
  return {
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
  };
}

function readHints(item: Json, field: string, problems: Problems): Pick<Endpoint, "hintZones" | "hintNodes"> {
  if (item["hints"] === undefined || item["hints"] === null) return {};
  const hints = readRecord(item["hints"], `${field}.hints`, problems);
  const names = (list: string): readonly string[] =>
    readList(hints[list], `${field}.hints.${list}`, problems, MAX_HINTS).flatMap((hint, index) => {
      const path = `${field}.hints.${list}[${index}]`;
      const name = isItem(hint, path, problems)
        ? readText(hint["name"], `${path}.name`, problems)
        : undefined;
      return name === undefined ? [] : [name];
    });
  const hintZones = names("forZones");
  const hintNodes = names("forNodes");
  return {
    ...(hintZones.length === 0 ? {} : { hintZones }),
    ...(hintNodes.length === 0 ? {} : { hintNodes }),
  };
}

/** `namespace/name` of a Pod reference; other kinds of target are of no use here. */
export function readTarget(value: unknown, namespace: string): Pick<Endpoint, "targetPod"> {
  if (!isRecord(value) || value["kind"] !== "Pod") return {};
  const name = value["name"];
  if (typeof name !== "string" || name === "" || name.length > 253) return {};
  const given = value["namespace"];
  const space = typeof given === "string" && given !== "" && given.length <= 253 ? given : namespace;
  return { targetPod: `${space}/${name}` };
}
