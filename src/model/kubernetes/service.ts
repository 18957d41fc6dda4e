/**
 * Layer model. Service (v1) from API JSON. Liberal: a wrong part is left out and reported, the whole Service only
 * where its meaning would change. Source: Kubernetes API reference v1.33, kube-proxy 1.33 (pkg/proxy/serviceport.go).
 */
import type { IpAddress } from "../ip.ts";
import type { LoadBalancerIngress, Protocol, Service, ServicePort } from "../objects.ts";
import { readCidrs, readIp, readIpPerFamily, readIps } from "./addresses.ts";
import {
  isItem,
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
import { readMeta } from "./meta.ts";

export const PROTOCOLS: readonly Protocol[] = ["TCP", "UDP", "SCTP"];
const TYPES: readonly Service["type"][] = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
const POLICY = { allowed: ["Cluster", "Local"], fallback: "Cluster" } as const;
const MAX_PORTS = 1000;
const MAX_ADDRESSES = 1000;
const DEFAULT_AFFINITY_SECONDS = 10_800;

/** Parses a Service whose key is that of `problems`. */
export function parseService(json: Json, problems: Problems): Parsed<Service> {
  const spec = readRecord(json["spec"], "spec", problems);
  const type = readChoice(spec["type"], "spec.type", problems, { allowed: TYPES, fallback: "ClusterIP" });
  const internal = readChoice(spec["internalTrafficPolicy"], "spec.internalTrafficPolicy", problems, POLICY);
  const external = readChoice(spec["externalTrafficPolicy"], "spec.externalTrafficPolicy", problems, POLICY);
  const affinity = readChoice(spec["sessionAffinity"], "spec.sessionAffinity", problems, {
    allowed: ["None", "ClientIP"] as const,
    fallback: "None",
  });
  if (type === undefined || internal === undefined || external === undefined || affinity === undefined)
    return { problems: problems.list };
  const clusterIps = readClusterIps(spec, problems);
  const externalName =
    type === "ExternalName" ? readText(spec["externalName"], "spec.externalName", problems, 254) : undefined;
  if (type === "ExternalName" && externalName === undefined) {
    problems.add("MissingExternalName", "spec.externalName", "must be a host name for type ExternalName");
    return { problems: problems.list };
  }
  const object: Service = {
    kind: "Service",
    meta: readMeta(json, problems),
    type,
    ...clusterIps,
    externalIPs: readIps(spec["externalIPs"], "spec.externalIPs", problems, MAX_ADDRESSES),
    ...readLoadBalancer(json, spec, problems),
    ports: readPorts(spec, problems),
    internalTrafficPolicy: internal,
    externalTrafficPolicy: external,
    healthCheckNodePort:
      readPortOrZero(spec["healthCheckNodePort"], "spec.healthCheckNodePort", problems) ?? 0,
    sessionAffinity: affinity,
    affinityTimeoutSeconds: readAffinityTimeout(spec, problems),
    publishNotReadyAddresses: readBoolean(
      spec["publishNotReadyAddresses"],
      "spec.publishNotReadyAddresses",
      problems,
      false,
    ),
    ...(externalName === undefined ? {} : { externalName: externalName.replace(/\.$/, "") }),
  };
  return { object, problems: problems.list };
}

/** `clusterIPs`, or `clusterIP` where it is absent (objects written by hand). */
function readClusterIps(
  spec: Json,
  problems: Problems,
): { readonly headless: boolean; readonly clusterIPs: readonly IpAddress[] } {
  const list = readList(spec["clusterIPs"], "spec.clusterIPs", problems, 16);
  const single = spec["clusterIP"];
  if (single === "None" || list[0] === "None") return { headless: true, clusterIPs: [] };
  if (list.length > 0)
    return { headless: false, clusterIPs: readIpPerFamily(list, "spec.clusterIPs", problems) };
  if (single === undefined || single === null || single === "") return { headless: false, clusterIPs: [] };
  const address = readIp(single, "spec.clusterIP", problems);
  return { headless: false, clusterIPs: address === undefined ? [] : [address] };
}

function readPortOrZero(value: unknown, field: string, problems: Problems): number | undefined {
  return readInteger(value, field, problems, { min: 0, max: 65_535, fallback: 0 });
}

function readPorts(spec: Json, problems: Problems): readonly ServicePort[] {
  const ports: ServicePort[] = [];
  const seen = new Set<string>();
  for (const [index, item] of readList(spec["ports"], "spec.ports", problems, MAX_PORTS).entries()) {
    const field = `spec.ports[${index}]`;
    const port = isItem(item, field, problems) ? readPort(item, field, problems) : undefined;
    if (port === undefined) continue;
    const identity = `${port.name}/${port.protocol}`;
    if (seen.has(identity))
      problems.add(
        "DuplicatePort",
        `${field}.name`,
        `must differ from the other ${port.protocol} ports' names`,
      );
    else {
      seen.add(identity);
      ports.push(port);
    }
  }
  return ports;
}

function readPort(item: Json, field: string, problems: Problems): ServicePort | undefined {
  const port = readInteger(item["port"] ?? null, `${field}.port`, problems, {
    min: 1,
    max: 65_535,
    fallback: undefined,
  });
  if (item["port"] === undefined || item["port"] === null)
    problems.add("MissingPort", `${field}.port`, "must be an integer from 1 to 65535");
  const protocol = readChoice(item["protocol"], `${field}.protocol`, problems, {
    allowed: PROTOCOLS,
    fallback: "TCP",
  });
  const nodePort = readPortOrZero(item["nodePort"], `${field}.nodePort`, problems);
  const name = readPortName(item["name"], `${field}.name`, problems);
  if (port === undefined || protocol === undefined || name === undefined) return undefined;
  return { name, protocol, port, nodePort: nodePort ?? 0 };
}

/**
 * Load-balancer addresses and who may use them. Where ranges were given and none is usable, the addresses are left
 * out: an empty list would mean that everybody may.
 */
function readLoadBalancer(
  json: Json,
  spec: Json,
  problems: Problems,
): Pick<Service, "loadBalancerIngress" | "loadBalancerSourceRanges"> {
  const ranges = readCidrs(
    spec["loadBalancerSourceRanges"],
    "spec.loadBalancerSourceRanges",
    problems,
    MAX_ADDRESSES,
  );
  const given = spec["loadBalancerSourceRanges"];
  const wanted = Array.isArray(given) ? given.length > 0 : given !== undefined && given !== null;
  if (wanted && ranges.length === 0) {
    problems.add(
      "NoUsableRange",
      "spec.loadBalancerSourceRanges",
      "must have at least one good range; the load-balancer addresses are left out",
    );
    return { loadBalancerIngress: [], loadBalancerSourceRanges: [] };
  }
  return { loadBalancerIngress: readIngress(json, problems), loadBalancerSourceRanges: ranges };
}

function readIngress(json: Json, problems: Problems): readonly LoadBalancerIngress[] {
  const status = readRecord(json["status"], "status", problems);
  const balancer = readRecord(status["loadBalancer"], "status.loadBalancer", problems);
  const all: LoadBalancerIngress[] = [];
  const list = readList(balancer["ingress"], "status.loadBalancer.ingress", problems, MAX_ADDRESSES);
  for (const [index, item] of list.entries()) {
    const field = `status.loadBalancer.ingress[${index}]`;
    if (!isItem(item, field, problems)) continue;
    const text = readText(item["ip"], `${field}.ip`, problems);
    const ip = text === undefined ? undefined : readIp(text, `${field}.ip`, problems);
    const hostname = readText(item["hostname"], `${field}.hostname`, problems);
    const ipMode = readChoice(item["ipMode"], `${field}.ipMode`, problems, {
      allowed: ["VIP", "Proxy"] as const,
      fallback: "VIP",
    });
    if (ipMode === undefined || (ip === undefined && hostname === undefined)) continue;
    all.push({
      ipMode,
      ...(ip === undefined ? {} : { ip }),
      ...(hostname === undefined ? {} : { hostname }),
    });
  }
  return all;
}

function readAffinityTimeout(spec: Json, problems: Problems): number {
  const config = readRecord(spec["sessionAffinityConfig"], "spec.sessionAffinityConfig", problems);
  const clientIp = readRecord(config["clientIP"], "spec.sessionAffinityConfig.clientIP", problems);
  const seconds = readInteger(
    clientIp["timeoutSeconds"],
    "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
    problems,
    { min: 1, max: 86_400, fallback: DEFAULT_AFFINITY_SECONDS },
  );
  return seconds ?? DEFAULT_AFFINITY_SECONDS;
}
