/**
 * Random walks: the packets to trace. Every frontend that the objects name, whether they get it or not, from every kind of client;
 * neighbours that must not be touched; and addresses and ports of the pools that nobody names (any more).
 */
import type { Cluster, Family, Protocol } from "./cluster.ts";
import { familyOf, PROTOCOLS } from "./cluster.ts";
import type { Packet, WalkConfig } from "./oracle.ts";
import {
  CLUSTER_IPS,
  DEVICES,
  ELSEWHERE,
  EXT,
  EXT_BLOCKED,
  EXTERNAL_IPS,
  HEALTH_PORTS,
  NODE,
  NODE_ALT,
  NODE_PORTS,
  POD,
  PORTS,
  UNALLOCATED,
} from "./pools.ts";
import type { Random } from "./random.ts";

export interface Destination {
  readonly family: Family;
  readonly address: string;
  readonly protocol: Protocol;
  readonly port: number;
}

function keyOf({ address, protocol, port }: Destination): string {
  return `${address} ${protocol} ${port}`;
}

/** What the objects name: addresses by ports, node addresses by node ports. */
function named(cluster: Cluster): Destination[] {
  const all: Destination[] = [];
  for (const { spec, ingress } of cluster.services.values()) {
    const addresses = [
      ...(spec.clusterIPs ?? []),
      ...(spec.clusterIP === undefined ? [] : [spec.clusterIP]),
      ...(spec.externalIPs ?? []),
      ...ingress.flatMap(({ ip }) => (ip === undefined ? [] : [ip])),
    ].filter((address) => address !== "None");
    for (const { protocol = "TCP", port, nodePort } of spec.ports) {
      for (const address of addresses) all.push({ family: familyOf(address), address, protocol, port });
      if (nodePort === undefined || nodePort === 0) continue;
      for (const address of [NODE.ip, NODE.ip6, NODE_ALT.ip, NODE_ALT.ip6])
        all.push({ family: familyOf(address), address, protocol, port: nodePort });
    }
  }
  return all;
}

/** All that services could have, of which few are in use at a time. */
function possible(family: Family): Destination[] {
  const at = (addresses: readonly string[], ports: readonly number[]) =>
    addresses.flatMap((address) =>
      ports.flatMap((port) =>
        PROTOCOLS.map((protocol): Destination => ({ family, address, protocol, port })),
      ),
    );
  return [
    ...at([...CLUSTER_IPS[family], ...EXTERNAL_IPS[family], UNALLOCATED[family], ELSEWHERE[family]], PORTS),
    ...at([NODE[family], NODE_ALT[family]], NODE_PORTS),
  ];
}

function neighbours(config: WalkConfig): Destination[] {
  const tcp = (address: string, port: number): Destination => ({
    family: familyOf(address),
    address,
    protocol: "TCP",
    port,
  });
  const loopback = config.mode === "iptables" ? ["127.0.0.1"] : ["127.0.0.1", "::1"];
  return [
    ...[CLUSTER_IPS.ip[0], CLUSTER_IPS.ip6[0], EXTERNAL_IPS.ip[0], EXTERNAL_IPS.ip6[0]].flatMap((address) =>
      address === undefined ? [] : [tcp(address, 79)],
    ),
    ...[NODE.ip, NODE.ip6].flatMap((address) => [
      tcp(address, 22),
      ...HEALTH_PORTS.map((port) => tcp(address, port)),
    ]),
    ...loopback.flatMap((address) => [
      tcp(address, NODE_PORTS[0]),
      tcp(address, NODE_PORTS[1]),
      tcp(address, 22),
    ]),
    tcp(UNALLOCATED.ip, 80),
    tcp(UNALLOCATED.ip6, 80),
    tcp(ELSEWHERE.ip, 80),
    tcp(ELSEWHERE.ip6, 80),
  ];
}

/**
 * @param before the cluster as it was: what it named must be gone where the new one does not name it
 * @param isAll whether everything possible is to be looked at, not a sample
 */
export function destinations(
  before: Cluster,
  now: Cluster,
  config: WalkConfig,
  how: { readonly isAll: boolean; readonly random: Random },
): readonly Destination[] {
  const rest = [...possible("ip"), ...possible("ip6")];
  const list = [
    ...named(before),
    ...named(now),
    ...neighbours(config),
    ...(how.isAll ? rest : how.random.take(rest, 20)),
  ];
  return [...new Map(list.map((one) => [keyOf(one), one])).values()];
}

/** Every kind of client. `endpoints`: addresses of pods, which meet themselves where they are led to. */
export function packetsTo(to: Destination, endpoints: readonly string[]): readonly Packet[] {
  const { family, address: destination, protocol, port } = to;
  const rest = { family, destination, protocol, port };
  const ext = { from: "ext", device: DEVICES.ext } as const;
  const isLoopback = destination === "127.0.0.1" || destination === "::1";
  const own = isLoopback ? destination : destination === NODE_ALT[family] ? NODE_ALT[family] : NODE[family];
  return [
    { from: "node", device: "", source: own, ...rest },
    { ...ext, source: EXT[family], ...rest },
    { from: "pod", device: DEVICES.pod, source: POD[family], ...rest },
    { ...ext, source: EXT_BLOCKED[family], ...rest },
    // A load balancer's packet that the node has looped back.
    ...(destination === EXTERNAL_IPS[family][0] ? [{ ...ext, source: destination, ...rest }] : []),
    ...endpoints.map((source): Packet => ({ from: "pod", device: DEVICES.endpoints, source, ...rest })),
  ];
}
