/** Layer control-plane. The four patch types of the API over stored objects. */
import { ApiError, badRequest } from "../registry/api-error.ts";
import { type ApiObject, isJsonObject, type Json, type JsonObject } from "../registry/json.ts";
import { jsonPatch, mergePatch, PatchError } from "../registry/patches.ts";
import type { Message } from "../registry/schema.ts";
import { strategicMerge } from "../registry/strategic-merge.ts";
import { type Decoded, decodeJson, type Expected, type FieldValidation, mediaType, shape } from "./body.ts";

export type Patch = (old: ApiObject | undefined, expected: Expected, validation: FieldValidation) => Decoded;

const TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

/** Reads a patch once; it may be applied several times. @throws {ApiError} 400, 415 */
export function patchTo(body: Buffer, contentType: string | undefined, schema: Message): Patch {
  const type = mediaType(contentType);
  if (!TYPES.includes(type)) {
    const why =
      type === "application/apply-patch+yaml"
        ? "server-side apply is not supported by this server (use kubectl apply without --server-side)"
        : "the body of the request was in an unknown format";
    const message = `${why} - accepted media types include: ${TYPES.join(", ")}`;
    throw new ApiError(415, "UnsupportedMediaType", message);
  }
  const patch = decodeJson(body);
  return (old, expected, validation) => {
    const before: JsonObject = old ?? {};
    const after = apply(type, before, patch, schema);
    const decoded = shape(after, expected, [], validation);
    // A null in the stored object's place is no change of type or version.
    return { ...decoded, value: { ...decoded.value, apiVersion: expected.apiVersion, kind: expected.kind } };
  };
}

function apply(type: string, before: JsonObject, patch: Json, schema: Message): JsonObject {
  try {
    if (type === "application/json-patch+json") return objectOf(jsonPatch(before, patch));
    if (!isJsonObject(patch)) throw badRequest("a patch must be an object");
    if (type === "application/merge-patch+json") return objectOf(mergePatch(before, patch));
    return strategicMerge(before, patch, schema);
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    if (type !== "application/json-patch+json") throw badRequest(error.message);
    const message = `the server rejected our request due to an error in our request: ${error.message}`;
    throw new ApiError(422, "Invalid", message);
  }
}

function objectOf(value: Json): JsonObject {
  if (!isJsonObject(value)) throw badRequest("the patch leaves no object");
  return value;
}
