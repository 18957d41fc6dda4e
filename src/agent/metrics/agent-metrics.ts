/**
 * Layer agent. The agent's metrics: kube-proxy's names (1.35), and ours under `nodeplane_`. This file
 * holds those that happenings move; figures that others keep are read when somebody scrapes (scraped-metrics.ts).
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { registerProcessMetrics } from "../../drivers/process/process-metrics.ts";
import type { IpFamily } from "../../model/ip.ts";
import { KUBERNETES_VERSION, VERSION } from "../../model/version.ts";
import { registerIptables } from "./iptables-metrics.ts";
import { registerIpvs } from "./ipvs-metrics.ts";
import { FAMILY_LABEL, type MetricsSnapshot } from "./metrics-snapshot.ts";
import { registerScraped } from "./scraped-metrics.ts";
import { registerServices } from "./service-metrics.ts";

/** 1 ms … 16.384 s. */
const SYNC_BUCKETS = Array.from({ length: 15 }, (_, k) => 0.001 * 2 ** k);
/** kube-proxy's buckets of the network programming latency, seconds. */
const PROGRAMMING_BUCKETS = [
  0.25,
  0.5,
  ...Array.from({ length: 59 }, (_, i) => i + 1),
  ...Array.from({ length: 12 }, (_, i) => 60 + 5 * i),
  ...Array.from({ length: 7 }, (_, i) => 120 + 30 * i),
];

export class AgentMetrics {
  readonly #registry = new Registry();
  readonly #syncSeconds = this.#histogram(
    "sync_proxy_rules_duration_seconds",
    "Latency of syncs",
    SYNC_BUCKETS,
  );
  readonly #fullSeconds = this.#histogram(
    "sync_full_proxy_rules_duration_seconds",
    "Latency of full syncs",
    SYNC_BUCKETS,
  );
  readonly #partialSeconds = this.#histogram(
    "sync_partial_proxy_rules_duration_seconds",
    "Latency of syncs that wrote differences only",
    SYNC_BUCKETS,
  );
  readonly #programmingSeconds = this.#histogram(
    "network_programming_duration_seconds",
    "Time from a change at its source until it is in the kernel",
    PROGRAMMING_BUCKETS,
  );
  readonly #conntrackSeconds = this.#histogram(
    "conntrack_reconciler_sync_duration_seconds",
    "Time of a look for stale entries of connection tracking",
    SYNC_BUCKETS,
  );
  readonly #conntrackDeleted = this.#counter(
    "kubeproxy_conntrack_reconciler_deleted_entries_total",
    "Stale entries of connection tracking that were deleted",
    ["ip_family"],
  );
  readonly #lastSync = this.#familyGauge(
    "sync_proxy_rules_last_timestamp_seconds",
    "When rules were last written",
  );
  readonly #lastQueued = this.#familyGauge(
    "sync_proxy_rules_last_queued_timestamp_seconds",
    "When the last change arrived",
  );
  readonly #serviceChanges = this.#counter(
    "kubeproxy_sync_proxy_rules_service_changes_total",
    "Changes of Services",
  );
  readonly #endpointChanges = this.#counter(
    "kubeproxy_sync_proxy_rules_endpoint_changes_total",
    "Changes of EndpointSlices",
  );
  readonly #pending = {
    service: this.#gauge(
      "kubeproxy_sync_proxy_rules_service_changes_pending",
      "Changes of Services not yet written",
    ),
    endpoint: this.#gauge(
      "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
      "Changes of EndpointSlices not yet written",
    ),
  };
  readonly #healthz = this.#counter("kubeproxy_proxy_healthz_total", "Answers of /healthz by status", [
    "code",
  ]);
  readonly #livez = this.#counter("kubeproxy_proxy_livez_total", "Answers of /livez by status", ["code"]);
  readonly #probes = this.#counter("nodeplane_probe_total", "Finished probes of workloads", [
    "probe_type",
    "result",
    "namespace",
    "pod",
  ]);
  readonly #families: readonly IpFamily[];

  /**
   * @param families those that are programmed
   * @param snapshot called at each scrape
   */
  constructor(families: readonly IpFamily[], snapshot: () => MetricsSnapshot) {
    this.#families = families;
    registerProcessMetrics(this.#registry);
    this.#buildInfo();
    registerScraped(this.#registry, snapshot);
    registerServices(this.#registry, snapshot);
    registerIptables(this.#registry, snapshot);
    registerIpvs(this.#registry, snapshot);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Changes arrived from the feed. */
  queued(changes: { readonly services: number; readonly endpointSlices: number }, nowMs: number): void {
    this.#serviceChanges.inc(changes.services);
    this.#endpointChanges.inc(changes.endpointSlices);
    this.#pending.service.inc(changes.services);
    this.#pending.endpoint.inc(changes.endpointSlices);
    for (const family of this.#families)
      this.#lastQueued.set({ ip_family: FAMILY_LABEL[family] }, nowMs / 1000);
  }

  /** Everything received is in the kernel. */
  synced(seconds: number, full: boolean, nowMs: number): void {
    this.#pending.service.set(0);
    this.#pending.endpoint.set(0);
    for (const family of this.#families) {
      const labels = { ip_family: FAMILY_LABEL[family] };
      this.#syncSeconds.observe(labels, seconds);
      (full ? this.#fullSeconds : this.#partialSeconds).observe(labels, seconds);
      this.#lastSync.set(labels, nowMs / 1000);
    }
  }

  /** Looked for stale entries of connection tracking. */
  conntrackLook(look: {
    readonly family: IpFamily;
    readonly seconds: number;
    readonly deleted: number;
  }): void {
    const labels = { ip_family: FAMILY_LABEL[look.family] };
    this.#conntrackSeconds.observe(labels, look.seconds);
    this.#conntrackDeleted.inc(labels, look.deleted);
  }

  programmingLatency(seconds: number): void {
    for (const family of this.#families) {
      this.#programmingSeconds.observe({ ip_family: FAMILY_LABEL[family] }, seconds);
    }
  }

  healthAnswer(endpoint: "healthz" | "livez", status: number): void {
    (endpoint === "healthz" ? this.#healthz : this.#livez).inc({ code: String(status) });
  }

  probe(labels: {
    readonly type: string;
    readonly result: string;
    readonly namespace: string;
    readonly pod: string;
  }): void {
    const { type, result, namespace, pod } = labels;
    this.#probes.inc({ probe_type: type, result, namespace, pod });
  }

  /** A workload is gone: so are its series, or they would pile up. */
  forgetWorkload(namespace: string, pod: string): void {
    for (const probe_type of ["startup", "liveness", "readiness"]) {
      for (const result of ["success", "failure"])
        this.#probes.remove({ probe_type, result, namespace, pod });
    }
  }

  #buildInfo(): void {
    const { major, minor, patch } = KUBERNETES_VERSION;
    this.#gauge("kubernetes_build_info", "Version of the Kubernetes API that is spoken", [
      "major",
      "minor",
      "git_version",
    ]).set({ major, minor, git_version: `v${major}.${minor}.${patch}` }, 1);
    this.#gauge("nodeplane_build_info", "Version of nodeplane", ["version"]).set({ version: VERSION }, 1);
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    const registers = [this.#registry];
    return new Histogram({ name: `kubeproxy_${name}`, help, buckets, labelNames: ["ip_family"], registers });
  }

  #familyGauge(name: string, help: string): Gauge {
    return this.#gauge(`kubeproxy_${name}`, help, ["ip_family"]);
  }

  #gauge(name: string, help: string, labelNames: string[] = []): Gauge {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }
}
