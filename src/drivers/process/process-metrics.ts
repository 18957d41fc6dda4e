/** Layer drivers. Metrics of this process as prom-client reads them, under names that Prometheus' own checks accept. */
import { collectDefaultMetrics, type Registry } from "prom-client";

/** Gauges whose names say "total", which only counters should; nobody expects them of kube-proxy or CoreDNS. */
const MISNAMED = ["handles", "requests", "resources"] as const;

/** Registers `process_*` and `nodejs_*`. */
export function registerProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(`nodejs_active_${name}_total`);
}
