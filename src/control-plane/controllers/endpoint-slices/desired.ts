/**
 * Layer control-plane. The endpoints that a Service should have, grouped as slices need them: one group for each
 * address family and set of port numbers. Pure; sorted by address within a group.
 */
import type { IpAddress } from "../../../model/ip.ts";
import { type ServiceSpec, serviceSpec } from "../../kinds/service/view.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import { addressOf, hostnameFor, type PodFacts, podFacts, targetPort } from "../common/pod-facts.ts";

export type SlicePort = { name: string; protocol: string; port: number; appProtocol?: string };

export type SliceEndpoint = {
  addresses: string[];
  conditions: { ready: boolean; serving?: boolean; terminating?: boolean };
  hostname?: string;
  targetRef?: JsonObject;
  nodeName?: string;
  zone?: string;
  hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] };
};

export interface EndpointGroup {
  readonly addressType: "IPv4" | "IPv6";
  readonly ports: readonly SlicePort[];
  /** By address. */
  readonly endpoints: ReadonlyMap<IpAddress, SliceEndpoint>;
  /** Weights other than 1, by address. */
  readonly weights: ReadonlyMap<IpAddress, number>;
}

export interface NodeFacts {
  readonly zone: string;
}

export interface DesiredEndpoints {
  /** By {@link groupKey}. */
  readonly groups: ReadonlyMap<string, EndpointGroup>;
  /** Pods left out because their Node is not known; they come back when it is. */
  readonly missingNodes: readonly string[];
}

/** What endpoints must share to be in one slice. */
export function groupKey(addressType: string, ports: readonly SlicePort[]): string {
  const texts = ports.map((port) => `${port.name}|${port.protocol}|${port.port}|${port.appProtocol ?? ""}`);
  return `${addressType} ${texts.toSorted().join(" ")}`;
}

/** @param nodeOf facts of a Node, or `undefined` when there is no such object */
export function desiredEndpoints(
  service: ApiObject,
  pods: readonly ApiObject[],
  nodeOf: (name: string) => NodeFacts | undefined,
): DesiredEndpoints {
  const spec = serviceSpec(service);
  const groups = new Map<string, MutableGroup>();
  const missingNodes: string[] = [];
  for (const pod of pods.map(podFacts)) {
    if (pod.finished || pod.ips.length === 0) continue;
    const node = pod.nodeName === "" ? undefined : nodeOf(pod.nodeName);
    if (node === undefined && pod.nodeName !== "" && spec.publishNotReadyAddresses !== true) {
      missingNodes.push(pod.nodeName);
      continue;
    }
    const ports = portsOf(spec, pod);
    for (const family of spec.ipFamilies ?? []) {
      const address = addressOf(pod, family);
      if (address === undefined) continue;
      const group = groupOf(groups, family, ports);
      // Pods on the host network can share an address: it is one endpoint, and the ready Pod speaks for it.
      if (group.endpoints.get(address)?.conditions.ready === true) continue;
      group.endpoints.set(address, endpointOf({ service, spec, pod, address, zone: node?.zone ?? "" }));
      if (pod.weight !== undefined && pod.weight !== 1) group.weights.set(address, pod.weight);
    }
  }
  return { groups, missingNodes };
}

type MutableGroup = EndpointGroup & {
  readonly endpoints: Map<IpAddress, SliceEndpoint>;
  readonly weights: Map<IpAddress, number>;
};

function groupOf(
  groups: Map<string, MutableGroup>,
  addressType: "IPv4" | "IPv6",
  ports: readonly SlicePort[],
): MutableGroup {
  const key = groupKey(addressType, ports);
  let group = groups.get(key);
  if (group === undefined) {
    group = { addressType, ports, endpoints: new Map(), weights: new Map() };
    groups.set(key, group);
  }
  return group;
}

/** Ports that the Pod has; a named one that it lacks is left out. */
function portsOf(spec: ServiceSpec, pod: PodFacts): readonly SlicePort[] {
  return (spec.ports ?? []).flatMap((port) => {
    const number = targetPort(pod, port);
    if (number === undefined) return [];
    return [
      {
        name: port.name ?? "",
        protocol: port.protocol ?? "TCP",
        port: number,
        ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
      },
    ];
  });
}

interface EndpointInput {
  readonly service: ApiObject;
  readonly spec: ServiceSpec;
  readonly pod: PodFacts;
  readonly address: IpAddress;
  readonly zone: string;
}

function endpointOf({ service, spec, pod, address, zone }: EndpointInput): SliceEndpoint {
  const hostname = hostnameFor(pod, service);
  const hints = hintsOf(spec.trafficDistribution, zone, pod.nodeName);
  return {
    addresses: [address],
    conditions: {
      ready: spec.publishNotReadyAddresses === true || (pod.ready && !pod.terminating),
      serving: pod.ready,
      terminating: pod.terminating,
    },
    ...(hostname === "" ? {} : { hostname }),
    targetRef: { kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid },
    ...(pod.nodeName === "" ? {} : { nodeName: pod.nodeName }),
    ...(zone === "" ? {} : { zone }),
    ...(hints === undefined ? {} : { hints }),
  };
}

/** Endpoints without a zone get no zone hint: consumers then ignore the hints of the whole Service (KEP-4444). */
function hintsOf(distribution: string | undefined, zone: string, nodeName: string): SliceEndpoint["hints"] {
  if (distribution === undefined) return undefined;
  const forZones = zone === "" ? undefined : [{ name: zone }];
  if (distribution !== "PreferSameNode") return forZones === undefined ? undefined : { forZones };
  const forNodes = nodeName === "" ? undefined : [{ name: nodeName }];
  if (forZones === undefined && forNodes === undefined) return undefined;
  return { ...(forZones === undefined ? {} : { forZones }), ...(forNodes === undefined ? {} : { forNodes }) };
}
