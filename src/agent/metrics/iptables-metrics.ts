/** Layer agent. Metrics that iptables mode alone has, read when somebody scrapes. Source: kube-proxy 1.35, pkg/proxy/metrics. */
import { Counter, Gauge, type Registry } from "prom-client";
import { PACKET_COUNTERS } from "../../plan/iptables/names.ts";
import { familyCounters } from "./family-series.ts";
import { FAMILY_LABEL, type MetricsSnapshot } from "./metrics-snapshot.ts";

/** Registers kube-proxy's series of iptables mode; they have values in iptables mode alone. */
export function registerIptables(registry: Registry, snapshot: () => MetricsSnapshot): void {
  const gauges = [
    ["kubeproxy_sync_proxy_rules_iptables_total", "Rules of iptables owned", "rules"],
    ["kubeproxy_sync_proxy_rules_iptables_last", "Rules of iptables written in the last sync", "lastRules"],
  ] as const;
  for (const [name, help, key] of gauges) {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: ["ip_family", "table"],
      registers: [registry],
      collect: () => {
        for (const { family, iptables } of snapshot().reconciler.families)
          for (const table of ["filter", "nat"] as const)
            if (iptables !== undefined)
              gauge.set({ ip_family: FAMILY_LABEL[family], table }, iptables[key][table]);
      },
    });
  }
  familyCounters(registry, snapshot, [
    [
      "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
      "Inputs that iptables-restore refused",
      ({ iptables }) => iptables?.restoreFailures,
    ],
    [
      "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
      "Refused inputs that held changes only; a full sync follows",
      ({ iptables }) => iptables?.partialRestoreFailures,
    ],
  ]);
  registerPacketCounters(registry, snapshot);
}

/** Without a sample where the machine has no packet counters: a counter without any label would begin with one. */
function registerPacketCounters(registry: Registry, snapshot: () => MetricsSnapshot): void {
  const counters = [
    [
      "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
      "Packets that were dropped as INVALID",
      PACKET_COUNTERS.invalid,
    ],
    [
      "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
      "New connections to node ports on loopback addresses, which other modes do not accept",
      PACKET_COUNTERS.loopback,
    ],
  ] as const;
  for (const [name, help, counted] of counters) {
    const counter: Counter<"none"> = new Counter({
      name,
      help,
      labelNames: ["none"],
      registers: [registry],
      collect: () => {
        const packets = snapshot().packetCounters().get(counted);
        counter.reset();
        if (packets !== undefined) counter.inc(packets);
      },
    });
  }
}
