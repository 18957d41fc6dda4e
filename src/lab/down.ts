/**
 * Layer lab. Takes a lab down, also one that was killed half-way: ends every process that carries the lab's mark or lives in
 * one of its network namespaces, and removes its folder. Namespaces, devices and mounts end with the processes.
 */
import { existsSync, rmSync } from "node:fs";
import { NodeplaneError } from "../model/errors.ts";
import type { LabDir, LabRecord } from "./lab-dir.ts";
import type { NamespaceRecord } from "./namespaces.ts";
import {
  environmentOf,
  identifyProcess,
  isAlive,
  listPids,
  networkNamespaceOf,
  type ProcessId,
  signalProcess,
  waitGone,
} from "./processes.ts";

const TERM_TIMEOUT_MS = 3000;
const KILL_TIMEOUT_MS = 5000;
const MAX_ROUNDS = 5;

/**
 * Processes of the lab. A namespace is trusted to be the lab's when a marked process is in it: inode numbers are reused.
 */
export function labProcesses(lab: LabDir, record: LabRecord): readonly ProcessId[] {
  const own = networkNamespaceOf(process.pid);
  const pids = listPids().filter((pid) => pid !== process.pid);
  const marked = new Set(pids.filter((pid) => environmentOf(pid).includes(`NODEPLANE_LAB=${record.mark}`)));
  const recorded = new Set(lab.list("ns").map((name) => lab.read<NamespaceRecord>("ns", name)?.net));
  const namespaces = new Set(
    [...marked].map(networkNamespaceOf).filter((net) => net !== own && recorded.has(net)),
  );
  return pids
    .filter((pid) => marked.has(pid) || namespaces.has(networkNamespaceOf(pid)))
    .flatMap((pid) => identifyProcess(pid) ?? []);
}

/** Ends everything inside one namespace, and with it the namespace. */
export async function killNamespace(lab: LabDir, name: string): Promise<void> {
  const record = lab.read<NamespaceRecord>("ns", name);
  if (record !== undefined && isAlive(record.holder) && record.net !== networkNamespaceOf(process.pid)) {
    const inside = listPids().filter((pid) => networkNamespaceOf(pid) === record.net);
    const ids = inside.flatMap((pid) => identifyProcess(pid) ?? []);
    for (const id of ids) signalProcess(id, "SIGKILL");
    await waitGone(ids, KILL_TIMEOUT_MS);
  }
  lab.forget("ns", name);
  rmSync(lab.file("ns", name), { recursive: true, force: true });
}

/** @returns false when there was no such lab */
export async function labDown(lab: LabDir): Promise<boolean> {
  const record = lab.record();
  if (record === undefined) {
    // Killed before it had written what it is: then it had not started anything either.
    const isThere = existsSync(lab.path);
    if (isThere) lab.remove();
    return isThere;
  }
  const holders = new Set(lab.list("ns").map((name) => lab.read<NamespaceRecord>("ns", name)?.holder.pid));
  // Daemons first and politely; holders keep the namespaces until the end.
  const polite = labProcesses(lab, record).filter((id) => !holders.has(id.pid));
  for (const id of polite) signalProcess(id, "SIGTERM");
  await waitGone(polite, TERM_TIMEOUT_MS);
  let left: readonly ProcessId[] = [];
  for (let round = 0; round < MAX_ROUNDS; round++) {
    left = labProcesses(lab, record);
    if (left.length === 0) break;
    for (const id of left) signalProcess(id, "SIGKILL");
    await waitGone(left, KILL_TIMEOUT_MS);
  }
  if (left.some(isAlive)) {
    const pids = left.filter(isAlive).map((id) => id.pid);
    throw new NodeplaneError("COMMAND_FAILED", {
      operation: `lab "${lab.name}" down`,
      detail: `processes ${pids.join(", ")} do not end`,
    });
  }
  lab.remove();
  return true;
}
