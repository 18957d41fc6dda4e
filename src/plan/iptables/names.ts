/**
 * Layer plan. Names of kube-proxy's iptables chains: people and tools know them, so they are its own, hashes included.
 * Source: kube-proxy 1.33, pkg/proxy/iptables/proxier.go (portProtoHash).
 */
import { PROTOCOL_NUMBERS } from "../packed.ts";
import type { UnitShape } from "../unit.ts";
import { sha256 } from "./sha256.ts";

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HASH_CHARACTERS = 16;
/** Reused: a hash is made in one go, as one flat string. */
const CODES: number[] = Array.from({ length: HASH_CHARACTERS }, () => 0);

/** Chains of one service port; everything that begins so is ours, and stale when nothing asks for it. */
export const SERVICE_PREFIXES = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-"] as const;

/** Chains that exist once, by table. KUBE-MARK-MASQ and KUBE-FIREWALL are shared with a kubelet, if there is one. */
export const FIXED_CHAINS = {
  filter: [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-FORWARD",
    "KUBE-PROXY-FIREWALL",
  ],
  nat: ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"],
} as const;

/** Empty chains, one a table: when one is missing, somebody has flushed the rules. */
export const CANARY_CHAIN = "KUBE-PROXY-CANARY";
export const MARK_CHAIN = "KUBE-MARK-MASQ";
export const GUARD_CHAIN = "KUBE-FIREWALL";
/** Packet counters that rules add to where the kernel has such; the names are kube-proxy's. */
export const PACKET_COUNTERS = {
  invalid: "ct_state_invalid_dropped_pkts",
  loopback: "localhost_nps_accepted_pkts",
} as const;
/** A kubelet's canary: while it is there, the chains shared with it stay. */
export const KUBELET_CANARY = "KUBE-KUBELET-CANARY";
export const TABLES = ["filter", "nat", "mangle"] as const;
export type Table = (typeof TABLES)[number];

const PROTOCOL_NAMES = new Map(
  Object.entries(PROTOCOL_NUMBERS).map(([name, number]) => [number, name.toLowerCase()]),
);

export function protocolName(shape: Pick<UnitShape, "protocol">): string {
  return PROTOCOL_NAMES.get(shape.protocol) ?? String(shape.protocol);
}

/** `namespace/name` or `namespace/name:port`: how comments and hashes call a service port. */
export function portLabel(shape: Pick<UnitShape, "namespace" | "service" | "portName">): string {
  const service = `${shape.namespace}/${shape.service}`;
  return shape.portName === "" ? service : `${service}:${shape.portName}`;
}

/** First 16 characters of the base32 form (RFC 4648) of the SHA-256 of `text`: its first 80 bits. */
export function chainHash(text: string): string {
  const words = sha256(text);
  for (let i = 0; i < HASH_CHARACTERS; i++) {
    const at = i * 5;
    const word = words[at >> 5] ?? 0;
    const over = (at & 31) + 5 - 32;
    const value = over <= 0 ? word >>> -over : (word << over) | ((words[(at >> 5) + 1] ?? 0) >>> (32 - over));
    CODES[i] = BASE32.charCodeAt(value & 31);
  }
  return String.fromCharCode(...CODES);
}

/** How a service port goes into hashes. */
export function hashedPort(shape: UnitShape): string {
  return portLabel(shape) + protocolName(shape);
}

/** The part of a service port's chain names behind the prefix. */
export function serviceHash(shape: UnitShape): string {
  return chainHash(hashedPort(shape));
}

/** @param port see {@link hashedPort} @param endpoint `address:port`, IPv6 in brackets */
export function endpointChain(port: string, endpoint: string): string {
  return `KUBE-SEP-${chainHash(port + endpoint)}`;
}

export function isServiceChain(name: string): boolean {
  return SERVICE_PREFIXES.some((prefix) => name.startsWith(prefix));
}
