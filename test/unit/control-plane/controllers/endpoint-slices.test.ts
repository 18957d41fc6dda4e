/** The EndpointSlice and Endpoints controllers on a control plane in memory (facts: kubernetes-api-contract.md 2.3, 2.4). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ENDPOINT_SLICES } from "../../../../src/control-plane/controllers/endpoint-slices/controller.ts";
import { ENDPOINTS_SYNC } from "../../../../src/control-plane/controllers/endpoints/controller.ts";
import type { ApiObject } from "../../../../src/control-plane/registry/json.ts";
import { addNode, addPod, addService, setPodStatus, startCluster, type TestCluster } from "./harness.ts";

const SLICES = "endpointslices.discovery.k8s.io";
const WEB = { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] };

async function slicesOf(cluster: TestCluster, service: string): Promise<readonly ApiObject[]> {
  const { items } = await cluster.client.list(SLICES, {
    namespace: "default",
    labelSelector: `kubernetes.io/service-name=${service}`,
  });
  return items;
}

type Endpoint = {
  addresses: string[];
  conditions: { ready: boolean; serving: boolean; terminating: boolean };
};
const endpointsOf = (slice: ApiObject | undefined): Endpoint[] =>
  (slice?.["endpoints"] ?? []) as unknown as Endpoint[];

async function withCluster(
  run: (cluster: TestCluster) => Promise<void>,
  settings: Parameters<typeof startCluster>[1] = {},
): Promise<void> {
  const cluster = await startCluster([ENDPOINT_SLICES, ENDPOINTS_SYNC], settings);
  try {
    await cluster.settle();
    await run(cluster);
    assert.deepEqual(cluster.problems, []);
  } finally {
    await cluster.stop();
  }
}

test("a Service without Pods has one empty slice and an Endpoints object", () =>
  withCluster(async (cluster) => {
    await addService(cluster.client, "web", WEB);
    await cluster.settle();
    const [slice, ...more] = await slicesOf(cluster, "web");
    assert.equal(more.length, 0);
    assert.deepEqual(endpointsOf(slice), []);
    assert.equal(slice?.["addressType"], "IPv4");
    const endpoints = await cluster.client.get("endpoints", "default", "web");
    assert.equal(endpoints?.["subsets"], undefined);
  }));

test("Pods enter, turn not ready, come back and leave; labels and owner are set", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addNode(client, "node1", { "topology.kubernetes.io/zone": "z1" });
    const service = await addService(client, "web", WEB);
    const pod = await addPod(client, "a", { ips: ["10.244.0.2"] });
    await addPod(client, "b", { ips: ["10.244.0.3"], ready: false });
    await addPod(client, "other", { ips: ["10.244.0.4"], labels: { app: "else" } });
    await cluster.settle();
    const [slice] = await slicesOf(cluster, "web");
    assert.deepEqual(slice?.["endpoints"], [
      {
        addresses: ["10.244.0.2"],
        conditions: { ready: true, serving: true, terminating: false },
        targetRef: { kind: "Pod", namespace: "default", name: "a", uid: pod.metadata.uid },
        nodeName: "node1",
        zone: "z1",
      },
      {
        addresses: ["10.244.0.3"],
        conditions: { ready: false, serving: false, terminating: false },
        targetRef: endpointsTarget(slice, 1),
        nodeName: "node1",
        zone: "z1",
      },
    ]);
    assert.deepEqual(slice?.["ports"], [{ name: "", protocol: "TCP", port: 8080 }]);
    assert.equal(
      slice?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"],
      "endpointslice-controller.k8s.io",
    );
    assert.equal(slice?.metadata.ownerReferences?.[0]?.uid, service.metadata.uid);
    assert.match(
      slice?.metadata.annotations?.["endpoints.kubernetes.io/last-change-trigger-time"] ?? "",
      /^2026-/,
    );
    const endpoints = await client.get("endpoints", "default", "web");
    const subsets = (endpoints?.["subsets"] ?? []) as { addresses: { ip: string }[] }[];
    assert.equal(subsets[0]?.addresses[0]?.ip, "10.244.0.2");

    await setPodStatus(client, pod, ["10.244.0.2"], false);
    await cluster.settle();
    assert.equal(endpointsOf((await slicesOf(cluster, "web"))[0])[0]?.conditions.ready, false);
    await setPodStatus(client, pod, ["10.244.0.2"], true);
    await cluster.settle();
    assert.equal(endpointsOf((await slicesOf(cluster, "web"))[0])[0]?.conditions.ready, true);
    await client.delete("pods", "default", "a");
    await client.delete("pods", "default", "b");
    await cluster.settle();
    const after = await slicesOf(cluster, "web");
    assert.deepEqual(after.map(endpointsOf), [[]]);
  }));

function endpointsTarget(slice: ApiObject | undefined, index: number): unknown {
  return (slice?.["endpoints"] as { targetRef?: unknown }[] | undefined)?.[index]?.targetRef;
}

test("a Pod whose Node is unknown waits for it", () =>
  withCluster(async (cluster) => {
    await addService(cluster.client, "web", WEB);
    await addPod(cluster.client, "a", { ips: ["10.244.0.2"] });
    await cluster.settle();
    assert.deepEqual(endpointsOf((await slicesOf(cluster, "web"))[0]), []);
    await addNode(cluster.client, "node1");
    await cluster.settle();
    const filled = (await slicesOf(cluster, "web")).flatMap(endpointsOf);
    assert.deepEqual(
      filled.map((endpoint) => endpoint.addresses),
      [["10.244.0.2"]],
    );
  }));

test("dual stack, named ports, host names, weights and hints", () =>
  withCluster(
    async (cluster) => {
      const { client } = cluster;
      await addNode(client, "node1", { "topology.kubernetes.io/zone": "z1" });
      await addService(client, "db", {
        clusterIP: "None",
        selector: { app: "web" },
        ipFamilyPolicy: "PreferDualStack",
        trafficDistribution: "PreferSameNode",
        ports: [{ name: "sql", port: 5432, targetPort: "pg" }],
      });
      await addPod(client, "a", {
        ips: ["10.244.0.2", "fd00:10:244::2"],
        ports: [{ name: "pg", containerPort: 15_432 }],
        hostname: "one",
        subdomain: "db",
        annotations: { "nodeplane.dev/endpoint-weight": "3" },
      });
      await addPod(client, "b", { ips: ["10.244.0.3"], ports: [{ name: "x", containerPort: 1 }] });
      await cluster.settle();
      const slices = await slicesOf(cluster, "db");
      const summary = slices.map((slice) => [
        slice["addressType"],
        (slice["ports"] as { port: number }[] | undefined)?.map(({ port }) => port),
        endpointsOf(slice).map(({ addresses }) => addresses[0]),
        slice.metadata.annotations?.["nodeplane.dev/endpoint-weights"],
        slice.metadata.labels?.["service.kubernetes.io/headless"],
      ]);
      assert.deepEqual(summary.toSorted(), [
        ["IPv4", [], ["10.244.0.3"], undefined, ""],
        ["IPv4", [15_432], ["10.244.0.2"], '{"10.244.0.2":3}', ""],
        ["IPv6", [15_432], ["fd00:10:244::2"], '{"fd00:10:244::2":3}', ""],
      ]);
      const [endpoint] = slices
        .flatMap((slice) => slice["endpoints"] as { hostname?: string; hints?: unknown }[])
        .filter(({ hostname }) => hostname !== undefined);
      assert.equal(endpoint?.hostname, "one");
      assert.deepEqual(endpoint?.hints, { forZones: [{ name: "z1" }], forNodes: [{ name: "node1" }] });
    },
    { serviceCidrs: ["10.96.0.0/12", "fd00:10:96::/112"] },
  ));

test("250 Pods make three slices; one change writes one slice", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addNode(client, "node1");
    for (let i = 0; i < 250; i++)
      await addPod(client, `p${i}`, { ips: [`10.244.${i >> 8}.${i & 255 || 255}`] });
    await addService(client, "web", WEB);
    await cluster.settle();
    const slices = await slicesOf(cluster, "web");
    assert.deepEqual(
      slices.map((slice) => endpointsOf(slice).length).toSorted((a, b) => a - b),
      [50, 100, 100],
    );
    const before = slices.map((slice) => slice.metadata.resourceVersion);
    const pod = await client.get("pods", "default", "p7");
    assert.ok(pod);
    await setPodStatus(client, pod, ["10.244.0.7"], false);
    await cluster.settle();
    const after = (await slicesOf(cluster, "web")).map((slice) => slice.metadata.resourceVersion);
    assert.equal(after.filter((version) => !before.includes(version)).length, 1);
  }));

test("an ExternalName Service loses its slices, a deleted one all its objects", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addService(client, "web", WEB);
    await cluster.settle();
    await client.mergePatch("services", "default", "web", {
      spec: { type: "ExternalName", externalName: "a.example" },
    });
    await cluster.settle();
    assert.deepEqual(await slicesOf(cluster, "web"), []);
    await client.mergePatch("services", "default", "web", {
      spec: { type: "ClusterIP", externalName: null },
    });
    await cluster.settle();
    assert.equal((await slicesOf(cluster, "web")).length, 1);
    await client.delete("services", "default", "web");
    await cluster.settle();
    assert.deepEqual(await slicesOf(cluster, "web"), []);
    assert.equal(await client.get("endpoints", "default", "web"), undefined);
  }));
