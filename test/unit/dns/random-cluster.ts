/** Small clusters that change at random: few names and addresses, so that services share and take them from each other. */
import type { ClusterState } from "../../../src/dns/cluster/cluster-state.ts";
import type { FeedObject } from "../../../src/model/objects.ts";
import { meta as metaOf, type ServiceFields, service } from "../../support/objects.ts";

type Random = (below: number) => number;

export const SERVICES = ["web", "db", "alias"] as const;
export const NAMESPACES = ["red", "blue"] as const;
export const ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::5", "fd00::6"] as const;

const PORTS = [
  { name: "http", protocol: "TCP", port: 80 },
  { name: "dns", protocol: "UDP", port: 53 },
  { name: "", protocol: "TCP", port: 9000 },
  { name: "http", protocol: "UDP", port: 80 },
  { name: "https", protocol: "TCP", port: 80 },
] as const;
const TARGETS = [
  "far.example",
  "Web.red.svc.cluster.local",
  "alias.BLUE.svc.Cluster.Local.",
  "db.blue.svc.cluster.local",
  "nothing.red.svc.cluster.local",
  "_http._tcp.web.red.svc.cluster.local",
  "cluster.local",
  "192.0.2.1",
] as const;

/** Numerical Recipes' generator: the seed is printed, so that a failure can be played again. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

let revision = 0n;

/** One batch of a feed. */
export function commit(cluster: ClusterState, change: () => void, snapshot = false): void {
  const batch = { revision: revision++, snapshot, origin: "live", changedAtMs: 0 } as const;
  cluster.begin(batch);
  change();
  cluster.commit(batch);
}

/** One object comes, changes or goes. */
export function changeCluster(cluster: ClusterState, random: Random): void {
  const [name, namespace] = [pick(SERVICES, random), pick(NAMESPACES, random)];
  switch (random(8)) {
    case 0:
    case 1:
    case 2:
      cluster.upsert(randomService(namespace, name, random));
      break;
    case 3:
    case 4:
    case 5:
      cluster.upsert(randomSlice(namespace, name, random));
      break;
    case 6:
      cluster.remove(
        random(2) === 0
          ? { kind: "Service", namespace, name }
          : { kind: "EndpointSlice", namespace, name: `${name}-${random(2)}` },
      );
      break;
    default: {
      if (random(3) === 0) cluster.remove({ kind: "Namespace", namespace: "", name: namespace });
      const labels = random(2) === 0 ? { tier: "front" } : {};
      const meta = { ...metaOf("", namespace), labels };
      if (random(3) > 0) cluster.upsert({ kind: "Namespace", meta } as FeedObject);
    }
  }
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[random(list.length)] as T;
}

function some<T>(list: readonly T[], random: Random): T[] {
  return list.filter(() => random(2) === 0);
}

function labelsOf(random: Random): Readonly<Record<string, string>> {
  return random(4) === 0 ? { kept: "no" } : { kept: "yes" };
}

function randomService(namespace: string, name: string, random: Random): FeedObject {
  const labels = labelsOf(random);
  const ports = some(PORTS, random).map((port) => ({ ...port, nodePort: 0 }));
  const made = (fields: ServiceFields): FeedObject => ({
    ...service(`${namespace}/${name}`, { clusterIPs: [], ports, ...fields }),
    meta: { ...metaOf(namespace, name), labels },
  });
  switch (random(4)) {
    case 0:
      return made({ headless: true });
    case 1:
      return made({ type: "ExternalName", externalName: pick(TARGETS, random) });
    default:
      return made({ clusterIPs: [`10.96.7.${1 + random(2)}`, ...(random(3) === 0 ? ["fd00::9"] : [])] });
  }
}

function randomSlice(namespace: string, name: string, random: Random): FeedObject {
  return {
    kind: "EndpointSlice",
    meta: { ...metaOf(namespace, `${name}-${random(2)}`), labels: labelsOf(random) },
    serviceName: name,
    addressType: "IPv4",
    ports: some(PORTS, random),
    endpoints: some(ADDRESSES, random).map((address, i) => ({
      addresses: [address],
      ready: random(5) > 0,
      serving: true,
      terminating: false,
      ...(random(3) === 0 ? { hostname: pick(["zero", "one", "Zero"], random) } : {}),
      ...(random(2) === 0 ? { targetPod: `${namespace}/pod-${i}` } : {}),
      ...(random(2) === 0 ? { zone: pick(["a", "b"], random) } : {}),
    })),
  } as unknown as FeedObject;
}
