/** Layer control-plane. One request for objects on its way, and how its headers and query are read. */
import type { IncomingMessage } from "node:http";
import { ApiError, badRequest, forbiddenError } from "../registry/api-error.ts";
import type { ApiObject } from "../registry/json.ts";
import { apiVersionOf, type Kind } from "../registry/kind.ts";
import type { Machinery, Target } from "../registry/machinery.ts";
import { parseSelection, type Selection } from "../registry/read-objects.ts";
import type { Expected, FieldValidation } from "./body.ts";
import { negotiate, type Offer } from "./negotiate.ts";
import type { Reply } from "./reply.ts";
import type { ResourceRequest } from "./request.ts";
import type { IncludeObject } from "./table.ts";

/** One request on its way. */
export interface Exchange {
  readonly machinery: Machinery;
  readonly request: ResourceRequest;
  readonly incoming: IncomingMessage;
  readonly reply: Reply;
  /** Further limit of the caller's rights; see authorize.ts. */
  readonly owns: ((object: ApiObject) => boolean) | undefined;
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

/** @throws {ApiError} 400 */
export function selectionOf({ kind, name, query }: ResourceRequest): Selection {
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

/** @throws {ApiError} 403 when the caller may only touch objects of its own */
export function checkOwned(
  { kind, verb }: ResourceRequest,
  object: ApiObject,
  owns: ((object: ApiObject) => boolean) | undefined,
): void {
  if (owns === undefined || owns(object)) return;
  throw forbiddenError(kind, object.metadata.name ?? "", `this node may ${verb} only objects of its own`);
}
