/**
 * Traffic while things change: a loop of connections sees no refusal and no loss while a Service grows and shrinks across size
 * classes and while agents restart; a killed control plane or agent changes nothing; an endpoint that is not ready leaves everywhere.
 */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ApiObject, newestRevision } from "../../src/lab/api-client.ts";
import type { PodRecord } from "../../src/lab/lab-dir.ts";
import { signalProcess, waitGone } from "../../src/lab/processes.ts";
import { waitProgrammed } from "../../src/lab/programmed.ts";
import { findService, restartService } from "../../src/lab/services.ts";
import { runTraffic, startTraffic, type Traffic } from "../../src/lab/traffic-process.ts";
import { assertNoLoss, TestLab } from "./support/test-lab.ts";

const SERVICES = "/api/v1/namespaces/default/services";
const SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/** Ports of one pod: the echo server answers on all, so each is one endpoint. Around the borders of the classes. */
const SIZES = [1, 2, 3, 5, 9, 17, 33, 16, 8, 4, 2, 1, 33, 1];

function service(name: string, selector?: Readonly<Record<string, string>>): ApiObject {
  const ports = [
    { name: "http", protocol: "TCP", port: 80, targetPort: 8080 },
    { name: "talk", protocol: "UDP", port: 80, targetPort: 8080 },
  ];
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { ports, ...(selector === undefined ? {} : { selector }) },
  };
}

