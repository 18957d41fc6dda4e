/** Layer control-plane. GET, LIST, POST, PUT, PATCH and DELETE of objects of any kind. Names no kind. */
import type { IncomingMessage } from "node:http";
import { ApiError, badRequest, forbiddenError } from "../registry/api-error.ts";
import { createObject } from "../registry/create-object.ts";
import { deleteObject } from "../registry/delete-object.ts";
import type { ApiObject, JsonObject } from "../registry/json.ts";
import { apiVersionOf, type Kind, type Subresource } from "../registry/kind.ts";
import type { Machinery, Target, Written } from "../registry/machinery.ts";
import { DELETE_OPTIONS } from "../registry/meta-schema.ts";
import { getObject, listObjects, parseSelection } from "../registry/read-objects.ts";
import { updateObject } from "../registry/update-object.ts";
import { decodeBody, type Expected, type FieldValidation, readBody } from "./body.ts";
import { negotiate, type Offer } from "./negotiate.ts";
import { patchTo } from "./patch.ts";
import type { Reply } from "./reply.ts";
import type { ResourceRequest } from "./request.ts";
import { handleSubresource } from "./subresource-handler.ts";
import { type IncludeObject, makeTable, metadataOf } from "./table.ts";

/** One request on its way. */
export interface Exchange {
  readonly machinery: Machinery;
  readonly request: ResourceRequest;
  readonly incoming: IncomingMessage;
  readonly reply: Reply;
  /** Further limit of the caller's rights; see authorize.ts. */
  readonly owns: ((object: ApiObject) => boolean) | undefined;
}

export async function handleResource(exchange: Exchange): Promise<void> {
  const { request } = exchange;
  const subresource = request.kind.subresources?.[request.subresource];
  if (request.subresource !== "" && subresource?.type !== "object" && subresource !== undefined) {
    return await handleSubresource(exchange, subresource);
  }
  switch (request.verb) {
    case "get":
      return await get(exchange);
    case "list":
      return await list(exchange);
    case "create":
      if (request.subresource !== "") throw methodNotAllowed();
      return await create(exchange);
    case "update":
    case "patch":
      return await write(exchange, subresource);
    case "delete":
      return await remove(exchange);
    case "deletecollection":
      return await removeAll(exchange);
    case "watch":
      throw methodNotAllowed();
  }
}

export const methodNotAllowed = (): ApiError =>
  new ApiError(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    {},
  );

/** @throws {ApiError} 406 */
export function offerOf(incoming: IncomingMessage): Offer {
  const offer = negotiate(incoming.headers.accept);
  if (offer !== undefined) return offer;
  const message =
    "only the following media types are accepted: application/json, application/yaml, application/json;as=Table;v=v1;g=meta.k8s.io";
  throw new ApiError(406, "NotAcceptable", message);
}

export function targetOf({ kind, namespace, name }: ResourceRequest): Target {
  return { kind, namespace, name };
}

export function expectedOf(kind: Kind): Expected {
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, schema: kind.schema };
}

async function get({ machinery, request, incoming, reply, owns }: Exchange): Promise<void> {
  const offer = offerOf(incoming);
  const object = await getObject(machinery, targetOf(request));
  checkOwned(request, object, owns);
  reply.send(200, present(machinery, request, [object], offer));
}

/** One object in the form that was asked for. */
export function present(
  machinery: Machinery,
  { kind, query }: ResourceRequest,
  objects: readonly [ApiObject],
  offer: Offer,
): JsonObject {
  const [object] = objects;
  if (offer.as === "metadata") return metadataOf(object, offer.metaVersion);
  if (offer.as === "object") return object;
  const metadata = { resourceVersion: object.metadata.resourceVersion };
  return makeTable(kind, objects, metadata, {
    metaVersion: offer.metaVersion,
    includeObject: includeObject(query),
    nowMs: machinery.nowMs(),
    columns: true,
  });
}

async function list({ machinery, request, incoming, reply }: Exchange): Promise<void> {
  const { kind, query } = request;
  const offer = offerOf(incoming);
  const listed = await listObjects(machinery, {
    kind,
    namespace: request.namespace,
    selection: selectionOf(request),
    limit: integer(query, "limit"),
    continue: query.get("continue") ?? "",
    resourceVersion: query.get("resourceVersion") ?? "",
    resourceVersionMatch: query.get("resourceVersionMatch") ?? "",
  });
  const { items, ...metadata } = listed;
  if (offer.as === "table") {
    const options = {
      metaVersion: offer.metaVersion,
      includeObject: includeObject(query),
      nowMs: machinery.nowMs(),
      columns: true,
    };
    return reply.send(200, makeTable(kind, items, { ...metadata }, options));
  }
  const isMetadata = offer.as === "metadata";
  reply.send(200, {
    kind: isMetadata ? "PartialObjectMetadataList" : `${kind.kind}List`,
    apiVersion: isMetadata ? offer.metaVersion : apiVersionOf(kind),
    metadata: { ...metadata },
    items: isMetadata ? items.map((object) => metadataOf(object, offer.metaVersion)) : [...items],
  });
}

