/**
 * Packet cases: the network. Roles are namespaces: node, pod, ext, remote (a router), out (gets what nobody captures) and
 * one or two a backend address, since an address can be local in one fixture and remote in another.
 *
 *   ext ----- node ----- pod, local backends (routed veths)
 *              |\------- remote ----- remote backends
 *              \-------- out (the node's default route)
 */
import { ipFamily, parseIp } from "../../src/model/ip.ts";
import { Namespaces } from "../kernel/netns.ts";
import type { CaseFile, FixtureService } from "./case-file.ts";

/** Gateway of every leaf, on the router's side of its veth. */
const GATEWAY4 = "169.254.1.1";
const GATEWAY6 = "fe80::1";
/** Links between routers: outside of every range that cases use. */
const REMOTE4 = { node: "192.0.2.1", far: "192.0.2.2" };
const REMOTE6 = { node: "2001:db8:ff::1", far: "2001:db8:ff::2" };
const OUT4 = { node: "192.0.2.5", far: "192.0.2.6" };
const OUT6 = { node: "2001:db8:fe::1", far: "2001:db8:fe::2" };

/**
 * Timestamps without an offset for each pair of addresses: a backend that still remembers a port of the node's takes a newer
 * connection from it, whatever address it was sent to first.
 */
const CLIENT_SYSCTLS = ["net.ipv4.tcp_timestamps=2"];
const ROUTER_SYSCTLS = [
  ...CLIENT_SYSCTLS,
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.forwarding=1",
  "net.ipv4.conf.all.rp_filter=0",
  "net.ipv4.conf.default.rp_filter=0",
  "net.ipv4.conf.all.send_redirects=0",
  "net.ipv4.conf.default.send_redirects=0",
  // Refusals must not be rationed: many cases come from one client.
  "net.ipv4.icmp_ratelimit=0",
  "net.ipv6.icmp.ratelimit=0",
  "net.ipv4.icmp_msgs_per_sec=1000000",
  "net.ipv4.icmp_msgs_burst=100000",
];

function isV6(address: string): boolean {
  const parsed = parseIp(address);
  return parsed !== undefined && ipFamily(parsed) === "ip6";
}

function host(address: string): string {
  return `${address}/${isV6(address) ? 128 : 32}`;
}

/** A namespace with addresses behind a router, which names the device to it like the role. */
interface Leaf {
  readonly router: string;
  readonly role: string;
  readonly addresses: readonly string[];
  /** The router's routes to the addresses are made at once. */
  readonly routed: boolean;
}

export class PacketTopology {
  readonly namespaces = new Namespaces("p");
  readonly #file: CaseFile;
  readonly #claimed = new Set<string>();
  readonly #leaf = new Map<string, string>();
  #index = 0;

  constructor(file: CaseFile) {
    this.#file = file;
    try {
      this.#build();
    } catch (error) {
      this.namespaces.close();
      throw error;
    }
  }

  /** Full name of a role's namespace. */
  netns(role: string): string {
    return this.namespaces.name(role);
  }

  /** Addresses that the node has itself. */
  nodeAddresses(): readonly string[] {
    const { addresses } = this.#file.topology;
    const own = Object.entries(addresses).filter(([role]) => role.startsWith("node"));
    return [
      ...own.map(([, address]) => address),
      ...Object.values(REMOTE4),
      ...[OUT4.node, REMOTE6.node, OUT6.node],
    ].filter((address) => address !== REMOTE4.far);
  }

  /** Role that holds a backend address in its local or remote form. */
  backendRole(address: string, local: boolean): string {
    if (local && this.nodeAddresses().includes(address)) return "node";
    const role = this.#leaf.get(`${address} ${local}`);
    if (role === undefined) throw new Error(`no backend ${address}`);
    return role;
  }

