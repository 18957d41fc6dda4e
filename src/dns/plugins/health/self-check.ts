/** Layer dns. The server asks its own `/health` once a second: how long that takes shows how busy the process is. */
import { get } from "node:http";
import type { ListenAddress } from "../../corefile/options.ts";
import type { MetricSet } from "../../metrics/metric-set.ts";

const INTERVAL_MS = 1_000;
const TIMEOUT_MS = 3_000;
const BOUNDS = [0.00025, 0.0025, 0.025, 0.25, 2.5];

/** Until the signal aborts. Nothing for port 0, which only the system knows. */
export function checkSelf(address: ListenAddress, metrics: MetricSet, signal: AbortSignal): void {
  const failures = metrics
    .counter("coredns_health_request_failures_total", "Health checks of the server by itself that failed.")
    .child();
  const durations = metrics
    .histogram("coredns_health_request_duration_seconds", "How long they took.", {
      labelNames: [],
      bounds: BOUNDS,
    })
    .child();
  if (address.port === 0) return;
  const host = address.host === "" ? "localhost" : address.host;
  const timer = setInterval(() => {
    const startMs = performance.now();
    const request = get({ host, port: address.port, path: "/health", timeout: TIMEOUT_MS, agent: false });
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("response", (response) => {
      response.resume();
      durations.observe((performance.now() - startMs) / 1000);
    });
    request.on("error", () => {
      durations.observe((performance.now() - startMs) / 1000);
      failures.add();
    });
  }, INTERVAL_MS);
  timer.unref();
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
