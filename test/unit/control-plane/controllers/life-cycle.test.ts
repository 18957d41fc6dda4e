/** Nodes, namespaces, owners, mirrors and the cluster's own objects on a control plane in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Controller } from "../../../../src/control-plane/controllers/controller.ts";
import { CONTROLLERS } from "../../../../src/control-plane/controllers/index.ts";
import type { ApiObject } from "../../../../src/control-plane/registry/json.ts";
import { addNode, addPod, addService, startCluster, type TestCluster } from "./harness.ts";

const SLICES = "endpointslices.discovery.k8s.io";
const LEASES = "leases.coordination.k8s.io";
const WEB = { selector: { app: "web" }, ports: [{ port: 80 }] };

async function withCluster(
  run: (cluster: TestCluster) => Promise<void>,
  settings: Parameters<typeof startCluster>[1] = {},
  controllers: readonly Controller[] = CONTROLLERS,
): Promise<void> {
  const cluster = await startCluster(controllers, settings, { nodeGracePeriodSeconds: 40 });
  try {
    await cluster.settle();
    await run(cluster);
  } finally {
    await cluster.stop();
  }
}

const condition = (object: ApiObject | undefined, type: string): string | undefined => {
  const { conditions = [] } = (object?.["status"] ?? {}) as {
    conditions?: { type: string; status: string }[];
  };
  return conditions.find((one) => one.type === type)?.status;
};

async function readyAddresses(cluster: TestCluster, service: string): Promise<string[]> {
  const { items } = await cluster.client.list(SLICES, {
    namespace: "default",
    labelSelector: `kubernetes.io/service-name=${service}`,
  });
  type Endpoint = { addresses: string[]; conditions: { ready: boolean } };
  return items
    .flatMap((slice) => (slice["endpoints"] ?? []) as unknown as Endpoint[])
    .filter(({ conditions }) => conditions.ready)
    .flatMap(({ addresses }) => addresses)
    .toSorted();
}

async function reportAlive(cluster: TestCluster, name: string): Promise<void> {
  const renewTime = `${new Date(cluster.clock.nowMs()).toISOString().slice(0, -1)}000Z`;
  const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime };
  const known = await cluster.client.get(LEASES, "kube-node-lease", name);
  if (known === undefined) {
    const metadata = { namespace: "kube-node-lease", name };
    await cluster.client.create(LEASES, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata,
      spec,
    });
  } else await cluster.client.update(LEASES, { ...known, spec });
}

test("a silent Node turns Unknown after its grace period and its endpoints leave; the other Node's stay", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    const ready = { type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" };
    for (const [index, name] of ["node1", "node2"].entries()) {
      await addNode(client, name);
      await client.mergePatch("nodes", "", name, { status: { conditions: [ready] } }, "status");
      await reportAlive(cluster, name);
      await addPod(client, `pod${index}`, { node: name, ips: [`10.244.${index}.2`] });
    }
    await addService(client, "web", WEB);
    await cluster.settle();
    assert.deepEqual(await readyAddresses(cluster, "web"), ["10.244.0.2", "10.244.1.2"]);
    for (let second = 0; second < 60; second += 10) {
      await cluster.advance(10);
      await reportAlive(cluster, "node2");
      if (second === 20) assert.deepEqual(await readyAddresses(cluster, "web"), ["10.244.0.2", "10.244.1.2"]);
    }
    await cluster.settle();
    assert.equal(condition(await client.get("nodes", "", "node1"), "Ready"), "Unknown");
    assert.equal(condition(await client.get("nodes", "", "node2"), "Ready"), "True");
    assert.equal(condition(await client.get("pods", "default", "pod0"), "Ready"), "False");
    assert.deepEqual(await readyAddresses(cluster, "web"), ["10.244.1.2"]);
    const { items } = await client.list("events", { namespace: "default" });
    assert.deepEqual(
      items.map((event) => event["reason"]),
      ["NodeNotReady"],
    );

    // It reports again: nothing takes its endpoints out any more.
    await reportAlive(cluster, "node1");
    await client.mergePatch("nodes", "", "node1", { status: { conditions: [ready] } }, "status");
    await client.mergePatch("pods", "default", "pod0", { status: { conditions: [ready] } }, "status");
    await cluster.advance(5);
    assert.equal(condition(await client.get("nodes", "", "node1"), "Ready"), "True");
    assert.deepEqual(await readyAddresses(cluster, "web"), ["10.244.0.2", "10.244.1.2"]);
  }));

test("every Node gets its own part of the pod ranges; a freed one is used again", () =>
  withCluster(
    async (cluster) => {
      const { client } = cluster;
      const cidrs = async (name: string): Promise<unknown> =>
        ((await client.get("nodes", "", name))?.["spec"] as { podCIDRs?: string[] } | undefined)?.podCIDRs;
      await client.create("nodes", {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name: "given" },
        spec: { podCIDR: "10.244.1.128/25" },
      });
      for (const name of ["node1", "node2", "node3"]) {
        await addNode(client, name);
        await cluster.settle();
      }
      assert.deepEqual(await cidrs("node1"), ["10.244.0.0/24", "fd00:10:244::/64"]);
      // 10.244.1.0/24 overlaps what an administrator has given away by hand.
      assert.deepEqual(await cidrs("node2"), ["10.244.2.0/24", "fd00:10:244:1::/64"]);
      assert.deepEqual(await cidrs("node3"), ["10.244.3.0/24", "fd00:10:244:2::/64"]);
      await client.delete("nodes", "", "node1");
      await cluster.settle();
      await addNode(client, "node4");
      await cluster.settle();
      assert.deepEqual(await cidrs("node4"), ["10.244.0.0/24", "fd00:10:244::/64"]);
    },
    { podCidrs: ["10.244.0.0/16", "fd00:10:244::/56"], serviceCidrs: ["10.96.0.0/12", "fd00:10:96::/112"] },
  ));

test("the cluster's own objects are there, and come back", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    const spec = async (namespace: string, name: string): Promise<unknown> =>
      ((await client.get("services", namespace, name))?.["spec"] as { clusterIP?: string } | undefined)
        ?.clusterIP;
    assert.equal(await spec("default", "kubernetes"), "10.96.0.1");
    assert.equal(await spec("kube-system", "kube-dns"), "10.96.0.10");
    assert.deepEqual(await readyAddresses(cluster, "kubernetes"), ["192.168.96.10"]);
    const cidr = await client.get("servicecidrs.networking.k8s.io", "", "kubernetes");
    assert.equal(condition(cidr, "Ready"), "True");
    await client.delete("services", "kube-system", "kube-dns");
    await client.mergePatch("endpoints", "default", "kubernetes", { subsets: null });
    await cluster.settle();
    assert.equal(await spec("kube-system", "kube-dns"), "10.96.0.10");
    const endpoints = await client.get("endpoints", "default", "kubernetes");
    assert.match(JSON.stringify(endpoints?.["subsets"]), /192\.168\.96\.10/);
  }));

test("a deleted namespace is emptied, then goes; nothing new is let in meanwhile", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await client.create("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "x" } });
    const held = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "x", name: "held", finalizers: ["a/b"] },
    };
    const map = await client.create("configmaps", held);
    await addService(client, "web", WEB, "x");
    await cluster.settle();
    await client.delete("namespaces", "", "x");
    await cluster.advance(2);
    const waiting = await client.get("namespaces", "", "x");
    assert.match(JSON.stringify(waiting?.["status"]), /"phase":"Terminating"/);
    assert.equal(condition(waiting, "NamespaceContentRemaining"), "True");
    assert.equal((await client.list(SLICES, { namespace: "x" })).items.length, 0);
    await assert.rejects(addService(client, "late", WEB, "x"), { code: 403 });
    const last = await client.get("configmaps", "x", "held");
    assert.ok(last && map);
    await client.update("configmaps", { ...last, metadata: { ...last.metadata, finalizers: [] } });
    await cluster.advance(3);
    assert.equal(await client.get("namespaces", "", "x"), undefined);
    assert.equal((await client.list("services", { namespace: "x" })).items.length, 0);
  }));

async function configMap(
  cluster: TestCluster,
  name: string,
  owners: readonly ApiObject[] = [],
): Promise<ApiObject> {
  const ownerReferences = owners.map(({ apiVersion, kind, metadata }) => ({
    apiVersion,
    kind,
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    blockOwnerDeletion: true,
  }));
  const metadata = { namespace: "default", name, ownerReferences };
  return await cluster.client.create("configmaps", { apiVersion: "v1", kind: "ConfigMap", metadata });
}

test("dependants follow their owner: background, foreground, orphan, and owners that never were", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    const get = (name: string): Promise<ApiObject | undefined> => client.get("configmaps", "default", name);
    const owner = await configMap(cluster, "owner");
    await configMap(cluster, "child", [owner]);
    const second = await configMap(cluster, "second");
    await configMap(cluster, "shared", [owner, second]);
    await cluster.settle();
    await client.delete("configmaps", "default", "owner", { propagationPolicy: "Background" });
    await cluster.settle();
    assert.equal(await get("child"), undefined);
    assert.deepEqual(
      (await get("shared"))?.metadata.ownerReferences?.map(({ name }) => name),
      ["second"],
    );

    await client.delete("configmaps", "default", "second", { propagationPolicy: "Orphan" });
    await cluster.settle();
    assert.equal(await get("second"), undefined);
    assert.deepEqual((await get("shared"))?.metadata.ownerReferences ?? [], []);

    const top = await configMap(cluster, "top");
    await configMap(cluster, "below", [top]);
    await cluster.settle();
    await client.delete("configmaps", "default", "top", { propagationPolicy: "Foreground" });
    await cluster.advance(2);
    assert.equal(await get("below"), undefined);
    assert.equal(await get("top"), undefined);

    // An owner in foreground deletion waits for a dependant that is held up by somebody else.
    const boss = await configMap(cluster, "boss");
    const held = await configMap(cluster, "held", [boss]);
    await client.update("configmaps", { ...held, metadata: { ...held.metadata, finalizers: ["a/b"] } });
    await cluster.settle();
    await client.delete("configmaps", "default", "boss", { propagationPolicy: "Foreground" });
    await cluster.advance(3);
    assert.notEqual(await get("boss"), undefined);
    const last = await get("held");
    assert.ok(last?.metadata.deletionTimestamp);
    const finalizers = (last.metadata.finalizers ?? []).filter((name) => name !== "a/b");
    await client.update("configmaps", { ...last, metadata: { ...last.metadata, finalizers } });
    await cluster.advance(3);
    assert.deepEqual([await get("held"), await get("boss")], [undefined, undefined]);

    const ghost = { ...top, metadata: { ...top.metadata, uid: "never" } };
    await configMap(cluster, "lost", [ghost]);
    await cluster.settle();
    assert.equal(await get("lost"), undefined);
  }));

test("hand-made Endpoints are mirrored into slices", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await client.create("endpoints", {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: {
        namespace: "default",
        name: "db",
        labels: { team: "a" },
        annotations: { "nodeplane.dev/endpoint-weights": '{"192.0.2.7":4}' },
      },
      subsets: [
        {
          addresses: [{ ip: "192.0.2.7" }, { ip: "2001:db8::7" }],
          notReadyAddresses: [{ ip: "192.0.2.8" }],
          ports: [{ name: "sql", port: 5432 }],
        },
      ],
    });
    await addService(client, "db", { ports: [{ name: "sql", port: 5432 }] });
    await cluster.settle();
    assert.deepEqual(await readyAddresses(cluster, "db"), ["192.0.2.7", "2001:db8::7"]);
    const { items } = await client.list(SLICES, { namespace: "default", labelSelector: "team=a" });
    assert.deepEqual(items.map((slice) => slice["addressType"]).toSorted(), ["IPv4", "IPv6"]);
    const v4 = items.find((slice) => slice["addressType"] === "IPv4");
    assert.equal(v4?.metadata.annotations?.["nodeplane.dev/endpoint-weights"], '{"192.0.2.7":4}');
    assert.equal(
      v4?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"],
      "endpointslicemirroring-controller.k8s.io",
    );
    await client.mergePatch("endpoints", "default", "db", {
      subsets: [{ addresses: [{ ip: "192.0.2.9" }], ports: [{ name: "sql", port: 5432 }] }],
    });
    await cluster.settle();
    assert.deepEqual(await readyAddresses(cluster, "db"), ["192.0.2.9"]);
    await client.delete("services", "default", "db");
    await cluster.settle();
    assert.deepEqual(await readyAddresses(cluster, "db"), []);
    assert.equal(await client.get("endpoints", "default", "db"), undefined);
  }));

test("Pods whose grace period is over and Pods of a Node that is gone are removed", () =>
  withCluster(async (cluster) => {
    const { client } = cluster;
    await addNode(client, "node1");
    const spec = {
      nodeName: "node1",
      containers: [{ name: "c", image: "i" }],
      terminationGracePeriodSeconds: 10,
    };
    const metadata = { namespace: "default", name: "a" };
    await client.create("pods", { apiVersion: "v1", kind: "Pod", metadata, spec });
    await addPod(client, "mirror", { ips: ["10.244.0.2"] });
    await client.delete("pods", "default", "a");
    await cluster.advance(5);
    assert.notEqual(await client.get("pods", "default", "a"), undefined);
    await cluster.advance(7);
    assert.equal(await client.get("pods", "default", "a"), undefined);
    await client.delete("nodes", "", "node1");
    await cluster.advance(30);
    assert.notEqual(await client.get("pods", "default", "mirror"), undefined);
    await cluster.advance(15);
    assert.equal(await client.get("pods", "default", "mirror"), undefined);
  }));