/** A slice by hand: one endpoint a pod, at port `port`. */
function slice(name: string, pods: readonly PodRecord[], port: number): ApiObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${port}`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": name },
    },
    addressType: "IPv4",
    ports: ["TCP", "UDP"].map((protocol) => ({ name: protocol === "TCP" ? "http" : "talk", protocol, port })),
    endpoints: pods.map((pod) => ({
      addresses: [pod.ips[0]],
      nodeName: pod.node,
      conditions: { ready: true },
    })),
  };
}

suite("traffic while things change", () => {
  let lab: TestLab;
  let pods: readonly PodRecord[] = [];
  let webAddress = "";
  let toggle = "";

  before(async () => {
    lab = await TestLab.up({ nodes: 3 });
    toggle = lab.lab.file("web-1-is-not-ready");
    const readiness = { kind: "exec", command: `test ! -e ${toggle}` } as const;
    pods = await Promise.all([
      lab.pod("web-1", "node1", { app: "web" }, readiness),
      lab.pod("web-2", "node2", { app: "web" }),
      lab.pod("web-3", "node2", { app: "web" }),
    ]);
    const web = await lab.apply(SERVICES, service("web", { app: "web" }));
    webAddress = (web["spec"] as { clusterIP: string }).clusterIP;
    await lab.apply(SERVICES, {
      ...service("each", { app: "web" }),
      spec: { clusterIP: "None", selector: { app: "web" }, ports: [{ port: 80 }] },
    });
    await lab.programmed("web", addresses());
  });
  after(async () => {
    await lab?.down();
  });

  const addresses = (without: readonly string[] = []): readonly string[] =>
    pods.filter((pod) => !without.includes(pod.name)).map((pod) => pod.ips[0] ?? "");

  /**
   * Loops of TCP and UDP from two nodes and a pod. @returns what ends them and asserts that each made `least` attempts of which
   * not one was refused or lost
   */
  async function loops(host: string): Promise<(least: number) => Promise<void>> {
    const origins = ["node1", "node3", "web-2"];
    const repeats = (): Promise<readonly number[]> =>
      Promise.all(origins.map((from) => lab.repeatedRequests(from)));
    const before = await repeats();
    const started: Traffic[] = [];
    for (const [from, protocol] of [
      ...origins.map((from) => [from, "tcp"] as const),
      ["node3", "udp"] as const,
    ]) {
      const targets = [{ host, port: 80 }];
      started.push(await startTraffic(lab.lab, from, { protocol, perSecond: 120, parallel: 8, targets }));
    }
    return async (least) => {
      const results = await Promise.all(started.map((one) => one.stop()));
      for (const [index, result] of results.entries()) {
        assert.ok(result.attempts >= least, `loop ${index}: only ${result.attempts} attempts`);
        assertNoLoss(result, `loop ${index}`);
      }
      const after = await repeats();
      for (const [index, from] of origins.entries()) {
        // A lost connection request is sent again after a second: a slow answer of ours, and a repeat in the kernel's count.
        // Either alone has other causes: a busy machine, the connections of the node's own daemons.
        const lost = Math.min(results[index]?.slow ?? 0, (after[index] ?? 0) - (before[index] ?? 0));
        assert.equal(lost, 0, `${from}: ${lost} connection requests were lost and sent again`);
      }
    };
  }

  test("growing and shrinking across size classes loses no connection", async () => {
    const made = await lab.apply(SERVICES, service("classes"));
    const host = (made["spec"] as { clusterIP: string }).clusterIP;
    const present = new Set<number>();
    const resize = async (size: number): Promise<void> => {
      for (let number = 0; number < Math.max(size, present.size); number++) {
        const pod = pods[number % pods.length];
        const port = 9000 + number;
        if (pod === undefined) continue;
        if (number < size && !present.has(number)) {
          await lab.api.apply(SLICES, slice("classes", [pod], port));
          present.add(number);
        } else if (number >= size && present.has(number)) {
          await lab.api.delete(`${SLICES}/classes-${port}`);
        }
      }
      for (const number of present) if (number >= size) present.delete(number);
    };
    await resize(SIZES[0] ?? 1);
    await waitProgrammed(lab.lab, lab.record, newestRevision([await lab.api.get(`${SLICES}/classes-9000`)]));
    const stop = await loops(host);
    for (const size of SIZES) {
      await resize(size);
      await sleep(150);
    }
    await stop(200);
    const after = await runTraffic(lab.lab, "node3", { count: 50, targets: [{ host, port: 80 }] });
    assertNoLoss(after, "after the last change");
  });

  test("an agent that restarts, by SIGTERM or SIGKILL, loses no connection and writes nothing", async () => {
    const stop = await loops(webAddress);
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      for (const node of ["node1", "node2"]) {
        const before = await lab.generation(node);
        await kill(`${node}.agent`, signal);
        await restart(`${node}.agent`);
        await sleep(1000);
        assert.equal(await lab.generation(node), before, `generation id of ${node} after ${signal}`);
      }
    }
    await stop(300);
  });

  test("an endpoint that is not ready leaves slice, kernel and headless name, and comes back", async () => {
    const names = async (): Promise<string> =>
      (await lab.sh("node3", "dig +short each.default.svc.cluster.local | sort")).stdout
        .trim()
        .replaceAll("\n", " ");
    assert.equal(await names(), addresses().toSorted().join(" "));
    const stop = await loops(webAddress);
    writeFileSync(toggle, "");
    await lab.programmed("web", addresses(["web-1"]));
    const without = await runTraffic(lab.lab, "node3", {
      count: 200,
      targets: [{ host: webAddress, port: 80 }],
    });
    assert.deepEqual(Object.keys(without.endpoints), ["web-2", "web-3"]);
    await lab.api.waitFor(
      "the headless name without web-1",
      async () => ((await names()) === addresses(["web-1"]).toSorted().join(" ") ? true : undefined),
      15_000,
    );
    rmSync(toggle);
    await lab.programmed("web", addresses());
    const again = await runTraffic(lab.lab, "node3", {
      count: 200,
      targets: [{ host: webAddress, port: 80 }],
    });
    assert.deepEqual(Object.keys(again.endpoints), ["web-1", "web-2", "web-3"]);
    await lab.api.waitFor(
      "the headless name with web-1",
      async () => ((await names()) === addresses().toSorted().join(" ") ? true : undefined),
      15_000,
    );
    await stop(100);
  });

  test("SIGKILL of the control plane changes nothing for traffic; it comes back and agents catch up", async () => {
    const before = await Promise.all(lab.nodes.map((node) => lab.generation(node)));
    const stop = await loops(webAddress);
    await kill("control-plane", "SIGKILL");
    await sleep(1500);
    await restart("control-plane");
    await lab.api.waitFor(
      "the API to answer again",
      async () => ((await lab.api.send("GET", "/readyz")).status === 200 ? true : undefined),
      20_000,
    );
    await sleep(2000);
    assert.deepEqual(await Promise.all(lab.nodes.map((node) => lab.generation(node))), before);
    await stop(200);
    const late = await lab.apply(SERVICES, service("late", { app: "web" }));
    await lab.programmed("late", addresses());
    const host = (late["spec"] as { clusterIP: string }).clusterIP;
    assertNoLoss(
      await runTraffic(lab.lab, "node1", { count: 100, targets: [{ host, port: 80 }] }),
      "the Service made after the restart",
    );
  });

  async function kill(name: string, signal: NodeJS.Signals): Promise<void> {
    const id = findService(lab.lab, name);
    assert.ok(id !== undefined, `${name} does not run`);
    signalProcess(id, signal);
    assert.deepEqual(await waitGone([id], 10_000), []);
  }

  /** Starts it again; an agent is waited for until its rules are known to be in the kernel. */
  async function restart(name: string): Promise<void> {
    await restartService(lab.lab, lab.record.mark, name);
    const [node = "", role] = name.split(".");
    if (role !== "agent") return;
    const ready = async (): Promise<true | undefined> =>
      (await lab.sh(node, "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:10256/readyz")).stdout ===
      "200"
        ? true
        : undefined;
    await lab.api.waitFor(`${name} to be ready`, ready, 30_000);
  }
});
