/** Layer plan. The backends by the names that kube-proxy's configuration has for them. */
export type ProxyMode = "nftables" | "iptables" | "ipvs";
