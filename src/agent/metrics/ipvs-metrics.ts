/** Layer agent. Metrics that ipvs mode alone has, read when somebody scrapes. */
import type { Registry } from "prom-client";
import { familyCounters, familyGauges } from "./family-series.ts";
import type { MetricsSnapshot } from "./metrics-snapshot.ts";

/** Registers the series of ipvs mode; they have values in ipvs mode alone. */
export function registerIpvs(registry: Registry, snapshot: () => MetricsSnapshot): void {
  familyGauges(registry, snapshot, [
    ["nodeplane_ipvs_virtual_servers", "Virtual servers of ours", ({ ipvs }) => ipvs?.virtualServers],
    [
      "nodeplane_ipvs_destinations",
      "Destinations of virtual servers, draining ones included",
      ({ ipvs }) => ipvs?.destinations,
    ],
    [
      "nodeplane_ipvs_draining_destinations",
      "Removed endpoints that keep connections",
      ({ ipvs }) => ipvs?.draining,
    ],
  ]);
  familyCounters(registry, snapshot, [
    ["nodeplane_ipvs_operations_total", "Requests to IPVS", ({ ipvs }) => ipvs?.serverOperations],
    [
      "nodeplane_ipvs_failed_operations_total",
      "Requests that IPVS refused",
      ({ ipvs }) => ipvs?.failedOperations,
    ],
    ["nodeplane_ipvs_drained_total", "Removals after connections had ended", ({ ipvs }) => ipvs?.drained],
  ]);
}
