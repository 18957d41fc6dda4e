/**
 * Layer model. The small kinds from API JSON: Namespace (v1), Node (v1), ServiceCIDR (networking.k8s.io/v1), Pod (v1).
 * Only what agents and resolvers use is kept.
 */
import type { IpAddress } from "../ip.ts";
import type { Namespace, Node, Pod, ServiceCidr } from "../objects.ts";
import { readCidrs, readIp, readIps } from "./addresses.ts";
import {
  isItem,
  type Json,
  type Parsed,
  type Problems,
  readBoolean,
  readChoice,
  readList,
  readRecord,
  readText,
} from "./fields.ts";
import { readMeta, ZONE_LABEL } from "./meta.ts";

const PHASES: readonly Pod["phase"][] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
const MAX_ITEMS = 1000;

export function parseNamespace(json: Json, problems: Problems): Parsed<Namespace> {
  return { object: { kind: "Namespace", meta: readMeta(json, problems) }, problems: problems.list };
}

export function parseNode(json: Json, problems: Problems): Parsed<Node> {
  const spec = readRecord(json["spec"], "spec", problems);
  const status = readRecord(json["status"], "status", problems);
  const meta = readMeta(json, problems);
  const single = spec["podCIDR"];
  const ranges = spec["podCIDRs"] ?? (typeof single === "string" && single !== "" ? [single] : undefined);
  const zone = meta.labels[ZONE_LABEL];
  const taintKeys: string[] = [];
  for (const [index, taint] of readList(spec["taints"], "spec.taints", problems, MAX_ITEMS).entries()) {
    const field = `spec.taints[${index}]`;
    const key = isItem(taint, field, problems)
      ? readText(taint["key"], `${field}.key`, problems, 320)
      : undefined;
    if (key !== undefined) taintKeys.push(key);
  }
  const object: Node = {
    kind: "Node",
    meta,
    internalIPs: readInternalIps(status, problems),
    podCIDRs: readCidrs(ranges, "spec.podCIDRs", problems, 16),
    ...(zone === undefined || zone === "" ? {} : { zone }),
    taintKeys,
  };
  return { object, problems: problems.list };
}

function readInternalIps(status: Json, problems: Problems): readonly IpAddress[] {
  const addresses: IpAddress[] = [];
  for (const [index, item] of readList(
    status["addresses"],
    "status.addresses",
    problems,
    MAX_ITEMS,
  ).entries()) {
    const field = `status.addresses[${index}]`;
    if (!isItem(item, field, problems) || item["type"] !== "InternalIP") continue;
    const address = readIp(item["address"], `${field}.address`, problems);
    if (address !== undefined && !addresses.includes(address)) addresses.push(address);
  }
  return addresses;
}

export function parseServiceCidr(json: Json, problems: Problems): Parsed<ServiceCidr> {
  const spec = readRecord(json["spec"], "spec", problems);
  const cidrs = readCidrs(spec["cidrs"], "spec.cidrs", problems, 16);
  return { object: { kind: "ServiceCIDR", meta: readMeta(json, problems), cidrs }, problems: problems.list };
}

export function parsePod(json: Json, problems: Problems): Parsed<Pod> {
  const spec = readRecord(json["spec"], "spec", problems);
  const status = readRecord(json["status"], "status", problems);
  const list = readList(status["podIPs"], "status.podIPs", problems, 16);
  const ips = list.map((item) =>
    typeof item === "object" && item !== null && "ip" in item ? item.ip : item,
  );
  const single = status["podIP"];
  const phase = readChoice(status["phase"], "status.phase", problems, {
    allowed: PHASES,
    fallback: "Pending",
  });
  const nodeName = readText(spec["nodeName"], "spec.nodeName", problems);
  const hostname = readText(spec["hostname"], "spec.hostname", problems, 63);
  const subdomain = readText(spec["subdomain"], "spec.subdomain", problems, 63);
  const object: Pod = {
    kind: "Pod",
    meta: readMeta(json, problems),
    podIPs:
      ips.length > 0
        ? readIps(ips, "status.podIPs", problems, 16)
        : readIps(
            single === undefined || single === null || single === "" ? [] : [single],
            "status.podIP",
            problems,
            1,
          ),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(subdomain === undefined ? {} : { subdomain }),
    phase: phase ?? "Unknown",
    hostNetwork: readBoolean(spec["hostNetwork"], "spec.hostNetwork", problems, false),
  };
  return { object, problems: problems.list };
}
