/** Random walks: random Services and EndpointSlices out of the pools. */
import type { EndpointJson, Family, PortJson, ServiceJson, SliceJson } from "./cluster.ts";
import { PROTOCOLS, SERVICE_NAME_LABEL } from "./cluster.ts";
import {
  CLUSTER_IPS,
  CREATION_TIMES,
  ENDPOINTS,
  EXTERNAL_IPS,
  HEALTH_PORTS,
  NODE,
  NODE_NAME,
  NODE_PORTS,
  OTHER_NODES,
  PORT_NAMES,
  PORTS,
  SIZES,
  SOURCE_RANGES,
  TARGET_PORTS,
  WEIGHTS,
  ZONES,
} from "./pools.ts";
import type { Random } from "./random.ts";

export function randomFamilies(random: Random): Family[] {
  return random.pick<Family[]>([["ip"], ["ip6"], ["ip", "ip6"], ["ip", "ip6"], ["ip6", "ip"]]);
}

/** Ports with different names, and each pair of protocol and number once, as the API demands. */
export function randomPorts(random: Random): PortJson[] {
  const names = random.take(PORT_NAMES, random.pick([1, 2, 2, 3]));
  const taken = new Set<string>();
  return names.flatMap((name) => {
    const protocol = random.pick([undefined, "TCP", "TCP", ...PROTOCOLS] as const);
    const port = random.pick(PORTS);
    const identity = `${protocol ?? "TCP"} ${port}`;
    if (taken.has(identity)) return [];
    taken.add(identity);
    return [
      {
        port,
        ...(name === "" && random.once(2) ? {} : { name }),
        ...(protocol === undefined ? {} : { protocol }),
        ...(random.once(3) ? {} : { nodePort: random.pick(NODE_PORTS) }),
      },
    ];
  });
}

export function randomExternalIps(random: Random): string[] {
  return random.some([...EXTERNAL_IPS.ip, ...EXTERNAL_IPS.ip6], 3);
}

export function randomIngress(random: Random): ServiceJson["ingress"] {
  return random.some([...EXTERNAL_IPS.ip, ...EXTERNAL_IPS.ip6], 3).map((ip) => {
    const kind = random.below(8);
    if (kind === 0) return { ip, ipMode: "Proxy" as const };
    if (kind === 1) return { hostname: "lb.example" };
    return kind === 2 ? { ip, ipMode: "VIP" as const } : { ip };
  });
}

/** Now and then with blanks, which are to be trimmed. */
export function randomSourceRanges(random: Random): string[] {
  const ranges = random.some([...SOURCE_RANGES.ip, ...SOURCE_RANGES.ip6], 4);
  return ranges.map((range) => (random.once(6) ? ` ${range} ` : range));
}

export function randomService(random: Random, name: string): ServiceJson {
  const [namespace = "", own = ""] = name.split("/");
  const type = random.pick([
    undefined,
    "ClusterIP",
    "NodePort",
    "LoadBalancer",
    "LoadBalancer",
    "LoadBalancer",
  ] as const);
  const clusterIPs = randomFamilies(random).map((family) => random.pick(CLUSTER_IPS[family]));
  const creationTimestamp = random.pick(CREATION_TIMES);
  const policy = () => random.pick([undefined, "Cluster", "Local"] as const);
  const [internal, external] = [policy(), policy()];
  const isBalanced = type === "LoadBalancer";
  return {
    metadata: {
      namespace,
      name: own,
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      labels: {},
    },
    spec: {
      ...(type === undefined ? {} : { type }),
      ...(clusterIPs[0] === undefined ? {} : { clusterIP: clusterIPs[0] }),
      // Objects written by hand often have the first address alone.
      ...(clusterIPs.length === 1 && random.once(4) ? {} : { clusterIPs }),
      ports: randomPorts(random),
      ...(random.once(3) ? { externalIPs: randomExternalIps(random) } : {}),
      ...(internal === undefined ? {} : { internalTrafficPolicy: internal }),
      ...(external === undefined ? {} : { externalTrafficPolicy: external }),
      ...(random.once(4) ? affinityOf(random) : {}),
      ...(isBalanced && random.once(3) ? { loadBalancerSourceRanges: randomSourceRanges(random) } : {}),
      ...(isBalanced && random.once(2) ? { healthCheckNodePort: random.pick(HEALTH_PORTS) } : {}),
    },
    ingress: isBalanced || random.once(8) ? randomIngress(random) : [],
  };
}

