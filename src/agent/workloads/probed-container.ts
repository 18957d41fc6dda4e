/**
 * Layer agent. The probes of one container together: until the startup probe succeeded the others wait; a failed startup
 * or liveness probe means that the process is dead. Source: kubernetes/pkg/kubelet/prober.
 */
import type { Clock } from "../clock.ts";
import { ProbeLoop } from "./probe-loop.ts";
import type { ContainerProbes, ProbeSpec } from "./probe-spec.ts";
import { initialProbeState, type ProbeState, type ProbeType } from "./probe-state.ts";
import type { Seen } from "./run-probe.ts";

/** What an earlier agent knew of the container. */
export interface KnownContainer {
  readonly isStarted: boolean;
  readonly isReady: boolean;
  readonly isAlive: boolean;
}

export interface ProbeEvent {
  readonly type: ProbeType;
  readonly after: ProbeState;
  readonly before: ProbeState;
}

export interface ContainerProbesOptions {
  readonly probes: ContainerProbes;
  readonly clock: Clock;
  readonly run: (spec: ProbeSpec, signal: AbortSignal) => Promise<Seen>;
  /** When the container started, milliseconds since the epoch: initial delays count from here. */
  readonly startedAtMs: number;
  readonly known: KnownContainer | undefined;
  /** After each probe. */
  readonly onProbe: (event: ProbeEvent) => void;
}

export class ProbedContainer {
  readonly #options: ContainerProbesOptions;
  readonly #loops = new Map<ProbeType, ProbeLoop>();
  #isStarted: boolean;

  constructor(options: ContainerProbesOptions) {
    this.#options = options;
    this.#isStarted = options.probes.startup === undefined || options.known?.isStarted === true;
    if (this.#isStarted) this.#startOthers(options.known);
    else this.#startLoop("startup", initialProbeState("startup"));
  }

  get isStarted(): boolean {
    return this.#isStarted;
  }

  /** False while a liveness or startup probe fails. */
  get isAlive(): boolean {
    return (
      this.#result("liveness", "success") !== "failure" && this.#result("startup", "unknown") !== "failure"
    );
  }

  get isReady(): boolean {
    return this.#isStarted && this.isAlive && this.#result("readiness", "success") === "success";
  }

  /** What a later agent is to know: what each probe found, not what follows from it. */
  known(): KnownContainer {
    return {
      isStarted: this.#isStarted,
      isReady: this.#result("readiness", "success") === "success",
      isAlive: this.isAlive,
    };
  }

  /** Of each probe that the container has. */
  get states(): ReadonlyMap<ProbeType, ProbeState> {
    const states = new Map<ProbeType, ProbeState>();
    for (const type of ["startup", "liveness", "readiness"] as const) {
      if (this.#options.probes[type] === undefined) continue;
      const state = this.#loops.get(type)?.state ?? initialProbeState(type);
      states.set(type, type === "startup" && this.#isStarted ? { ...state, result: "success" } : state);
    }
    return states;
  }

  stop(): void {
    for (const loop of this.#loops.values()) loop.stop();
  }

  #result(type: ProbeType, without: ProbeState["result"]): ProbeState["result"] {
    if (this.#options.probes[type] === undefined) return without;
    return (this.#loops.get(type)?.state ?? initialProbeState(type)).result;
  }

  #startLoop(type: ProbeType, initial: ProbeState): void {
    const { clock, startedAtMs, run, probes, known } = this.#options;
    const spec = probes[type];
    if (spec === undefined) return;
    // What was known before is asked again at once.
    const wholeMs = known === undefined ? spec.initialDelaySeconds * 1000 : 0;
    const leftMs = startedAtMs + wholeMs - clock.now();
    const loop = new ProbeLoop({
      spec,
      clock,
      initial,
      // Never more than the whole of it: somebody may have set the clock back.
      delayMs: Math.min(wholeMs, Math.max(0, leftMs)),
      probe: run,
      onProbe: (after, before) => this.#probed({ type, after, before }),
    });
    this.#loops.set(type, loop);
  }

  #startOthers(known: KnownContainer | undefined): void {
    const resume = (type: ProbeType, holds: boolean | undefined): ProbeState =>
      holds === undefined
        ? initialProbeState(type)
        : {
            ...initialProbeState(type),
            result: holds ? "success" : "failure",
            message: "as before the agent's start",
          };
    this.#startLoop("liveness", resume("liveness", known?.isAlive));
    this.#startLoop("readiness", resume("readiness", known?.isReady));
  }

  #probed(event: ProbeEvent): void {
    if (event.type === "startup" && event.after.result === "success") {
      this.#loops.get("startup")?.stop();
      this.#loops.delete("startup");
      this.#isStarted = true;
      this.#startOthers(undefined);
    }
    this.#options.onProbe(event);
  }
}