  /** Every backend address with its forms. */
  backends(): readonly { readonly address: string; readonly local: boolean; readonly role: string }[] {
    return this.#distinctBackends().map(({ address, local }) => ({
      address,
      local,
      role: this.backendRole(address, local),
    }));
  }

  #distinctBackends(): readonly { address: string; local: boolean }[] {
    const seen = new Map<string, { address: string; local: boolean }>();
    for (const services of this.#file.fixtures.values()) {
      for (const { addr, local } of services.flatMap((service) => service.endpoints)) {
        seen.set(`${addr} ${local}`, { address: addr, local });
      }
    }
    return [...seen.values()];
  }

  /** Routes the addresses of a fixture's endpoints to their local or remote form. */
  route(services: readonly FixtureService[]): void {
    const lines = services
      .flatMap((service) => service.endpoints)
      .flatMap(({ addr, local }) => {
        const role = this.backendRole(addr, local);
        if (role === "node") return [];
        const via = isV6(addr) ? REMOTE6.far : REMOTE4.far;
        const target = local ? `dev ${role}` : `via ${via} dev remote`;
        return [`route replace ${host(addr)} ${target}`];
      });
    this.namespaces.batch([...new Set(lines)], "node");
  }

  /** Gives a client (pod or ext) a further address and the node a route to it. */
  addClientAddress(role: "pod" | "ext", address: string): void {
    const known = Object.values(this.#file.topology.addresses);
    if (known.includes(address) || this.#claimed.has(`${role} ${address}`)) return;
    this.#claimed.add(`${role} ${address}`);
    this.namespaces.batch([`addr add ${host(address)} dev eth0${isV6(address) ? " nodad" : ""}`], role);
    this.namespaces.batch([`route replace ${host(address)} dev ${role === "ext" ? "eth0" : "pod"}`], "node");
  }

  /** Makes an address that nobody has end at out: what it answers goes back through the node. */
  claimBeyondNode(address: string): void {
    if (this.#claimed.has(address)) return;
    this.#claimed.add(address);
    this.namespaces.batch([`route add local ${host(address)} dev lo`], "out");
  }

  /** Makes `address` local to the node without being one of its addresses, as cloud guests do; returns the undoing. */
  holdOnNode(address: string): () => void {
    const flag = address.includes(":") ? "-6" : "-4";
    const shown = this.namespaces.run("node", "ip", flag, "route", "show", "table", "local", host(address));
    // In ipvs mode the node holds service addresses anyway.
    if (shown.trim() !== "") return () => {};
    const route = `route add local ${host(address)} dev lo`;
    this.namespaces.batch([`${route}`], "node");
    return () => this.namespaces.batch([`${route.replace("add", "del")}`], "node");
  }

  /** Lets ext send packets for a loopback address to the node; returns the undoing. */
  exposeLoopback(address: string): () => void {
    this.#sysctl("ext", "net.ipv4.conf.all.route_localnet=1");
    this.namespaces.batch(
      ["link set lo down", `route replace ${host(address)} ${this.#extRoute(address)}`],
      "ext",
    );
    return () => {
      this.namespaces.batch([`route del ${host(address)}`, "link set lo up"], "ext");
      this.#sysctl("ext", "net.ipv4.conf.all.route_localnet=0");
    };
  }

  close(): void {
    this.namespaces.close();
  }

  #sysctl(role: string, ...settings: string[]): void {
    this.namespaces.run(role, "sysctl", "-q", "-w", ...settings);
  }

  #build(): void {
    const { namespaces } = this;
    const routers = ["node", "remote", "out"];
    namespaces.add(...routers, "ext");
    for (const role of routers) this.#sysctl(role, ...ROUTER_SYSCTLS);
    this.#sysctl(
      "ext",
      "net.ipv4.conf.all.rp_filter=0",
      "net.ipv4.conf.default.rp_filter=0",
      ...CLIENT_SYSCTLS,
    );
    this.#routerLink("remote", REMOTE4, REMOTE6);
    this.#routerLink("out", OUT4, OUT6);
    namespaces.batch(["route add default via 192.0.2.6", "route add default via 2001:db8:fe::2"], "node");
    this.#outside();
    const podAddresses = Object.entries(this.#file.topology.addresses).filter(([role]) =>
      role.startsWith("pod"),
    );
    const addresses = podAddresses.map(([, address]) => address);
    this.#leafLinks([{ router: "node", role: "pod", addresses, routed: true }]);
    this.#sysctl("pod", ...CLIENT_SYSCTLS);
    this.#backendLeaves();
    for (const role of [...routers, "ext", "pod"]) this.#widenNeighbourQueues(role);
  }

  /** All packets of a group leave at once: none may be dropped while the next hop's address is still being asked for. */
  #widenNeighbourQueues(role: string): void {
    const listed = this.namespaces.run(role, "ip", "-o", "link", "show", "type", "veth");
    const devices = [...listed.matchAll(/^\d+: ([^:@]+)/gm)].map(([, device]) => device);
    const settings = devices.flatMap((device) =>
      ["ipv4", "ipv6"].map((family) => `net/${family}/neigh/${device}/unres_qlen_bytes=${16 << 20}`),
    );
    this.#sysctl(role, ...settings);
  }

  #backendLeaves(): void {
    const leaves = this.#distinctBackends().filter(
      ({ address, local }) => !(local && this.nodeAddresses().includes(address)),
    );
    const named = leaves.map((leaf) => ({ ...leaf, role: `b${this.#index++}` }));
    for (const { address, local, role } of named) this.#leaf.set(`${address} ${local}`, role);
    this.#leafLinks(
      named.map(({ address, local, role }) => ({
        router: local ? "node" : "remote",
        role,
        addresses: [address],
        routed: !local,
      })),
    );
  }

  /** A link between node and another router. */
  #routerLink(role: string, v4: { node: string; far: string }, v6: { node: string; far: string }): void {
    const { namespaces } = this;
    namespaces.batch([
      `link add name ${role} netns ${this.netns("node")} type veth peer name node netns ${this.netns(role)}`,
    ]);
    const end = (device: string, own: string, own6: string): readonly string[] => [
      `addr add ${own}/30 dev ${device}`,
      `addr add ${own6}/64 dev ${device} nodad`,
      `link set ${device} up`,
    ];
    namespaces.batch(end(role, v4.node, v6.node), "node");
    namespaces.batch(
      [
        ...end("node", v4.far, v6.far),
        `route add default via ${v4.node}`,
        `route add default via ${v6.node}`,
      ],
      role,
    );
  }

  /** The segment outside: the node's own addresses on two interfaces, ext's behind the first. */
  #outside(): void {
    const { namespaces } = this;
    const { addresses } = this.#file.topology;
    const of = (prefix: string): readonly string[] =>
      Object.entries(addresses).flatMap(([role, address]) => (role.startsWith(prefix) ? [address] : []));
    const alternative = of("node_alt");
    const own = of("node").filter((address) => !alternative.includes(address));
    const outside = of("ext");
    namespaces.batch([
      `link add name eth0 netns ${this.netns("node")} type veth peer name eth0 netns ${this.netns("ext")}`,
      `link add name eth1 netns ${this.netns("node")} type veth peer name eth1 netns ${this.netns("ext")}`,
    ]);
    const add = (address: string, device: string, bits: number): string =>
      `addr add ${address}/${bits} dev ${device}${isV6(address) ? " nodad" : ""}`;
    const up = ["link set eth0 up", "link set eth1 up"];
    namespaces.batch(
      [
        ...own.map((address) => add(address, "eth0", isV6(address) ? 64 : 24)),
        ...alternative.map((address) => add(address, "eth1", isV6(address) ? 64 : 24)),
        ...up,
        ...outside.map((address) => `route add ${host(address)} dev eth0`),
      ],
      "node",
    );
    namespaces.batch(
      [
        ...outside.map((address) => add(address, "eth0", isV6(address) ? 128 : 32)),
        ...up,
        ...outside.slice(0, 1).map((address) => `route add default ${this.#extRoute(address)}`),
        ...(outside.some(isV6) ? [`route add default ${this.#extRoute("::")}`] : []),
      ],
      "ext",
    );
  }

  #extRoute(address: string): string {
    const { addresses } = this.#file.topology;
    return `via ${isV6(address) ? addresses["node_v6"] : addresses["node"]} dev eth0 onlink`;
  }

  /** Namespaces behind routers, in few commands: each costs a process. */
  #leafLinks(leaves: readonly Leaf[]): void {
    const { namespaces } = this;
    namespaces.make(...leaves.map(({ role }) => role));
    namespaces.batch(
      leaves.map(
        ({ role, router }) =>
          `link add name ${role} netns ${this.netns(router)} type veth peer name eth0 netns ${this.netns(role)}`,
      ),
    );
    for (const router of new Set(leaves.map((leaf) => leaf.router)))
      namespaces.batch(
        leaves
          .filter((leaf) => leaf.router === router)
          .flatMap(({ role, addresses, routed }) => [
            `addr add ${GATEWAY4}/32 dev ${role} scope link`,
            `addr add ${GATEWAY6}/64 dev ${role} nodad`,
            `link set ${role} up`,
            ...(routed ? addresses.map((address) => `route add ${host(address)} dev ${role}`) : []),
          ]),
        router,
      );
    for (const { role, addresses } of leaves)
      namespaces.batch(
        [
          "link set lo up",
          ...addresses.map((address) => `addr add ${host(address)} dev eth0${isV6(address) ? " nodad" : ""}`),
          "link set eth0 up",
          `route add default via ${GATEWAY4} dev eth0 onlink`,
          `route add default via ${GATEWAY6} dev eth0 onlink`,
        ],
        role,
      );
  }
}
