/** The API objects that an agent writes: Node, mirror Pod, Event. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventObject } from "../../../src/agent/node/event-object.ts";
import type { MachineFacts } from "../../../src/agent/node/machine-facts.ts";
import { nodeObject } from "../../../src/agent/node/node-object.ts";
import { parseManifest } from "../../../src/agent/workloads/manifest.ts";
import { type ConditionTimes, mirrorPod } from "../../../src/agent/workloads/mirror-pod.ts";
import { Workload } from "../../../src/agent/workloads/workload.ts";
import { mustIp } from "../../support/packet-cases.ts";
import { FakeClock } from "./fake-clock.ts";

const FACTS: MachineFacts = {
  machineId: "m",
  systemUuid: "s",
  bootId: "b",
  kernelVersion: "6.1.0",
  osImage: "Debian",
  architecture: "amd64",
  cpus: 4,
  memoryKib: 1024,
};

test("a Node object says addresses, labels, capacity and readiness", () => {
  const node = nodeObject({
    name: "n1",
    facts: FACTS,
    addresses: [mustIp("192.0.2.1"), mustIp("2001:db8::1")],
    zone: "z1",
    labels: { "kubernetes.io/arch": "other", role: "edge" },
    state: { isReady: false, message: "why", sinceMs: 1_700_000_000_000, checkedAtMs: 1_700_000_005_000 },
  });
  assert.deepEqual(node["metadata"], {
    name: "n1",
    labels: {
      "kubernetes.io/hostname": "n1",
      "kubernetes.io/os": "linux",
      "kubernetes.io/arch": "other",
      "topology.kubernetes.io/zone": "z1",
      role: "edge",
    },
  });
  const status = node["status"] as Record<string, unknown>;
  assert.deepEqual(status["addresses"], [
    { type: "InternalIP", address: "192.0.2.1" },
    { type: "InternalIP", address: "2001:db8::1" },
    { type: "Hostname", address: "n1" },
  ]);
  assert.deepEqual(status["capacity"], { cpu: "4", memory: "1024Ki", pods: "110" });
  assert.deepEqual(status["conditions"], [
    {
      type: "Ready",
      status: "False",
      reason: "RulesNotProgrammed",
      message: "why",
      lastHeartbeatTime: "2023-11-14T22:13:25Z",
      lastTransitionTime: "2023-11-14T22:13:20Z",
    },
  ]);
});

test("an Event names its object so that kubectl finds it", () => {
  const input = {
    uid: "u",
    type: "Warning",
    reason: "R",
    message: "x".repeat(2000),
    nodeName: "n1",
    nowMs: 1_700_000_000_000,
  } as const;
  const pod = eventObject({ ...input, object: { kind: "Pod", namespace: "ns", name: "p" }, sequence: 1 });
  assert.deepEqual(pod["involvedObject"], {
    apiVersion: "v1",
    kind: "Pod",
    namespace: "ns",
    name: "p",
    uid: "u",
  });
  assert.equal(String(pod["message"]).length, 1024);
  const other = eventObject({ ...input, object: { kind: "Node", namespace: "", name: "n" }, sequence: 2 });
  assert.equal((other["metadata"] as { namespace: string }).namespace, "default");
  const names = [
    pod,
    eventObject({ ...input, object: { kind: "Pod", namespace: "ns", name: "p" }, sequence: 2 }),
  ].map((event) => (event["metadata"] as { name: string }).name);
  assert.notEqual(names[0], names[1]);
});

test("a mirror Pod shows what probes found, and a condition keeps the time of its change", async () => {
  const clock = new FakeClock(1_700_000_000_000);
  let isWell = false;
  const manifest = parseManifest({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "w",
      labels: { app: "w" },
      annotations: { "nodeplane.dev/pod-ip": "10.0.0.9,fd00::9" },
    },
    spec: {
      hostname: "h",
      containers: [
        { name: "c", livenessProbe: { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 1 } },
        { name: "d", image: "i" },
      ],
    },
  });
  const workload = new Workload({
    manifest,
    hash: "abc",
    file: "f",
    clock,
    known: undefined,
    nodeAddresses: () => [],
    runProbe: async () =>
      isWell ? { result: "success", message: "" } : { result: "failure", message: "refused" },
    runtime: { restart: async () => ({ kind: "not-ours" }) },
    onChange: () => undefined,
    onEvent: () => undefined,
    onProbe: () => undefined,
  });
  const times: ConditionTimes = new Map();
  const pod = () =>
    mirrorPod(workload, { nodeName: "n1", hostAddresses: [mustIp("192.0.2.1")], nowMs: clock.now(), times });
  const condition = (type: string) =>
    (
      pod()["status"] as {
        conditions: { type: string; status: string; lastTransitionTime: string; message?: string }[];
      }
    ).conditions.find((one) => one.type === type);
  assert.equal(condition("Ready")?.status, "True");
  await clock.advance(1000);
  assert.deepEqual(condition("Ready"), {
    type: "Ready",
    status: "False",
    reason: "ContainersNotReady",
    message: "containers with unready status: [c]",
    lastTransitionTime: "2023-11-14T22:13:21Z",
  });
  assert.equal(condition("nodeplane.dev/Alive")?.message, "Liveness probe failed: refused");
  isWell = true;
  await clock.advance(5000);
  assert.equal(condition("Ready")?.status, "True");
  const { spec, status } = pod() as { spec: Record<string, unknown>; status: Record<string, unknown> };
  assert.equal(spec["nodeName"], "n1");
  assert.equal(spec["hostname"], "h");
  assert.deepEqual(status["podIPs"], [{ ip: "10.0.0.9" }, { ip: "fd00::9" }]);
  assert.deepEqual(status["hostIP"], "192.0.2.1");
  const statuses = status["containerStatuses"] as { name: string; ready: boolean; image: string }[];
  assert.deepEqual(
    statuses.map(({ name, ready, image }) => [name, ready, image]),
    [
      ["c", true, "nodeplane.dev/already-running"],
      ["d", true, "i"],
    ],
  );
});
