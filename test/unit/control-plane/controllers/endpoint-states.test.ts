/** Endpoints of Pods that end, of Nodes that go, and of Services that change (facts: kubernetes-api-contract.md 2.3, 2.4). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ENDPOINT_SLICES } from "../../../../src/control-plane/controllers/endpoint-slices/controller.ts";
import { ENDPOINTS_SYNC } from "../../../../src/control-plane/controllers/endpoints/controller.ts";
import type { ApiObject } from "../../../../src/control-plane/registry/json.ts";
import { addNode, addPod, addService, setPodStatus, startCluster, type TestCluster } from "./harness.ts";

const SLICES = "endpointslices.discovery.k8s.io";
const WEB = { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] };

async function withCluster(run: (cluster: TestCluster) => Promise<void>): Promise<void> {
  const cluster = await startCluster([ENDPOINT_SLICES, ENDPOINTS_SYNC]);
  try {
    await cluster.settle();
    await addNode(cluster.client, "node1");
    await run(cluster);
    assert.deepEqual(cluster.problems, []);
  } finally {
    await cluster.stop();
  }
}

/** Conditions of the slices' endpoints by address, as `rst`: ready, serving, terminating; a dash where not. */
async function states(cluster: TestCluster, service = "web"): Promise<Record<string, string>> {
  const { items } = await cluster.client.list(SLICES, {
    labelSelector: `kubernetes.io/service-name=${service}`,
  });
  type Endpoint = { addresses: string[]; conditions?: Record<string, boolean> };
  const endpoints = items.flatMap((slice) => (slice["endpoints"] ?? []) as unknown as Endpoint[]);
  const letters = ({ conditions }: Endpoint): string =>
    ["ready", "serving", "terminating"].map((name) => (conditions?.[name] === true ? name[0] : "-")).join("");
  return Object.fromEntries(endpoints.map((endpoint) => [endpoint.addresses[0] ?? "", letters(endpoint)]));
}

async function subsets(cluster: TestCluster): Promise<unknown> {
  return (await cluster.client.get("endpoints", "default", "web"))?.["subsets"];
}

/** A Pod that is no mirror, so that it gets a grace period. */
async function ordinaryPod(cluster: TestCluster, name: string, ip: string): Promise<ApiObject> {
  const pod = await cluster.client.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "default", name, labels: { app: "web" } },
    spec: { nodeName: "node1", containers: [{ name: "c", image: "i" }] },
  });
  return await setPodStatus(cluster.client, pod, [ip], true);
}

test("a Pod that ends keeps serving in the slice and leaves Endpoints; a finished one leaves both", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addService(client, "web", WEB);
    await ordinaryPod(cluster, "a", "10.244.0.2");
    const done = await ordinaryPod(cluster, "b", "10.244.0.3");
    await cluster.settle();
    assert.deepEqual(await states(cluster), { "10.244.0.2": "rs-", "10.244.0.3": "rs-" });
    await client.delete("pods", "default", "a");
    const status = { ...(done["status"] as object), phase: "Succeeded" };
    await client.mergePatch("pods", "default", "b", { status }, "status");
    await cluster.settle();
    assert.deepEqual(await states(cluster), { "10.244.0.2": "-st" });
    assert.equal(await subsets(cluster), undefined);
  }));

test("publishNotReadyAddresses makes all of them ready", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addService(client, "web", { ...WEB, publishNotReadyAddresses: true });
    await addPod(client, "a", { ips: ["10.244.0.2"], ready: false });
    await addPod(client, "b", { ips: ["10.244.0.3"], node: "unknown" });
    await cluster.settle();
    assert.deepEqual(await states(cluster), { "10.244.0.2": "r--", "10.244.0.3": "rs-" });
    assert.match(JSON.stringify(await subsets(cluster)), /"addresses":\[.*10\.244\.0\.2.*10\.244\.0\.3/);
  }));

test("a Node that is deleted takes its endpoints along", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addNode(client, "node2");
    await addService(client, "web", WEB);
    await addPod(client, "a", { ips: ["10.244.0.2"] });
    await addPod(client, "b", { ips: ["10.244.1.2"], node: "node2" });
    await cluster.settle();
    await client.delete("nodes", "", "node2");
    await cluster.settle();
    assert.deepEqual(await states(cluster), { "10.244.0.2": "rs-" });
  }));

test("another selector, another port and other labels of the Service arrive in the slice", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addService(client, "web", WEB);
    await addPod(client, "a", { ips: ["10.244.0.2"] });
    await addPod(client, "b", { ips: ["10.244.0.3"], labels: { app: "other" } });
    await cluster.settle();
    await client.mergePatch("services", "default", "web", {
      metadata: { labels: { team: "x", "service.kubernetes.io/headless": "no" } },
      spec: { selector: { app: "other" }, ports: [{ port: 80, targetPort: 9090 }] },
    });
    await cluster.settle();
    assert.deepEqual(await states(cluster), { "10.244.0.3": "rs-" });
    const { items } = await client.list(SLICES, { labelSelector: "team=x" });
    assert.deepEqual(
      items.map((slice) => (slice["ports"] as { port: number }[])[0]?.port),
      [9090],
    );
    assert.equal(items[0]?.metadata.labels?.["service.kubernetes.io/headless"], undefined);
  }));

test("a slice that somebody changes or deletes is put right; a foreign one is left alone", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addService(client, "web", WEB);
    await addPod(client, "a", { ips: ["10.244.0.2"] });
    const labels = { "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "me" };
    await client.create(SLICES, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { namespace: "default", name: "mine", labels },
      addressType: "IPv4",
      endpoints: [{ addresses: ["192.0.2.1"] }],
    });
    await cluster.settle();
    const ours = (await client.list(SLICES, { namespace: "default" })).items.find(
      ({ metadata }) => metadata.name !== "mine",
    );
    await client.mergePatch(SLICES, "default", ours?.metadata.name ?? "", {
      endpoints: [{ addresses: ["10.9.9.9"] }],
    });
    await cluster.settle();
    assert.deepEqual(await states(cluster), { "10.244.0.2": "rs-", "192.0.2.1": "---" });
    await client.delete(SLICES, "default", ours?.metadata.name ?? "");
    await cluster.settle();
    assert.deepEqual(await states(cluster), { "10.244.0.2": "rs-", "192.0.2.1": "---" });
  }));

test("the trigger time is the oldest change that was not shown yet; no change, no annotation", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    const annotation = "endpoints.kubernetes.io/last-change-trigger-time";
    const shown = async (): Promise<string | undefined> =>
      (await client.list(SLICES, { namespace: "default" })).items[0]?.metadata.annotations?.[annotation];
    await addService(client, "web", WEB);
    await addPod(client, "a", { ips: ["10.244.0.2"] });
    await cluster.settle();
    assert.equal(await shown(), "2026-01-01T00:00:00.000Z");
    const condition = { type: "Ready", status: "False", lastTransitionTime: "2026-01-01T00:10:00Z" };
    await client.mergePatch("pods", "default", "a", { status: { conditions: [condition] } }, "status");
    await cluster.settle();
    assert.equal(await shown(), "2026-01-01T00:10:00.000Z");
    // A change that no Pod made: nobody should count latency from an old transition.
    await client.mergePatch("services", "default", "web", { metadata: { labels: { team: "x" } } });
    await cluster.settle();
    assert.equal(await shown(), undefined);
  }));
