/** The node stream on the real registry and store: what nodes get of API objects, and what their reports become. */
import assert from "node:assert/strict";
import { beforeEach, suite, test } from "node:test";
import { Registry as MetricsRegistry } from "prom-client";
import { createSystemNamespaces } from "../../../src/control-plane/controllers/bootstrap/namespaces.ts";
import { makeMachinery } from "../../../src/control-plane/daemon.ts";
import { KINDS } from "../../../src/control-plane/kinds/index.ts";
import { MemorySource } from "../../../src/control-plane/node-stream/memory-source.ts";
import { conditionsOf } from "../../../src/control-plane/node-stream/node-conditions.ts";
import { registerNodeStreamMetrics } from "../../../src/control-plane/node-stream/node-stream-metrics.ts";
import type { SourceGroup } from "../../../src/control-plane/node-stream/object-source.ts";
import { RegistryReportSink } from "../../../src/control-plane/node-stream/registry-report-sink.ts";
import { StoreSource } from "../../../src/control-plane/node-stream/store-source.ts";
import { StreamHub } from "../../../src/control-plane/node-stream/stream-hub.ts";
import { type ApiObject, type JsonObject, valueAt } from "../../../src/control-plane/registry/json.ts";
import { LocalClient } from "../../../src/control-plane/registry/local-client.ts";
import { Registry } from "../../../src/control-plane/registry/registry.ts";
import { MemoryStore } from "../../../src/control-plane/store/memory-store.ts";
import type { Store } from "../../../src/control-plane/store/store.ts";
import { formatKey } from "../../../src/model/objects.ts";
import { HELLO, service } from "./stream-fixture.ts";

let store: Store;
let client: LocalClient;
beforeEach(async () => {
  store = new MemoryStore({ ephemeralPrefixes: Registry.ephemeralPrefixes(KINDS) });
  const settings = {
    clusterDomain: "cluster.local",
    serviceCidrs: ["10.96.0.0/12"],
    podCidrs: [],
    nodePortRange: { from: 30_000, to: 32_767 },
    apiAddresses: ["127.0.0.1"],
    apiPort: 6443,
  };
  client = new LocalClient(makeMachinery(store, KINDS, settings));
  await createSystemNamespaces(client);
});

const slice = (name: string, more: JsonObject = {}): ApiObject => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  endpoints: [{ addresses: ["10.244.1.1"] }],
  ports: [{ name: "", port: 80, protocol: "TCP" }],
  ...more,
});
const SLICES = "endpointslices.discovery.k8s.io";

suite("store source", () => {
  test("loads trimmed objects with their revisions and the removals that the log still has", async () => {
    await client.create(SLICES, slice("a"));
    await client.create(SLICES, slice("b"));
    await client.delete(SLICES, "default", "a");
    const state = await new StoreSource({ store }).load();
    assert.equal(state.revision, store.revision());
    assert.equal(state.oldestRevision, store.compactRevision());
    const keys = state.objects.map(({ object }) => `${object.kind}/${object.meta.name}`);
    assert.ok(keys.includes("EndpointSlice/b") && keys.includes("Namespace/default"));
    assert.deepEqual(
      state.removals.map(({ key }) => formatKey(key)),
      ["EndpointSlice/default/a"],
    );
    const revisions = state.objects.map(({ revision }) => revision);
    assert.deepEqual(
      revisions,
      revisions.toSorted((a, b) => a - b),
    );
    await store.compact(store.revision());
    assert.deepEqual((await new StoreSource({ store }).load()).removals, []);
  });

  test("tells changes after the load without a gap, also those made before watch() is called", async () => {
    const source = new StoreSource({ store, now: () => 77 });
    const state = await source.load();
    await client.create(SLICES, slice("early"));
    const groups: SourceGroup[] = [];
    const stop = source.watch(state.revision, {
      changes: (group) => groups.push(group),
      lost: () => assert.fail("lost"),
    });
    await client.create(SLICES, slice("late"));
    await client.delete(SLICES, "default", "early");
    await client.create("secrets", {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s", namespace: "default" },
    });
    const told = groups.flatMap(({ changes }) =>
      changes.map((c) => `${c.object === undefined ? "-" : "+"}${c.key.name}`),
    );
    assert.deepEqual(told, ["+early", "+late", "-early"]);
    assert.equal(groups.at(-1)?.revision, store.revision());
    assert.equal(groups.find(({ changes }) => changes.length > 0)?.changedAtMs, 77);
    stop();
    await client.create(SLICES, slice("after"));
    assert.equal(groups.flatMap(({ changes }) => changes).length, 3);
  });

  test("an object that nodes cannot use is told once, and once more when it is mended", async () => {
    const told: string[] = [];
    const onProblems = (key: { name: string }, problems: readonly { reason: string }[]) =>
      void told.push(`${key.name}: ${problems.map(({ reason }) => reason).join()}`);
    const source = new StoreSource({ store, onProblems });
    await client.create(
      SLICES,
      slice("fqdn", { addressType: "FQDN", endpoints: [{ addresses: ["a.example"] }] }),
    );
    const state = await source.load();
    assert.ok(!state.objects.some(({ object }) => object.meta.name === "fqdn"));
    source.watch(state.revision, { changes: () => {}, lost: () => {} });
    await client.mergePatch(SLICES, "default", "fqdn", { metadata: { labels: { x: "y" } } });
    await client.delete(SLICES, "default", "fqdn");
    assert.deepEqual(told, ["fqdn: UnsupportedAddressType", "fqdn: "]);
  });
});

