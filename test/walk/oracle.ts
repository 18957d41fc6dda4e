/**
 * Random walks, oracle: what becomes of the first packet of a connection, from the objects alone. Written from
 * what kube-proxy 1.33 does and docs/differences.md, for each mode; uses none of the code under test.
 */
import { cidrContains, parseCidr, parseIp } from "../../src/model/ip.ts";
import type { Cluster, Family, Protocol } from "./cluster.ts";
import type { Claim, Claims, ServicePort } from "./oracle-claims.ts";
import { addressKey, nodePortKey, settleClaims } from "./oracle-claims.ts";
import type { OracleEndpoint } from "./oracle-endpoints.ts";

/** How the agent tells traffic of this node's pods: detectLocalMode. */
export type Detector =
  | { readonly kind: "ClusterCIDR" | "none" }
  | { readonly kind: "BridgeInterface" | "InterfaceNamePrefix"; readonly name: string };

export type Mode = "nftables" | "iptables";

/** The agent's configuration, and what the node has. */
export interface WalkConfig {
  readonly mode: Mode;
  readonly nodeName: string;
  /** For detector ClusterCIDR. */
  readonly podCidrs: readonly string[];
  readonly masqueradeAll: boolean;
  readonly detector: Detector;
  /** Empty: the mode's default. */
  readonly nodePortAddresses: readonly string[];
  readonly localhostNodePorts: boolean;
  /** An agent before this one had node ports on loopback: its guard stays, as route_localnet does. */
  readonly isGuardLeft: boolean;
  /** All addresses of the node's interfaces but loopback. */
  readonly nodeAddresses: readonly string[];
  /** One a family. */
  readonly primaryAddresses: Readonly<Record<Family, string>>;
}

export interface Packet {
  /** Where it comes from: forwarded by the node, or sent by the node itself. */
  readonly from: "pod" | "ext" | "node";
  /** By which it comes in; empty where the node sends it itself. */
  readonly device: string;
  readonly family: Family;
  readonly source: string;
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export type Verdict = "BACKEND" | "REJECT" | "DROP" | "NONE" | "ACCEPT";

export interface ExpectedEndpoint {
  readonly share: number;
  readonly masquerade: boolean | "either";
}

export interface Expected {
  /** More than one where two claims that cannot be served refuse in different ways. */
  readonly verdicts: readonly Verdict[];
  /** By `address:port`. */
  readonly endpoints: ReadonlyMap<string, ExpectedEndpoint>;
  /** Whose claim it is, for messages. */
  readonly of?: ServicePort;
}

const NOTHING: ReadonlyMap<string, ExpectedEndpoint> = new Map();

const inside = new Map<string, boolean>();

/** Asked for the same few ranges and addresses again and again. */
export function isIn(range: string, address: string): boolean {
  const question = `${range} ${address}`;
  const known = inside.get(question);
  if (known !== undefined) return known;
  const cidr = parseCidr(range);
  const ip = parseIp(address);
  if (cidr === undefined || ip === undefined) throw new Error(`not a range and an address: ${question}`);
  const answer = range.includes(":") === address.includes(":") && cidrContains(cidr, ip);
  inside.set(question, answer);
  return answer;
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

interface Reach {
  readonly endpoints: readonly OracleEndpoint[];
  readonly masquerade: boolean;
}

export class Oracle {
  readonly claims: Claims;
  readonly #cluster: Cluster;
  readonly #config: WalkConfig;

  constructor(cluster: Cluster, config: WalkConfig) {
    this.#cluster = cluster;
    this.#config = config;
    this.claims = settleClaims(cluster, config.nodeName);
  }

  expect(packet: Packet): Expected {
    const atAddress = this.claims.addresses.get(addressKey(packet.destination, packet.protocol, packet.port));
    const isShut = atAddress?.isGuarded === true && !this.#isLetIn(atAddress.of, packet);
    // nftables looks at source ranges before anything else (row 50).
    if (isShut && this.#config.mode === "nftables") return this.#verdict(["DROP"], atAddress.of);
    if (atAddress !== undefined && !isShut) {
      const reach = this.#reach(atAddress, packet);
      if (reach.endpoints.length > 0) return this.#backends(reach, packet, atAddress.of);
    }
    const atNode = this.claims.nodePorts.get(nodePortKey(packet.family, packet.protocol, packet.port));
    if (atNode !== undefined && this.#isNodePortAddress(packet)) {
      const reach = this.#reach(atNode, packet);
      if (reach.endpoints.length > 0) return this.#backends(reach, packet, atNode.of);
    }
    return this.#config.mode === "nftables"
      ? this.#refusedByNft(packet, atAddress, atNode)
      : this.#refusedByIptables(packet, atAddress, { atNode, isShut });
  }

  #verdict(verdicts: readonly Verdict[], of?: ServicePort): Expected {
    return { verdicts: [...new Set(verdicts)], endpoints: NOTHING, ...(of === undefined ? {} : { of }) };
  }

  #isLetIn(of: ServicePort, { source }: Packet): boolean {
    if (of.sourceRanges.some((range) => isIn(range, source))) return true;
    const own = this.#config.primaryAddresses[of.family];
    return of.sourceRanges.some((range) => isIn(range, own)) && of.balancerAddresses.includes(source);
  }

  #isOnNode(address: string): boolean {
    return isLoopback(address) || this.#config.nodeAddresses.includes(address);
  }

