/** Layer lab. The demo's chapters: each does one thing on the lab, measures it and tells it. */
import { setTimeout as sleep } from "node:timers/promises";
import { NodeplaneError } from "../../model/errors.ts";
import { nodeAddresses, nodeNames } from "../addresses.ts";
import { ApiClient, type ApiObject, at, listAt, newestRevision } from "../api-client.ts";
import { findTarget } from "../exec.ts";
import type { LabDir, LabRecord } from "../lab-dir.ts";
import { podNs } from "../names.ts";
import { enter } from "../namespaces.ts";
import { startPod } from "../pods.ts";
import { signalProcess } from "../processes.ts";
import { waitProgrammed } from "../programmed.ts";
import { tryRun } from "../run.ts";
import { findService } from "../services.ts";
import type { TrafficResult } from "../traffic.ts";
import { runTraffic, startTraffic } from "../traffic-process.ts";
import { waitPodReady } from "../wait-pod.ts";
import { applyObject } from "./apply.ts";
import { type Narrator, shareLines } from "./narrator.ts";

export interface Stage {
  readonly lab: LabDir;
  readonly record: LabRecord;
  readonly tell: Narrator;
  readonly kubectl: string | undefined;
  readonly signal: AbortSignal;
}

const PODS = [
  { name: "web-1", node: "node1" },
  { name: "web-2", node: "node1" },
  { name: "web-3", node: "node2" },
  { name: "web-4", node: "node2" },
] as const;
const NODE_PORT = 30080;
const CONNECTIONS = 1000;

const SERVICE: ApiObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: {
    type: "NodePort",
    selector: { app: "web" },
    ports: [{ name: "http", port: 80, targetPort: 8080, nodePort: NODE_PORT }],
  },
};
const HEADLESS: ApiObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web-each", namespace: "default" },
  spec: {
    clusterIP: "None",
    selector: { app: "web" },
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  },
};

export async function startWorkloads(stage: Stage): Promise<void> {
  const { lab, record, tell } = stage;
  tell.heading("Workloads start");
  tell.line("each is a network namespace with an address of its node's range, registered by a manifest");
  const began = performance.now();
  await Promise.all(
    PODS.map(async ({ name, node }) => {
      const pod = await startPod(lab, record, {
        name,
        node,
        namespace: "default",
        labels: { app: "web" },
        ports: [{ port: 8080, protocol: "TCP" }],
        command: [],
        readiness: { kind: "tcp", port: 8080 },
      });
      await waitPodReady(lab, pod, stage.signal);
      tell.line(`${name} on ${node} at ${pod.ips.join(", ")}`);
    }),
  );
  tell.result(`4 pods ready after ${seconds(performance.now() - began)}`);
}

/** @returns the Service's cluster address */
export async function createService(stage: Stage): Promise<string> {
  const { lab, record, tell } = stage;
  tell.heading("A Service in front of them");
  tell.command("kubectl apply -f web.yaml     # type NodePort, selector app=web, port 80 -> 8080");
  const began = performance.now();
  tell.line(await applyObject(lab, SERVICE, stage.kubectl));
  await applyObject(lab, HEADLESS, stage.kubectl);
  const api = new ApiClient(lab.file("kubeconfig"));
  try {
    const revision = await waitEndpoints(stage, api, "web", PODS.length);
    await waitProgrammed(lab, record, revision);
    const address = String(at(await api.get("/api/v1/namespaces/default/services/web"), "spec", "clusterIP"));
    tell.result(
      `cluster address ${address}, 4 endpoints in the kernel of every node after ${seconds(performance.now() - began)}`,
    );
    return address;
  } finally {
    api.close();
  }
}

/** Waits until the Service's slices name `count` ready endpoints. @returns the slice's resourceVersion */
async function waitEndpoints(stage: Stage, api: ApiClient, service: string, count: number): Promise<string> {
  const path = `/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D${service}`;
  return await api.waitFor(
    `${count} endpoints of ${service}`,
    async () => {
      const slices = listAt(await api.get(path), "items");
      const ready = slices
        .flatMap((slice) => listAt(slice, "endpoints"))
        .filter((e) => at(e, "conditions", "ready") === true);
      return ready.length === count ? newestRevision(slices) : undefined;
    },
    20_000,
    stage.signal,
  );
}

export async function callFromEverywhere(stage: Stage, address: string): Promise<void> {
  const { lab, record, tell } = stage;
  tell.heading("The cluster address answers from every node, and from a pod");
  for (const from of [...nodeNames(record.nodes), "web-1"]) {
    const result = await runTraffic(lab, from, {
      count: CONNECTIONS,
      targets: [{ host: address, port: 80 }],
    });
    refuseFailures(result, from);
    tell.line(
      `${from}: ${CONNECTIONS} connections in ${seconds(result.endedMs - result.beganMs)}, none failed`,
    );
    for (const line of shareLines(counts(result), result.answered)) tell.line(`  ${line}`);
  }
}

