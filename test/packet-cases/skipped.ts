/**
 * Packet cases that are not played in ipvs mode, because nodeplane differs there on purpose; docs/differences.md tells users the
 * same, by these names.
 */
const OWN_CLIENTS =
  "IPVS has one set of destinations for a frontend: with policy Local and local endpoints, clients on the node get these too";
const NO_ACCEPT =
  "no iptables rules are written, and an accept of nftables does not override another table's drop";
const ON_DEVICE = "service addresses are on kube-ipvs0: what is no frontend is refused, not passed on";

/** Reasons by id; a twin has that of its case. */
export const SKIPPED_IN_IPVS: ReadonlyMap<string, string> = new Map([
  ["etpl-hcnp", NO_ACCEPT],
  ["lbr-otherport", ON_DEVICE],
  ["etpl-pod-extip", OWN_CLIENTS],
  ["etpl-pod-lb", OWN_CLIENTS],
  ["etpl-pod-np", OWN_CLIENTS],
  ["mq-pod-np-etpl", OWN_CLIENTS],
  ["mq-pod-lb-etpl", OWN_CLIENTS],
  ["mq-node-np-etpl", OWN_CLIENTS],
  ["mq-node-lb-etpl", OWN_CLIENTS],
  ["tp-etpl-pod-np", OWN_CLIENTS],
]);

/** @returns why the case is not played, or `undefined` */
export function whySkipped(id: string, mode: string): string | undefined {
  return mode === "ipvs" ? SKIPPED_IN_IPVS.get(id.replace(/-v6$/, "")) : undefined;
}
