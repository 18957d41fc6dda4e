/** Layer control-plane. {@link ObjectClient} in this process: what controllers and the node stream use. */
import { ApiError, expired } from "./api-error.ts";
import type { DeleteOptions, ListOptions, ObjectClient, ObjectList, WatchEvent } from "./client.ts";
import { createObject } from "./create-object.ts";
import { deleteObject } from "./delete-object.ts";
import type { ApiObject, JsonObject } from "./json.ts";
import type { Kind } from "./kind.ts";
import type { Machinery } from "./machinery.ts";
import { mergePatch } from "./patches.ts";
import { getObject, listObjects, parseRevision, parseSelection, watchObjects } from "./read-objects.ts";
import { type UpdateOptions, updateObject } from "./update-object.ts";

/** A consumer that lags behind by more events than this has to list again. */
const MAX_PENDING_EVENTS = 20_000;

export class LocalClient implements ObjectClient {
  readonly #machinery: Machinery;

  constructor(machinery: Machinery) {
    this.#machinery = machinery;
  }

  async get(resource: string, namespace: string, name: string): Promise<ApiObject | undefined> {
    const kind = this.#kind(resource);
    try {
      return await getObject(this.#machinery, { kind, namespace, name });
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return undefined;
      throw error;
    }
  }

  async list(resource: string, options: ListOptions = {}): Promise<ObjectList> {
    const kind = this.#kind(resource);
    const selection = parseSelection(kind, options.labelSelector, options.fieldSelector);
    const { items, resourceVersion } = await listObjects(this.#machinery, {
      kind,
      namespace: options.namespace ?? "",
      selection,
    });
    return { items, resourceVersion };
  }

  async *watch(
    resource: string,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent> {
    const kind = this.#kind(resource);
    const selection = parseSelection(kind, options.labelSelector, options.fieldSelector);
    const pending: WatchEvent[] = [];
    const state: { ended: "compacted" | "closed" | undefined; wake: () => void } = {
      ended: undefined,
      wake: () => undefined,
    };
    const watch = watchObjects(
      this.#machinery,
      { kind, namespace: options.namespace ?? "", selection, from: parseRevision(options.resourceVersion) },
      {
        events: (events) => {
          if (pending.length + events.length > MAX_PENDING_EVENTS) state.ended = "compacted";
          else if (events.length > 0) for (const { type, object } of events) pending.push({ type, object });
          else return; // Progress of other kinds is not worth waking for.
          state.wake();
        },
        ended: (reason) => {
          state.ended = reason;
          state.wake();
        },
      },
    );
    const stop = (): void => state.wake();
    signal.addEventListener("abort", stop, { once: true });
    try {
      while (!signal.aborted) {
        const event = pending.shift();
        if (event !== undefined) yield event;
        else if (state.ended === "closed") return;
        else if (state.ended === "compacted") {
          throw expired(`too old resource version: ${options.resourceVersion}`);
        } else {
          await new Promise<void>((resolve) => {
            state.wake = resolve;
            if (signal.aborted) resolve();
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", stop);
      watch.cancel();
    }
  }

  async create(resource: string, object: ApiObject): Promise<ApiObject> {
    const kind = this.#kind(resource);
    const namespace = kind.namespaced ? (object.metadata.namespace ?? "") : "";
    return (await createObject(this.#machinery, object, { kind, namespace, dryRun: false })).object;
  }

  async update(resource: string, object: ApiObject, subresource = ""): Promise<ApiObject> {
    const options = this.#updateOptions(
      resource,
      object.metadata.namespace ?? "",
      object.metadata.name ?? "",
      subresource,
    );
    const change = (): ApiObject => structuredClone(object);
    return (await updateObject(this.#machinery, change, { ...options, isPatch: false })).object;
  }

  async mergePatch(
    resource: string,
    namespace: string,
    name: string,
    patch: JsonObject,
    subresource = "",
  ): Promise<ApiObject> {
    const options = this.#updateOptions(resource, namespace, name, subresource);
    const change = (old: ApiObject | undefined): ApiObject => mergePatch(old, patch) as ApiObject;
    return (await updateObject(this.#machinery, change, { ...options, isPatch: true })).object;
  }

  async delete(
    resource: string,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): Promise<ApiObject | undefined> {
    const target = { kind: this.#kind(resource), namespace, name };
    const { gone, object } = await deleteObject(this.#machinery, target, { ...options, dryRun: false });
    return gone ? undefined : object;
  }

  #kind(resource: string): Kind {
    return this.#machinery.registry.require(resource);
  }

  #updateOptions(
    resource: string,
    namespace: string,
    name: string,
    subresource: string,
  ): Omit<UpdateOptions, "isPatch"> {
    const kind = this.#kind(resource);
    const target = { kind, namespace: kind.namespaced ? namespace : "", name };
    if (subresource === "") return { target, dryRun: false };
    const how = kind.subresources?.[subresource];
    if (how?.type !== "object") throw new Error(`${resource} has no subresource ${subresource} to write`);
    return { target, dryRun: false, subresource: { name: subresource, how } };
  }
}