export async function callFromOutside(stage: Stage): Promise<void> {
  const { lab, record, tell } = stage;
  tell.heading("The node port answers a client outside, on every node");
  const addresses = nodeNames(record.nodes).map((_, index) => nodeAddresses(index + 1).v4);
  tell.command(
    `curl http://${addresses[0] ?? ""}:${NODE_PORT}/      # name, node, client address as the pod sees it`,
  );
  const sample = await inside(stage, "client", [
    "curl",
    "-s",
    "-m",
    "5",
    `http://${addresses[0] ?? ""}:${NODE_PORT}/`,
  ]);
  tell.line(sample.trim());
  const result = await runTraffic(lab, "client", {
    count: CONNECTIONS,
    targets: addresses.map((host) => ({ host, port: NODE_PORT })),
  });
  refuseFailures(result, "client");
  tell.line(`client: ${CONNECTIONS} connections over ${addresses.join(", ")}, none failed`);
  for (const line of shareLines(counts(result), result.answered)) tell.line(`  ${line}`);
}

export async function resolveNames(stage: Stage): Promise<void> {
  const { tell } = stage;
  tell.heading("Names resolve, in every pod and on every node");
  const questions = [
    ["web.default.svc.cluster.local"],
    ["web-each.default.svc.cluster.local"],
    ["_http._tcp.web.default.svc.cluster.local", "SRV"],
  ];
  for (const question of questions) {
    tell.command(`dig +noall +answer ${question.join(" ")}`);
    const answer = await inside(stage, "web-3", ["dig", "+noall", "+answer", "+time=2", ...question]);
    if (answer.trim() === "")
      throw new NodeplaneError("COMMAND_FAILED", {
        operation: `dig ${question.join(" ")}`,
        detail: "no answer",
      });
    for (const line of answer.trim().split("\n")) tell.line(line);
  }
  tell.command("curl http://web/              # in a pod: search list and resolver as in Kubernetes");
  tell.line((await inside(stage, "web-3", ["curl", "-s", "-m", "5", "http://web/"])).trim());
}

/** Kills one of four endpoints under load; tells when each stage was reached and what failed before and after. */
export async function killEndpoint(stage: Stage, address: string): Promise<void> {
  const { lab, record, tell } = stage;
  tell.heading("An endpoint dies under load");
  const victim = findService(lab, podNs("default", "web-2"));
  if (victim === undefined)
    throw new NodeplaneError("COMMAND_FAILED", { operation: "demo", detail: "web-2 does not run" });
  const traffic = await Promise.all(
    nodeNames(record.nodes).map((from) =>
      startTraffic(lab, from, {
        perSecond: 200,
        parallel: 16,
        targets: [{ host: address, port: 80 }],
        timeoutMs: 2000,
      }),
    ),
  );
  const api = new ApiClient(lab.file("kubeconfig"));
  try {
    await sleep(1000);
    tell.line("600 connections a second from three nodes; now web-2's program is killed");
    const killedMs = Date.now();
    signalProcess(victim, "SIGKILL");
    const revision = await waitEndpoints(stage, api, "web", PODS.length - 1);
    const sliceMs = Date.now();
    const programmedMs = await waitProgrammed(lab, record, revision);
    await sleep(1500);
    const results = await Promise.all(traffic.map((one) => one.stop()));
    const failures = results.flatMap((result) => result.failures);
    const after = failures.filter((failure) => failure.beganMs > programmedMs);
    const attempts = results.reduce((sum, result) => sum + result.attempts, 0);
    const failed = results.reduce((sum, result) => sum + result.failed, 0);
    tell.line(
      `readiness probe failed, endpoint left the slice   ${ms(sliceMs - killedMs)} after the kill (probed every second)`,
    );
    tell.line(`the change was in all three kernels               ${ms(programmedMs - sliceMs)} later`);
    tell.line(
      `${attempts} connections in all; ${failed - after.length} refused by the dead program until then`,
    );
    if (after.length > 0)
      throw new NodeplaneError("COMMAND_FAILED", {
        operation: "demo",
        detail: `${after.length} connections failed after the change was programmed`,
      });
    tell.result("0 failed connections after the change was programmed");
  } finally {
    api.close();
    await Promise.allSettled(traffic.map((one) => one.stop()));
  }
}

async function inside(stage: Stage, target: string, argv: readonly string[]): Promise<string> {
  const result = await tryRun(enter(findTarget(stage.lab, stage.record, target), argv), {
    timeoutMs: 15_000,
  });
  return result.stdout;
}

function counts(result: TrafficResult): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(result.endpoints).map(([name, { count }]) => [name, count]));
}

function refuseFailures(result: TrafficResult, from: string): void {
  if (result.failed === 0) return;
  const first = result.failures[0];
  const detail = `${result.failed} of ${result.attempts} connections failed, the first with ${first?.code ?? "?"} to ${first?.target ?? "?"}`;
  throw new NodeplaneError("COMMAND_FAILED", { operation: `traffic from ${from}`, detail });
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function ms(milliseconds: number): string {
  return `${Math.round(milliseconds)} ms`.padStart(8);
}
