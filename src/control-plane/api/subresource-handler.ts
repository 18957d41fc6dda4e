/** Layer control-plane. Subresources that are not the object itself: scale, and actions such as binding. */
import { invalidObject } from "../registry/api-error.ts";
import { deleteObject } from "../registry/delete-object.ts";
import { invalid } from "../registry/field-error.ts";
import { type ApiObject, isJsonObject, type JsonObject, valueAt } from "../registry/json.ts";
import type { ActionResult, ActionSubresource, ScaleSubresource } from "../registry/kind.ts";
import { contextOf } from "../registry/machinery.ts";
import { SCALE } from "../registry/meta-schema.ts";
import { getObject } from "../registry/read-objects.ts";
import { updateObject } from "../registry/update-object.ts";
import { decodeBody, readBody } from "./body.ts";
import {
  checkOwned,
  checkPlace,
  dryRunOf,
  type Exchange,
  methodNotAllowed,
  targetOf,
  validationOf,
} from "./exchange.ts";
import { patchTo } from "./patch.ts";

export async function handleSubresource(
  exchange: Exchange,
  how: ScaleSubresource | ActionSubresource,
): Promise<void> {
  if (how.type === "scale") return await handleScale(exchange, how);
  if (exchange.request.verb !== "create") throw methodNotAllowed();
  await handleAction(exchange, how);
}

const SCALE_TYPE = { apiVersion: "autoscaling/v1", kind: "Scale", schema: SCALE };

async function handleScale(
  { machinery, request, incoming, reply, owns }: Exchange,
  how: ScaleSubresource,
): Promise<void> {
  const target = targetOf(request);
  if (request.verb === "get") {
    const object = await getObject(machinery, target);
    checkOwned(request, object, owns);
    return reply.send(200, scaleOf(object, how));
  }
  if (request.verb !== "update" && request.verb !== "patch") throw methodNotAllowed();
  const { query } = request;
  const dryRun = dryRunOf(query.getAll("dryRun"));
  const validation = validationOf(query);
  const body = await readBody(incoming);
  const type = incoming.headers["content-type"];
  const isPatch = request.verb === "patch";
  const patch = isPatch ? patchTo(body, type, SCALE) : undefined;
  const change = (old: ApiObject | undefined): ApiObject => {
    const object: ApiObject = old ?? { apiVersion: "", kind: "", metadata: {} };
    checkOwned(request, object, owns);
    const decoded =
      patch === undefined
        ? decodeBody(body, type, SCALE_TYPE, validation)
        : patch(scaleOf(object, how), SCALE_TYPE, validation);
    const scale = decoded.value as ApiObject;
    checkPlace(request, scale);
    const replicas = valueAt(scale, ["spec", "replicas"]) ?? 0;
    if (typeof replicas !== "number" || replicas < 0) {
      const error = invalid("spec.replicas", replicas, "must be greater than or equal to 0");
      throw invalidObject({ group: "autoscaling", plural: "scales", kind: "Scale" }, request.name, [error]);
    }
    const { resourceVersion, uid } = scale.metadata;
    if (resourceVersion !== undefined) object.metadata.resourceVersion = resourceVersion;
    else delete object.metadata.resourceVersion;
    if (uid !== undefined) object.metadata.uid = uid;
    setAt(object, how.specReplicasPath, replicas);
    return object;
  };
  const written = await updateObject(machinery, change, { target, dryRun, isPatch });
  reply.warn(written.warnings);
  reply.send(200, scaleOf(written.object, how));
}

function scaleOf(object: ApiObject, how: ScaleSubresource): ApiObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = how.selector(object);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    spec: { replicas: valueAt(object, how.specReplicasPath) ?? 0 },
    status: {
      replicas: valueAt(object, how.statusReplicasPath) ?? 0,
      ...(selector === "" ? {} : { selector }),
    },
  };
}

function setAt(object: JsonObject, path: readonly string[], value: number): void {
  let here = object;
  for (const key of path.slice(0, -1)) {
    const next = here[key];
    const inner: JsonObject = isJsonObject(next) ? next : {};
    here[key] = inner;
    here = inner;
  }
  const last = path.at(-1);
  if (last !== undefined) here[last] = value;
}

async function handleAction(
  { machinery, request, incoming, reply, owns }: Exchange,
  how: ActionSubresource,
): Promise<void> {
  const { query, kind, name } = request;
  const apiVersion = how.group === "" ? how.version : `${how.group}/${how.version}`;
  const expected = { apiVersion, kind: how.kind, schema: how.request };
  const decoded = decodeBody(
    await readBody(incoming),
    incoming.headers["content-type"],
    expected,
    validationOf(query),
  );
  const dryRun = dryRunOf(query.getAll("dryRun"));
  const context = contextOf(machinery, dryRun);
  const body = decoded.value as ApiObject;
  checkPlace(request, body);
  const stored = await getObject(machinery, targetOf(request));
  checkOwned(request, stored, owns);
  const first = how.run(structuredClone(stored), body, context);
  if (first.result === "refuse") throw invalidObject(kind, name, first.errors);
  const { reply: answer } = first;
  if (first.result === "delete") {
    const grace =
      first.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: first.gracePeriodSeconds };
    await deleteObject(machinery, targetOf(request), { ...grace, dryRun });
  } else {
    const change = (old: ApiObject | undefined): ApiObject => {
      const object = old ?? stored;
      const again: ActionResult = how.run(object, body, context);
      if (again.result === "refuse") throw invalidObject(kind, name, again.errors);
      return object;
    };
    const isOwn = { type: "object" as const, prepare: () => undefined };
    const subresource = { name: request.subresource, how: isOwn };
    await updateObject(machinery, change, { target: targetOf(request), dryRun, isPatch: true, subresource });
  }
  reply.warn(decoded.warnings);
  reply.send(201, answer ?? { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 });
}
