/** Layer lab. Ends a pod as a drain does: out of its Services first, then the program. */
import { setTimeout as sleep } from "node:timers/promises";
import { NodeplaneError } from "../model/errors.ts";
import type { LabDir } from "./lab-dir.ts";
import { findPod, listPods, removePod, withdrawPod } from "./pods.ts";
import { waitPodGone } from "./wait-pod.ts";

/** Nodes program a change in milliseconds; connections under way get as long to end. */
const GRACE_MS = 500;

/** @param now ends it without waiting for anything */
export async function deletePod(
  lab: LabDir,
  name: string,
  namespace: string,
  now: boolean,
  signal?: AbortSignal,
): Promise<void> {
  lab.require();
  const pod = findPod(lab, name.includes("/") ? name : `${namespace}/${name}`);
  if (pod === undefined) {
    const known = listPods(lab)
      .map((entry) => `${entry.namespace}/${entry.name}`)
      .join(", ");
    throw new NodeplaneError("CONFIG_INVALID", {
      object: `pod "${namespace}/${name}"`,
      detail: known === "" ? "the lab has no pods" : `there are ${known}`,
    });
  }
  if (!now) {
    withdrawPod(pod);
    // A control plane that is down must not keep a person from deleting a pod.
    await waitPodGone(lab, pod, signal).then(
      () => sleep(GRACE_MS),
      () => undefined,
    );
  }
  await removePod(lab, pod);
}
