/** Layer lab. Runs a command inside a node, a pod, the client, the control plane or the fabric, on this terminal. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { NodeplaneError } from "../model/errors.ts";
import { nodeIndex, nodeNames } from "./addresses.ts";
import type { LabDir, LabRecord } from "./lab-dir.ts";
import { isReservedName, podNs } from "./names.ts";
import { enter, labEnvironment, type NamespaceRecord, requireNamespace } from "./namespaces.ts";
import { findPod, listPods } from "./pods.ts";

/** The namespace that `target` names. @throws {NodeplaneError} CONFIG_INVALID with what there is */
export function findTarget(lab: LabDir, record: LabRecord, target: string): NamespaceRecord {
  const index = nodeIndex(target);
  if (isReservedName(target) && index <= record.nodes) return requireNamespace(lab, target);
  const pod = findPod(lab, target);
  if (pod !== undefined) return requireNamespace(lab, podNs(pod.namespace, pod.name));
  const pods = listPods(lab).map((entry) => entry.name);
  const known = [...nodeNames(record.nodes), "client", "control-plane", ...pods].join(", ");
  throw new NodeplaneError("CONFIG_INVALID", {
    object: `"${target}"`,
    detail: `there is no such node or pod in lab "${lab.name}"; there are ${known}`,
  });
}

/** Runs to the command's end with this process's standard streams. @returns its exit status as a shell tells it */
export function execInside(
  lab: LabDir,
  record: LabRecord,
  target: string,
  argv: readonly string[],
): Promise<number> {
  const [file = "", ...args] = enter(findTarget(lab, record, target), argv, process.cwd());
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: "inherit", env: labEnvironment(lab, record.mark) });
    child.on("error", (cause) =>
      reject(new NodeplaneError("COMMAND_FAILED", { operation: file, detail: cause.message }, cause)),
    );
    child.on("exit", (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
