/**
 * Layer lab. Links, addresses and routes of the lab, as `ip -batch` scripts run inside the namespaces. Pure but for {@link ipBatch}.
 * Each veth pair is made inside the fabric (or a node) and its far end put straight into the other namespace, so no
 * device ever appears in the machine's own namespace.
 */
import {
  type AddressPair,
  CLIENT,
  CONTROL_PLANE,
  EXTERNAL,
  FABRIC,
  nodeAddresses,
  OUTSIDE,
} from "./addresses.ts";
import { enter, type NamespaceRecord } from "./namespaces.ts";
import { run } from "./run.ts";

/** Runs `ip` commands inside; blank lines are left out. */
export async function ipBatch(at: NamespaceRecord, lines: readonly string[]): Promise<void> {
  await run(enter(at, ["ip", "-batch", "-"]), {
    input: `${lines.filter((line) => line !== "").join("\n")}\n`,
  });
}

/** Sets sysctls inside (values of /proc/sys/net belong to the reader's network namespace). */
export async function setSysctls(
  at: NamespaceRecord,
  values: Readonly<Record<string, string>>,
): Promise<void> {
  const script = Object.entries(values)
    .map(([key, value]) => `[ ! -e /proc/sys/${key} ] || echo ${value} >/proc/sys/${key}`)
    .join("\n");
  await run(enter(at, ["sh", "-ec", script]));
}

/** No waiting for duplicate addresses, no router advertisements; forwarding as told: nodes leave it to the agent. */
export function quietSysctls(forwarding: boolean): Readonly<Record<string, string>> {
  const values: Record<string, string> = {
    "net/ipv4/ip_forward": forwarding ? "1" : "0",
    "net/ipv6/conf/all/forwarding": forwarding ? "1" : "0",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
  };
  for (const scope of ["all", "default"]) {
    values[`net/ipv4/conf/${scope}/rp_filter`] = "2";
    values[`net/ipv6/conf/${scope}/accept_dad`] = "0";
    values[`net/ipv6/conf/${scope}/accept_ra`] = "0";
    values[`net/ipv6/conf/${scope}/disable_ipv6`] = "0";
  }
  return values;
}

/** A cable from the fabric to `peer`: device `name` here, `eth0` there. */
export function cable(name: string, peer: NamespaceRecord): string {
  return `link add ${name} type veth peer name eth0 netns ${peer.holder.pid}`;
}

/** The fabric: a bridge for control plane and nodes, a cable to the client, routing between both. */
export function fabricLines(dualStack: boolean): readonly string[] {
  return [
    "link add br0 type bridge stp_state 0 forward_delay 0",
    `address add ${FABRIC.gateway.v4}/${FABRIC.prefix4} dev br0`,
    dualStack ? `address add ${FABRIC.gateway.v6}/${FABRIC.prefix6} dev br0 nodad` : "",
    "link set br0 up",
  ];
}

export function fabricPortLines(name: string, peer: NamespaceRecord): readonly string[] {
  return [cable(name, peer), `link set ${name} master br0 up`];
}

export function fabricClientLines(peer: NamespaceRecord, dualStack: boolean): readonly string[] {
  return [
    cable("client", peer),
    `address add ${OUTSIDE.gateway.v4}/${OUTSIDE.prefix4} dev client`,
    dualStack ? `address add ${OUTSIDE.gateway.v6}/${OUTSIDE.prefix6} dev client nodad` : "",
    "link set client up",
  ];
}

/** External and load-balancer addresses go to any node, by flow. */
export function externalRouteLines(nodes: number, dualStack: boolean): readonly string[] {
  const hops = (family: keyof AddressPair): string =>
    Array.from(
      { length: nodes },
      (_, index) => `nexthop via ${nodeAddresses(index + 1)[family]} dev br0`,
    ).join(" ");
  return [
    `route replace ${EXTERNAL.v4} ${hops("v4")}`,
    dualStack ? `route replace ${EXTERNAL.v6} ${hops("v6")}` : "",
  ];
}

function hostLines(address: AddressPair, net: typeof FABRIC, dualStack: boolean): readonly string[] {
  return [
    "link set eth0 up",
    `address add ${address.v4}/${net.prefix4} dev eth0`,
    `route replace default via ${net.gateway.v4} dev eth0`,
    dualStack ? `address add ${address.v6}/${net.prefix6} dev eth0 nodad` : "",
    dualStack ? `route replace default via ${net.gateway.v6} dev eth0` : "",
  ];
}

export function controlPlaneLines(dualStack: boolean): readonly string[] {
  return hostLines(CONTROL_PLANE, FABRIC, dualStack);
}

export function nodeLines(index: number, dualStack: boolean): readonly string[] {
  return hostLines(nodeAddresses(index), FABRIC, dualStack);
}

export function clientLines(dualStack: boolean): readonly string[] {
  return hostLines(CLIENT, OUTSIDE, dualStack);
}

/** Routes to other nodes' pod ranges. `podCidrs` are of node `index`; a host adds them via that node. */
export function podRouteLines(index: number, podCidrs: readonly string[], device: string): readonly string[] {
  const via = nodeAddresses(index);
  return podCidrs.map((cidr) =>
    cidr.includes(":")
      ? `route replace ${cidr} via ${via.v6} dev ${device}`
      : `route replace ${cidr} via ${via.v4} dev ${device}`,
  );
}

export interface PodLink {
  readonly device: string;
  readonly nodeIndex: number;
  /** Address pairs of one family each: the pod's and the gateway's (the first of the pod range). */
  readonly addresses: readonly { readonly pod: string; readonly gateway: string }[];
}

/**
 * The node's side of a pod's cable. The gateway address is on every cable of the node, so that what the node sends to a
 * pod without an address of its own (hairpin) has a source that the pod can answer; the route prefers the node's address.
 */
export function podNodeLines(link: PodLink, pod: NamespaceRecord): readonly string[] {
  const node = nodeAddresses(link.nodeIndex);
  return [
    cable(link.device, pod),
    `link set ${link.device} up`,
    ...link.addresses.flatMap(({ pod: address, gateway }) =>
      address.includes(":")
        ? [
            `address add ${gateway}/128 dev ${link.device} nodad`,
            `route replace ${address}/128 dev ${link.device} src ${node.v6}`,
          ]
        : [
            `address add ${gateway}/32 dev ${link.device}`,
            `route replace ${address}/32 dev ${link.device} src ${node.v4}`,
          ],
    ),
  ];
}

export function podLines(link: PodLink): readonly string[] {
  return [
    "link set eth0 up",
    ...link.addresses.flatMap(({ pod, gateway }) =>
      pod.includes(":")
        ? [
            `address add ${pod}/128 dev eth0 nodad`,
            `route replace ${gateway}/128 dev eth0`,
            `route replace default via ${gateway} dev eth0`,
          ]
        : [
            `address add ${pod}/32 dev eth0`,
            `route replace ${gateway}/32 dev eth0`,
            `route replace default via ${gateway} dev eth0`,
          ],
    ),
  ];
}
