/** Packet cases: a fixture as the Kubernetes objects that the agent reads from its objects folder, one a line. */
import { ipFamily, parseIp } from "../../src/model/ip.ts";
import { WEIGHTS_ANNOTATION } from "../../src/model/kubernetes/meta.ts";
import type { FixtureEndpoint, FixtureService, Topology } from "./case-file.ts";

type Json = Readonly<Record<string, unknown>>;

function isV6(address: string): boolean {
  const parsed = parseIp(address);
  return parsed !== undefined && ipFamily(parsed) === "ip6";
}

function metadata(namespace: string, name: string, labels: Readonly<Record<string, string>> = {}): Json {
  const uid = `00000000-0000-4000-8000-${Buffer.from(`${namespace}/${name}`).toString("hex").slice(0, 12).padStart(12, "0")}`;
  return { namespace, name, uid, labels, creationTimestamp: "2026-01-01T00:00:00Z" };
}

function service(item: FixtureService): Json {
  const ports = item.ports.map(({ name, port, targetPort, proto, nodePort }) => ({
    name,
    port,
    targetPort,
    protocol: proto,
    ...(nodePort === undefined ? {} : { nodePort }),
  }));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadata(item.namespace, item.name, item.labels),
    spec: { ...item.spec, ports },
    status: item.lbIngress.length === 0 ? {} : { loadBalancer: { ingress: item.lbIngress } },
  };
}

/** Slices of one service: one a family, and a further one for addresses that are listed twice. */
function slices(item: FixtureService, nodeName: string): readonly Json[] {
  const groups: FixtureEndpoint[][] = [];
  for (const endpoint of item.endpoints) {
    const group = groups.find((members) =>
      members.every((member) => member.addr !== endpoint.addr && isV6(member.addr) === isV6(endpoint.addr)),
    );
    if (group === undefined) groups.push([endpoint]);
    else group.push(endpoint);
  }
  return groups.map((members, index) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      ...metadata(item.namespace, `${item.name}-${index}`, { "kubernetes.io/service-name": item.name }),
      annotations: weights(members),
    },
    addressType: members.some((member) => isV6(member.addr)) ? "IPv6" : "IPv4",
    ports: item.ports.map(({ name, targetPort, proto }) => ({ name, port: targetPort, protocol: proto })),
    endpoints: members.map((member) => endpoint(member, nodeName)),
  }));
}

function weights(members: readonly FixtureEndpoint[]): Readonly<Record<string, string>> {
  const known = members.flatMap(({ addr, weight }) =>
    weight === undefined ? [] : [[addr, weight] as const],
  );
  return known.length === 0 ? {} : { [WEIGHTS_ANNOTATION]: JSON.stringify(Object.fromEntries(known)) };
}

function endpoint(item: FixtureEndpoint, nodeName: string): Json {
  const { addr, local, ready, serving, terminating, hintZones, hintNodes } = item;
  const hints = {
    ...(hintZones.length === 0 ? {} : { forZones: hintZones.map((name) => ({ name })) }),
    ...(hintNodes.length === 0 ? {} : { forNodes: hintNodes.map((name) => ({ name })) }),
  };
  return {
    addresses: [addr],
    conditions: { ready, serving, terminating },
    nodeName: local ? nodeName : "another-node",
    ...(Object.keys(hints).length === 0 ? {} : { hints }),
  };
}

/** What a case says of the Node beside its zone. */
export interface NodeFields {
  readonly taints?: readonly string[];
  readonly isDeleting?: boolean;
  readonly podCIDRs?: readonly string[];
}

/**
 * Text of the objects file. `stamp` makes each file differ from the one before, so that the agent reports a new revision.
 */
export function objectsText(
  topology: Topology,
  services: readonly FixtureService[],
  zone: string | undefined,
  stamp: number,
  node: NodeFields = {},
): string {
  const { addresses, nodeName, zoneLabel, serviceCidrs } = topology;
  const nodeAddresses = [addresses["node"], addresses["node_v6"]].filter((address) => address !== undefined);
  const objects: Json[] = [
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: nodeName,
        uid: "node",
        labels: zone === undefined ? {} : { [zoneLabel]: zone },
        ...(node.isDeleting === true ? { deletionTimestamp: "2026-01-02T00:00:00Z" } : {}),
      },
      spec: {
        taints: (node.taints ?? []).map((key) => ({ key, effect: "NoSchedule" })),
        ...(node.podCIDRs === undefined ? {} : { podCIDR: node.podCIDRs[0], podCIDRs: node.podCIDRs }),
      },
      status: { addresses: nodeAddresses.map((address) => ({ type: "InternalIP", address })) },
    },
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: serviceCidrs },
    },
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "stamp", labels: { stamp: `n${stamp}` } } },
    ...services.map(service),
    ...services.flatMap((item) => slices(item, nodeName)),
  ];
  return objects.map((object) => `${JSON.stringify(object)}\n`).join("");
}
