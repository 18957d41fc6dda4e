/**
 * Random walks: the namespaces of a walk. The packet cases' network (node, pod, ext, routers) with two further places for all
 * endpoints: one beside this node, one behind the other router; an address is routed to where the objects say that it is.
 */
import type { CaseFile, FixtureEndpoint, Topology } from "../packet-cases/case-file.ts";
import { PacketTopology } from "../packet-cases/topology.ts";
import type { Cluster } from "./cluster.ts";
import { readListing } from "./kernel.ts";
import type { Mode } from "./oracle.ts";
import {
  ENDPOINTS,
  EXT,
  EXT_BLOCKED,
  NODE,
  NODE_ALT,
  NODE_NAME,
  POD,
  POD_CIDRS,
  SERVICE_CIDRS,
} from "./pools.ts";

/** Stand for the two places: the first is beside the node, the second behind the other router. */
const NEAR = "10.244.2.1";
const FAR = "10.244.2.2";
/** The node's side of the link to the other router, see test/packet-cases/topology.ts. */
const FAR_ROUTERS = { ip: "192.0.2.2", ip6: "2001:db8:ff::2" } as const;

export const TOPOLOGY: Topology = {
  nodeName: NODE_NAME,
  zoneLabel: "topology.kubernetes.io/zone",
  addresses: {
    node: NODE.ip,
    node_v6: NODE.ip6,
    node_alt: NODE_ALT.ip,
    node_alt_v6: NODE_ALT.ip6,
    pod: POD.ip,
    pod_v6: POD.ip6,
    ext: EXT.ip,
    ext_blocked: EXT_BLOCKED.ip,
    ext_v6: EXT.ip6,
    ext_blocked_v6: EXT_BLOCKED.ip6,
  },
  localCidrs: POD_CIDRS,
  serviceCidrs: SERVICE_CIDRS[0],
};

function endpoint(addr: string, local: boolean): FixtureEndpoint {
  return { addr, local, ready: true, serving: true, terminating: false, hintZones: [], hintNodes: [] };
}

function caseFile(): CaseFile {
  const endpoints = [endpoint(NEAR, true), endpoint(FAR, false)];
  const item = {
    namespace: "walk",
    name: "places",
    spec: {},
    labels: {},
    lbIngress: [],
    ports: [],
    endpoints,
  };
  return { path: "", topology: TOPOLOGY, fixtures: new Map([["places", [item]]]), cases: [], notPlayed: 0 };
}

const isPod = (address: string) => address !== NODE.ip && address !== NODE.ip6;
const PODS: readonly string[] = [...ENDPOINTS.ip, ...ENDPOINTS.ip6].filter(isPod);

function prefix(address: string): string {
  return `${address}/${address.includes(":") ? 128 : 32}`;
}

export class WalkNetwork {
  readonly topology = new PacketTopology(caseFile());
  readonly #near: string;
  readonly #far: string;
  /** Addresses routed to the place beside the node; the others are behind the router. */
  #nearby: ReadonlySet<string> | undefined;

  constructor() {
    this.#near = this.topology.backendRole(NEAR, true);
    this.#far = this.topology.backendRole(FAR, false);
    const { namespaces } = this.topology;
    for (const role of [this.#near, this.#far])
      namespaces.batch(
        PODS.map((address) => `addr add ${prefix(address)} dev eth0${address.includes(":") ? " nodad" : ""}`),
        role,
      );
    namespaces.batch(
      PODS.map((address) => `route add ${prefix(address)} dev ${this.#far}`),
      "remote",
    );
    // Flows of an earlier check must not decide where a later one goes.
    namespaces.run(
      "node",
      "sysctl",
      "-q",
      "-w",
      "net.netfilter.nf_conntrack_udp_timeout=1",
      "net.netfilter.nf_conntrack_udp_timeout_stream=1",
      // Many refusals in one moment: none may be left out.
      "net.ipv4.icmp_msgs_burst=10000",
    );
    this.place({ services: new Map(), slices: new Map(), serviceCidrs: [] });
  }

  /** Routes every endpoint to where the objects have it; one that they have in both places is here. */
  place(cluster: Cluster): void {
    const nearby = new Set<string>();
    for (const { endpoints } of cluster.slices.values())
      for (const { addresses, nodeName } of endpoints)
        if (nodeName === NODE_NAME) for (const address of addresses) if (isPod(address)) nearby.add(address);
    const changed = PODS.filter(
      (address) => this.#nearby === undefined || this.#nearby.has(address) !== nearby.has(address),
    );
    this.topology.namespaces.batch(
      changed.map((address) => {
        const router = address.includes(":") ? FAR_ROUTERS.ip6 : FAR_ROUTERS.ip;
        const to = nearby.has(address) ? `dev ${this.#near}` : `via ${router} dev remote`;
        return `route replace ${prefix(address)} ${to}`;
      }),
      "node",
    );
    this.#nearby = nearby;
  }

  /** Namespace in which an endpoint's listener has to be. */
  get nearby(): string {
    return this.topology.netns(this.#near);
  }

  /** Namespace in which an endpoint's listener has to be. */
  placeOf(address: string): string {
    if (!isPod(address)) return this.topology.netns("node");
    return this.topology.netns(this.#nearby?.has(address) === true ? this.#near : this.#far);
  }

  netns(role: "pod" | "ext" | "node"): string {
    return this.topology.netns(role);
  }

  /** Every address of the node's interfaces. */
  nodeAddresses(): readonly string[] {
    const text = this.topology.namespaces.run("node", "ip", "-o", "addr", "show");
    return [...text.matchAll(/inet6? ([^/ ]+)/g)].flatMap(([, address]) =>
      address === undefined || address === "127.0.0.1" || address === "::1" ? [] : [address],
    );
  }

  listing(mode: Mode, variant: string | undefined): Promise<readonly string[]> {
    return readListing(this.topology.netns("node"), mode, variant);
  }

  close(): void {
    this.topology.close();
  }
}