export function affinityOf(
  random: Random,
): Pick<ServiceJson["spec"], "sessionAffinity" | "sessionAffinityConfig"> {
  return {
    sessionAffinity: "ClientIP",
    ...(random.once(2)
      ? { sessionAffinityConfig: { clientIP: { timeoutSeconds: random.pick([10, 60, 10_800]) } } }
      : {}),
  };
}

function randomConditions(random: Random): Pick<EndpointJson, "conditions"> {
  switch (random.below(12)) {
    case 0:
      return { conditions: { ready: false, serving: true, terminating: true } };
    case 1:
      return { conditions: { ready: false, serving: false, terminating: true } };
    case 2:
      return { conditions: { ready: false } };
    case 3:
      return { conditions: { ready: false, serving: false } };
    // publishNotReadyAddresses: the controller says that a terminating endpoint is ready.
    case 4:
      return { conditions: { ready: true, serving: true, terminating: true } };
    case 5:
    case 6:
      return {};
    default:
      return { conditions: { ready: true, serving: true, terminating: false } };
  }
}

export function randomHints(random: Random): Pick<EndpointJson, "hints"> {
  const zones = () => random.take(ZONES, random.pick([1, 1, 2])).map((name) => ({ name }));
  switch (random.below(3)) {
    case 0:
      return { hints: { forZones: zones() } };
    case 1:
      return { hints: { forNodes: [{ name: random.pick([NODE_NAME, ...OTHER_NODES]) }], forZones: zones() } };
    default:
      return {};
  }
}

/** @param isHinted whether the slice's endpoints have hints, nearly all of them */
export function randomEndpoint(random: Random, address: string, isHinted: boolean): EndpointJson {
  const isOnNode = address === NODE.ip || address === NODE.ip6;
  const nodeName = isOnNode ? NODE_NAME : random.pick([NODE_NAME, NODE_NAME, ...OTHER_NODES]);
  return {
    addresses: [address],
    ...randomConditions(random),
    ...(random.once(10) && !isOnNode ? {} : { nodeName }),
    ...(isHinted && !random.once(8) ? randomHints(random) : {}),
  };
}

export function randomEndpoints(random: Random, family: Family, count: number): EndpointJson[] {
  const isHinted = random.once(3);
  return random.take(ENDPOINTS[family], count).map((address) => randomEndpoint(random, address, isHinted));
}

/** All ports that services may name, in most slices; a slice has one number for each. */
export function randomSlicePorts(random: Random): SliceJson["ports"] {
  return PORT_NAMES.flatMap((name) =>
    PROTOCOLS.map((protocol) => ({
      ...(name === "" && random.once(2) ? {} : { name }),
      ...(protocol === "TCP" && random.once(3) ? {} : { protocol }),
      ...(random.once(12) ? {} : { port: random.pick(TARGET_PORTS) }),
    })),
  ).filter(() => !random.once(10));
}

export function randomSlice(random: Random, service: string, name: string, family: Family): SliceJson {
  const [namespace = "", own = ""] = service.split("/");
  const endpoints = randomEndpoints(random, family, random.pick(SIZES));
  return {
    metadata: { namespace, name, labels: { [SERVICE_NAME_LABEL]: own } },
    addressType: family === "ip" ? "IPv4" : "IPv6",
    ports: randomSlicePorts(random),
    endpoints,
    weights: random.once(4) ? randomWeights(random, endpoints) : {},
  };
}

export function randomWeights(random: Random, endpoints: readonly EndpointJson[]): Record<string, number> {
  const isAllZero = random.once(8);
  const weights: Record<string, number> = {};
  for (const { addresses } of endpoints) {
    const [address] = addresses;
    if (address !== undefined && !random.once(5)) weights[address] = isAllZero ? 0 : random.pick(WEIGHTS);
  }
  return weights;
}
