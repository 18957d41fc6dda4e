/** Layer dns. How long a change took from its source to answers, under CoreDNS's name. */
import type { MetricSet } from "../metrics/metric-set.ts";
import type { ClusterState } from "./cluster-state.ts";

const BOUNDS = Array.from({ length: 20 }, (_, i) => 0.001 * 2 ** i);

/** Observes each changed service once a commit; snapshots and changes of unknown age are left out. */
export function observeProgramming(cluster: ClusterState, metrics: MetricSet, now: () => number): void {
  const durations = metrics.histogram(
    "coredns_kubernetes_dns_programming_duration_seconds",
    "Time from a change to the answers that show it.",
    { labelNames: ["service_kind"], bounds: BOUNDS },
  );
  cluster.onCommit((changed, batch) => {
    if (batch.snapshot || batch.changedAtMs === 0) return;
    const seconds = Math.max(0, now() - batch.changedAtMs) / 1000;
    for (const key of changed) {
      const kind = cluster.services.get(key)?.service?.kind;
      if (kind === undefined || kind === "external-name") continue;
      durations.child(kind === "cluster-ip" ? "cluster_ip" : "headless_with_selector").observe(seconds);
    }
  });
}
