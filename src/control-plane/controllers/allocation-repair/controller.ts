/** Layer control-plane. Compares allocations of addresses and ports with the Services that use them. See README.md. */

import { parseIp } from "../../../model/ip.ts";
import { CLUSTER_IP_PREFIX } from "../../allocators/cluster-ips.ts";
import { NODE_PORT_PREFIX } from "../../allocators/node-ports.ts";
import { ownerOf } from "../../kinds/service/allocate.ts";
import {
  hasNodePorts,
  isExternalName,
  isHeadless,
  nodePortsOf,
  serviceSpec,
} from "../../kinds/service/view.ts";
import type { ApiObject } from "../../registry/json.ts";
import { storeKey } from "../../registry/kind.ts";
import type { Entry, Store } from "../../store/store.ts";
import type { Controller, ControllerContext } from "../controller.ts";

const PERIOD_MS = 3_600_000;

/** Store keys that a Service must hold. */
function keysOf(service: ApiObject): readonly string[] {
  const spec = serviceSpec(service);
  const ips = isExternalName(spec) || isHeadless(spec) ? [] : (spec.clusterIPs ?? []);
  const ports = [...(hasNodePorts(spec) ? nodePortsOf(spec) : []), spec.healthCheckNodePort ?? 0];
  return [
    ...ips
      .map(parseIp)
      .filter((ip) => ip !== undefined)
      .map((ip) => CLUSTER_IP_PREFIX + ip),
    ...new Set(ports.filter((port) => port !== 0).map((port) => `${NODE_PORT_PREFIX}${port}`)),
  ];
}

/** One pass. Every correction compares what it was decided on, so that a Service written meanwhile is never hurt. */
export async function repairAllocations(context: ControllerContext): Promise<number> {
  const { client, store, kinds, log, events } = context;
  const kind = kinds.find((one) => one.group === "" && one.kind === "Service");
  if (kind === undefined) return 0;
  const held = new Map<string, Entry>();
  for (const prefix of [CLUSTER_IP_PREFIX, NODE_PORT_PREFIX]) {
    for (const entry of (await store.list({ prefix })).entries) held.set(entry.key, entry);
  }
  const { items } = await client.list("services");
  const owners = new Map<string, ApiObject>();
  let repaired = 0;
  for (const service of items) {
    const { namespace = "", name = "", uid = "", resourceVersion = "0" } = service.metadata;
    const compare = [{ key: storeKey(kind, namespace, name), modRevision: Number(resourceVersion) }];
    for (const key of keysOf(service)) {
      const other = owners.get(key);
      if (other !== undefined) {
        const number = key.slice(key.lastIndexOf("/") + 1);
        const about = { apiVersion: "v1", kind: "Service", namespace, name, uid };
        const message = `${number} is also used by Service ${other.metadata.namespace}/${other.metadata.name}`;
        events.record({
          about,
          type: "Warning",
          reason: "AllocationConflict",
          message,
          component: "allocation-repair",
        });
        continue;
      }
      owners.set(key, service);
      const entry = held.get(key);
      if (entry?.value === ownerOf(service)) continue;
      repaired += await put(
        store,
        [...compare, { key, modRevision: entry?.modRevision ?? 0 }],
        key,
        ownerOf(service),
      );
    }
  }
  for (const [key, entry] of held) if (!owners.has(key)) repaired += await removeLeak(context, entry);
  if (repaired > 0) log.warn({ repaired }, "allocations did not agree with Services and were put right");
  return repaired;
}

type Compares = { key: string; modRevision: number }[];

async function put(store: Store, compare: Compares, key: string, value: string): Promise<number> {
  const result = await store.transact({ compare, operations: [{ type: "put", key, value }] });
  return result.succeeded ? 1 : 0;
}

/** An allocation whose owner is gone or does not use it. The owner may have been created since the list was made. */
async function removeLeak({ store, client }: ControllerContext, entry: Entry): Promise<number> {
  const [, namespace = "", name = ""] = entry.value.split("/");
  const owner = await client.get("services", namespace, name);
  if (owner !== undefined && keysOf(owner).includes(entry.key)) return 0;
  const compare = [{ key: entry.key, modRevision: entry.modRevision }];
  const result = await store.transact({ compare, operations: [{ type: "delete", key: entry.key }] });
  return result.succeeded ? 1 : 0;
}

export const ALLOCATION_REPAIR: Controller = {
  name: "allocation-repair",
  async run(context, signal) {
    while (!signal.aborted) {
      await repairAllocations(context);
      await context.clock.sleep(PERIOD_MS, signal);
    }
  },
};
