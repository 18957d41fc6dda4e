/**
 * Layer agent. All workloads of this node: follows the manifest folder, starts and stops their probes, and has their mirror
 * Pods and status ready for whoever publishes them. One bad manifest never stops the others.
 */
import type { IpAddress } from "../../model/ip.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { WorkloadStatus } from "../status/agent-status.ts";
import type { KnownWorkloads } from "./known-workloads.ts";
import type { FoundManifest, ManifestDirectory, ManifestFolderState } from "./manifest-directory.ts";
import { type ApiObject, type ConditionTimes, mirrorPod } from "./mirror-pod.ts";
import type { ProbeEvent } from "./probed-container.ts";
import type { RunProbe } from "./run-probe.ts";
import type { WorkloadRuntime } from "./runtime.ts";
import { type KnownWorkload, Workload, type WorkloadEvent } from "./workload.ts";

export interface WorkloadsOptions {
  readonly nodeName: string;
  readonly directory: ManifestDirectory;
  readonly known: KnownWorkloads;
  readonly runtime: WorkloadRuntime;
  readonly runProbe: RunProbe;
  readonly nodeAddresses: () => readonly IpAddress[];
  readonly clock: Clock;
  readonly log: Logger;
  /** Mirror Pods are others now. */
  readonly onChange: () => void;
  readonly onEvent: (workload: Workload, event: WorkloadEvent) => void;
  readonly onProbe: (workload: Workload, probe: ProbeEvent) => void;
  /** Its manifest is gone. */
  readonly onRemoved: (workload: Workload) => void;
}

interface Entry {
  readonly workload: Workload;
  readonly times: ConditionTimes;
}

export class Workloads {
  readonly #options: WorkloadsOptions;
  readonly #entries = new Map<string, Entry>();
  #problems: readonly string[] = [];
  #isRead = false;

  constructor(options: WorkloadsOptions) {
    this.#options = options;
  }

  /** Follows the folder until `signal` aborts. */
  run(signal: AbortSignal): void {
    this.#options.directory.follow((state) => this.#apply(state), signal);
    signal.addEventListener("abort", () => {
      for (const { workload } of this.#entries.values()) workload.stop();
    });
  }

  /** True once the folder was read: before that, no Pods does not mean that there are none. */
  get isRead(): boolean {
    return this.#isRead;
  }

  /** Manifests that could not be used, one line each. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  counts(): { readonly ready: number; readonly notReady: number; readonly refused: number } {
    const ready = [...this.#entries.values()].filter(({ workload }) => workload.isReady).length;
    return { ready, notReady: this.#entries.size - ready, refused: this.#problems.length };
  }

  /** Mirror Pods of all workloads. */
  pods(): readonly ApiObject[] {
    const { nodeName, nodeAddresses, clock } = this.#options;
    const context = { nodeName, hostAddresses: nodeAddresses(), nowMs: clock.now() };
    return [...this.#entries.values()].map(({ workload, times }) =>
      mirrorPod(workload, { ...context, times }),
    );
  }

  status(): readonly WorkloadStatus[] {
    return [...this.#entries.values()].map(({ workload }) => ({
      namespace: workload.manifest.namespace,
      name: workload.manifest.name,
      file: workload.file,
      addresses: workload.addresses,
      ready: workload.isReady,
      restarts: workload.restarts,
      containers: [...workload.containers].map(([name, container]) => ({
        name,
        probes: [...container.states].map(([type, { result, message, lastSeen, run }]) => ({
          ...{ type, result, message },
          ...(lastSeen === undefined ? {} : { lastSeen, inRow: run }),
        })),
      })),
    }));
  }

  #apply(state: ManifestFolderState): void {
    const { log, onChange, onRemoved } = this.#options;
    const before = new Set(this.#problems);
    for (const problem of state.problems)
      if (!before.has(problem)) log.error({ problem }, "a manifest is refused");
    this.#problems = state.problems;
    const wanted = new Map(state.manifests.map((found) => [key(found), found]));
    let changed = !this.#isRead;
    this.#isRead = true;
    for (const [name, { workload }] of this.#entries) {
      const found = wanted.get(name);
      if (found !== undefined && found.hash === workload.hash && found.file === workload.file) continue;
      workload.stop();
      this.#entries.delete(name);
      changed = true;
      if (found !== undefined) continue;
      onRemoved(workload);
      log.info({ workload: name }, "workload removed");
    }
    for (const [name, found] of wanted) {
      if (this.#entries.has(name)) continue;
      this.#entries.set(name, { workload: this.#start(name, found), times: new Map() });
      log.info({ workload: name, file: found.file }, "workload added");
      changed = true;
    }
    if (!changed) return;
    this.#save();
    onChange();
  }

  #start(name: string, found: FoundManifest): Workload {
    const { clock, runProbe, runtime, nodeAddresses, known, onChange, onEvent, onProbe } = this.#options;
    const workload: Workload = new Workload({
      ...found,
      clock,
      runProbe,
      runtime,
      nodeAddresses,
      known: known.get(name),
      onChange: () => {
        this.#save();
        onChange();
      },
      onEvent: (event) => onEvent(workload, event),
      onProbe: (probe) => onProbe(workload, probe),
    });
    return workload;
  }

  #save(): void {
    this.#options.known.save(() => {
      const all: Record<string, KnownWorkload> = {};
      for (const [name, { workload }] of this.#entries) all[name] = workload.known();
      return all;
    });
  }
}

function key(found: FoundManifest): string {
  return `${found.manifest.namespace}/${found.manifest.name}`;
}
