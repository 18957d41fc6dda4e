/**
 * Layer agent. One workload: its containers' probes, its readiness, its restarts. Says when something changed and what
 * happened; who publishes that is not its business.
 */
import type { IpAddress } from "../../model/ip.ts";
import type { Clock } from "../clock.ts";
import type { WorkloadManifest } from "./manifest.ts";
import type { ProbeSpec } from "./probe-spec.ts";
import { type KnownContainer, ProbedContainer, type ProbeEvent } from "./probed-container.ts";
import type { RunProbe } from "./run-probe.ts";
import type { WorkloadRuntime } from "./runtime.ts";

/** What an earlier agent knew, and what is kept for a later one. */
export interface KnownWorkload {
  readonly hash: string;
  readonly startedAtMs: number;
  readonly restarts: number;
  readonly containers: Readonly<Record<string, KnownContainer>>;
}

export interface WorkloadEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface WorkloadOptions {
  readonly manifest: WorkloadManifest;
  /** Of the manifest's content: a changed manifest is another workload. */
  readonly hash: string;
  readonly file: string;
  readonly clock: Clock;
  readonly runProbe: RunProbe;
  readonly runtime: WorkloadRuntime;
  /** The node's addresses now, for hostNetwork. */
  readonly nodeAddresses: () => readonly IpAddress[];
  readonly known: KnownWorkload | undefined;
  readonly onChange: () => void;
  readonly onEvent: (event: WorkloadEvent) => void;
  readonly onProbe: (probe: ProbeEvent) => void;
}

/** Waits between restarts, as the kubelet's: 10 s, doubled up to five minutes, forgotten after ten quiet minutes. */
const FIRST_BACKOFF_MS = 10_000;
const MAX_BACKOFF_MS = 300_000;
const FORGET_MS = 600_000;
const TITLE = { startup: "Startup", liveness: "Liveness", readiness: "Readiness" } as const;

export class Workload {
  readonly #options: WorkloadOptions;
  #containers: ReadonlyMap<string, ProbedContainer>;
  #startedAtMs: number;
  #restarts: number;
  #backoffMs = 0;
  /** On the clock that never jumps. */
  #restartedAtMs = 0;
  #isRestarting = false;
  #isStopped = false;
  #lastDeath = "";

  constructor(options: WorkloadOptions) {
    this.#options = options;
    const known = options.known?.hash === options.hash ? options.known : undefined;
    this.#startedAtMs = known?.startedAtMs ?? options.clock.now();
    this.#restarts = known?.restarts ?? 0;
    this.#containers = this.#probeAll(known);
  }

  get manifest(): WorkloadManifest {
    return this.#options.manifest;
  }
  get hash(): string {
    return this.#options.hash;
  }
  get file(): string {
    return this.#options.file;
  }
  get startedAtMs(): number {
    return this.#startedAtMs;
  }
  get restarts(): number {
    return this.#restarts;
  }
  get containers(): ReadonlyMap<string, ProbedContainer> {
    return this.#containers;
  }
  get isReady(): boolean {
    return [...this.#containers.values()].every((container) => container.isReady);
  }
  get isAlive(): boolean {
    return [...this.#containers.values()].every((container) => container.isAlive);
  }
  /** Why it was last found dead; empty when it never was. */
  get lastDeath(): string {
    return this.#lastDeath;
  }
  get addresses(): readonly IpAddress[] {
    return this.manifest.hostNetwork ? this.#options.nodeAddresses() : this.manifest.addresses;
  }

  known(): KnownWorkload {
    const containers: Record<string, KnownContainer> = {};
    for (const [name, container] of this.#containers) containers[name] = container.known();
    return { hash: this.hash, startedAtMs: this.#startedAtMs, restarts: this.#restarts, containers };
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopProbes();
  }

  #stopProbes(): void {
    for (const container of this.#containers.values()) container.stop();
  }

  #probeAll(known: KnownWorkload | undefined): ReadonlyMap<string, ProbedContainer> {
    const { clock, manifest } = this.#options;
    const containers = manifest.containers.map((container) => {
      const probed = new ProbedContainer({
        probes: container.probes,
        clock,
        startedAtMs: this.#startedAtMs,
        known: known?.containers[container.name],
        run: (spec, signal) => this.#run(spec, signal),
        onProbe: (event) => this.#probed(container.name, event),
      });
      return [container.name, probed] as const;
    });
    return new Map(containers);
  }

  #run(spec: ProbeSpec, signal: AbortSignal): ReturnType<RunProbe> {
    const { manifest, runProbe } = this.#options;
    const address = this.addresses[0] ?? "127.0.0.1";
    return runProbe(
      spec,
      { address, ...(manifest.netns === undefined ? {} : { netns: manifest.netns }) },
      signal,
    );
  }

  #probed(container: string, event: ProbeEvent): void {
    const { onProbe, onEvent, onChange } = this.#options;
    const { type, before, after } = event;
    onProbe(event);
    if (after.lastSeen === "failure" && (before.lastSeen !== "failure" || before.result !== after.result)) {
      const message = `${TITLE[type]} probe failed: ${after.message} (container ${container})`;
      onEvent({ type: "Warning", reason: "Unhealthy", message });
    }
    if (before.result !== after.result) onChange();
    if (type !== "readiness" && after.result === "failure")
      void this.#dead(`${TITLE[type]} probe failed: ${after.message}`);
  }

  async #dead(why: string): Promise<void> {
    const { clock, runtime, manifest, onEvent, onChange } = this.#options;
    this.#lastDeath = why;
    if (this.#isRestarting || manifest.unit === undefined) return;
    const quietMs = clock.monotonicMs() - this.#restartedAtMs;
    if (quietMs < this.#backoffMs) return;
    this.#isRestarting = true;
    this.#backoffMs =
      quietMs > FORGET_MS
        ? FIRST_BACKOFF_MS
        : Math.min(MAX_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, 2 * this.#backoffMs));
    onEvent({ type: "Normal", reason: "Killing", message: `${why}; restarting ${manifest.unit}` });
    const outcome = await runtime.restart(manifest);
    this.#isRestarting = false;
    this.#restartedAtMs = clock.monotonicMs();
    if (this.#isStopped) return;
    if (outcome.kind === "failed")
      onEvent({ type: "Warning", reason: "RestartFailed", message: outcome.message });
    if (outcome.kind !== "restarted") return;
    onEvent({ type: "Normal", reason: "Started", message: outcome.message });
    this.#stopProbes();
    this.#restarts++;
    this.#startedAtMs = clock.now();
    this.#containers = this.#probeAll(undefined);
    onChange();
  }
}