const NOW = Date.UTC(2026, 5, 1, 12, 0, 0);
const node = (status = "True", heartbeat = "2026-06-01T12:00:00Z"): ApiObject => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "z1", mine: "1" } },
  spec: {},
  status: {
    addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
    conditions: [
      {
        type: "Ready",
        status,
        reason: "R",
        message: "m",
        lastHeartbeatTime: heartbeat,
        lastTransitionTime: "2026-06-01T11:00:00Z",
      },
    ],
  },
});
const pod = (name: string, hash: string, ready = "True"): ApiObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name,
    namespace: "default",
    labels: { app: "x" },
    annotations: { "kubernetes.io/config.mirror": hash },
  },
  spec: { nodeName: "n1", containers: [{ name: "c", image: "i" }] },
  status: {
    phase: "Running",
    podIP: "10.244.0.2",
    podIPs: [{ ip: "10.244.0.2" }],
    conditions: [{ type: "Ready", status: ready }],
  },
});

suite("report sink", () => {
  const open = (nowMs = NOW) => {
    const refused: string[] = [];
    const onRefused = (name: string, object: string, error: unknown) =>
      void refused.push(`${name} ${object} ${String(error)}`);
    return { sink: new RegistryReportSink({ client, now: () => nowMs, onRefused }), refused };
  };

  test("a heartbeat makes and renews the Lease, and asks for a report while the Node is missing or Unknown", async () => {
    const { sink } = open();
    assert.equal(await sink.heartbeat("n1"), true);
    await sink.report("n1", { node: node(), pods: [], events: [] });
    assert.equal(await open(NOW + 5000).sink.heartbeat("n1"), false);
    const lease = await client.get("leases.coordination.k8s.io", "kube-node-lease", "n1");
    assert.equal(valueAt(lease, ["spec", "renewTime"]), "2026-06-01T12:00:05.000000Z");
    const silent = {
      status: {
        conditions: [{ type: "Ready", status: "Unknown", lastTransitionTime: "2026-06-01T11:30:00Z" }],
      },
    };
    await client.mergePatch("nodes", "", "n1", silent, "status");
    assert.equal(await sink.heartbeat("n1"), true);
    await sink.report("n1", { node: node(), pods: [], events: [] });
    assert.equal(await sink.heartbeat("n1"), false);
    const object = await client.get("nodes", "", "n1");
    const [ready] = object === undefined ? [] : conditionsOf(object);
    assert.equal(ready?.["lastTransitionTime"], "2026-06-01T12:00:00Z");
  });

  test("equal reports write nothing; labels of others stay, a node's own go when it no longer has them", async () => {
    const { sink } = open();
    const report = { node: node(), pods: [pod("a", "h1")], events: [] };
    assert.equal(await sink.report("n1", report), true);
    const revision = store.revision();
    await sink.report("n1", report);
    await sink.report("n1", { ...report, node: node("True", "2026-06-01T12:00:30Z") });
    assert.equal(store.revision(), revision);
    await client.mergePatch("nodes", "", "n1", { metadata: { labels: { admin: "1" } } });
    const fewer = node();
    fewer.metadata.labels = { "topology.kubernetes.io/zone": "z2" };
    await sink.report("n1", { ...report, node: fewer });
    const labels = (await client.get("nodes", "", "n1"))?.metadata.labels;
    assert.deepEqual(labels, { admin: "1", "topology.kubernetes.io/zone": "z2" });
  });

  test("mirror Pods are made, kept up to date, replaced when the manifest changed, and removed", async () => {
    const { sink, refused } = open();
    const report = async (...pods: ApiObject[]) =>
      await sink.report("n1", { node: node(), pods, events: [] });
    await report(pod("a", "h1"), pod("b", "h1"));
    const first = await client.get("pods", "default", "a");
    assert.equal(valueAt(first, ["status", "podIP"]), "10.244.0.2");
    await report(pod("a", "h1", "False"), pod("b", "h2"));
    const second = await client.get("pods", "default", "a");
    assert.equal(second?.metadata.uid, first?.metadata.uid);
    assert.equal(second === undefined ? "" : conditionsOf(second)[0]?.["status"], "False");
    assert.equal(
      (await client.get("pods", "default", "b"))?.metadata.annotations?.["kubernetes.io/config.mirror"],
      "h2",
    );
    await report(pod("b", "h2"));
    assert.equal(await client.get("pods", "default", "a"), undefined);
    assert.deepEqual(refused, []);
  });

  test("a mirror Pod that somebody deleted is asked for at the next heartbeat and comes back", async () => {
    const { sink } = open();
    const report = { node: node(), pods: [pod("a", "h1"), pod("b", "h1")], events: [] };
    await sink.report("n1", report);
    assert.equal(await sink.heartbeat("n1"), false);
    await client.delete("pods", "default", "a", { gracePeriodSeconds: 0 });
    assert.equal(await sink.heartbeat("n1"), true);
    await sink.report("n1", report);
    assert.ok((await client.get("pods", "default", "a")) !== undefined);
    assert.equal(await sink.heartbeat("n1"), false);
    await sink.report("n1", { ...report, pods: [pod("b", "h1")] });
    assert.equal(await sink.heartbeat("n1"), false);
  });

  test("a node cannot touch what is not its own, and one refused Pod does not stop the others", async () => {
    const { sink, refused } = open();
    const other = { ...node(), metadata: { name: "n2" } };
    await assert.rejects(
      sink.report("n1", { node: other, pods: [], events: [] }),
      /reports another Node's object/,
    );
    const plain = pod("plain", "h");
    delete plain.metadata.annotations;
    await client.create("pods", plain);
    const foreign = pod("foreign", "h1");
    foreign["spec"] = { nodeName: "n2", containers: [{ name: "c", image: "i" }] };
    const invalid = pod("BAD NAME", "h1");
    const pods = [foreign, pod("plain", "h1"), invalid, pod("good", "h1")];
    assert.equal(await sink.report("n1", { node: node(), pods, events: [] }), false);
    assert.equal(refused.length, 3);
    assert.ok((await client.get("pods", "default", "good")) !== undefined);
    assert.equal((await client.get("pods", "default", "plain"))?.metadata.annotations, undefined);
    await sink.report("n1", { node: node(), pods: [], events: [] });
    assert.ok((await client.get("pods", "default", "plain")) !== undefined);
  });
});

