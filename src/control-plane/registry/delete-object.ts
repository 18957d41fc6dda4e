/** Layer control-plane. Deleting: preconditions, finalizers, propagation, grace periods. */
import { conflict, forbiddenError, notFoundError } from "./api-error.ts";
import type { DeleteOptions } from "./client.ts";
import type { ApiObject } from "./json.ts";
import { type Kind, storeKey } from "./kind.ts";
import { contextOf, MAX_ATTEMPTS, type Machinery, type Target } from "./machinery.ts";
import { formatTimestamp, readObject, writeObject } from "./object-codec.ts";
import { mustStay } from "./update-object.ts";
import { WriteScope } from "./write-scope.ts";

export type Deleted =
  | { readonly gone: true; readonly object: ApiObject }
  /** It stays until finalizers, grace period or the kind let it go. */
  | { readonly gone: false; readonly object: ApiObject };

/** @throws {ApiError} 403, 404, 409 */
export async function deleteObject(
  machinery: Machinery,
  { kind, namespace, name }: Target,
  options: DeleteOptions & { readonly dryRun: boolean },
): Promise<Deleted> {
  const key = storeKey(kind, namespace, name);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const entry = await machinery.store.get(key);
    if (entry === undefined) throw notFoundError(kind, name);
    const object = readObject(kind, entry);
    checkPreconditions(kind, name, object, options);
    const refusal = kind.refuseDelete?.(object);
    if (refusal !== undefined) throw forbiddenError(kind, name, refusal);

    const context = contextOf(machinery, options.dryRun);
    const scope = new WriteScope(machinery.store, context);
    scope.compare(key, entry.modRevision);
    const before = writeObject(kind, object);
    markDeleting(kind, object, options, context.nowMs);
    const gone = !mustStay(kind, object);
    if (options.dryRun) return { gone, object };
    const value = writeObject(kind, object);
    if (gone) {
      await kind.release?.(object, scope);
      scope.remove(key);
    } else if (value === before) return { gone, object };
    else scope.put(key, value);
    const revision = await scope.commit();
    if (revision === undefined) continue;
    return { gone, object: readObject(kind, { ...entry, value, modRevision: revision }) };
  }
  throw conflict(kind, name, "it is being written too often, try again");
}

function checkPreconditions(kind: Kind, name: string, { metadata }: ApiObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options;
  if (uid !== undefined && uid !== metadata.uid) {
    const text = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid ?? ""}`;
    throw conflict(kind, name, text);
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const text = `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion ?? ""}`;
    throw conflict(kind, name, text);
  }
}

/** In place. A second deletion can only shorten the grace period. */
function markDeleting(kind: Kind, object: ApiObject, options: DeleteOptions, nowMs: number): void {
  const { metadata } = object;
  const asked = kind.gracePeriodSeconds?.(object, options.gracePeriodSeconds) ?? 0;
  setPropagation(object, options.propagationPolicy);
  if (metadata.deletionTimestamp !== undefined) {
    if (asked < (metadata.deletionGracePeriodSeconds ?? 0)) metadata.deletionGracePeriodSeconds = asked;
    return;
  }
  metadata.deletionTimestamp = formatTimestamp(nowMs + asked * 1000);
  metadata.deletionGracePeriodSeconds = asked;
  if (metadata.generation !== undefined) metadata.generation += 1;
  kind.markDeleting?.(object);
}

function setPropagation(object: ApiObject, policy: DeleteOptions["propagationPolicy"]): void {
  if (policy === undefined) return;
  const others = (object.metadata.finalizers ?? []).filter(
    (name) => name !== "foregroundDeletion" && name !== "orphan",
  );
  if (policy === "Foreground") others.push("foregroundDeletion");
  if (policy === "Orphan") others.push("orphan");
  if (others.length > 0) object.metadata.finalizers = others;
  else delete object.metadata.finalizers;
}
