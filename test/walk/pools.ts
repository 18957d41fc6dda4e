/**
 * Random walks: the values that objects are made of. There are few of each, so that services want the same address or node
 * port all the time. All addresses are spelt as inet_ntop spells them.
 */

export const NODE_NAME = "this-node";
export const OTHER_NODES = ["node-b", "node-c"] as const;
export const ZONES = ["zone-a", "zone-b"] as const;

/** Addresses of the node: primary ones first. */
export const NODE = { ip: "192.168.0.2", ip6: "2001:db8::1" } as const;
export const NODE_ALT = { ip: "192.168.1.2", ip6: "2001:db8:1::2" } as const;
export const POD = { ip: "10.244.0.2", ip6: "fd00:10:244::2" } as const;
export const EXT = { ip: "203.0.113.2", ip6: "2600:5200::1" } as const;
/** Not in any source range that services use. */
export const EXT_BLOCKED = { ip: "203.0.113.130", ip6: "2600:5200:1::1" } as const;

/** The node's devices: of the client's pod, of the endpoints beside the node, to the outside. */
export const DEVICES = { pod: "pod", endpoints: "b0", ext: "eth0" } as const;

export const POD_CIDRS = ["10.244.0.0/16", "fd00:10:244::/56"] as const;
export const SERVICE_CIDRS = [
  ["10.96.0.0/16", "fd00:10:96::/112"],
  ["10.96.0.0/16"],
  ["10.96.0.0/24", "fd00:10:96::/112"],
] as const;

const range = (count: number, at: (i: number) => string): readonly string[] =>
  Array.from({ length: count }, (_, i) => at(i));

export const CLUSTER_IPS = {
  ip: range(4, (i) => `10.96.0.${i + 1}`),
  ip6: range(4, (i) => `fd00:10:96::${i + 1}`),
} as const;
/** Never given to a service: one inside the ServiceCIDRs, one outside of everything. */
export const UNALLOCATED = { ip: "10.96.0.200", ip6: "fd00:10:96::200" } as const;
export const ELSEWHERE = { ip: "198.18.9.9", ip6: "2001:db8:77::9" } as const;

/** External and load-balancer addresses; the last is the node's own, the one before a cluster address. */
export const EXTERNAL_IPS = {
  ip: ["198.18.0.1", "198.18.0.2", "198.18.0.3", "10.96.0.4", NODE.ip],
  ip6: ["2001:db8:99::1", "2001:db8:99::2", "2001:db8:99::3", "fd00:10:96::4", NODE.ip6],
} as const;

/** The second port is a node port as well: on the node's own address both meanings are possible. */
export const PORTS = [80, 30_001, 53] as const;
export const NODE_PORTS = [30_000, 30_001, 30_002] as const;
export const HEALTH_PORTS = [32_000, 32_001] as const;
export const TARGET_PORTS = [8080, 8081, 9090] as const;
export const PORT_NAMES = ["", "web", "dns"] as const;

/** Those of pods can be on this node or another; the last is the node's own (host network). */
export const ENDPOINT_COUNT = 40;
export const ENDPOINTS = {
  ip: [...range(ENDPOINT_COUNT, (i) => `10.244.1.${i + 10}`), NODE.ip],
  ip6: [...range(ENDPOINT_COUNT, (i) => `fd00:10:244:1::${(i + 16).toString(16)}`), NODE.ip6],
} as const;

/** The first holds the client that is let in, the second the node as well, the third neither; the rest overlap. */
export const SOURCE_RANGES = {
  ip: ["203.0.113.0/25", "192.168.0.0/24", "198.51.100.0/24", "203.0.113.0/28", "203.0.112.0/24"],
  ip6: ["2600:5200::/64", "2001:db8::/64", "2001:db8:5::/64", "2600:5200::/80"],
} as const;

/** Numbers of endpoints at which the size class of a frontend changes. */
export const SIZES = [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 30] as const;
export const WEIGHTS = [0, 1, 1, 2, 3, 7, 100, 256] as const;
export const SERVICE_NAMES = range(12, (i) => `${i % 2 === 0 ? "ns1" : "ns2"}/svc${i}`);
export const CREATION_TIMES = [
  undefined,
  "2026-01-01T00:00:00Z",
  "2026-01-02T00:00:00Z",
  "2026-01-03T00:00:00Z",
] as const;
