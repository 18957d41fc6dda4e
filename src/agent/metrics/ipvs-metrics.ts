/** Layer agent. Metrics that ipvs mode alone has, read when somebody scrapes. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { IpvsFigures } from "../reconcile/status.ts";
import { FAMILY_LABEL, type MetricsSnapshot } from "./metrics-snapshot.ts";

/** Registers the series of ipvs mode; they have values in ipvs mode alone. */
export function registerIpvs(registry: Registry, snapshot: () => MetricsSnapshot): void {
  const eachFamily = (take: (figures: IpvsFigures, ip_family: string) => void): void => {
    for (const { family, ipvs } of snapshot().reconciler.families)
      if (ipvs !== undefined) take(ipvs, FAMILY_LABEL[family]);
  };
  const gauges = [
    ["nodeplane_ipvs_virtual_servers", "Virtual servers of ours", "virtualServers"],
    [
      "nodeplane_ipvs_destinations",
      "Destinations of virtual servers, draining ones included",
      "destinations",
    ],
    ["nodeplane_ipvs_draining_destinations", "Removed endpoints that keep connections", "draining"],
  ] as const;
  for (const [name, help, key] of gauges) {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: ["ip_family"],
      registers: [registry],
      collect: () => eachFamily((figures, ip_family) => gauge.set({ ip_family }, figures[key])),
    });
  }
  const counters = [
    ["nodeplane_ipvs_operations_total", "Requests to IPVS", "serverOperations"],
    ["nodeplane_ipvs_failed_operations_total", "Requests that IPVS refused", "failedOperations"],
    ["nodeplane_ipvs_drained_total", "Removals after connections had ended", "drained"],
  ] as const;
  for (const [name, help, key] of counters) {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames: ["ip_family"],
      registers: [registry],
      collect: () => {
        counter.reset();
        eachFamily((figures, ip_family) => counter.inc({ ip_family }, figures[key]));
      },
    });
  }
}
