/** Layer drivers. Metrics of this process as prom-client reads them, under names that Prometheus' own checks accept. */
import { collectDefaultMetrics, type Registry } from "prom-client";

/** Gauges whose names say "total", which only counters should; nobody expects them of kube-proxy or CoreDNS. */
const MISNAMED = ["handles", "requests", "resources"] as const;
/** Read from a timer that wakes the process 100 times a second, 0.5 % of a core; `nodejs_eventloop_lag_seconds` needs none. */
const SAMPLED_LAGS = ["min", "max", "mean", "stddev", "p50", "p90", "p99"] as const;
const HOUR_MS = 3_600_000;

/** Registers `process_*` and `nodejs_*`. */
export function registerProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: HOUR_MS });
  for (const name of MISNAMED) registry.removeSingleMetric(`nodejs_active_${name}_total`);
  for (const name of SAMPLED_LAGS) registry.removeSingleMetric(`nodejs_eventloop_lag_${name}_seconds`);
}
