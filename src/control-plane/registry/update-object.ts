/** Layer control-plane. Changing an object: PUT, all patches, and the subresources that write the object itself. */
import { conflict, invalidObject, modified, notFoundError } from "./api-error.ts";
import { createObject } from "./create-object.ts";
import { type FieldError, invalid } from "./field-error.ts";
import { type ApiObject, sameJson } from "./json.ts";
import { apiVersionOf, type Kind, type KindContext, type ObjectSubresource, storeKey } from "./kind.ts";
import { contextOf, MAX_ATTEMPTS, type Machinery, type Target, type Written } from "./machinery.ts";
import { validateMetadata, validateMetadataUpdate } from "./metadata.ts";
import { readObject, writeObject } from "./object-codec.ts";
import { WriteScope } from "./write-scope.ts";

export interface UpdateOptions {
  readonly target: Target;
  /** Absent: the object itself. */
  readonly subresource?: { readonly name: string; readonly how: ObjectSubresource };
  readonly dryRun: boolean;
  /** A patch never creates, and is applied again when another write came between. */
  readonly isPatch: boolean;
}

/**
 * @param change makes the wished object from the stored one (a private copy, or `undefined` when there is none);
 *   called again when the write has to be repeated
 * @throws {ApiError} 404, 409, 422
 */
export async function updateObject(
  machinery: Machinery,
  change: (old: ApiObject | undefined) => ApiObject,
  options: UpdateOptions,
): Promise<Written> {
  const { kind, namespace, name } = options.target;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const entry = await machinery.store.get(storeKey(kind, namespace, name));
    if (entry === undefined) {
      const creates =
        kind.allowCreateOnUpdate === true && !options.isPatch && options.subresource === undefined;
      if (!creates) throw notFoundError(kind, name);
      return await createObject(machinery, change(undefined), { kind, namespace, dryRun: options.dryRun });
    }
    const context = contextOf(machinery, options.dryRun);
    const scope = new WriteScope(machinery.store, context);
    scope.compare(entry.key, entry.modRevision);
    const old = readObject(kind, entry);
    const object = change(structuredClone(old));
    const written = await tryUpdate(machinery, { object, old, context, scope, options });
    if (written !== undefined) return written;
  }
  throw conflict(kind, name, "it is being written too often, try again");
}

interface Update {
  readonly object: ApiObject;
  readonly old: ApiObject;
  readonly context: KindContext;
  readonly scope: WriteScope;
  readonly options: UpdateOptions;
}

async function tryUpdate(machinery: Machinery, update: Update): Promise<Written | undefined> {
  const { object, old, scope, options } = update;
  const { kind, namespace, name } = options.target;
  checkPreconditions(kind, name, object, old);
  prepare(update);
  const errors = validate(update);
  if (errors.length > 0) throw invalidObject(kind, name, errors);
  if (options.subresource === undefined && kind.allocate !== undefined) {
    const refused = await kind.allocate(object, old, scope);
    if (refused.length > 0) throw invalidObject(kind, name, refused);
  }
  const warnings = kind.warnings?.(object, old) ?? [];
  if (sameJson(object, old)) return { object: old, created: false, warnings };
  if (kind.generation === true && specChanged(object, old)) {
    object.metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
  if (options.dryRun) return { object, created: false, warnings };

  const key = storeKey(kind, namespace, name);
  const value = writeObject(kind, object);
  const isFinished = old.metadata.deletionTimestamp !== undefined && !mustStay(kind, object);
  if (isFinished) {
    await kind.release?.(object, scope);
    scope.remove(key);
  } else {
    const lease =
      kind.ttlSeconds === undefined ? undefined : await machinery.leases.leaseFor(kind.ttlSeconds);
    scope.operate(lease === undefined ? { type: "put", key, value } : { type: "put", key, value, lease });
  }
  const revision = await scope.commit();
  if (revision === undefined) return undefined;
  const stored = readObject(kind, { key, value, modRevision: revision, createRevision: revision });
  return { object: stored, created: false, warnings };
}

/** True while finalizers, a grace period or the kind itself keep an object that is being deleted. */
export function mustStay(kind: Kind, object: ApiObject): boolean {
  const { finalizers = [], deletionGracePeriodSeconds = 0 } = object.metadata;
  return finalizers.length > 0 || deletionGracePeriodSeconds > 0 || kind.keepsDeleted?.(object) === true;
}

function checkPreconditions(kind: Kind, name: string, object: ApiObject, old: ApiObject): void {
  const { uid = "", resourceVersion = "" } = object.metadata;
  if (uid !== "" && uid !== old.metadata.uid) {
    throw conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid ?? ""}`,
    );
  }
  if (resourceVersion === "" || resourceVersion === "0") {
    if (kind.allowUnconditionalUpdate !== false) return;
    const text = "must be specified for an update";
    throw invalidObject(kind, name, [invalid("metadata.resourceVersion", resourceVersion, text)]);
  }
  if (resourceVersion !== old.metadata.resourceVersion) throw modified(kind, name);
}

/** Takes back what a client may not change, in place. */
function prepare({ object, old, context, options }: Update): void {
  const { kind } = options.target;
  object.apiVersion = apiVersionOf(kind);
  object.kind = kind.kind;
  const { metadata } = object;
  delete metadata.managedFields;
  delete metadata["selfLink"];
  for (const name of [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
  ] as const) {
    const before = old.metadata[name];
    if (before === undefined) delete metadata[name];
    else metadata[name] = before as never;
  }
  const { subresource } = options;
  if (subresource === undefined) {
    kind.setDefaults?.(object, context, old);
    if (kind.subresources?.["status"] !== undefined) takeBack(object, old, "status");
    kind.prepareForUpdate?.(object, old, context);
  } else if (subresource.how.prepare !== undefined) subresource.how.prepare(object, old, context);
  else {
    const own = new Set(["apiVersion", "kind", "metadata", subresource.name]);
    for (const name of new Set([...Object.keys(object), ...Object.keys(old)])) {
      if (!own.has(name)) takeBack(object, old, name);
    }
  }
}

function takeBack(object: ApiObject, old: ApiObject, name: string): void {
  const before = old[name];
  if (before === undefined) delete object[name];
  else object[name] = before;
}

function validate({ object, old, context, options }: Update): readonly FieldError[] {
  const { kind } = options.target;
  const errors = [...validateMetadata(kind, object.metadata), ...validateMetadataUpdate(object, old)];
  if (options.subresource !== undefined) {
    return [...errors, ...(options.subresource.how.validate?.(object, old, context) ?? [])];
  }
  return [
    ...errors,
    ...(kind.validate?.(object, context) ?? []),
    ...(kind.validateUpdate?.(object, old, context) ?? []),
  ];
}

function specChanged(object: ApiObject, old: ApiObject): boolean {
  const names = new Set([...Object.keys(object), ...Object.keys(old)]);
  names.delete("metadata");
  names.delete("status");
  return [...names].some((name) => !sameJson(object[name], old[name]));
}
