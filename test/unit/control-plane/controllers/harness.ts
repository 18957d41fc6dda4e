/** A control plane in memory for tests of controllers: the real machinery, a clock that tests move, no network. */
import type {
  Controller,
  ControllerClock,
  ControllerDeps,
} from "../../../../src/control-plane/controllers/controller.ts";
import { runControllers } from "../../../../src/control-plane/controllers/run.ts";
import { KINDS } from "../../../../src/control-plane/kinds/index.ts";
import type { ApiObject } from "../../../../src/control-plane/registry/json.ts";
import type { ClusterSettings } from "../../../../src/control-plane/registry/kind.ts";
import { LeasePool } from "../../../../src/control-plane/registry/lease-pool.ts";
import { LocalClient } from "../../../../src/control-plane/registry/local-client.ts";
import { Registry } from "../../../../src/control-plane/registry/registry.ts";
import { MemoryStore } from "../../../../src/control-plane/store/memory-store.ts";
import type { Store } from "../../../../src/control-plane/store/store.ts";

/** Time stands still until `advance`. */
export class FakeClock implements ControllerClock {
  #nowMs: number;
  #jumpedMs = 0;
  #sleepers: { atMs: number; wake: () => void }[] = [];

  constructor(nowMs = Date.parse("2026-01-01T00:00:00Z")) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs + this.#jumpedMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** Somebody sets the machine's clock; no time passes. */
  jump(ms: number): void {
    this.#jumpedMs += ms;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      this.#sleepers.push({ atMs: this.#nowMs + ms, wake: resolve });
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#sleepers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { wake } of due) wake();
  }
}

export const SETTINGS: ClusterSettings = {
  clusterDomain: "cluster.local",
  serviceCidrs: ["10.96.0.0/12"],
  podCidrs: ["10.244.0.0/16"],
  nodePortRange: { from: 30_000, to: 32_767 },
  apiAddresses: ["192.168.96.10"],
  apiPort: 6443,
};

export interface TestCluster {
  readonly client: LocalClient;
  readonly store: Store;
  readonly clock: FakeClock;
  readonly problems: string[];
  /** Resolves when the store has been quiet for a while. */
  settle(): Promise<void>;
  /** Moves time in steps, settling after each. */
  advance(seconds: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startCluster(
  controllers: readonly Controller[],
  settings: Partial<ClusterSettings> = {},
  deps: Partial<ControllerDeps> = {},
): Promise<TestCluster> {
  const clock = new FakeClock();
  const ephemeral = Registry.ephemeralPrefixes(KINDS);
  const store = new MemoryStore({ ephemeralPrefixes: ephemeral });
  let count = 0;
  const nowMs = (): number => clock.nowMs();
  const client = new LocalClient({
    store,
    registry: new Registry(KINDS),
    settings: { ...SETTINGS, ...settings },
    leases: new LeasePool(store, nowMs),
    nowMs,
    newUid: () => `uid-${++count}`,
    newSuffix: () => (++count).toString(36).padStart(5, "0"),
  });
  const problems: string[] = [];
  const note = (fields: Readonly<Record<string, unknown>>, message: string): void => {
    problems.push(`${message} ${JSON.stringify(fields)}`);
  };
  const abort = new AbortController();
  const running = runControllers(
    {
      client,
      store,
      kinds: KINDS,
      settings: { ...SETTINGS, ...settings },
      clock,
      log: { info: () => undefined, warn: note, error: note },
      identity: "test",
      ...deps,
    },
    abort.signal,
    controllers,
  );
  const settle = async (): Promise<void> => {
    for (let quiet = 0, last = -1; quiet < 20; quiet++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (store.revision() !== last) quiet = 0;
      last = store.revision();
    }
  };
  return {
    client,
    store,
    clock,
    problems,
    settle,
    async advance(seconds) {
      for (let left = seconds; left > 0; left--) {
        clock.advance(1_000);
        await settle();
      }
    },
    async stop() {
      abort.abort();
      await running;
      await store.close();
    },
  };
}

interface PodInput {
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly node?: string;
  readonly ips: readonly string[];
  readonly ready?: boolean;
  readonly annotations?: Record<string, string>;
  readonly ports?: readonly { name: string; containerPort: number }[];
  readonly hostname?: string;
  readonly subdomain?: string;
}

/** A running Pod with its status. */
export async function addPod(client: LocalClient, name: string, input: PodInput): Promise<ApiObject> {
  const created = await client.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: input.namespace ?? "default",
      labels: input.labels ?? { app: "web" },
      annotations: { "kubernetes.io/config.mirror": "x", ...input.annotations },
    },
    spec: {
      nodeName: input.node ?? "node1",
      ...(input.hostname === undefined ? {} : { hostname: input.hostname }),
      ...(input.subdomain === undefined ? {} : { subdomain: input.subdomain }),
      containers: [{ name: "c", ports: (input.ports ?? []).map((port) => ({ ...port })) }],
    },
  });
  return await setPodStatus(client, created, input.ips, input.ready ?? true);
}

export async function setPodStatus(
  client: LocalClient,
  pod: ApiObject,
  ips: readonly string[],
  ready: boolean,
): Promise<ApiObject> {
  const { namespace = "", name = "" } = pod.metadata;
  const status = {
    phase: "Running",
    podIPs: ips.map((ip) => ({ ip })),
    conditions: [
      { type: "Ready", status: ready ? "True" : "False", lastTransitionTime: "2026-01-01T00:00:00Z" },
    ],
  };
  return await client.mergePatch("pods", namespace, name, { status }, "status");
}

export async function addNode(
  client: LocalClient,
  name: string,
  labels: Record<string, string> = {},
): Promise<ApiObject> {
  return await client.create("nodes", { apiVersion: "v1", kind: "Node", metadata: { name, labels } });
}

export async function addService(
  client: LocalClient,
  name: string,
  spec: ApiObject["spec"],
  namespace = "default",
): Promise<ApiObject> {
  return await client.create("services", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec,
  });
}
