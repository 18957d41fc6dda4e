/** Layer control-plane. Removes Pods that nobody else will: after their grace period, and of Nodes that are gone. See README.md. */
import { asObject, asText } from "../../kinds/common/json-access.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import { keyOf } from "../framework/informer.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { removeIfThere } from "../framework/writes.ts";

/** A Pod may be there before its Node is seen; this long without one means that the Node is gone. */
const NODE_GONE_MS = 40_000;
/** Beyond the grace period, for an agent that confirms at the last moment. */
const MARGIN_MS = 1_000;

const nodeOf = (pod: ApiObject): string => asText(asObject(pod["spec"])["nodeName"]);

export const POD_COLLECTOR: Controller = {
  name: "pod-collector",
  async run(context: ControllerContext, signal: AbortSignal) {
    const { client, clock, log, informers } = context;
    const pods = informers.get("pods");
    const nodes = informers.get("nodes");
    pods.addIndex("node", (pod) => [nodeOf(pod)]);
    const lonelySince = new Map<string, number>();
    const queue: WorkQueue = new WorkQueue({
      name: "pod-collector",
      clock,
      log,
      work: async (key) => {
        const pod = pods.get(key);
        const dueMs = pod === undefined ? undefined : dueTime(key, pod);
        if (pod === undefined || dueMs === undefined) {
          lonelySince.delete(key);
          return;
        }
        if (dueMs > clock.nowMs()) return queue.addAfter(key, dueMs - clock.nowMs());
        await removeIfThere(client, "pods", pod, { gracePeriodSeconds: 0 });
        lonelySince.delete(key);
      },
    });
    /** When the Pod is to be removed, or `undefined` if it may stay. */
    const dueTime = (key: string, pod: ApiObject): number | undefined => {
      const deletion = Date.parse(pod.metadata.deletionTimestamp ?? "");
      const byDeletion = Number.isNaN(deletion) ? Number.POSITIVE_INFINITY : deletion + MARGIN_MS;
      let byNode = Number.POSITIVE_INFINITY;
      if (nodeOf(pod) !== "" && nodes.get(nodeOf(pod)) === undefined) {
        const since = lonelySince.get(key) ?? clock.nowMs();
        lonelySince.set(key, since);
        byNode = since + NODE_GONE_MS;
      } else lonelySince.delete(key);
      const due = Math.min(byDeletion, byNode);
      return Number.isFinite(due) ? due : undefined;
    };
    await Promise.all([pods.untilSynced(), nodes.untilSynced()]);
    const ends = [
      pods.onChange((now, old) => {
        const pod = now ?? old;
        if (pod === undefined) return;
        const lonely = nodeOf(pod) !== "" && nodes.get(nodeOf(pod)) === undefined;
        if (now === undefined || lonely || now.metadata.deletionTimestamp !== undefined)
          queue.add(keyOf(pod));
      }),
      nodes.onChange((now, old) => {
        if (now !== undefined && old !== undefined) return;
        for (const pod of pods.byIndex("node", (now ?? old)?.metadata.name ?? "")) queue.add(keyOf(pod));
      }),
    ];
    await queue.run(signal);
    for (const end of ends) end();
  },
};
