/**
 * Random walks: what happens to a cluster in one step. Each change edits the cluster in place and says in one line what it did.
 * Collisions are made on purpose: services take each other's addresses and node ports, swap them, lose and regain endpoints.
 */
import type { Change, Cluster, ServiceJson } from "./cluster.ts";
import { nameOf, SERVICE_NAME_LABEL } from "./cluster.ts";
import {
  affinityOf,
  randomExternalIps,
  randomIngress,
  randomPorts,
  randomService,
  randomSourceRanges,
} from "./generator.ts";
import { CREATION_TIMES, HEALTH_PORTS, NODE_PORTS, SERVICE_CIDRS, SERVICE_NAMES, ZONES } from "./pools.ts";
import type { Random } from "./random.ts";
import {
  addSlice,
  changeEndpoints,
  changeOneEndpoint,
  changeSlicePorts,
  changeState,
  changeTopology,
  changeWeights,
  createSlice,
  deleteSlice,
  duplicateEndpoint,
  moveSlice,
} from "./slice-changes.ts";

/** Fewer would seldom want the same. */
const FEWEST_SERVICES = 9;

function anyService(cluster: Cluster, random: Random): ServiceJson | undefined {
  return cluster.services.size === 0 ? undefined : random.pick([...cluster.services.values()]);
}

/** One change of one service. */
function onService(what: string, edit: (service: ServiceJson, random: Random) => unknown): Change {
  return (cluster, random) => {
    const service = anyService(cluster, random);
    if (service === undefined) return undefined;
    const result = edit(service, random);
    return `${what} of ${nameOf(service)}: ${JSON.stringify(result ?? null)}`;
  };
}

export const createService: Change = (cluster, random) => {
  const free = SERVICE_NAMES.filter((one) => !cluster.services.has(one));
  const name = random.pick(free.length === 0 || random.once(4) ? SERVICE_NAMES : free);
  const had = cluster.services.has(name) ? "replace" : "create";
  const service = randomService(random, name);
  cluster.services.set(name, service);
  const slices = (["ip", "ip6"] as const).flatMap((family) =>
    random.once(5) ? [] : [addSlice(cluster, random, name, family)],
  );
  return `${had} service ${name} ${JSON.stringify(service.spec)} with ${slices.join(", ") || "no slices"}`;
};

const deleteService: Change = (cluster, random) => {
  const service = anyService(cluster, random);
  if (service === undefined || cluster.services.size < FEWEST_SERVICES) return undefined;
  const name = nameOf(service);
  cluster.services.delete(name);
  // The controller deletes the slices a little later.
  if (random.once(2)) return `delete service ${name}, slices stay`;
  const prefix = service.metadata.name;
  for (const [key, slice] of cluster.slices)
    if (slice.metadata.labels[SERVICE_NAME_LABEL] === prefix && key.startsWith(`${name.split("/")[0]}/`))
      cluster.slices.delete(key);
  return `delete service ${name} and its slices`;
};

/** Another service's addresses or node port, on top of that service. */
const steal: Change = (cluster, random) => {
  const [thief, victim] = random.take([...cluster.services.values()], 2);
  if (thief === undefined || victim === undefined) return undefined;
  // The same address alone is no collision: it takes the same port as well.
  if (!random.once(3)) thief.spec.ports = structuredClone(victim.spec.ports);
  const who = `${nameOf(thief)} takes from ${nameOf(victim)} ${portsText(thief)} and`;
  switch (random.below(4)) {
    case 0: {
      const { clusterIP, clusterIPs } = victim.spec;
      if (clusterIP === undefined) return undefined;
      thief.spec.clusterIP = clusterIP;
      thief.spec.clusterIPs = clusterIPs ?? [clusterIP];
      return `${who} cluster addresses ${thief.spec.clusterIPs.join(", ")}`;
    }
    case 1: {
      const from = victim.ingress.flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
      const addresses = [...(victim.spec.externalIPs ?? []), ...from, ...(victim.spec.clusterIPs ?? [])];
      thief.spec.externalIPs = [...new Set(addresses)];
      return `${who} external addresses ${addresses.join(", ")}`;
    }
    case 2: {
      thief.ingress = structuredClone(victim.ingress);
      return `${who} load-balancer addresses`;
    }
    default:
      return `${who} no address`;
  }
};

function portsText({ spec }: ServiceJson): string {
  return spec.ports
    .map(({ protocol = "TCP", port, nodePort = 0 }) => `${protocol}/${port}/${nodePort}`)
    .join(" ");
}

/** Both in one batch: each gains what the other loses. */
const swap: Change = (cluster, random) => {
  const [a, b] = random.take([...cluster.services.values()], 2);
  if (a === undefined || b === undefined) return undefined;
  const [specA, specB] = [structuredClone(a.spec), structuredClone(b.spec)];
  const who = `${nameOf(a)} and ${nameOf(b)} swap`;
  switch (random.below(3)) {
    case 0:
      for (const [mine, other] of [
        [a, specB],
        [b, specA],
      ] as const) {
        delete mine.spec.clusterIP;
        delete mine.spec.clusterIPs;
        if (other.clusterIP !== undefined) mine.spec.clusterIP = other.clusterIP;
        if (other.clusterIPs !== undefined) mine.spec.clusterIPs = other.clusterIPs;
      }
      return `${who} cluster addresses`;
    case 1:
      a.spec.externalIPs = specB.externalIPs ?? [];
      b.spec.externalIPs = specA.externalIPs ?? [];
      return `${who} external addresses`;
    default:
      a.spec.ports = specB.ports;
      b.spec.ports = specA.ports;
      return `${who} ports`;
  }
};

