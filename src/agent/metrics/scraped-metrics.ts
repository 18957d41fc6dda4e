/** Layer agent. Metrics of every mode that are read when somebody scrapes. */
import { Counter, Gauge, type Registry } from "prom-client";
import { familyCounters, familyGauges } from "./family-series.ts";
import { FAMILY_LABEL, type MetricsSnapshot } from "./metrics-snapshot.ts";

/** Registers what is read from `snapshot` at each scrape. */
export function registerScraped(registry: Registry, snapshot: () => MetricsSnapshot): void {
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
      registers: [registry],
      collect: () => {
        const current = value(snapshot());
        if (current !== undefined) gauge.set(current);
      },
    });
  }
  registerFamilies(registry, snapshot);
  registerLists(registry, snapshot);
}

function registerFamilies(registry: Registry, snapshot: () => MetricsSnapshot): void {
  familyCounters(registry, snapshot, [
    [
      "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
      "Writes that the kernel refused",
      ({ counters }, { mode }) => (mode === "nftables" ? counters.failedCommits : undefined),
    ],
    [
      "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
      "Refused removals of chains and sets of session affinity; tried again with the next write",
      ({ counters }, { mode }) => (mode === "nftables" ? (counters.cleanupFailures ?? 0) : undefined),
    ],
    ["nodeplane_commits_total", "Batches written to the kernel", (f) => f.counters.commits],
    ["nodeplane_operations_total", "Operations in these batches", (f) => f.counters.operations],
    ["nodeplane_elements_added_total", "Elements added to maps and sets", (f) => f.counters.elementsAdded],
    [
      "nodeplane_elements_deleted_total",
      "Elements removed from maps and sets",
      (f) => f.counters.elementsDeleted,
    ],
    ["nodeplane_full_syncs_total", "Times that the whole table was written", (f) => f.counters.fullSyncs],
    [
      "nodeplane_adoptions_total",
      "Times that an existing table was read and kept",
      (f) => f.counters.adoptions,
    ],
    [
      "nodeplane_repairs_total",
      "Times that foreign changes were found and mended",
      (f) => f.counters.repairs,
    ],
  ]);
  familyGauges(registry, snapshot, [
    ["nodeplane_service_ports", "Service ports programmed", (f) => f.units],
    ["nodeplane_elements", "Elements that the table should hold", (f) => f.elements],
  ]);
}

function registerLists(registry: Registry, snapshot: () => MetricsSnapshot): void {
  const refused: Gauge = new Gauge({
    name: "nodeplane_refused_objects",
    help: "Objects that are not programmed, wholly or in part, by reason",
    labelNames: ["reason"],
    registers: [registry],
    collect: () => {
      refused.reset();
      for (const problem of snapshot().reconciler.refused) refused.inc({ reason: problem.reason });
    },
  });
  const affinity: Counter = new Counter({
    name: "nodeplane_affinity_not_remembered_total",
    help: "Connections with session affinity that were balanced without being remembered: the set of clients was full",
    labelNames: ["ip_family"],
    registers: [registry],
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
    registers: [registry],
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
    registers: [registry],
    collect: () => {
      stream.reset();
      for (const [event, count] of Object.entries(snapshot().stream)) stream.inc({ event }, count);
    },
  });
}

function asNumber(revision: string | undefined): number | undefined {
  return revision === undefined ? undefined : Number(revision);
}
