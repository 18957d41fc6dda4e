/**
 * Test code. The agent as a program in a network namespace `node`, fed by files, beside two pods of one HTTP server each that
 * answers with the pod's name. Everything is gone after {@link AgentWorld.close}.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/until.ts";
import { Namespaces } from "./netns.ts";

export const NODEPLANE = join(import.meta.dirname, "../../bin/nodeplane");

/** A manifest with port 80 named `http`; namespace `default`. */
export function serviceManifest(name: string, clusterIP: string, extra: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { clusterIP, ports: [{ name: "http", port: 80 }], ...extra },
  };
}

/** The slice `NAME-1` of service `name`, port 8080. */
export function sliceManifest(name: string, addresses: readonly string[]): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
}

export class AgentWorld {
  readonly namespaces: Namespaces;
  readonly folder: string;
  readonly objects: string;
  readonly socket: string;
  readonly #options: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  #agent: ChildProcess | undefined;

  /**
   * @param tag two letters for the names of namespaces
   * @param options of every start of the agent
   * @param env beside this process's environment, by the name of a file in the world's folder
   */
  constructor(tag: string, options: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
    this.namespaces = new Namespaces(tag);
    this.folder = mkdtempSync(join(tmpdir(), `nodeplane-${tag}-`));
    this.objects = join(this.folder, "objects");
    this.socket = join(this.folder, "agent.sock");
    this.#options = options;
    this.#env = { ...process.env };
    for (const [name, file] of Object.entries(env)) this.#env[name] = join(this.folder, file);
    mkdirSync(this.objects);
  }

  /** Makes the namespaces: the node is 10.244.1.1 and 10.244.2.1, the pods 10.244.1.2 and 10.244.2.2. */
  connect(): void {
    const { namespaces } = this;
    namespaces.add("node", "pod1", "pod2");
    const node = namespaces.name("node");
    for (const index of [1, 2]) {
      const pod = `pod${index}`;
      const peer = `peer name eth0 netns ${namespaces.name(pod)}`;
      namespaces.batch([`link add v${index} netns ${node} type veth ${peer}`]);
      namespaces.batch([`addr add 10.244.${index}.1/24 dev v${index}`, `link set v${index} up`], "node");
      const route = `route add default via 10.244.${index}.1`;
      namespaces.batch([`addr add 10.244.${index}.2/24 dev eth0`, "link set eth0 up", route], pod);
      const server = `require("node:http").createServer((q, r) => r.end(${JSON.stringify(pod)})).listen(8080)`;
      namespaces.spawn(pod, process.execPath, ["-e", server], { stdio: "ignore" });
    }
    namespaces.batch(["route add default dev v1"], "node");
  }

  /** Writes an object, or replaces it. */
  write(name: string, object: object): void {
    writeFileSync(join(this.objects, `${name}.json`), JSON.stringify(object));
  }

  /** Runs a command on the node. @returns its output @throws when it fails */
  run(command: string, ...args: string[]): string {
    return this.namespaces.run("node", command, ...args);
  }

  /** Body of an HTTP answer that the node gets. @throws when there is none */
  get(url: string): string {
    return this.run("curl", "-sS", "--max-time", "2", url);
  }

  metrics(): string {
    return this.get("http://127.0.0.1:10249/metrics");
  }

  cleanup(): string {
    return this.run(NODEPLANE, "cleanup", "--socket", this.socket, "--state-dir", this.#stateDir);
  }

  /** Process id of the agent. */
  get pid(): number | undefined {
    return this.#agent?.pid;
  }

  /** Starts the agent and waits until it is ready. */
  async start(...options: readonly string[]): Promise<void> {
    const args = ["agent", "--objects", this.objects, "--node-name", "n1", ...this.#options, ...options];
    const paths = ["--status-socket", this.socket, "--state-dir", this.#stateDir, "--manifest-dir", ""];
    const how = { stdio: "ignore", env: this.#env } as const;
    this.#agent = this.namespaces.spawn("node", NODEPLANE, [...args, ...paths], how);
    await eventually("ready", () => this.get("http://127.0.0.1:10256/readyz").startsWith("ok"));
  }

  /** Ends the agent; asked to, it must end with 0. Harmless when none runs. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const agent = this.#agent;
    this.#agent = undefined;
    if (agent === undefined) return;
    const ended = exitOf(agent);
    agent.kill(signal);
    const status = await ended;
    if (signal === "SIGTERM") assert.equal(status, 0);
  }

  async close(): Promise<void> {
    await this.stop("SIGKILL");
    this.namespaces.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #stateDir(): string {
    return join(this.folder, "state");
  }
}

/** Exit status of a process, null after a signal. */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null)
    await new Promise((resolve) => child.once("exit", resolve));
  return child.exitCode;
}

/** Waits for a claim; what throws does not hold yet. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  let reason = "";
  const look = (): boolean => {
    try {
      return holds();
    } catch (error) {
      reason = String(error);
      return false;
    }
  };
  await until(look, what).catch((error: Error) => {
    throw new Error(`${error.message} ${reason}`);
  });
}
