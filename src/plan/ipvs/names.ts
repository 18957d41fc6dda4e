/**
 * Layer plan. Names, hooks, priorities and sets of what surrounds IPVS: the table `nodeplane-ipvs` and the dummy device.
 * Priorities are chosen by those of IPVS itself: LOCAL_IN 98 and 99, LOCAL_OUT -99 and -98 (ip_vs_core.c of Linux 6.1), so
 * that every chain here sees the address that the client asked for.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { NftChain, NftField, NftSet, NftTable } from "../../model/nftables.ts";
import { fieldsOf } from "../nftables/names.ts";

/** Name of the device that holds the service addresses: kube-proxy's, since people look for it. */
export const DUMMY_DEVICE = "kube-ipvs0";

export function ipvsTableOf(family: IpFamily): NftTable {
  return { family, name: "nodeplane-ipvs" };
}

/** After conntrack (-200), before IPVS and before every DNAT. */
const EARLY = -110;
const SNAT_PRIORITY = 100;

export const IPVS_CHAINS: readonly NftChain[] = [
  { name: "guard" },
  { name: "refuse" },
  { name: "prerouting", base: { type: "filter", hook: "prerouting", priority: EARLY } },
  { name: "output", base: { type: "filter", hook: "output", priority: EARLY } },
  { name: "input", base: { type: "filter", hook: "input", priority: 0 } },
  { name: "postrouting", base: { type: "nat", hook: "postrouting", priority: SNAT_PRIORITY } },
];

/** Sets by what they are for. */
export const IPVS_SETS = {
  /** Addresses on the dummy device. */
  addresses: "service-addresses",
  /** Every address . protocol . port with a virtual server that has destinations. */
  frontends: "frontends",
  /** Of these, cluster addresses: masqueraded unless the client is a pod of this node. */
  internal: "internal-frontends",
  /** Of these, external ones with policy Cluster: always masqueraded. */
  masquerade: "masquerade-frontends",
  /** Of these, policy Local without a local endpoint: only for clients on this node. */
  ownClients: "own-clients-frontends",
  reject: "reject-frontends",
  drop: "drop-frontends",
  guarded: "guarded-frontends",
  sourceRanges: "source-ranges",
  hairpins: "hairpins",
  /** Nobody wants them any more; their virtual servers stay until their connections have ended. No rule asks: a record. */
  kept: "kept-frontends",
} as const;

/** All sets, in the order in which they are made. */
export function ipvsSetsOf(family: IpFamily): readonly NftSet[] {
  const { source, destination, frontend } = fieldsOf(family);
  const plain = (name: string, key: readonly NftField[] = frontend): NftSet => ({
    name,
    key,
    data: "none",
    flags: [],
  });
  return [
    plain(IPVS_SETS.addresses, [destination]),
    plain(IPVS_SETS.frontends),
    plain(IPVS_SETS.internal),
    plain(IPVS_SETS.masquerade),
    plain(IPVS_SETS.ownClients),
    plain(IPVS_SETS.reject),
    plain(IPVS_SETS.drop),
    plain(IPVS_SETS.guarded),
    { name: IPVS_SETS.sourceRanges, key: [...frontend, source], data: "none", flags: ["interval"] },
    plain(IPVS_SETS.hairpins, [source, destination]),
    plain(IPVS_SETS.kept),
  ];
}
