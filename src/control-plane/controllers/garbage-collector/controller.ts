/** Layer control-plane. Removes objects whose owners are gone; foreground and orphan deletion. See README.md. */
import type { ApiObject, OwnerReference } from "../../registry/json.ts";
import { resourceOf } from "../../registry/kind.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import { keyOf } from "../framework/informer.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { isStatus, removeIfThere } from "../framework/writes.ts";
import { type Node, OwnerGraph, ownerNamespace, ownersOf, waitsFor } from "./graph.ts";

const WORKERS = 4;
const RECHECK_MS = 1_000;
const SEPARATOR = " ";

class GarbageCollector {
  readonly #context: ControllerContext;
  readonly #graph: OwnerGraph;
  readonly #queue: WorkQueue;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#graph = new OwnerGraph(context.informers, context.kinds);
    const { clock, log } = context;
    const work = (key: string): Promise<void> => this.#sync(key);
    this.#queue = new WorkQueue({ name: "garbage-collector", clock, log, workers: WORKERS, work });
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#graph.untilSynced();
    const ends = this.#graph.informers.map((informer) =>
      informer.onChange((now, old) => {
        if (now === undefined && old !== undefined) this.#ownerGone(old);
        else if (now !== undefined && this.#concerns(now))
          this.#add({ resource: informer.resource, object: now });
      }),
    );
    await this.#queue.run(signal);
    for (const end of ends) end();
  }

  #concerns(object: ApiObject): boolean {
    return (
      ownersOf(object).length > 0 || waitsFor(object, "foregroundDeletion") || waitsFor(object, "orphan")
    );
  }

  #add({ resource, object }: Node): void {
    this.#queue.add(`${resource}${SEPARATOR}${keyOf(object)}`);
  }

  /** Dependants lose an owner; owners that wait for this dependant may go on. */
  #ownerGone(gone: ApiObject): void {
    for (const dependant of this.#graph.dependantsOf(gone.metadata.uid ?? "")) this.#add(dependant);
    for (const owner of ownersOf(gone)) {
      const kind = this.#graph.kindOf(owner);
      if (kind === undefined) continue;
      const namespace = ownerNamespace(kind, gone);
      const key = namespace === "" ? owner.name : `${namespace}/${owner.name}`;
      this.#queue.add(`${resourceOf(kind)}${SEPARATOR}${key}`);
    }
  }

  async #sync(key: string): Promise<void> {
    const space = key.indexOf(SEPARATOR);
    const resource = key.slice(0, space);
    const object = this.#graph.informer(resource)?.get(key.slice(space + 1));
    if (object === undefined) return;
    if (waitsFor(object, "orphan")) await this.#orphan({ resource, object });
    else if (waitsFor(object, "foregroundDeletion")) await this.#foreground({ resource, object });
    else if (object.metadata.deletionTimestamp === undefined) await this.#collect({ resource, object });
  }

  /** An object is removed when none of its owners is there; references to absent owners beside present ones go. */
  async #collect({ resource, object }: Node): Promise<void> {
    const owners = ownersOf(object);
    if (owners.length === 0) return;
    const absent: OwnerReference[] = [];
    for (const owner of owners) {
      if (this.#graph.ownerState(object, owner) === "absent" && !(await this.#isThere(object, owner))) {
        absent.push(owner);
      }
    }
    if (absent.length === 0) return;
    const { client } = this.#context;
    if (absent.length === owners.length) {
      await removeIfThere(client, resource, object, { propagationPolicy: "Background" });
      return;
    }
    await this.#write(resource, object, {
      ownerReferences: owners.filter((owner) => !absent.includes(owner)),
    });
  }

  /** The cache may be behind: the server has the last word. */
  async #isThere(dependant: ApiObject, owner: OwnerReference): Promise<boolean> {
    const kind = this.#graph.kindOf(owner);
    if (kind === undefined) return true;
    const namespace = ownerNamespace(kind, dependant);
    const found = await this.#context.client.get(resourceOf(kind), namespace, owner.name);
    return found?.metadata.uid === owner.uid;
  }

  /** The owner waits until no dependant that blocks it is left. */
  async #foreground({ resource, object }: Node): Promise<void> {
    const { client } = this.#context;
    const dependants = this.#graph.dependantsOf(object.metadata.uid ?? "");
    for (const dependant of dependants) {
      if (dependant.object.metadata.deletionTimestamp !== undefined) continue;
      await removeIfThere(client, dependant.resource, dependant.object, { propagationPolicy: "Foreground" });
    }
    const blocking = dependants.filter(({ object: dependant }) =>
      ownersOf(dependant).some(
        (owner) => owner.uid === object.metadata.uid && owner.blockOwnerDeletion === true,
      ),
    );
    if (blocking.length === 0) await this.#dropFinalizer(resource, object, "foregroundDeletion");
    else this.#queue.addAfter(`${resource}${SEPARATOR}${keyOf(object)}`, RECHECK_MS);
  }

  /** Dependants stay, without the reference. */
  async #orphan({ resource, object }: Node): Promise<void> {
    for (const dependant of this.#graph.dependantsOf(object.metadata.uid ?? "")) {
      const ownerReferences = ownersOf(dependant.object).filter(({ uid }) => uid !== object.metadata.uid);
      await this.#write(dependant.resource, dependant.object, { ownerReferences });
    }
    await this.#dropFinalizer(resource, object, "orphan");
  }

  async #dropFinalizer(resource: string, object: ApiObject, finalizer: string): Promise<void> {
    const finalizers = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    await this.#write(resource, object, { finalizers });
  }

  /** Optimistic: a conflict makes the key come back with the newer object. */
  async #write(resource: string, object: ApiObject, metadata: Partial<ApiObject["metadata"]>): Promise<void> {
    const next = structuredClone(object);
    Object.assign(next.metadata, metadata);
    try {
      const written = await this.#context.client.update(resource, next);
      this.#graph.informer(resource)?.observe(written);
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
    }
  }
}

export const GARBAGE_COLLECTOR: Controller = {
  name: "garbage-collector",
  run: (context, signal) => new GarbageCollector(context).run(signal),
};
