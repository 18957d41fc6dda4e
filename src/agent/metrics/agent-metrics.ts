/**
 * Layer agent. The agent's metrics: kube-proxy's names where they apply to nftables mode (facts of kube-proxy, section 3),
 * and ours under `nodeplane_`. Figures that others keep are read when somebody scrapes.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { IpFamily } from "../../model/ip.ts";
import { KUBERNETES_VERSION, VERSION } from "../../model/version.ts";
import type { FamilyCounters, IptablesFigures, ReconcilerStatus } from "../reconcile/status.ts";

const FAMILY_LABEL: Readonly<Record<IpFamily, string>> = { ip: "IPv4", ip6: "IPv6" };

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

/** What the agent knows at the moment of a scrape. */
export interface MetricsSnapshot {
  readonly reconciler: ReconcilerStatus;
  /** Asks the kernel, by family. */
  readonly affinityNotRemembered: () => ReadonlyMap<IpFamily, number>;
  readonly feedAgeSeconds: number;
  readonly feedConnected: boolean;
  readonly feedSynced: boolean;
  readonly feedProblems: number;
  readonly missingPreconditions: number;
  readonly workloads: { readonly ready: number; readonly notReady: number; readonly refused: number };
  /** Counters of the node stream by name; empty in standalone mode. */
  readonly stream: Readonly<Record<string, number>>;
}

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
    collectDefaultMetrics({ register: this.#registry });
    // Gauges whose names say "total" offend Prometheus' own checks, and nobody expects them of kube-proxy.
    for (const name of ["handles", "requests", "resources"]) {
      this.#registry.removeSingleMetric(`nodejs_active_${name}_total`);
    }
    this.#buildInfo();
    this.#scraped(snapshot);
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

  #scraped(snapshot: () => MetricsSnapshot): void {
    const plain: readonly [string, string, (s: MetricsSnapshot) => number | undefined][] = [
      [
        "nodeplane_programmed_revision",
        "Revision of the feed that is in the kernel",
        (s) => asNumber(s.reconciler.revision),
      ],
      [
        "nodeplane_received_revision",
        "Newest revision received",
        (s) => asNumber(s.reconciler.receivedRevision),
      ],
      [
        "nodeplane_programmed",
        "1 when the first complete state is in the kernel",
        (s) => Number(s.reconciler.programmed),
      ],
      [
        "nodeplane_feed_age_seconds",
        "Time since the data was known to equal its source",
        (s) => s.feedAgeSeconds,
      ],
      [
        "nodeplane_feed_connected",
        "1 while the source of objects is reachable",
        (s) => Number(s.feedConnected),
      ],
      ["nodeplane_feed_synced", "1 after the first complete state", (s) => Number(s.feedSynced)],
      [
        "nodeplane_feed_problems",
        "Things wrong in the source itself: files and objects that cannot be read",
        (s) => s.feedProblems,
      ],
      ["nodeplane_services", "Services known", (s) => s.reconciler.services],
      ["nodeplane_endpointslices", "EndpointSlices known", (s) => s.reconciler.endpointSlices],
      ["nodeplane_endpoints", "Endpoints known", (s) => s.reconciler.endpoints],
      [
        "nodeplane_missing_preconditions",
        "Preconditions of the machine that are missing",
        (s) => s.missingPreconditions,
      ],
      ["nodeplane_workloads_ready", "Workloads of this node that are ready", (s) => s.workloads.ready],
      [
        "nodeplane_workloads_not_ready",
        "Workloads of this node that are not ready",
        (s) => s.workloads.notReady,
      ],
      ["nodeplane_manifests_refused", "Manifests that could not be read", (s) => s.workloads.refused],
    ];
    for (const [name, help, value] of plain) {
      const gauge: Gauge = new Gauge({
        name,
        help,
        registers: [this.#registry],
        collect: () => {
          const current = value(snapshot());
          if (current !== undefined) gauge.set(current);
        },
      });
    }
    this.#scrapedFamilies(snapshot);
    this.#scrapedIptables(snapshot);
    this.#scrapedLists(snapshot);
  }

  #scrapedFamilies(snapshot: () => MetricsSnapshot): void {
    const counters: readonly [string, string, (c: FamilyCounters) => number][] = [
      [
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
        "Writes that the kernel refused",
        (c) => c.failedCommits,
      ],
      [
        "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
        "Failed removals of stale chains; this layout has none",
        () => 0,
      ],
      ["nodeplane_commits_total", "Batches written to the kernel", (c) => c.commits],
      ["nodeplane_operations_total", "Operations in these batches", (c) => c.operations],
      ["nodeplane_elements_added_total", "Elements added to maps and sets", (c) => c.elementsAdded],
      ["nodeplane_elements_deleted_total", "Elements removed from maps and sets", (c) => c.elementsDeleted],
      ["nodeplane_full_syncs_total", "Times that the whole table was written", (c) => c.fullSyncs],
      ["nodeplane_adoptions_total", "Times that an existing table was read and kept", (c) => c.adoptions],
      ["nodeplane_repairs_total", "Times that foreign changes were found and mended", (c) => c.repairs],
    ];
    for (const [name, help, value] of counters) {
      const counter: Counter = new Counter({
        name,
        help,
        labelNames: ["ip_family"],
        registers: [this.#registry],
        collect: () => {
          counter.reset();
          for (const family of snapshot().reconciler.families) {
            counter.inc({ ip_family: FAMILY_LABEL[family.family] }, value(family.counters));
          }
        },
      });
    }
    const gauges = [
      ["nodeplane_service_ports", "Service ports programmed", "units"],
      ["nodeplane_elements", "Elements that the table should hold", "elements"],
    ] as const;
    for (const [name, help, key] of gauges) {
      const gauge: Gauge = new Gauge({
        name,
        help,
        labelNames: ["ip_family"],
        registers: [this.#registry],
        collect: () => {
          for (const family of snapshot().reconciler.families) {
            gauge.set({ ip_family: FAMILY_LABEL[family.family] }, family[key]);
          }
        },
      });
    }
  }

  /** Series appear in iptables mode alone. */
  #scrapedIptables(snapshot: () => MetricsSnapshot): void {
    const eachFamily = (take: (figures: IptablesFigures, ip_family: string) => void): void => {
      for (const { family, iptables } of snapshot().reconciler.families)
        if (iptables !== undefined) take(iptables, FAMILY_LABEL[family]);
    };
    const gauges = [
      ["kubeproxy_sync_proxy_rules_iptables_total", "Rules of iptables owned", "rules"],
      ["kubeproxy_sync_proxy_rules_iptables_last", "Rules of iptables written in the last sync", "lastRules"],
    ] as const;
    for (const [name, help, key] of gauges) {
      const gauge: Gauge = new Gauge({
        name,
        help,
        labelNames: ["ip_family", "table"],
        registers: [this.#registry],
        collect: () =>
          eachFamily((figures, ip_family) => {
            for (const table of ["filter", "nat"] as const)
              gauge.set({ ip_family, table }, figures[key][table]);
          }),
      });
    }
    const counters = [
      [
        "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
        "Inputs that iptables-restore refused",
        "restoreFailures",
      ],
      [
        "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
        "Refused inputs that held changes only; a full sync follows",
        "partialRestoreFailures",
      ],
    ] as const;
    for (const [name, help, key] of counters) {
      const counter: Counter = new Counter({
        name,
        help,
        labelNames: ["ip_family"],
        registers: [this.#registry],
        collect: () => {
          counter.reset();
          eachFamily((figures, ip_family) => counter.inc({ ip_family }, figures[key]));
        },
      });
    }
  }

  #scrapedLists(snapshot: () => MetricsSnapshot): void {
    const refused: Gauge = new Gauge({
      name: "nodeplane_refused_objects",
      help: "Objects that are not programmed, wholly or in part, by reason",
      labelNames: ["reason"],
      registers: [this.#registry],
      collect: () => {
        refused.reset();
        for (const problem of snapshot().reconciler.refused) refused.inc({ reason: problem.reason });
      },
    });
    const affinity: Counter = new Counter({
      name: "nodeplane_affinity_not_remembered_total",
      help: "Connections with session affinity that were balanced without being remembered: the set of clients was full",
      labelNames: ["ip_family"],
      registers: [this.#registry],
      collect: () => {
        affinity.reset();
        for (const [family, count] of snapshot().affinityNotRemembered())
          affinity.inc({ ip_family: FAMILY_LABEL[family] }, count);
      },
    });
    const noLocal: Gauge = new Gauge({
      name: "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
      help: "Service ports with a Local policy that have endpoints on other nodes only",
      labelNames: ["ip_family", "traffic_policy"],
      registers: [this.#registry],
      collect: () => {
        for (const { family, noLocalEndpoints } of snapshot().reconciler.families) {
          for (const [traffic_policy, count] of Object.entries(noLocalEndpoints ?? {})) {
            noLocal.set({ ip_family: FAMILY_LABEL[family], traffic_policy }, count);
          }
        }
      },
    });
    const stream: Counter = new Counter({
      name: "nodeplane_stream_events_total",
      help: "What happened on the node stream, by kind",
      labelNames: ["event"],
      registers: [this.#registry],
      collect: () => {
        stream.reset();
        for (const [event, count] of Object.entries(snapshot().stream)) stream.inc({ event }, count);
      },
    });
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

function asNumber(revision: string | undefined): number | undefined {
  return revision === undefined ? undefined : Number(revision);
}