  /** The first range of the family counts. */
  #isFromPod({ source, family, device }: Packet): boolean {
    const { detector } = this.#config;
    if (detector.kind === "none") return false;
    if (detector.kind === "BridgeInterface") return device === detector.name;
    if (detector.kind === "InterfaceNamePrefix") return device.startsWith(detector.name);
    const range = this.#config.podCidrs.find((one) => one.includes(":") === (family === "ip6"));
    return range !== undefined && isIn(range, source);
  }

  /** Rows 43 to 45. */
  #reach({ kind, of }: Claim, packet: Packet): Reach {
    const { cluster, local } = of.sets;
    const isPod = this.#isFromPod(packet);
    if (kind === "internal") {
      const masquerade = this.#config.masqueradeAll || (this.#config.detector.kind !== "none" && !isPod);
      return { endpoints: of.internalPolicy === "Local" ? local : cluster, masquerade };
    }
    if (of.externalPolicy === "Cluster") return { endpoints: cluster, masquerade: true };
    if (isPod) return { endpoints: cluster, masquerade: false };
    if (this.#isOnNode(packet.source)) return { endpoints: cluster, masquerade: true };
    return { endpoints: local, masquerade: false };
  }

  #backends(reach: Reach, packet: Packet, of: ServicePort): Expected {
    const total = reach.endpoints.reduce((sum, { weight }) => sum + weight, 0);
    const endpoints = new Map<string, ExpectedEndpoint>();
    for (const endpoint of reach.endpoints)
      endpoints.set(endpoint.text, {
        share: endpoint.weight / total,
        masquerade: this.#isMasqueraded(endpoint, reach.masquerade, packet),
      });
    return { verdicts: ["BACKEND"], endpoints, of };
  }

  #isMasqueraded(endpoint: OracleEndpoint, isMarked: boolean, packet: Packet): boolean | "either" {
    // Delivered here: such a packet is not on its way out, and its answer comes back by itself (row 60).
    if (this.#isOnNode(endpoint.address) && packet.from !== "node") return false;
    if (isMarked) return true;
    if (endpoint.address !== packet.source) return false;
    // nftables mode: on the endpoint's own node; no other node ever sees such a packet.
    return endpoint.mayBeHere || this.#config.mode === "iptables" ? true : "either";
  }

  /** Row 53. */
  #isNodePortAddress({ destination, family }: Packet): boolean {
    const { nodePortAddresses, primaryAddresses, mode } = this.#config;
    const isLocalhost = mode === "iptables" && family === "ip" && this.#config.localhostNodePorts;
    if (!this.#isOnNode(destination) || (isLoopback(destination) && !isLocalhost)) return false;
    if (mode === "nftables" && nodePortAddresses.length === 0)
      return primaryAddresses[family] === destination;
    const ranges = nodePortAddresses.filter((range) => range.includes(":") === (family === "ip6"));
    return ranges.length === 0 || ranges.some((range) => isIn(range, destination));
  }

  /** Why a claim whose policy leaves no endpoint refuses: `undefined` when it has endpoints to give. */
  #refusal(claim: Claim | undefined): Verdict | undefined {
    if (claim === undefined) return undefined;
    const { sets, internalPolicy, externalPolicy } = claim.of;
    const policy = claim.kind === "internal" ? internalPolicy : externalPolicy;
    if ((policy === "Local" ? sets.local : sets.cluster).length > 0) return undefined;
    return sets.cluster.length > 0 || sets.local.length > 0 ? "DROP" : "REJECT";
  }

  #refusedByNft(packet: Packet, atAddress: Claim | undefined, atNode: Claim | undefined): Expected {
    const of = atAddress?.of ?? atNode?.of;
    const found: Verdict[] = [];
    const ofAddress = this.#refusal(atAddress);
    if (ofAddress !== undefined) found.push(ofAddress);
    const ofNode = this.#isNodePortAddress(packet) ? this.#refusal(atNode) : undefined;
    if (ofNode !== undefined) found.push(ofNode);
    if (found.length > 0) return this.#verdict(found, of);
    // Rows 51 and 52.
    if (!this.#isOnNode(packet.destination)) {
      if (this.claims.clusterAddresses.has(packet.destination)) return this.#verdict(["REJECT"]);
      if (this.#cluster.serviceCidrs.some((range) => isIn(range, packet.destination)))
        return this.#verdict(["DROP"]);
    }
    return this.#verdict(["NONE"], of);
  }

  #refusedByIptables(
    packet: Packet,
    atAddress: Claim | undefined,
    more: { readonly atNode: Claim | undefined; readonly isShut: boolean },
  ): Expected {
    const { atNode, isShut } = more;
    const of = atAddress?.of ?? atNode?.of;
    const isHere = this.#isOnNode(packet.destination);
    const found: Verdict[] = [];
    const hasAny = (atAddress?.of.sets.cluster.length ?? 0) + (atAddress?.of.sets.local.length ?? 0) > 0;
    // KUBE-PROXY-FIREWALL: nothing that was not translated gets past, in or out of the ranges; needs endpoints (row 50).
    if (atAddress?.isGuarded === true && hasAny && (isShut || this.#refusal(atAddress) !== undefined))
      return this.#verdict(["DROP"], of);
    // KUBE-SERVICES hangs on FORWARD and OUTPUT, KUBE-EXTERNAL-SERVICES on INPUT too.
    const ofAddress = this.#refusal(atAddress);
    const isSeen = atAddress?.kind !== "internal" || packet.from === "node" || !isHere;
    if (ofAddress !== undefined && isSeen) found.push(ofAddress);
    // The refusal of a node port is for every local address.
    const ofNode = isHere ? this.#refusal(atNode) : undefined;
    if (ofNode !== undefined) found.push(ofNode);
    if (this.#isGuardedLoopback(packet)) return this.#verdict(["DROP"], of);
    if (isHere && packet.protocol === "TCP" && this.claims.healthPorts.has(`${packet.family} ${packet.port}`))
      return this.#verdict(["ACCEPT"]);
    return this.#verdict(found.length > 0 ? found : ["NONE"], of);
  }

  /** Row 54: what route_localnet would otherwise let in. */
  #isGuardedLoopback({ destination, source }: Packet): boolean {
    const isOpen = this.#config.isGuardLeft || opensLoopback(this.#config);
    return isOpen && destination.startsWith("127.") && !source.startsWith("127.");
  }
}

/** Node ports answer on 127.0.0.0/8. */
export function opensLoopback({ nodePortAddresses, localhostNodePorts }: WalkConfig): boolean {
  const ranges = nodePortAddresses.filter((range) => !range.includes(":"));
  return localhostNodePorts && (ranges.length === 0 || ranges.some((range) => isIn(range, "127.0.0.1")));
}
