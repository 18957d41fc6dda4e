/** Metrics: kube-proxy's names and labels are there, and Prometheus' own checks find nothing to say. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AgentMetrics } from "../../../src/agent/metrics/agent-metrics.ts";
import { metricsReply } from "../../../src/agent/metrics/metrics-replies.ts";
import type { MetricsSnapshot } from "../../../src/agent/metrics/metrics-snapshot.ts";
import type { FamilyCounters } from "../../../src/agent/reconcile/status.ts";

const COUNTERS: FamilyCounters = {
  commits: 3,
  failedCommits: 1,
  operations: 9,
  elementsAdded: 8,
  elementsDeleted: 2,
  fullSyncs: 1,
  adoptions: 0,
  repairs: 4,
};

/** A gauge whose name kube-proxy has given a counter's ending: kept, since dashboards ask for it. */
const ODD: readonly string[] = [
  "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
  "kubeproxy_sync_proxy_rules_iptables_total",
];

const SNAPSHOT: MetricsSnapshot = {
  reconciler: {
    mode: "nftables",
    programmed: true,
    revision: "12",
    receivedRevision: "13",
    services: 5,
    endpointSlices: 6,
    endpoints: 7,
    families: [
      {
        family: "ip",
        units: 5,
        elements: 20,
        counters: COUNTERS,
        noLocalEndpoints: { internal: 2, external: 3 },
      },
    ],
    refused: [
      {
        object: { kind: "Service", namespace: "a", name: "b" },
        reason: "FrontendConflict",
        field: "",
        message: "",
      },
      {
        object: { kind: "Service", namespace: "a", name: "c" },
        reason: "FrontendConflict",
        field: "",
        message: "",
      },
    ],
    syncs: { count: 1, secondsSum: 1, lastSeconds: 1 },
  },
  affinityNotRemembered: () => new Map([["ip", 2]] as const),
  serviceConnections: () => [
    { namespace: "ns", service: "web", port: "http", connections: 5 },
    { namespace: "ns", service: "web", port: "https", connections: 0 },
  ],
  packetCounters: () => new Map([["ct_state_invalid_dropped_pkts", 7]]),
  feedAgeSeconds: 1.5,
  feedConnected: true,
  feedSynced: true,
  feedProblems: 4,
  missingPreconditions: 1,
  workloads: { ready: 2, notReady: 1, refused: 0 },
  stream: { connects: 2 },
};

async function scrape(): Promise<string> {
  const metrics = new AgentMetrics(["ip"], () => SNAPSHOT);
  metrics.queued({ services: 2, endpointSlices: 3 }, 1_700_000_000_000);
  metrics.synced(0.003, false, 1_700_000_001_000);
  metrics.queued({ services: 1, endpointSlices: 0 }, 1_700_000_002_000);
  metrics.programmingLatency(0.4);
  metrics.healthAnswer("healthz", 503);
  metrics.probe({ type: "readiness", result: "success", namespace: "ns", pod: "p" });
  metrics.probe({ type: "readiness", result: "success", namespace: "ns", pod: "gone" });
  metrics.forgetWorkload("ns", "gone");
  const reply = await metricsReply(new URL("http://h/metrics"), {
    metrics,
    mode: "nftables",
    configuration: {},
  });
  return reply.body;
}

const lines: readonly string[] = [
  'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.002",ip_family="IPv4"} 0',
  'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004",ip_family="IPv4"} 1',
  'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="16.384",ip_family="IPv4"} 1',
  'kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
  'kubeproxy_network_programming_duration_seconds_bucket{le="0.25",ip_family="IPv4"} 0',
  'kubeproxy_network_programming_duration_seconds_bucket{le="0.5",ip_family="IPv4"} 1',
  'kubeproxy_network_programming_duration_seconds_bucket{le="300",ip_family="IPv4"} 1',
  'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1700000001',
  'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1700000002',
  "kubeproxy_sync_proxy_rules_service_changes_total 3",
  "kubeproxy_sync_proxy_rules_service_changes_pending 1",
  "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
  'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 1',
  'kubeproxy_proxy_healthz_total{code="503"} 1',
  "nodeplane_programmed_revision 12",
  "nodeplane_received_revision 13",
  'nodeplane_refused_objects{reason="FrontendConflict"} 2',
  'nodeplane_repairs_total{ip_family="IPv4"} 4',
  'nodeplane_stream_events_total{event="connects"} 2',
  'kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="external"} 3',
  "kubeproxy_iptables_ct_state_invalid_dropped_packets_total 7",
  'nodeplane_service_connections_total{namespace="ns",service="web",port="http"} 5',
  'nodeplane_service_connections_total{namespace="ns",service="web",port="https"} 0',
  "nodeplane_feed_age_seconds 1.5",
  "nodeplane_feed_problems 4",
  "nodeplane_workloads_not_ready 1",
];

test("metrics have kube-proxy's names, labels and buckets, and ours", async () => {
  const found = new Set((await scrape()).split("\n"));
  for (const line of lines) assert.ok(found.has(line), line);
  assert.ok(![...found].some((line) => line.includes('pod="gone"')));
});

test("metrics are named as Prometheus wants them", async (t) => {
  const text = await scrape();
  for (const [, name = "", type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    assert.match(text, new RegExp(`^# HELP ${name} \\S`, "m"), `${name} has a help text`);
    if (type === "counter") assert.match(name, /_total$/);
    if (type === "gauge" && !ODD.includes(name)) assert.doesNotMatch(name, /_total$/);
    assert.match(name, /^(kubeproxy|nodeplane|process|nodejs|kubernetes)_[a-z0-9_]+$/);
  }
  const promtool = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
  if (promtool.error !== undefined) {
    t.diagnostic("promtool is not installed: only the checks above ran");
    return;
  }
  const said = `${promtool.stdout}${promtool.stderr}`.split("\n");
  assert.deepEqual(
    said.filter((line) => line !== "" && !ODD.some((name) => line.startsWith(name))),
    [],
  );
});

test("the metrics address answers /proxyMode and /configz", async () => {
  const context = {
    metrics: new AgentMetrics([], () => SNAPSHOT),
    mode: "nftables",
    configuration: { "kubeproxy.config.k8s.io": { mode: "" } },
  };
  const ask = async (path: string) => await metricsReply(new URL(path, "http://h"), context);
  assert.equal((await ask("/proxyMode")).body, "nftables");
  assert.deepEqual(JSON.parse((await ask("/configz")).body), { "kubeproxy.config.k8s.io": { mode: "" } });
  assert.equal((await ask("/other")).status, 404);
});

test("docs/agent-metrics.md lists every metric (RECORD=1 rewrites it)", async () => {
  const text = await scrape();
  const rows = [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)]
    .filter(([, name = ""]) => !/^(process|nodejs)_/.test(name))
    .map(([, name, help, type]) => `| \`${name}\` | ${type} | ${help} |`);
  const table = ["| metric | type | |", "|---|---|---|", ...rows.toSorted(), ""].join("\n");
  const path = join(import.meta.dirname, "../../../docs/agent-metrics.md");
  const before = readFileSync(path, "utf8");
  const want = before.replace(
    /(<!-- metrics -->\n)[^<]*(<!-- end -->)/,
    (_, begin: string, end: string) => begin + table + end,
  );
  if (process.env["RECORD"] === "1") writeFileSync(path, want);
  else assert.equal(before, want);
  assert.ok(rows.length > 30);
});
