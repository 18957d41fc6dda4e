/**
 * Layer agent. Repeats one probe at its period until stopped and keeps its thresholds. Probes of one loop never overlap.
 */
import type { Clock } from "../clock.ts";
import type { ProbeSpec } from "./probe-spec.ts";
import { afterProbe, type ProbeState } from "./probe-state.ts";
import type { Seen } from "./run-probe.ts";

export interface ProbeLoopOptions {
  readonly spec: ProbeSpec;
  readonly clock: Clock;
  readonly initial: ProbeState;
  /** Milliseconds before the first probe. */
  readonly delayMs: number;
  readonly probe: (spec: ProbeSpec, signal: AbortSignal) => Promise<Seen>;
  /** After each probe. */
  readonly onProbe: (after: ProbeState, before: ProbeState) => void;
}

export class ProbeLoop {
  readonly #options: ProbeLoopOptions;
  readonly #abort = new AbortController();
  #state: ProbeState;
  #cancel: () => void;

  constructor(options: ProbeLoopOptions) {
    this.#options = options;
    this.#state = options.initial;
    this.#cancel = options.clock.after(options.delayMs, () => void this.#once());
  }

  get state(): ProbeState {
    return this.#state;
  }

  stop(): void {
    this.#cancel();
    this.#abort.abort();
  }

  async #once(): Promise<void> {
    const { spec, clock, probe, onProbe } = this.#options;
    const startedMs = clock.monotonicMs();
    const seen = await probe(spec, this.#abort.signal);
    if (this.#abort.signal.aborted) return;
    const before = this.#state;
    this.#state = afterProbe(before, spec, seen);
    const waitMs = Math.max(0, startedMs + spec.periodSeconds * 1000 - clock.monotonicMs());
    this.#cancel = clock.after(waitMs, () => void this.#once());
    onProbe(this.#state, before);
  }
}
