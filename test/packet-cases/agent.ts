/**
 * Packet cases: the agent under test, `bin/nodeplane agent --objects` in the node's namespace. Objects change by
 * replacing one file; the agent's status socket tells when the change is in the kernel.
 */
import type { ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PATIENCE } from "../support/patience.ts";
import type { AgentConfig, FixtureService, Mode, Topology } from "./case-file.ts";
import { type NodeFields, objectsText } from "./objects.ts";
import type { PacketTopology } from "./topology.ts";

const EXECUTABLE = join(import.meta.dirname, "../../bin/nodeplane");
const PROGRAMMED_TIMEOUT_MS = 20_000 * PATIENCE;
const STOP_MS = 5_000 * PATIENCE;
const POLL_MS = 10;

interface Programmed {
  readonly programmed?: boolean;
  readonly revision?: string;
  readonly receivedRevision?: string;
  readonly pendingSinceMs?: number;
  readonly refused?: readonly Refused[];
}

/** A problem of a user's object, as the status has it. */
export interface Refused {
  readonly object: { readonly namespace: string; readonly name: string };
  readonly reason: string;
  readonly field: string;
  readonly message: string;
}

function configuration(topology: Topology, config: AgentConfig, mode: Mode): Record<string, unknown> {
  const { masqueradeAll, masqueradeBit, localhostNodePorts } = config;
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode,
    hostnameOverride: topology.nodeName,
    detectLocalMode: "ClusterCIDR",
    // kube-proxy has no mode "none": a cluster range that is empty means that nothing is local.
    clusterCIDR: config.detectLocalMode === "none" ? "" : topology.localCidrs.join(","),
    ...(config.nodePortAddresses.length === 0 ? {} : { nodePortAddresses: config.nodePortAddresses }),
    iptables: { masqueradeAll, masqueradeBit, localhostNodePorts, minSyncPeriod: "0.001s" },
    nftables: { masqueradeAll, masqueradeBit },
  };
}

/** The agent did not start, or did not program what it was given; the message ends with its last words. */
export class AgentFailed extends Error {
  override readonly name = "AgentFailed";
}

/** What iptables-legacy locks, for the agents of one run alone: nobody else waits for it, and a test can hold it. */
export function lockFileBeside(agentFolder: string): string {
  return join(dirname(agentFolder), "xtables.lock");
}

export class AgentUnderTest {
  readonly #topology: Topology;
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #socket: string;
  #stamp = 0;
  #exit: string | undefined;

  /** Starts an agent with an empty objects folder below `folder`, which must exist. */
  constructor(
    network: PacketTopology,
    topology: Topology,
    config: AgentConfig,
    { mode, variant }: { readonly mode: Mode; readonly variant?: string },
    folder: string,
    /** Further fields of the KubeProxyConfiguration. */
    more: Readonly<Record<string, unknown>> = {},
  ) {
    this.#topology = topology;
    this.#folder = folder;
    this.#socket = join(folder, "agent.sock");
    mkdirSync(join(folder, "objects"), { recursive: true });
    this.#write([], undefined);
    const configFile = join(folder, "config.yaml");
    writeFileSync(configFile, JSON.stringify({ ...configuration(topology, config, mode), ...more }));
    const log = openSync(join(folder, "agent.log"), "a");
    this.#child = network.namespaces.spawn(
      "node",
      EXECUTABLE,
      [
        "agent",
        ...["--objects", join(folder, "objects")],
        ...["--config", configFile],
        ...["--state-dir", join(folder, "state")],
        ...["--status-socket", this.#socket],
        ...["--manifest-dir", ""],
        ...(variant === undefined ? [] : ["--iptables-variant", variant]),
      ],
      { stdio: ["ignore", log, log], env: { ...process.env, XTABLES_LOCKFILE: lockFileBeside(folder) } },
    );
    closeSync(log);
    this.#child.once("exit", (code, signal) => {
      this.#exit = `the agent has ended (${signal ?? `status ${code}`})`;
    });
  }

  /** Last lines of the agent's log, for messages. */
  logTail(): string {
    return readFileSync(join(this.#folder, "agent.log"), "utf8").trimEnd().split("\n").slice(-5).join("\n");
  }

  /** Replaces all objects and does not wait. */
  write(services: readonly FixtureService[], node: NodeFields = {}): void {
    this.#write(services, undefined, node);
  }

  /** Replaces all objects and waits until they are in the kernel. @throws when that takes too long */
  async apply(
    services: readonly FixtureService[],
    zone: string | undefined,
    node: NodeFields = {},
  ): Promise<void> {
    await this.applyText(objectsText(this.#topology, services, zone, ++this.#stamp, node));
  }

  /** Replaces the objects file, whose text must differ from the one before, and waits until its objects are in the kernel. */
  async applyText(text: string): Promise<void> {
    const before = await this.#programmed();
    this.writeText(text);
    const deadline = Date.now() + PROGRAMMED_TIMEOUT_MS;
    for (;;) {
      const now = await this.#programmed();
      const isLive =
        now?.revision !== undefined &&
        now.revision === now.receivedRevision &&
        now.pendingSinceMs === undefined;
      if (isLive && (before === undefined || now.revision !== before.revision)) return;
      if (this.#exit !== undefined) throw new AgentFailed(`${this.#exit}\n${this.logTail()}`);
      if (Date.now() > deadline)
        throw new AgentFailed(
          `objects are not programmed after ${PROGRAMMED_TIMEOUT_MS / 1000} s\n${this.logTail()}`,
        );
      await sleep(POLL_MS);
    }
  }

  /** Waits until the agent has programmed its first state. */
  async started(): Promise<void> {
    const deadline = Date.now() + PROGRAMMED_TIMEOUT_MS;
    while ((await this.#programmed())?.programmed !== true) {
      if (this.#exit !== undefined) throw new AgentFailed(`${this.#exit}\n${this.logTail()}`);
      if (Date.now() > deadline)
        throw new AgentFailed(
          `the agent is not ready after ${PROGRAMMED_TIMEOUT_MS / 1000} s\n${this.logTail()}`,
        );
      await sleep(POLL_MS * 5);
    }
  }

  /** Ends the agent; its rules stay. */
  async stop(): Promise<void> {
    if (this.#exit !== undefined) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  }

  #write(services: readonly FixtureService[], zone: string | undefined, node: NodeFields = {}): void {
    this.writeText(objectsText(this.#topology, services, zone, ++this.#stamp, node));
  }

  /** Replaces the objects file and does not wait. */
  writeText(text: string): void {
    const fresh = join(this.#folder, "objects.new");
    writeFileSync(fresh, text);
    renameSync(fresh, join(this.#folder, "objects", "objects.jsonl"));
  }

  /** What was refused, by its object. @throws when nobody answers */
  async refused(): Promise<readonly Refused[]> {
    const deadline = Date.now() + PROGRAMMED_TIMEOUT_MS;
    for (;;) {
      const now = await this.#programmed();
      if (now !== undefined) return now.refused ?? [];
      if (this.#exit !== undefined || Date.now() > deadline)
        throw new AgentFailed(`${this.#exit ?? "the agent does not answer"}\n${this.logTail()}`);
      await sleep(POLL_MS);
    }
  }

  /** The `programmed` part of the status; `undefined` while nobody answers. */
  #programmed(): Promise<Programmed | undefined> {
    return new Promise((resolve) => {
      const call = request({ socketPath: this.#socket, path: "/status" }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve((JSON.parse(text) as { programmed?: Programmed }).programmed));
        response.on("error", () => resolve(undefined));
      });
      call.on("error", () => resolve(undefined));
      call.end();
    });
  }
}
