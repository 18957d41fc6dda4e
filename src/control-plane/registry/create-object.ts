/** Layer control-plane. Creating an object: names, defaults, validation, allocation, one transaction. */
import {
  ApiError,
  alreadyExists,
  badRequest,
  forbiddenError,
  internalError,
  invalidObject,
  notFoundError,
} from "./api-error.ts";
import type { ApiObject } from "./json.ts";
import { apiVersionOf, type Kind, type KindContext, storeKey } from "./kind.ts";
import { contextOf, MAX_ATTEMPTS, type Machinery, type Written } from "./machinery.ts";
import { validateMetadata } from "./metadata.ts";
import { formatTimestamp, readObject, writeObject } from "./object-codec.ts";
import { WriteScope } from "./write-scope.ts";

const MAX_GENERATED_NAMES = 8;
const MAX_GENERATED_LENGTH = 58;

export interface CreateOptions {
  readonly kind: Kind;
  /** "" for cluster-scoped kinds. */
  readonly namespace: string;
  readonly dryRun: boolean;
}

/** @param given is not changed. @throws {ApiError} 400, 403, 404, 409, 422 */
export async function createObject(
  machinery: Machinery,
  given: ApiObject,
  options: CreateOptions,
): Promise<Written> {
  const generate = (given.metadata.name ?? "") === "" && (given.metadata.generateName ?? "") !== "";
  for (let attempt = 0; attempt < (generate ? MAX_GENERATED_NAMES : MAX_ATTEMPTS); attempt += 1) {
    const object = structuredClone(given);
    if (generate) {
      const prefix = (given.metadata.generateName ?? "").slice(0, MAX_GENERATED_LENGTH);
      object.metadata.name = `${prefix}${machinery.newSuffix()}`;
    }
    try {
      const written = await tryCreate(machinery, object, options);
      if (written !== undefined) return written;
    } catch (error) {
      const taken = error instanceof ApiError && error.reason === "AlreadyExists";
      if (!generate || !taken || attempt === MAX_GENERATED_NAMES - 1) throw error;
    }
  }
  throw internalError(`${options.kind.plural} are being written too often, try again`);
}

async function tryCreate(
  machinery: Machinery,
  object: ApiObject,
  { kind, namespace, dryRun }: CreateOptions,
): Promise<Written | undefined> {
  const context = contextOf(machinery, dryRun);
  const scope = new WriteScope(machinery.store, context);
  prepare(machinery, object, kind, namespace, context);
  const name = object.metadata.name ?? "";
  const errors = [...validateMetadata(kind, object.metadata), ...(kind.validate?.(object, context) ?? [])];
  if (errors.length > 0) throw invalidObject(kind, name, errors);
  await checkNamespace(machinery, kind, object, scope);

  const key = storeKey(kind, namespace, name);
  if ((await scope.readEntry(key)) !== undefined) throw alreadyExists(kind, name);
  const refused = (await kind.allocate?.(object, undefined, scope)) ?? [];
  if (refused.length > 0) throw invalidObject(kind, name, refused);
  const warnings = kind.warnings?.(object, undefined) ?? [];
  if (dryRun) return { object, created: true, warnings };

  const value = writeObject(kind, object);
  const lease = kind.ttlSeconds === undefined ? undefined : await machinery.leases.leaseFor(kind.ttlSeconds);
  scope.operate(lease === undefined ? { type: "put", key, value } : { type: "put", key, value, lease });
  const revision = await scope.commit();
  if (revision === undefined) return undefined;
  const stored = readObject(kind, { key, value, modRevision: revision, createRevision: revision });
  return { object: stored, created: true, warnings };
}

function prepare(
  machinery: Machinery,
  object: ApiObject,
  kind: Kind,
  namespace: string,
  context: KindContext,
): void {
  const { metadata } = object;
  object.apiVersion = apiVersionOf(kind);
  object.kind = kind.kind;
  if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== "") {
    throw badRequest("resourceVersion should not be set on objects to be created");
  }
  kind.setDefaults?.(object, context, undefined);
  delete metadata.resourceVersion;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.managedFields;
  delete metadata["selfLink"];
  if (kind.namespaced) metadata.namespace = namespace;
  metadata.uid = machinery.newUid();
  metadata.creationTimestamp = formatTimestamp(context.nowMs);
  if (kind.generation === true) metadata.generation = 1;
  else delete metadata.generation;
  if (kind.subresources?.["status"] !== undefined) delete object["status"];
  kind.prepareForCreate?.(object, context);
}

/** The namespace must exist and stay; compared again at commit, so a deletion in between is seen. */
async function checkNamespace(
  machinery: Machinery,
  kind: Kind,
  object: ApiObject,
  scope: WriteScope,
): Promise<void> {
  const { namespaceKind } = machinery.registry;
  if (!kind.namespaced || namespaceKind === undefined) return;
  const namespace = object.metadata.namespace ?? "";
  const entry = await scope.readEntry(storeKey(namespaceKind, "", namespace));
  if (entry === undefined) throw notFoundError(namespaceKind, namespace);
  if (readObject(namespaceKind, entry).metadata.deletionTimestamp === undefined) return;
  const name = object.metadata.name ?? "";
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const refused = forbiddenError(kind, name, why);
  throw new ApiError(refused.code, refused.reason, refused.message, {
    ...refused.details,
    causes: [
      {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      },
    ],
  });
}
