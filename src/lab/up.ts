/**
 * Layer lab. Brings a lab up: network, control plane, nodes with agent and resolver, the DNS Service; reports each step with its time.
 * Called for a lab that is up it starts again what died; a lab that was left half-way is taken down first.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { NodeplaneError } from "../model/errors.ts";
import { DNS_SERVICE, nodeIndex, nodeNames } from "./addresses.ts";
import { ApiClient, at, listAt } from "./api-client.ts";
import { startApiRelay } from "./api-relay.ts";
import {
  controlPlaneDir,
  DNS_SERVICE_OBJECT,
  issueCertificate,
  startAgent,
  startControlPlane,
  startResolver,
  writeKubeconfigs,
  writeResolverManifest,
} from "./daemons.ts";
import { labDown } from "./down.ts";
import type { LabDir, LabOptions, LabRecord } from "./lab-dir.ts";
import { FABRIC_NS } from "./names.ts";
import { enter, requireNamespace } from "./namespaces.ts";
import { buildNetwork } from "./network.ts";
import { tryRun } from "./run.ts";
import { logPath, requireAlive, restartService } from "./services.ts";
import { findDead } from "./status.ts";
import { ipBatch, podRouteLines } from "./topology.ts";

const DEFAULTS: LabOptions = { nodes: 3, mode: "nftables", dualStack: false };
const START_TIMEOUT_MS = 60_000;

/** One line of progress for a person. */
export type Say = (line: string) => void;

interface Work {
  readonly lab: LabDir;
  readonly record: LabRecord;
  readonly signal: AbortSignal;
}

/** @throws {NodeplaneError} when something does not come up; the lab is left for a look at its logs */
export async function labUp(
  lab: LabDir,
  options: Partial<LabOptions>,
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  await lab.locked(async () => {
    const existing = lab.record();
    if (existing !== undefined && (await resume(lab, existing, options, say))) return;
    const mark = `${lab.name}:${randomBytes(8).toString("hex")}`;
    const record: LabRecord = { ...DEFAULTS, ...options, name: lab.name, mark };
    lab.write(record, "lab");
    try {
      await bringUp({ lab, record, signal }, say);
    } catch (error) {
      if (signal.aborted) {
        await labDown(lab);
        throw new NodeplaneError(
          "COMMAND_FAILED",
          { operation: `lab "${lab.name}" up`, detail: "interrupted; what was there is removed" },
          error,
        );
      }
      say(
        `it did not work; logs are in ${lab.file("log")}, 'nodeplane lab down --name ${lab.name}' removes what is there`,
      );
      throw error;
    }
  });
}

/** @returns true when the lab is up and complete, after starting what had died */
async function resume(
  lab: LabDir,
  record: LabRecord,
  options: Partial<LabOptions>,
  say: Say,
): Promise<boolean> {
  const dead = findDead(lab, record);
  const complete = existsSync(lab.file("complete"));
  if (!complete || dead.namespaces.length > 0) {
    say(
      `lab "${lab.name}" was left ${complete ? `without ${dead.namespaces.join(", ")}` : "half-way"}: taking it down first`,
    );
    await labDown(lab);
    return false;
  }
  for (const key of ["nodes", "mode", "dualStack"] as const) {
    const wanted = options[key];
    if (wanted === undefined || wanted === record[key]) continue;
    const flag = key === "dualStack" ? "dual-stack" : key;
    const detail = `the lab that is up has ${String(record[key])}; use another --name, or 'nodeplane lab down --name ${lab.name}' first`;
    throw new NodeplaneError("CONFIG_INVALID", { object: `--${flag} ${String(wanted)}`, detail });
  }
  for (const name of dead.services) {
    await restartService(lab, record.mark, name);
    say(`started again: ${name}`);
  }
  say(`lab "${lab.name}" is up (${record.nodes} nodes)`);
  return true;
}

async function bringUp(work: Work, say: Say): Promise<void> {
  const { lab, record } = work;
  const begun = performance.now();
  const step = async <T>(text: string, action: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    work.signal.throwIfAborted();
    const result = await action();
    say(`  ${text.padEnd(58)} ${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s`);
    return result;
  };
  const names = nodeNames(record.nodes);
  say(`lab "${lab.name}": ${record.nodes} nodes, ${record.mode}${record.dualStack ? ", IPv4 and IPv6" : ""}`);
  await step("namespaces and cables", () => buildNetwork(lab, record));
  const api = await step("control plane answers", () => startApi(work));
  try {
    await step(`${names.join(", ")} joined`, async () => {
      await api.apply("/api/v1/namespaces/kube-system/services", DNS_SERVICE_OBJECT);
      await Promise.all(names.map((name) => startNode(work, name)));
      await Promise.all(names.map((name) => joinNode(work, api, name)));
    });
    await step(`resolvers answer at ${DNS_SERVICE} from every node`, () => waitForDns(work, api, names));
  } finally {
    api.close();
  }
  lab.writeText("", "complete");
  say(
    `up after ${((performance.now() - begun) / 1000).toFixed(1)} s; export KUBECONFIG=${lab.file("kubeconfig")}`,
  );
}

