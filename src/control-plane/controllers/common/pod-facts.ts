/**
 * Layer control-plane. What the endpoint controllers need to know of a Pod, read once an object. Pure.
 */
import { type IpAddress, ipFamily, parseIp } from "../../../model/ip.ts";
import { asNumber, asObject, asText, objectsIn } from "../../kinds/common/json-access.ts";
import type { ServicePort } from "../../kinds/service/view.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";

/** On a Pod: the weight of its endpoints, 0 to 256. Kept on slices as `nodeplane.dev/endpoint-weights`. */
export const WEIGHT_ANNOTATION = "nodeplane.dev/endpoint-weight";
const MAX_WEIGHT = 256;

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  /** In the order of the status. */
  readonly ips: readonly IpAddress[];
  readonly nodeName: string;
  /** Condition Ready is True. */
  readonly ready: boolean;
  readonly terminating: boolean;
  /** Succeeded or Failed. */
  readonly finished: boolean;
  readonly hostname: string;
  readonly subdomain: string;
  /** Milliseconds since the epoch of the last change of condition Ready; 0 when there is none. */
  readonly readyChangedMs: number;
  readonly weight: number | undefined;
  readonly namedPorts: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
}

const facts = new WeakMap<ApiObject, PodFacts>();

/** Facts of a Pod from a cache; the object must not be changed afterwards. */
export function podFacts(pod: ApiObject): PodFacts {
  const known = facts.get(pod);
  if (known !== undefined) return known;
  const read = readFacts(pod);
  facts.set(pod, read);
  return read;
}

function readFacts(pod: ApiObject): PodFacts {
  const { metadata } = pod;
  const spec = asObject(pod["spec"]);
  const status = asObject(pod["status"]);
  const ready = objectsIn(status["conditions"]).find((condition) => condition["type"] === "Ready");
  const changed = Date.parse(asText(ready?.["lastTransitionTime"]));
  const phase = asText(status["phase"]);
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    labels: metadata.labels ?? {},
    ips: readIps(status),
    nodeName: asText(spec["nodeName"]),
    ready: ready?.["status"] === "True",
    terminating: metadata.deletionTimestamp !== undefined,
    finished: phase === "Succeeded" || phase === "Failed",
    hostname: asText(spec["hostname"]),
    subdomain: asText(spec["subdomain"]),
    readyChangedMs: Number.isNaN(changed) ? 0 : changed,
    weight: readWeight(metadata.annotations?.[WEIGHT_ANNOTATION]),
    namedPorts: readNamedPorts(spec),
  };
}

function readIps(status: JsonObject): readonly IpAddress[] {
  const texts = objectsIn(status["podIPs"]).map((entry) => asText(entry["ip"]));
  const single = asText(status["podIP"]);
  const all = texts.length === 0 && single !== "" ? [single] : texts;
  return all.map(parseIp).filter((ip) => ip !== undefined);
}

/** Anything but a whole number from 0 to 256 counts as not given. */
function readWeight(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,3}$/.test(text)) return undefined;
  const weight = Number(text);
  return weight <= MAX_WEIGHT ? weight : undefined;
}

/** Of containers, and of init containers that keep running. */
function readNamedPorts(spec: JsonObject): PodFacts["namedPorts"] {
  const sidecars = objectsIn(spec["initContainers"]).filter((one) => one["restartPolicy"] === "Always");
  return [...objectsIn(spec["containers"]), ...sidecars].flatMap((container) =>
    objectsIn(container["ports"]).map((port) => ({
      name: asText(port["name"]),
      protocol: asText(port["protocol"]) || "TCP",
      port: asNumber(port["containerPort"]),
    })),
  );
}

/** The Pod's port number behind a Service's port, or `undefined` when the Pod has no port of that name. */
export function targetPort(pod: PodFacts, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target !== "string") return target === 0 ? port.port : target;
  const protocol = port.protocol ?? "TCP";
  return pod.namedPorts.find((named) => named.name === target && named.protocol === protocol)?.port;
}

/** First address of a family. */
export function addressOf(pod: PodFacts, family: "IPv4" | "IPv6"): IpAddress | undefined {
  return pod.ips.find((ip) => (ipFamily(ip) === "ip") === (family === "IPv4"));
}

/** Host name that DNS gives the endpoint under this Service; "" for none. */
export function hostnameFor(pod: PodFacts, service: ApiObject): string {
  const { name, namespace } = service.metadata;
  return pod.hostname !== "" && pod.subdomain === name && pod.namespace === namespace ? pod.hostname : "";
}

/** True when both give the same endpoints for every Service: heartbeats and the like differ, but not in this. */
export function sameFacts(a: PodFacts, b: PodFacts): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
