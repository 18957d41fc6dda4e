/** Layer dns. Metrics of `forward` under the names of CoreDNS 1.14 and under those that older dashboards still draw. */
import { formatRcode } from "../../../codec/dns/constants.ts";
import type { DistributionFamily, MetricSet, SeriesFamily } from "../../metrics/metric-set.ts";

const BOUNDS = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);

export class ForwardMetrics {
  readonly #duration: DistributionFamily;
  readonly #oldDuration: DistributionFamily;
  readonly #requests: SeriesFamily;
  readonly #responses: SeriesFamily;
  readonly #timeouts: SeriesFamily;
  readonly #probeFailures: SeriesFamily;
  readonly #oldProbeFailures: SeriesFamily;
  readonly #kept: SeriesFamily;
  readonly #opened: SeriesFamily;
  readonly #allDown: SeriesFamily;
  readonly #rejected: SeriesFamily;

  constructor(metrics: MetricSet) {
    const to = ["proxy_name", "to"];
    const bounds = BOUNDS;
    this.#duration = metrics.histogram(
      "coredns_proxy_request_duration_seconds",
      "Time that upstreams took.",
      {
        labelNames: [...to, "rcode"],
        bounds,
      },
    );
    this.#oldDuration = metrics.histogram(
      "coredns_forward_request_duration_seconds",
      "As proxy_request_duration.",
      {
        labelNames: ["to", "rcode"],
        bounds,
      },
    );
    this.#requests = metrics.counter("coredns_forward_requests_total", "Queries sent upstream.", ["to"]);
    this.#responses = metrics.counter("coredns_forward_responses_total", "Replies of upstreams.", [
      "to",
      "rcode",
    ]);
    this.#timeouts = metrics.counter("nodeplane_dns_forward_failures_total", "Queries without a reply.", [
      "to",
    ]);
    this.#probeFailures = metrics.counter("coredns_proxy_healthcheck_failures_total", "Failed probes.", to);
    this.#oldProbeFailures = metrics.counter("coredns_forward_healthcheck_failures_total", "Failed probes.", [
      "to",
    ]);
    this.#kept = metrics.counter("coredns_proxy_conn_cache_hits_total", "Kept connections used.", [
      ...to,
      "proto",
    ]);
    this.#opened = metrics.counter("coredns_proxy_conn_cache_misses_total", "Connections opened.", [
      ...to,
      "proto",
    ]);
    this.#allDown = metrics.counter(
      "coredns_forward_healthcheck_broken_total",
      "Queries while all were down.",
    );
    this.#rejected = metrics.counter(
      "coredns_forward_max_concurrent_rejects_total",
      "Queries above max_concurrent.",
    );
    this.#allDown.child();
    this.#rejected.child();
  }

  reply(to: string, rcode: number, seconds: number): void {
    const code = formatRcode(rcode);
    this.#duration.child("forward", to, code).observe(seconds);
    this.#oldDuration.child(to, code).observe(seconds);
    this.#requests.child(to).add();
    this.#responses.child(to, code).add();
  }

  /** Replies that the native engine gave to clients, and the sockets that it used. */
  engineReplies(to: string, rcode: number, durations: Float64Array, seconds: number): void {
    const code = formatRcode(rcode);
    const count = durations.reduce((sum, value) => sum + value, 0);
    if (count === 0) return;
    this.#duration.child("forward", to, code).addAll(durations, seconds);
    this.#oldDuration.child(to, code).addAll(durations, seconds);
    this.#requests.child(to).add(count);
    this.#responses.child(to, code).add(count);
  }

  engineSockets(to: string, kept: number, opened: number): void {
    if (kept > 0) this.#kept.child("forward", to, "udp").add(kept);
    if (opened > 0) this.#opened.child("forward", to, "udp").add(opened);
  }

  failure(to: string): void {
    this.#requests.child(to).add();
    this.#timeouts.child(to).add();
  }

  probeFailure(to: string): void {
    this.#probeFailures.child("forward", to).add();
    this.#oldProbeFailures.child(to).add();
  }

  /** A socket or connection that was there before, or a new one. */
  connection(to: string, proto: "udp" | "tcp" | "tcp-tls" | "https", wasKept: boolean): void {
    (wasKept ? this.#kept : this.#opened).child("forward", to, proto).add();
  }

  allDown(): void {
    this.#allDown.child().add();
  }

  rejected(): void {
    this.#rejected.child().add();
  }
}
