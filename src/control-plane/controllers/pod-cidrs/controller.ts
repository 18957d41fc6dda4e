/** Layer control-plane. Gives every Node its part of the pod ranges. See README.md. */
import { type Cidr, parseCidr } from "../../../model/ip.ts";
import { asObject, textsIn } from "../../kinds/common/json-access.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Controller } from "../controller.ts";
import { keyOf } from "../framework/informer.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { isStatus } from "../framework/writes.ts";
import { lowestFree, parsePodRange, partAt } from "./ranges.ts";

const RETRY_MS = 30_000;

const cidrsOf = (node: ApiObject): readonly string[] => textsIn(asObject(node["spec"])["podCIDRs"]);

export const POD_CIDRS: Controller = {
  name: "pod-cidrs",
  async run(context, signal) {
    const { client, clock, log, informers, events, settings } = context;
    const nodes = informers.get("nodes");
    const ranges = settings.podCidrs.map(parsePodRange).filter((range) => range !== undefined);
    const partSizes = new Set(ranges.map(({ partBits }) => partBits));
    /** How many Nodes have a range: two may, when an administrator says so. */
    const taken = new Map<string, number>();
    const count = (node: ApiObject | undefined, change: 1 | -1): void => {
      for (const cidr of node === undefined ? [] : cidrsOf(node)) {
        const left = (taken.get(cidr) ?? 0) + change;
        if (left === 0) taken.delete(cidr);
        else taken.set(cidr, left);
      }
    };
    /** Ranges that are no parts of ours, given by hand. */
    const foreign = (): readonly Cidr[] =>
      [...taken.keys()]
        .map(parseCidr)
        .filter((cidr) => cidr !== undefined)
        .filter((cidr) => !partSizes.has(cidr.prefixBits));
    const choose = (): readonly string[] | undefined => {
      const parts = ranges.map((range) => {
        const index = lowestFree(range, new Set(taken.keys()), foreign());
        return index === undefined ? undefined : partAt(range, index);
      });
      const found = parts.filter((part) => part !== undefined);
      return found.length === parts.length ? found : undefined;
    };
    // One worker: two Nodes never choose at the same time.
    const queue: WorkQueue = new WorkQueue({
      name: "pod-cidrs",
      clock,
      log,
      work: async (name) => {
        const node = nodes.get(name);
        if (node === undefined || cidrsOf(node).length > 0 || ranges.length === 0) return;
        const parts = choose();
        if (parts === undefined) {
          const message = `Node ${name} status is now: CIDRNotAvailable`;
          const about = { apiVersion: "v1", kind: "Node", namespace: "", name, uid: name };
          events.record({
            about,
            type: "Warning",
            reason: "CIDRNotAvailable",
            message,
            component: "pod-cidrs",
          });
          queue.addAfter(name, RETRY_MS);
          return;
        }
        const spec = { podCIDR: parts[0] ?? "", podCIDRs: [...parts] };
        try {
          nodes.observe(await client.mergePatch("nodes", "", name, { spec }));
        } catch (error) {
          if (!isStatus(error, 404)) throw error;
        }
      },
    });
    await nodes.untilSynced();
    const end = nodes.onChange((now, old) => {
      count(old, -1);
      count(now, 1);
      if (now !== undefined && cidrsOf(now).length === 0) queue.add(keyOf(now));
    });
    await queue.run(signal);
    end();
  },
};
