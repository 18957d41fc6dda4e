/**
 * Layer lab. Processes that outlive the command that started them: identity, start, end.
 * A process is named by its pid and start time, so that a reused pid is never taken for it (proc_pid_stat(5), field 22).
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { NodeplaneError } from "../model/errors.ts";

export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTicks: number;
}

/** Identity of a living process; zombies count as gone. */
export function identifyProcess(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    return { pid, startTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

export function isAlive(id: ProcessId | undefined): boolean {
  return id !== undefined && identifyProcess(id.pid)?.startTicks === id.startTicks;
}

/** All pids of this machine that we may look into. */
export function listPids(): readonly number[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/** Environment of a process as `KEY=value` texts; empty when it is gone. */
export function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    return [];
  }
}

/** `net:[4026531840]` of a process; empty when it is gone. */
export function networkNamespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return "";
  }
}

export interface StartOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Receives standard output and error, appended. */
  readonly logPath: string;
}

/** Start time of no process. */
const NEVER = -1;

/** Starts `argv` in a session of its own, detached from this process. What has ended before this returns is not alive, no more. */
export function startDetached(argv: readonly string[], options: StartOptions): Promise<ProcessId> {
  const [file = "", ...args] = argv;
  const log = openSync(options.logPath, "a", 0o640);
  try {
    const child = spawn(file, args, {
      detached: true,
      stdio: ["ignore", log, log],
      env: options.env,
      cwd: "/",
    });
    return new Promise((resolve, reject) => {
      child.once("error", (cause) =>
        reject(new NodeplaneError("COMMAND_FAILED", { operation: file, detail: cause.message }, cause)),
      );
      child.once("spawn", () => {
        child.unref();
        const pid = child.pid ?? 0;
        resolve(identifyProcess(pid) ?? { pid, startTicks: NEVER });
      });
    });
  } finally {
    closeSync(log);
  }
}

/** Sends `signal` unless the process is gone. @returns whether it was there */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false;
  try {
    process.kill(id.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** Waits until all are gone. @returns those that are still there after `timeoutMs` */
export async function waitGone(ids: readonly ProcessId[], timeoutMs: number): Promise<readonly ProcessId[]> {
  const deadline = Date.now() + timeoutMs;
  let left = ids.filter(isAlive);
  while (left.length > 0 && Date.now() < deadline) {
    await sleep(10);
    left = left.filter(isAlive);
  }
  return left;
}
