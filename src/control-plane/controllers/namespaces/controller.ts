/** Layer control-plane. Empties a namespace that is being deleted, then takes its finalizer off. See README.md. */

import { asObject, textsIn } from "../../kinds/common/json-access.ts";
import { KUBERNETES_FINALIZER } from "../../kinds/namespace/kind.ts";
import type { ApiObject } from "../../registry/json.ts";
import { type Kind, resourceOf } from "../../registry/kind.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { isStatus, removeIfThere } from "../framework/writes.ts";

const NAMESPACES = "namespaces";
/** Looks again after this while objects wait for finalizers or their grace period. */
const RECHECK_MS = 1_000;
const PARALLEL = 16;

const hasOurFinalizer = (namespace: ApiObject): boolean =>
  textsIn(asObject(namespace["spec"])["finalizers"]).includes(KUBERNETES_FINALIZER);

/** Kinds whose objects live in namespaces and can be deleted; one entry a storage. */
function contentKinds(kinds: readonly Kind[]): readonly Kind[] {
  return kinds.filter(({ namespaced, storedAs, verbs }) => {
    return namespaced && storedAs === undefined && (verbs === undefined || verbs.includes("delete"));
  });
}

/** Deletes what is there. @returns how many objects are left, by resource */
async function removeContent(
  { client, kinds }: ControllerContext,
  namespace: string,
): Promise<ReadonlyMap<string, number>> {
  const left = new Map<string, number>();
  for (const resource of contentKinds(kinds).map(resourceOf)) {
    const { items } = await client.list(resource, { namespace });
    const pending = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    for (let from = 0; from < pending.length; from += PARALLEL) {
      await Promise.all(
        pending.slice(from, from + PARALLEL).map((object) => removeIfThere(client, resource, object)),
      );
    }
    const rest = items.length === 0 ? 0 : (await client.list(resource, { namespace })).items.length;
    if (rest > 0) left.set(resource, rest);
  }
  return left;
}

async function sync(context: ControllerContext, name: string): Promise<"done" | "waiting"> {
  const { client } = context;
  const namespace = await client.get(NAMESPACES, "", name);
  if (namespace?.metadata.deletionTimestamp === undefined || !hasOurFinalizer(namespace)) return "done";
  const left = await removeContent(context, name);
  if (left.size > 0) {
    await reportRemaining(context, namespace, left);
    return "waiting";
  }
  const current = await client.get(NAMESPACES, "", name);
  if (current === undefined || current.metadata.uid !== namespace.metadata.uid) return "done";
  const finalizers = textsIn(asObject(current["spec"])["finalizers"]).filter(
    (one) => one !== KUBERNETES_FINALIZER,
  );
  const next = { ...structuredClone(current), spec: { ...asObject(current["spec"]), finalizers } };
  try {
    await client.update(NAMESPACES, next, "finalize");
  } catch (error) {
    if (isStatus(error, 404)) return "done";
    if (!isStatus(error, 409)) throw error;
    return "waiting";
  }
  return "done";
}

/** Condition NamespaceContentRemaining says what a deletion waits for. */
async function reportRemaining(
  { client, clock }: ControllerContext,
  namespace: ApiObject,
  left: ReadonlyMap<string, number>,
): Promise<void> {
  const texts = [...left].map(([resource, count]) => `${resource} has ${count} resource instances`);
  const message = `Some resources are remaining: ${texts.join(", ")}`;
  const status = asObject(namespace["status"]);
  const conditions = Array.isArray(status["conditions"]) ? status["conditions"] : [];
  const known = conditions.find((one) => asObject(one)["type"] === "NamespaceContentRemaining");
  if (asObject(known)["message"] === message) return;
  const condition = {
    type: "NamespaceContentRemaining",
    status: "True",
    reason: "SomeResourcesRemain",
    message,
    lastTransitionTime: `${new Date(clock.nowMs()).toISOString().slice(0, 19)}Z`,
  };
  const others = conditions.filter((one) => asObject(one)["type"] !== "NamespaceContentRemaining");
  const next = { ...structuredClone(namespace), status: { ...status, conditions: [...others, condition] } };
  try {
    await client.update(NAMESPACES, next, "status");
  } catch (error) {
    if (!isStatus(error, 409) && !isStatus(error, 404)) throw error;
  }
}

export const NAMESPACE_DELETION: Controller = {
  name: "namespaces",
  async run(context, signal) {
    const { clock, log, informers } = context;
    const queue: WorkQueue = new WorkQueue({
      name: "namespaces",
      clock,
      log,
      workers: 2,
      work: async (name) => {
        if ((await sync(context, name)) === "waiting") queue.addAfter(name, RECHECK_MS);
      },
    });
    const end = informers.get(NAMESPACES).onChange((now) => {
      if (now?.metadata.deletionTimestamp !== undefined) queue.add(now.metadata.name ?? "");
    });
    await queue.run(signal);
    end();
  },
};