async function startApi(work: Work): Promise<ApiClient> {
  const { lab, record } = work;
  await startControlPlane(lab, record);
  const port = await startApiRelay(lab, record);
  const admin = `${controlPlaneDir(lab)}/admin.kubeconfig`;
  const api = await poll(work, "the control plane to write its kubeconfig", ["control-plane"], () => {
    if (!existsSync(admin)) return Promise.resolve(undefined);
    writeKubeconfigs(lab, port);
    return Promise.resolve(new ApiClient(lab.file("kubeconfig")));
  });
  await poll(work, "the control plane to be ready", ["control-plane"], async () => {
    return (await api.send("GET", "/readyz")).status === 200 ? true : undefined;
  });
  await poll(work, "the namespace kube-system", ["control-plane"], () =>
    api.get("/api/v1/namespaces/kube-system"),
  );
  return api;
}

async function startNode(work: Work, name: string): Promise<void> {
  const { lab, record } = work;
  await issueCertificate(lab, name);
  writeResolverManifest(lab, name);
  await startAgent(lab, record, name);
  await startResolver(lab, record, name);
}

/** Waits for the Node and its pod ranges, and lays the routes to them on every other node and the fabric. */
async function joinNode(work: Work, api: ApiClient, name: string): Promise<void> {
  const { lab, record } = work;
  const wanted = record.dualStack ? 2 : 1;
  const podCidrs = await poll(work, `node ${name} to join`, ["control-plane", `${name}.agent`], async () => {
    const cidrs = listAt(await api.get(`/api/v1/nodes/${name}`), "spec", "podCIDRs").map(String);
    return cidrs.length >= wanted ? cidrs : undefined;
  });
  lab.write({ podCidrs }, "nodes", name);
  await ipBatch(requireNamespace(lab, FABRIC_NS), podRouteLines(nodeIndex(name), podCidrs, "br0"));
  for (const other of nodeNames(record.nodes)) {
    if (other !== name)
      await ipBatch(requireNamespace(lab, other), podRouteLines(nodeIndex(name), podCidrs, "eth0"));
  }
}

async function waitForDns(work: Work, api: ApiClient, names: readonly string[]): Promise<void> {
  await poll(
    work,
    "every node to be Ready",
    names.map((name) => `${name}.agent`),
    async () => {
      const nodes = listAt(await api.get("/api/v1/nodes"), "items");
      const ready = nodes.filter((node) =>
        listAt(node, "status", "conditions").some(
          (c) => at(c, "type") === "Ready" && at(c, "status") === "True",
        ),
      );
      return ready.length === names.length ? true : undefined;
    },
  );
  await Promise.all(
    names.map((name) =>
      poll(work, `${DNS_SERVICE} to answer from ${name}`, [`${name}.agent`, `${name}.dns`], async () => {
        const query = [
          "dig",
          "+short",
          "+time=1",
          "+tries=1",
          `@${DNS_SERVICE}`,
          "kubernetes.default.svc.cluster.local",
        ];
        const answer = await tryRun(enter(requireNamespace(work.lab, name), query), { timeoutMs: 5000 });
        return /^\d+\./.test(answer.stdout) ? true : undefined;
      }),
    ),
  );
}

/** Polls while the services it depends on live. */
async function poll<T>(
  work: Work,
  what: string,
  services: readonly string[],
  check: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  let last = "";
  for (;;) {
    work.signal.throwIfAborted();
    for (const service of services) requireAlive(work.lab, service);
    try {
      const found = await check();
      if (found !== undefined) return found;
      last = "";
    } catch (error) {
      last = error instanceof Error ? `: ${error.message}` : "";
    }
    if (performance.now() > deadline) {
      const logs = services.map((service) => logPath(work.lab, service)).join(", ");
      throw new NodeplaneError("COMMAND_FAILED", {
        operation: `waited ${START_TIMEOUT_MS / 1000} s for ${what}`,
        detail: `it did not happen${last} (logs: ${logs})`,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
