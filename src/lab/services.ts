/**
 * Layer lab. The long-running programs of a lab (daemons, relays, echo servers): one record each under `proc/`, with the
 * arguments they were started with, so that `lab up` can start again what died.
 */
import { existsSync, readFileSync } from "node:fs";
import { NodeplaneError } from "../model/errors.ts";
import type { LabDir } from "./lab-dir.ts";
import { enter, labEnvironment, requireNamespace } from "./namespaces.ts";
import { isAlive, type ProcessId, signalProcess, startDetached, waitGone } from "./processes.ts";

interface ServiceRecord {
  readonly id: ProcessId;
  /** Where it runs; undefined is the machine's own namespace. */
  readonly namespace?: string;
  readonly argv: readonly string[];
}

const STOP_TIMEOUT_MS = 5000;

/** The process of service `name` (as `node1.agent`) while it lives. */
export function findService(lab: LabDir, name: string): ProcessId | undefined {
  const record = lab.read<ServiceRecord>("proc", name);
  return record !== undefined && isAlive(record.id) ? record.id : undefined;
}

/** Names of all services that were started and not stopped, dead ones too. */
export function listServices(lab: LabDir): readonly string[] {
  return lab.list("proc");
}

/** Path of a service's log. */
export function logPath(lab: LabDir, name: string): string {
  return `${lab.folder("log")}/${name}.log`;
}

/** @throws {NodeplaneError} with the end of its log when a service has ended; `what` is what a person calls it */
export function requireAlive(lab: LabDir, name: string, what = name): void {
  if (findService(lab, name) !== undefined) return;
  const log = logPath(lab, name);
  const tail = existsSync(log)
    ? readFileSync(log, "utf8").trim().split("\n").slice(-3).join(" | ").slice(-600)
    : "";
  throw new NodeplaneError("COMMAND_FAILED", { operation: what, detail: `it ended: ${tail} (log: ${log})` });
}

/** Starts a service unless it runs; `namespace` undefined runs it in the machine's own. */
export async function startService(
  lab: LabDir,
  mark: string,
  name: string,
  what: { readonly namespace?: string; readonly argv: readonly string[] },
): Promise<ProcessId> {
  const running = findService(lab, name);
  if (running !== undefined) return running;
  const argv =
    what.namespace === undefined ? what.argv : enter(requireNamespace(lab, what.namespace), what.argv);
  const id = await startDetached(argv, { env: labEnvironment(lab, mark), logPath: logPath(lab, name) });
  lab.write({ id, ...what }, "proc", name);
  return id;
}

/** Starts a service again as it was started before. */
export async function restartService(
  lab: LabDir,
  mark: string,
  name: string,
): Promise<ProcessId | undefined> {
  const record = lab.read<ServiceRecord>("proc", name);
  if (record === undefined) return undefined;
  const { argv, namespace } = record;
  return await startService(lab, mark, name, { argv, ...(namespace === undefined ? {} : { namespace }) });
}

/** Ends a service for good (SIGTERM, then SIGKILL) and forgets it. */
export async function stopService(lab: LabDir, name: string): Promise<void> {
  const record = lab.read<ServiceRecord>("proc", name);
  if (record !== undefined) {
    signalProcess(record.id, "SIGTERM");
    for (const left of await waitGone([record.id], STOP_TIMEOUT_MS)) signalProcess(left, "SIGKILL");
  }
  lab.forget("proc", name);
}
