/** Layer lab. When a change is in the kernel of every node: asks the agents' own metrics for the revision they have programmed. */
import { setTimeout as sleep } from "node:timers/promises";
import { NodeplaneError } from "../model/errors.ts";
import { nodeNames } from "./addresses.ts";
import type { LabDir, LabRecord } from "./lab-dir.ts";
import { enter, findNamespace } from "./namespaces.ts";
import { tryRun } from "./run.ts";

const METRIC = /^nodeplane_programmed_revision(?:\{[^}]*\})? ([\d.e+]+)$/m;

/** Revision that `node` has programmed; 0 when its agent does not answer. */
export async function programmedRevision(lab: LabDir, node: string): Promise<bigint> {
  const namespace = findNamespace(lab, node);
  if (namespace === undefined) return 0n;
  const metrics = await tryRun(enter(namespace, ["curl", "-s", "-m", "2", "http://127.0.0.1:10249/metrics"]));
  return BigInt(Math.trunc(Number(METRIC.exec(metrics.stdout)?.[1] ?? "0")));
}

/** Waits until all nodes (or those named) have `revision` in their kernels. @returns the time when that was seen, in milliseconds since the epoch */
export async function waitProgrammed(
  lab: LabDir,
  record: LabRecord,
  revision: string,
  nodes = nodeNames(record.nodes),
): Promise<number> {
  const deadline = Date.now() + 30_000;
  const wanted = BigInt(revision);
  for (const node of nodes) {
    while ((await programmedRevision(lab, node)) < wanted) {
      if (Date.now() > deadline) {
        throw new NodeplaneError("COMMAND_FAILED", {
          operation: `${node} programs revision ${revision}`,
          detail: `it did not within 30 s; see ${lab.file("log", `${node}.agent.log`)}`,
        });
      }
      await sleep(10);
    }
  }
  return Date.now();
}
