/**
 * Layer agent. One probe's thresholds, as the kubelet counts them: a result holds once it was seen `successThreshold` or
 * `failureThreshold` times in a row. Pure. Source: kubernetes/pkg/kubelet/prober/worker.go.
 */
import type { ProbeSpec } from "./probe-spec.ts";

export type ProbeResult = "success" | "failure";
export type ProbeType = "startup" | "liveness" | "readiness";

export interface ProbeState {
  /** What holds now; `unknown` until a startup probe decided. */
  readonly result: ProbeResult | "unknown";
  readonly lastSeen: ProbeResult | undefined;
  /** How often `lastSeen` was seen in a row. */
  readonly run: number;
  readonly message: string;
}

/** Before the first probe: a process counts as alive and as not ready. */
export function initialProbeState(type: ProbeType): ProbeState {
  const result = type === "liveness" ? "success" : type === "readiness" ? "failure" : "unknown";
  return { result, lastSeen: undefined, run: 0, message: "not probed yet" };
}

/** @returns the state after one more probe */
export function afterProbe(
  state: ProbeState,
  spec: Pick<ProbeSpec, "successThreshold" | "failureThreshold">,
  seen: { readonly result: ProbeResult; readonly message: string },
): ProbeState {
  const run = state.lastSeen === seen.result ? state.run + 1 : 1;
  const threshold = seen.result === "success" ? spec.successThreshold : spec.failureThreshold;
  return {
    result: run >= threshold ? seen.result : state.result,
    lastSeen: seen.result,
    run,
    message: seen.message,
  };
}