suite("metrics", () => {
  test("counters, revisions and programming time are scraped from the hub", async () => {
    const source = new MemorySource();
    const hub = new StreamHub({ source, now: () => 5000 });
    await hub.start();
    const registry = new MetricsRegistry();
    registerNodeStreamMetrics(hub, registry);
    const { session } = hub.connect(HELLO, "agent", { send: () => true }, () => {});
    session.pump();
    hub.take(session, { received: 1, programmed: { revision: 1, refused: [] } });
    source.apply([service("a")], 3000);
    source.apply([service("b")], 4000);
    const object = { kind: "Service", namespace: "ns", name: "a" } as const;
    const refused = [{ object, reason: "R", field: "", message: "" }];
    hub.take(session, { received: 3, programmed: { revision: 3, refused } });
    const text = await registry.metrics();
    for (const line of [
      "nodeplane_node_stream_connections_total 1",
      "nodeplane_node_stream_snapshots_total 1",
      "nodeplane_node_stream_objects 2",
      'nodeplane_node_stream_programmed_revision{node="n1",role="agent"} 3',
      'nodeplane_node_stream_refused_objects{node="n1",role="agent"} 1',
      'nodeplane_node_stream_programming_seconds_sum{role="agent"} 2',
      'nodeplane_node_stream_programming_seconds_count{role="agent"} 1',
    ])
      assert.ok(text.includes(`\n${line}\n`), `${line} in\n${text}`);
    hub.close();
  });
});
