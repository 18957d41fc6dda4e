/** Layer control-plane. GET, LIST, POST, PUT, PATCH and DELETE of objects of any kind. Names no kind. */
import { ApiError, badRequest } from "../registry/api-error.ts";
import { createObject } from "../registry/create-object.ts";
import { deleteObject } from "../registry/delete-object.ts";
import type { ApiObject, JsonObject } from "../registry/json.ts";
import { apiVersionOf, type Subresource } from "../registry/kind.ts";
import type { Machinery, Written } from "../registry/machinery.ts";
import { DELETE_OPTIONS } from "../registry/meta-schema.ts";
import { getObject, listObjects } from "../registry/read-objects.ts";
import { updateObject } from "../registry/update-object.ts";
import { decodeBody, readBody } from "./body.ts";
import {
  checkOwned,
  checkPlace,
  dryRunOf,
  type Exchange,
  expectedOf,
  includeObject,
  integer,
  methodNotAllowed,
  offerOf,
  selectionOf,
  targetOf,
  validationOf,
} from "./exchange.ts";
import type { Offer } from "./negotiate.ts";
import { patchTo } from "./patch.ts";
import type { ResourceRequest } from "./request.ts";
import { handleSubresource } from "./subresource-handler.ts";
import { makeTable, metadataOf } from "./table.ts";

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
  const asked = query.has("gracePeriodSeconds") ? integer(query, "gracePeriodSeconds") : undefined;
  const grace = given["gracePeriodSeconds"] ?? asked;
  const orphan = given["orphanDependents"] ?? query.get("orphanDependents");
  const policy =
    given["propagationPolicy"] ??
    query.get("propagationPolicy") ??
    (orphan === true || orphan === "true" ? "Orphan" : undefined);
  const conditions = given["preconditions"] as { uid?: string; resourceVersion?: string } | undefined;
  return {
    ...(typeof grace === "number" ? { gracePeriodSeconds: grace } : {}),
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
