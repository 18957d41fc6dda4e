/**
 * What breaks and how the rest goes on: a resolver that is dead, a node that stops reporting, a node that boots with empty tables while
 * the control plane is dead.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { DNS_SERVICE } from "../../src/lab/addresses.ts";
import { at, listAt } from "../../src/lab/api-client.ts";
import type { PodRecord } from "../../src/lab/lab-dir.ts";
import { signalProcess, waitGone } from "../../src/lab/processes.ts";
import { findService, restartService } from "../../src/lab/services.ts";
import { runTraffic } from "../../src/lab/traffic-process.ts";
import { assertNoLoss, TestLab } from "./support/test-lab.ts";

/** Grace period of a silent node, and what controllers and agents need on top. */
const SILENT_NODE_TIMEOUT_MS = 60_000;
const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
};

suite("failures", () => {
  let lab: TestLab;
  let pods: readonly PodRecord[] = [];
  let host = "";

  before(async () => {
    lab = await TestLab.up({ nodes: 3 });
    pods = await Promise.all([
      lab.pod("web-1", "node1", { app: "web" }),
      lab.pod("web-2", "node2", { app: "web" }),
      lab.pod("web-3", "node2", { app: "web" }),
    ]);
    host = String(at(await lab.apply("/api/v1/namespaces/default/services", SERVICE), "spec", "clusterIP"));
    await lab.programmed("web", ips(pods));
  });
  after(async () => {
    await lab?.down();
  });

  const ips = (of: readonly PodRecord[]): readonly string[] => of.map((pod) => pod.ips[0] ?? "");

  async function kill(name: string): Promise<void> {
    const id = findService(lab.lab, name);
    assert.ok(id !== undefined, `${name} does not run`);
    signalProcess(id, "SIGKILL");
    assert.deepEqual(await waitGone([id], 10_000), []);
  }

  /** Asks the DNS Service `count` times. @returns answers that were not the Service's address */
  async function wrongAnswers(from: string, count: number): Promise<number> {
    const question = `dig +short +time=1 +tries=1 @${DNS_SERVICE} web.default.svc.cluster.local`;
    const answers = (
      await lab.sh(from, `for i in $(seq ${count}); do ${question} || echo failed; done`)
    ).stdout
      .trim()
      .split("\n");
    return answers.filter((answer) => answer !== host).length + count - answers.length;
  }

  test(`${DNS_SERVICE} answers from every node and pod, also when that node's own resolver is dead`, async () => {
    for (const from of ["node1", "node2", "node3", "web-1", "web-2"])
      assert.equal(await wrongAnswers(from, 5), 0, from);
    await kill("node1.dns");
    const slices = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
    const left = async (): Promise<true | undefined> => {
      const endpoints = listAt(await lab.api.get(slices), "items").flatMap((slice) =>
        listAt(slice, "endpoints"),
      );
      const ready = endpoints.filter((endpoint) => at(endpoint, "conditions", "ready") !== false);
      return ready.length === 2 ? true : undefined;
    };
    await lab.api.waitFor("the dead resolver to leave the DNS Service", left, 20_000);
    await lab.api.waitFor(
      "node1 to ask another resolver",
      async () => ((await wrongAnswers("node1", 8)) === 0 ? true : undefined),
      15_000,
    );
    for (const from of ["node1", "web-1"]) assert.equal(await wrongAnswers(from, 20), 0, from);
    await restartService(lab.lab, lab.record.mark, "node1.dns");
  });

  test("all endpoints of a node that stops reporting leave, and come back with it", async () => {
    await kill("node2.agent");
    await lab.programmed("web", ips(pods.slice(0, 1)), {
      timeoutMs: SILENT_NODE_TIMEOUT_MS,
      nodes: ["node1", "node3"],
    });
    const node = await lab.api.get("/api/v1/nodes/node2");
    const ready = listAt(node, "status", "conditions").find((condition) => at(condition, "type") === "Ready");
    assert.notEqual(at(ready, "status"), "True");
    const result = await runTraffic(lab.lab, "node3", { count: 100, targets: [{ host, port: 80 }] });
    assertNoLoss(result, "while node2 is silent");
    assert.deepEqual(Object.keys(result.endpoints), ["web-1"]);
    await restartService(lab.lab, lab.record.mark, "node2.agent");
    await lab.programmed("web", ips(pods), { timeoutMs: 20_000 });
  });

  test("a node that boots with empty tables while the control plane is dead restores its Services from disk", async () => {
    await kill("control-plane");
    await kill("node3.agent");
    assert.equal((await lab.sh("node3", "nft flush ruleset && nft list ruleset")).stdout, "");
    const gone = await runTraffic(lab.lab, "node3", {
      count: 2,
      timeoutMs: 500,
      targets: [{ host, port: 80 }],
    });
    assert.equal(gone.failed, 2, "without rules the Service must not answer, or this test shows nothing");
    await restartService(lab.lab, lab.record.mark, "node3.agent");
    const answers = async (): Promise<true | undefined> => {
      const result = await runTraffic(lab.lab, "node3", {
        count: 4,
        timeoutMs: 500,
        targets: [{ host, port: 80 }],
      });
      return result.failed === 0 ? true : undefined;
    };
    await lab.api.waitFor("the Service to answer from the state on disk", answers, 30_000);
    const result = await runTraffic(lab.lab, "node3", { count: 300, targets: [{ host, port: 80 }] });
    assertNoLoss(result, "restored from disk");
    assert.deepEqual(Object.keys(result.endpoints), ["web-1", "web-2", "web-3"]);
    await restartService(lab.lab, lab.record.mark, "control-plane");
    await lab.programmed("web", ips(pods), { timeoutMs: 30_000 });
  });
});
