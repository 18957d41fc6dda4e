/**
 * Layer agent. Who keeps a workload running. Today: somebody else does (a systemd unit, the lab); containers through CRI
 * would be another implementation.
 */
import { execFile } from "node:child_process";
import type { WorkloadManifest } from "./manifest.ts";

export type RestartOutcome =
  | { readonly kind: "restarted"; readonly message: string }
  /** Nothing was named that could be restarted. */
  | { readonly kind: "not-ours" }
  | { readonly kind: "failed"; readonly message: string };

export interface WorkloadRuntime {
  /** Starts the workload anew after a failed liveness probe. Never throws. */
  restart(manifest: WorkloadManifest): Promise<RestartOutcome>;
}

/** Runs `systemctl` with arguments; a test gives its own. @throws with the command's own words */
export type RunSystemctl = (args: readonly string[]) => Promise<void>;

const TIMEOUT_MS = 90_000;

export const systemctl: RunSystemctl = (args) =>
  new Promise((resolve, reject) => {
    execFile("systemctl", [...args], { timeout: TIMEOUT_MS, maxBuffer: 65_536 }, (error, _out, stderr) => {
      if (error === null) resolve();
      else reject(new Error((stderr.trim().split("\n")[0] ?? "") || error.message));
    });
  });

/** The workload already runs; a unit named by annotation is restarted through systemd. */
export function alreadyRunning(run: RunSystemctl): WorkloadRuntime {
  return {
    async restart(manifest) {
      if (manifest.unit === undefined) return { kind: "not-ours" };
      try {
        await run(["restart", manifest.unit]);
        return { kind: "restarted", message: `restarted ${manifest.unit}` };
      } catch (error) {
        return { kind: "failed", message: `cannot restart ${manifest.unit}: ${(error as Error).message}` };
      }
    },
  };
}
