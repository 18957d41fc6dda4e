/**
 * Layer control-plane. The subsets of an Endpoints object from a Service and its Pods (endpoints_controller.go,
 * RepackSubsets). Pure; canonical: ports sorted, addresses sorted, equal port sets merged.
 */
import { compareIp, type IpAddress, parseIp } from "../../../model/ip.ts";
import { serviceSpec } from "../../kinds/service/view.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import { addressOf, hostnameFor, type PodFacts, podFacts, targetPort } from "../common/pod-facts.ts";

/** Addresses of one Endpoints object; more are cut off (annotation over-capacity). */
export const MAX_ADDRESSES = 1_000;

interface Subset {
  readonly ports: JsonObject[];
  readonly addresses: Map<string, JsonObject>;
  readonly notReadyAddresses: Map<string, JsonObject>;
}

export interface Subsets {
  readonly subsets: JsonObject[];
  readonly truncated: boolean;
}

export function endpointSubsets(service: ApiObject, pods: readonly ApiObject[]): Subsets {
  const spec = serviceSpec(service);
  const publishAll = spec.publishNotReadyAddresses === true;
  const family = spec.ipFamilies?.[0] ?? "IPv4";
  const bySet = new Map<string, Subset>();
  for (const pod of pods.map(podFacts)) {
    const address = addressOf(pod, family);
    if (address === undefined || pod.finished || (pod.terminating && !publishAll)) continue;
    const entry = toAddress(pod, address, service);
    const ready = pod.ready || publishAll;
    const ports = (spec.ports ?? []).flatMap((port) => {
      const number = targetPort(pod, port);
      if (number === undefined) return [];
      return [
        {
          ...((port.name ?? "") === "" ? {} : { name: port.name }),
          port: number,
          protocol: port.protocol ?? "TCP",
          ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
        },
      ];
    });
    if (ports.length === 0 && (spec.ports ?? []).length > 0) continue;
    addTo(bySet, ports, address, { entry, ready });
  }
  return truncate([...bySet.values()]);
}

function addTo(
  bySet: Map<string, Subset>,
  ports: JsonObject[],
  address: string,
  { entry, ready }: { entry: JsonObject; ready: boolean },
): void {
  const sorted = ports.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const key = JSON.stringify(sorted);
  let subset = bySet.get(key);
  if (subset === undefined) {
    subset = { ports: sorted, addresses: new Map(), notReadyAddresses: new Map() };
    bySet.set(key, subset);
  }
  // One address stands once: ready wins.
  if (ready) {
    subset.addresses.set(address, subset.addresses.get(address) ?? entry);
    subset.notReadyAddresses.delete(address);
  } else if (!subset.addresses.has(address)) subset.notReadyAddresses.set(address, entry);
}

function toAddress(pod: PodFacts, ip: IpAddress, service: ApiObject): JsonObject {
  const hostname = hostnameFor(pod, service);
  return {
    ip,
    ...(hostname === "" ? {} : { hostname }),
    ...(pod.nodeName === "" ? {} : { nodeName: pod.nodeName }),
    targetRef: { kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid },
  };
}

function byIp(addresses: ReadonlyMap<string, JsonObject>): JsonObject[] {
  return [...addresses]
    .toSorted(([a], [b]) => {
      const [left, right] = [parseIp(a), parseIp(b)];
      return left === undefined || right === undefined ? 0 : compareIp(left, right);
    })
    .map(([, entry]) => entry);
}

/** Ready addresses first, each subset getting its share; sorted by ports for a stable order. */
function truncate(sets: readonly Subset[]): Subsets {
  const total = sets.reduce(
    (sum, { addresses, notReadyAddresses }) => sum + addresses.size + notReadyAddresses.size,
    0,
  );
  const ready = sets.reduce((sum, { addresses }) => sum + addresses.size, 0);
  const share = (room: number, of: number): number => (of === 0 ? 0 : Math.min(1, room / of));
  const readyShare = share(MAX_ADDRESSES, ready);
  const restShare = share(Math.max(0, MAX_ADDRESSES - ready), total - ready);
  const subsets = sets
    .toSorted((a, b) => (JSON.stringify(a.ports) < JSON.stringify(b.ports) ? -1 : 1))
    .map(({ ports, addresses, notReadyAddresses }) => {
      const good = byIp(addresses).slice(0, Math.floor(addresses.size * readyShare));
      const bad = byIp(notReadyAddresses).slice(0, Math.floor(notReadyAddresses.size * restShare));
      return {
        ...(good.length === 0 ? {} : { addresses: good }),
        ...(bad.length === 0 ? {} : { notReadyAddresses: bad }),
        ...(ports.length === 0 ? {} : { ports }),
      };
    })
    .filter((subset) => "addresses" in subset || "notReadyAddresses" in subset);
  return { subsets, truncated: total > MAX_ADDRESSES };
}