const CHANGES: readonly (readonly [weight: number, change: Change])[] = [
  [5, createService],
  [4, deleteService],
  [5, createSlice],
  [4, deleteSlice],
  [9, steal],
  [6, swap],
  [5, moveSlice],
  [6, duplicateEndpoint],
  [4, onService("ports", (service, random) => (service.spec.ports = randomPorts(random)))],
  [4, onService("external addresses", (one, random) => (one.spec.externalIPs = randomExternalIps(random)))],
  [4, onService("load-balancer addresses", (service, random) => (service.ingress = randomIngress(random)))],
  [4, onService("age", setAge)],
  [6, onService("internalTrafficPolicy", (s, random) => (s.spec.internalTrafficPolicy = policy(random)))],
  [6, onService("externalTrafficPolicy", (s, random) => (s.spec.externalTrafficPolicy = policy(random)))],
  [5, onService("session affinity", setAffinity)],
  [
    5,
    onService(
      "source ranges",
      (service, random) => (service.spec.loadBalancerSourceRanges = randomSourceRanges(random)),
    ),
  ],
  [4, onService("node ports", setNodePorts)],
  [
    3,
    onService("type", (s, random) => (s.spec.type = random.pick(["ClusterIP", "NodePort", "LoadBalancer"]))),
  ],
  [
    2,
    onService("health check port", (s, random) => (s.spec.healthCheckNodePort = random.pick(HEALTH_PORTS))),
  ],
  [3, onService("who proxies it", setProxy)],
  [4, giveBack],
  [8, changeEndpoints],
  [8, changeState],
  [4, changeTopology],
  [4, changeWeights],
  [3, changeSlicePorts],
  [8, changeOneEndpoint],
  [2, setZone],
  [1, setServiceCidrs],
];

function policy(random: Random): "Cluster" | "Local" {
  return random.pick(["Cluster", "Local"]);
}

function setAge(service: ServiceJson, random: Random): unknown {
  const time = random.pick(CREATION_TIMES);
  if (time === undefined) delete service.metadata.creationTimestamp;
  else service.metadata.creationTimestamp = time;
  return time ?? "unknown";
}

function setAffinity(service: ServiceJson, random: Random): unknown {
  const has = service.spec.sessionAffinity === "ClientIP" && random.once(2);
  Object.assign(service.spec, has ? { sessionAffinity: "None" } : affinityOf(random));
  return service.spec.sessionAffinity;
}

function setNodePorts(service: ServiceJson, random: Random): unknown {
  for (const port of service.spec.ports) port.nodePort = random.once(4) ? 0 : random.pick(NODE_PORTS);
  return service.spec.ports.map((port) => port.nodePort);
}

function isOthers({ spec, metadata }: ServiceJson): boolean {
  return spec.type === "ExternalName" || spec.clusterIP === "None" || Object.keys(metadata.labels).length > 0;
}

/** A service that was taken out of our hands comes back. */
function giveBack(cluster: Cluster, random: Random): string | undefined {
  const others = [...cluster.services.values()].filter(isOthers);
  if (others.length === 0) return undefined;
  const service = random.pick(others);
  const { spec, metadata } = service;
  metadata.labels = {};
  if (spec.type === "ExternalName") spec.type = "ClusterIP";
  if (spec.clusterIP === "None") delete spec.clusterIP;
  return `${nameOf(service)} comes back to us`;
}

/** Labels, headless and ExternalName take a service out of our hands. */
function setProxy(service: ServiceJson, random: Random): unknown {
  const { spec, metadata } = service;
  switch (random.below(4)) {
    case 0:
      metadata.labels = { "service.kubernetes.io/service-proxy-name": random.pick(["", "another"]) };
      return "another proxy";
    case 1:
      metadata.labels = { "service.kubernetes.io/headless": "" };
      return "nobody: headless label";
    case 2:
      spec.type = "ExternalName";
      spec.externalName = "elsewhere.example";
      return "nobody: ExternalName";
    default:
      spec.clusterIP = "None";
      return "nobody: headless";
  }
}

function setZone(cluster: Cluster, random: Random): string {
  delete cluster.zone;
  const zone = random.pick([undefined, ...ZONES]);
  if (zone !== undefined) cluster.zone = zone;
  return `zone of the node: ${zone ?? "none"}`;
}

function setServiceCidrs(cluster: Cluster, random: Random): string {
  cluster.serviceCidrs = [...random.pick(SERVICE_CIDRS)];
  return `ServiceCIDRs ${cluster.serviceCidrs.join(", ")}`;
}

/** One random change. */
export function changeSomething(cluster: Cluster, random: Random): string {
  const total = CHANGES.reduce((sum, [weight]) => sum + weight, 0);
  for (;;) {
    let at = random.below(total);
    for (const [weight, change] of CHANGES) {
      at -= weight;
      if (at >= 0) continue;
      const done = change(cluster, random);
      if (done !== undefined) return done;
      break;
    }
  }
}
