/**
 * Layer agent. An exec probe: a command in a child process of its own, in the workload's network namespace where one is
 * named, without input, with bounded output, and with its whole process group ended at the probe's timeout.
 */
import { spawn } from "node:child_process";
import type { Seen } from "./run-probe.ts";

const MAX_OUTPUT_BYTES = 10 * 1024;
const MAX_SHOWN = 200;

/** @throws when the command cannot be started or `signal` aborts */
export function probeExec(
  command: readonly string[],
  netns: string | undefined,
  signal: AbortSignal,
): Promise<Seen> {
  const [file = "", ...args] =
    netns === undefined ? command : ["nsenter", `--net=${netns}`, "--", ...command];
  return new Promise((resolve, reject) => {
    // Its own process group, so that what a shell started ends with it.
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], detached: true, cwd: "/" });
    let output = "";
    const collect = (chunk: Buffer): void => {
      if (output.length < MAX_OUTPUT_BYTES) output += chunk.toString("utf8", 0, MAX_OUTPUT_BYTES);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const stop = (): void => {
      if (child.pid !== undefined) {
        try {
          process.kill(-child.pid, "SIGKILL");
        } catch {
          // It ended by itself meanwhile.
        }
      }
      child.stdout.destroy();
      child.stderr.destroy();
      reject(new Error("stopped"));
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    child.once("error", (error) => {
      signal.removeEventListener("abort", stop);
      reject(error);
    });
    child.once("close", (code, killedBy) => {
      signal.removeEventListener("abort", stop);
      const shown = output.replaceAll(/\s+/g, " ").trim().slice(0, MAX_SHOWN);
      const how = code === null ? `ended by ${killedBy ?? "a signal"}` : `exit status ${code}`;
      resolve({
        result: code === 0 ? "success" : "failure",
        message: shown === "" ? how : `${how}: ${shown}`,
      });
    });
  });
}