/** @throws {ApiError} 400 */
export function selectionOf({ kind, name, query }: ResourceRequest): ReturnType<typeof parseSelection> {
  const fields = [query.get("fieldSelector") ?? "", name === "" ? "" : `metadata.name=${name}`];
  const given = fields.filter((text) => text !== "").join(",");
  return parseSelection(kind, query.get("labelSelector") ?? "", given);
}

/** @throws {ApiError} 400 */
export function includeObject(query: URLSearchParams): IncludeObject {
  const value = query.get("includeObject") ?? "Metadata";
  if (value === "" || value === "Metadata") return "Metadata";
  if (value === "None" || value === "Object") return value;
  throw badRequest(
    `includeObject: Unsupported value: ${JSON.stringify(value)}: supported values: "None", "Metadata", "Object"`,
  );
}

/** A whole number that is not negative; 0 when absent. @throws {ApiError} 400 */
export function integer(query: URLSearchParams, name: string): number {
  const value = query.get(name) ?? "";
  if (value === "") return 0;
  if (!/^\d{1,15}$/.test(value))
    throw badRequest(`${name}: Invalid value: ${JSON.stringify(value)}: must be a whole number`);
  return Number(value);
}

/** @throws {ApiError} 400 */
export function dryRunOf(values: readonly string[]): boolean {
  const wrong = values.find((value) => value !== "All");
  if (wrong !== undefined) {
    throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(wrong)}: supported values: "All"`);
  }
  return values.length > 0;
}

/** @throws {ApiError} 400 */
export function validationOf(query: URLSearchParams): FieldValidation {
  const value = query.get("fieldValidation") ?? "";
  if (value === "") return "Warn";
  if (value === "Strict" || value === "Warn" || value === "Ignore") return value;
  throw badRequest(
    `fieldValidation: Unsupported value: ${JSON.stringify(value)}: supported values: "Ignore", "Strict", "Warn"`,
  );
}

/** @throws {ApiError} 400 when body and path name different objects */
export function checkPlace({ kind, namespace, name }: ResourceRequest, object: ApiObject): void {
  object.metadata ??= {};
  const { metadata } = object;
  const bodyNamespace = metadata.namespace ?? "";
  if (kind.namespaced && bodyNamespace !== "" && bodyNamespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  if (name === "") return;
  if ((metadata.name ?? "") === "") metadata.name = name;
  if (metadata.name !== name) {
    throw badRequest(
      `the name of the object (${metadata.name ?? ""}) does not match the name on the URL (${name})`,
    );
  }
}

async function create({ machinery, request, incoming, reply, owns }: Exchange): Promise<void> {
  const { kind, namespace, query } = request;
  const offer = offerOf(incoming);
  const dryRun = dryRunOf(query.getAll("dryRun"));
  const validation = validationOf(query);
  const body = await readBody(incoming);
  if (kind.namespaced && namespace === "")
    throw badRequest("an empty namespace may not be set during creation");
  const decoded = decodeBody(body, incoming.headers["content-type"], expectedOf(kind), validation);
  const object = decoded.value as ApiObject;
  checkPlace(request, object);
  checkOwned(request, object, owns);
  const written = await createObject(machinery, object, { kind, namespace, dryRun });
  finish({ machinery, request, reply }, written, decoded.warnings, offer);
}

/** @throws {ApiError} 403 when the caller may only touch objects of its own */
export function checkOwned(
  { kind, verb }: ResourceRequest,
  object: ApiObject,
  owns: ((object: ApiObject) => boolean) | undefined,
): void {
  if (owns === undefined || owns(object)) return;
  throw forbiddenError(kind, object.metadata.name ?? "", `this node may ${verb} only objects of its own`);
}

async function write(
  { machinery, request, incoming, reply, owns }: Exchange,
  subresource: Subresource | undefined,
): Promise<void> {
  const { query } = request;
  const offer = offerOf(incoming);
  const dryRun = dryRunOf(query.getAll("dryRun"));
  const validation = validationOf(query);
  const body = await readBody(incoming);
  const isPatch = request.verb === "patch";
  let warnings: readonly string[] = [];
  const decode = isPatch ? patchTo(body, incoming.headers["content-type"], request.kind.schema) : undefined;
  const change = (old: ApiObject | undefined): ApiObject => {
    if (old !== undefined) checkOwned(request, old, owns);
    const expected = expectedOf(request.kind);
    const decoded =
      decode === undefined
        ? decodeBody(body, incoming.headers["content-type"], expected, validation)
        : decode(old, expected, validation);
    ({ warnings } = decoded);
    const object = decoded.value as ApiObject;
    checkPlace(request, object);
    checkOwned(request, object, owns);
    return object;
  };
  const options = { target: targetOf(request), dryRun, isPatch };
  const written = await updateObject(
    machinery,
    change,
    subresource?.type === "object"
      ? { ...options, subresource: { name: request.subresource, how: subresource } }
      : options,
  );
  finish({ machinery, request, reply }, written, warnings, offer);
}

function finish(
  { machinery, request, reply }: Pick<Exchange, "machinery" | "request" | "reply">,
  written: Written,
  warnings: readonly string[],
  offer: Offer,
): void {
  reply.warn([...warnings, ...written.warnings]);
  reply.send(written.created ? 201 : 200, present(machinery, request, [written.object], offer));
}

interface AskedDeletion {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly dryRun: boolean;
}

async function askedDeletion({ request, incoming }: Exchange): Promise<AskedDeletion> {
  const { query } = request;
  const body = await readBody(incoming);
  const expected = { apiVersion: "v1", kind: "DeleteOptions", schema: DELETE_OPTIONS, anyVersion: true };
  const given =
    body.length === 0 ? {} : decodeBody(body, incoming.headers["content-type"], expected, "Ignore").value;
  const dryRun = Array.isArray(given["dryRun"]) ? given["dryRun"].map(String) : query.getAll("dryRun");
  const grace = given["gracePeriodSeconds"] ?? query.get("gracePeriodSeconds");
  const orphan = given["orphanDependents"] ?? query.get("orphanDependents");
  const policy =
    given["propagationPolicy"] ??
    query.get("propagationPolicy") ??
    (orphan === true || orphan === "true" ? "Orphan" : undefined);
  const conditions = given["preconditions"] as { uid?: string; resourceVersion?: string } | undefined;
  return {
    ...(typeof grace === "number" || typeof grace === "string" ? { gracePeriodSeconds: Number(grace) } : {}),
    ...(policy === undefined ? {} : { propagationPolicy: propagation(String(policy)) }),
    ...(conditions?.uid === undefined ? {} : { uid: conditions.uid }),
    ...(conditions?.resourceVersion === undefined ? {} : { resourceVersion: conditions.resourceVersion }),
    dryRun: dryRunOf(dryRun),
  };
}

function propagation(policy: string): "Background" | "Foreground" | "Orphan" {
  if (policy === "Background" || policy === "Foreground" || policy === "Orphan") return policy;
  throw badRequest(
    `DeleteOptions.propagationPolicy: Unsupported value: ${JSON.stringify(policy)}: supported values: "Foreground", "Background", "Orphan"`,
  );
}

async function remove(exchange: Exchange): Promise<void> {
  const { machinery, request, reply, owns } = exchange;
  const asked = await askedDeletion(exchange);
  if (owns !== undefined) checkOwned(request, await getObject(machinery, targetOf(request)), owns);
  const { gone, object } = await deleteObject(machinery, targetOf(request), asked);
  if (!gone) return reply.send(200, object);
  const { kind, name } = request;
  const group = kind.group === "" ? {} : { group: kind.group };
  reply.send(200, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name, ...group, kind: kind.plural, uid: object.metadata.uid },
  });
}

async function removeAll(exchange: Exchange): Promise<void> {
  const { machinery, request, reply, owns } = exchange;
  const { kind, namespace } = request;
  if (owns !== undefined) throw methodNotAllowed();
  const asked = await askedDeletion(exchange);
  const { items, resourceVersion } = await listObjects(machinery, {
    kind,
    namespace,
    selection: selectionOf(request),
  });
  const deleted: ApiObject[] = [];
  for (const { metadata } of items) {
    const target = { kind, namespace: metadata.namespace ?? "", name: metadata.name ?? "" };
    try {
      deleted.push((await deleteObject(machinery, target, asked)).object);
    } catch (error) {
      // Somebody else was faster.
      if (!(error instanceof ApiError) || error.code !== 404) throw error;
    }
  }
  const metadata = { resourceVersion };
  reply.send(200, { kind: `${kind.kind}List`, apiVersion: apiVersionOf(kind), metadata, items: deleted });
}
