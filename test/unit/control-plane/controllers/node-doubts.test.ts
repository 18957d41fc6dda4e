/** When Nodes seem silent but the fault is the control plane's own, endpoints stay. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NODE_LIFECYCLE } from "../../../../src/control-plane/controllers/node-lifecycle/controller.ts";
import { addNode, addPod, startCluster, type TestCluster } from "./harness.ts";

const LEASES = "leases.coordination.k8s.io";
const NODES = ["node1", "node2", "node3"];

async function report(cluster: TestCluster, name: string): Promise<void> {
  const renewTime = `${new Date(cluster.clock.nowMs()).toISOString().slice(0, -1)}000Z`;
  const metadata = { namespace: "kube-node-lease", name };
  if ((await cluster.client.get(LEASES, "kube-node-lease", name)) === undefined) {
    await cluster.client.create(LEASES, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata,
      spec: { renewTime },
    });
  } else await cluster.client.mergePatch(LEASES, "kube-node-lease", name, { spec: { renewTime } });
}

/** Names of Pods that are ready; each is on the Node of the same number. */
async function readyPods(cluster: TestCluster): Promise<string[]> {
  const { items } = await cluster.client.list("pods");
  return items
    .filter((pod) => /"type":"Ready","status":"True"/.test(JSON.stringify(pod["status"])))
    .map(({ metadata }) => metadata.name ?? "");
}

async function withNodes(run: (cluster: TestCluster) => Promise<void>): Promise<void> {
  const cluster = await startCluster([NODE_LIFECYCLE], {}, { nodeGracePeriodSeconds: 40 });
  try {
    await cluster.settle();
    for (const [index, name] of NODES.entries()) {
      await addNode(cluster.client, name);
      await addPod(cluster.client, `pod${index + 1}`, { node: name, ips: [`10.244.${index}.2`] });
      await report(cluster, name);
    }
    await cluster.settle();
    await run(cluster);
  } finally {
    await cluster.stop();
  }
}

test("all silent: Pods stay ready; the first Node back gives the others a whole period; then they are out", () =>
  withNodes(async (cluster) => {
    await cluster.advance(90);
    assert.deepEqual(await readyPods(cluster), ["pod1", "pod2", "pod3"]);
    assert.match(JSON.stringify((await cluster.client.get("nodes", "", "node2"))?.["status"]), /"Unknown"/);
    for (let second = 0; second < 30; second += 5) {
      await report(cluster, "node1");
      await cluster.advance(5);
    }
    assert.deepEqual(await readyPods(cluster), ["pod1", "pod2", "pod3"]);
    for (let second = 0; second < 30; second += 5) {
      await report(cluster, "node1");
      await cluster.advance(5);
    }
    assert.deepEqual(await readyPods(cluster), ["pod1"]);
  }));

test("a control plane that stood still for a minute blames nobody", () =>
  withNodes(async (cluster) => {
    await cluster.advance(10);
    cluster.clock.advance(60_000);
    await cluster.settle();
    for (const name of NODES.slice(0, 2)) await report(cluster, name);
    await cluster.advance(20);
    assert.deepEqual(await readyPods(cluster), ["pod1", "pod2", "pod3"]);
  }));

test("a clock that is set forward takes no Node out, one that is set back hides no silence", () =>
  withNodes(async (cluster) => {
    const others = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second += 5) {
        for (const name of NODES.slice(0, 2)) await report(cluster, name);
        await cluster.advance(5);
      }
    };
    await others(10);
    cluster.clock.jump(25_000);
    await others(10);
    assert.deepEqual(await readyPods(cluster), ["pod1", "pod2", "pod3"]);
    cluster.clock.jump(-3_600_000);
    await others(60);
    assert.deepEqual(await readyPods(cluster), ["pod1", "pod2"]);
  }));
