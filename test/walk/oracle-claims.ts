/**
 * Random walks, oracle: which addresses and node ports every service port asks for, and who gets them. Written from
 * what kube-proxy 1.33 does and from docs/differences.md: the older object has a frontend that several want, then
 * the one whose name sorts first.
 */
import type { Cluster, Family, Policy, PortJson, Protocol, ServiceJson } from "./cluster.ts";
import { familyOf, nameOf } from "./cluster.ts";
import type { OracleSets } from "./oracle-endpoints.ts";
import { endpointSets } from "./oracle-endpoints.ts";

export interface ServicePort {
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly createdAtMs: number;
  readonly internalPolicy: Policy;
  readonly externalPolicy: Policy;
  readonly hasAffinity: boolean;
  /** Of the family, without blanks; empty: everybody may. */
  readonly sourceRanges: readonly string[];
  /** Load-balancer addresses of the family. */
  readonly balancerAddresses: readonly string[];
  readonly sets: OracleSets;
}

export interface Claim {
  readonly kind: "internal" | "external" | "node-port";
  readonly isGuarded: boolean;
  /** Field of the Service. */
  readonly field: string;
  readonly of: ServicePort;
}

export interface Claims {
  /** By {@link addressKey}. */
  readonly addresses: ReadonlyMap<string, Claim>;
  /** By {@link nodePortKey}. */
  readonly nodePorts: ReadonlyMap<string, Claim>;
  /** Addresses that a service has as its cluster address. */
  readonly clusterAddresses: ReadonlySet<string>;
  /** Ports of health checks, `family port`. */
  readonly healthPorts: ReadonlySet<string>;
  /** `namespace/name field` of every claim that lost. */
  readonly conflicts: ReadonlySet<string>;
}

export function addressKey(address: string, protocol: Protocol, port: number): string {
  return `${address} ${protocol} ${port}`;
}

export function nodePortKey(family: Family, protocol: Protocol, port: number): string {
  return `${family} ${protocol} ${port}`;
}

function isProxied({ spec, metadata }: ServiceJson): boolean {
  const isOthers =
    "service.kubernetes.io/service-proxy-name" in metadata.labels ||
    "service.kubernetes.io/headless" in metadata.labels;
  return spec.type !== "ExternalName" && spec.clusterIP !== "None" && !isOthers;
}

function clusterAddresses({ spec }: ServiceJson): readonly string[] {
  const given = spec.clusterIPs ?? [];
  if (given.length > 0) return given;
  return spec.clusterIP === undefined ? [] : [spec.clusterIP];
}

function describe(
  cluster: Cluster,
  service: ServiceJson,
  port: PortJson,
  from: { readonly family: Family; readonly nodeName: string },
): ServicePort {
  const { family, nodeName } = from;
  const { spec, metadata } = service;
  const protocol = port.protocol ?? "TCP";
  const portName = port.name ?? "";
  const name = nameOf(service);
  return {
    service: name,
    portName,
    protocol,
    family,
    // An age that is not known is no age: who has one is older.
    createdAtMs: Date.parse(metadata.creationTimestamp ?? "") || Number.POSITIVE_INFINITY,
    internalPolicy: spec.internalTrafficPolicy ?? "Cluster",
    externalPolicy: spec.externalTrafficPolicy ?? "Cluster",
    hasAffinity: spec.sessionAffinity === "ClientIP",
    sourceRanges: (spec.loadBalancerSourceRanges ?? [])
      .map((range) => range.trim())
      .filter((range) => familyOf(range) === family),
    balancerAddresses: balancerAddresses(service).flatMap(({ ip }) => (familyOf(ip) === family ? [ip] : [])),
    sets: endpointSets(cluster, { service: name, portName, protocol, family, nodeName }),
  };
}

/** Entries of the load balancer that count (row 13), with their place in the list. */
function balancerAddresses({
  ingress,
}: ServiceJson): readonly { readonly ip: string; readonly at: number }[] {
  return ingress.flatMap(({ ip, ipMode }, at) =>
    ip === undefined || ipMode === "Proxy" ? [] : [{ ip, at }],
  );
}

/** What one port of a service asks for in one family. An address that it names twice counts by the first of these lists. */
function claimsOf(service: ServiceJson, index: number, of: ServicePort): Map<string, Claim> {
  const { spec } = service;
  const port = spec.ports[index]?.port ?? 0;
  const claims = new Map<string, Claim>();
  const add = (address: string, claim: Omit<Claim, "of" | "isGuarded"> & { isGuarded?: boolean }) => {
    const key = addressKey(address, of.protocol, port);
    if (familyOf(address) !== of.family || claims.has(key)) return;
    claims.set(key, { isGuarded: false, ...claim, of });
  };
  for (const [at, ip] of clusterAddresses(service).entries())
    add(ip, { kind: "internal", field: `spec.clusterIPs[${at}]` });
  for (const { ip, at } of balancerAddresses(service))
    add(ip, {
      kind: "external",
      field: `status.loadBalancer.ingress[${at}].ip`,
      isGuarded: of.sourceRanges.length > 0,
    });
  for (const [at, ip] of (spec.externalIPs ?? []).entries())
    add(ip, { kind: "external", field: `spec.externalIPs[${at}]` });
  const nodePort = spec.ports[index]?.nodePort ?? 0;
  if (nodePort > 0)
    claims.set(nodePortKey(of.family, of.protocol, nodePort), {
      kind: "node-port",
      isGuarded: false,
      field: `spec.ports[${index}].nodePort`,
      of,
    });
  return claims;
}

/** True when `a` has what both want. */
function isAhead(a: ServicePort, b: ServicePort): boolean {
  if (a.createdAtMs !== b.createdAtMs) return a.createdAtMs < b.createdAtMs;
  if (a.service !== b.service) return a.service < b.service;
  return a.portName < b.portName;
}

/** Who has which frontend, of all objects as they are. */
export function settleClaims(cluster: Cluster, nodeName: string): Claims {
  const addresses = new Map<string, Claim>();
  const nodePorts = new Map<string, Claim>();
  const healthPorts = new Set<string>();
  const conflicts = new Set<string>();
  const settle = (key: string, claim: Claim) => {
    const held = claim.kind === "node-port" ? nodePorts : addresses;
    const other = held.get(key);
    if (other === undefined || isAhead(claim.of, other.of)) held.set(key, claim);
    const loser = other === undefined ? undefined : isAhead(claim.of, other.of) ? other : claim;
    if (loser !== undefined) conflicts.add(`${loser.of.service} ${loser.field}`);
  };
  for (const service of cluster.services.values()) {
    if (!isProxied(service)) continue;
    const { type, externalTrafficPolicy, healthCheckNodePort = 0 } = service.spec;
    const families = new Set(clusterAddresses(service).map(familyOf));
    const isChecked = type === "LoadBalancer" && externalTrafficPolicy === "Local" && healthCheckNodePort > 0;
    for (const family of isChecked ? families : []) healthPorts.add(`${family} ${healthCheckNodePort}`);
    for (const family of families)
      for (const [index, port] of service.spec.ports.entries())
        for (const [key, claim] of claimsOf(
          service,
          index,
          describe(cluster, service, port, { family, nodeName }),
        ))
          settle(key, claim);
  }
  const own = [...addresses].flatMap(([key, { kind }]) =>
    kind === "internal" ? [key.split(" ")[0] ?? ""] : [],
  );
  return { addresses, nodePorts, clusterAddresses: new Set(own), healthPorts, conflicts };
}
