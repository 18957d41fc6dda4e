/** Layer control-plane. Writes of controllers for which "somebody was faster" is not a failure. */
import { ApiError } from "../../registry/api-error.ts";
import type { DeleteOptions, ObjectClient } from "../../registry/client.ts";
import type { ApiObject } from "../../registry/json.ts";

/** True for an {@link ApiError} with this HTTP status. */
export function isStatus(error: unknown, code: number): boolean {
  return error instanceof ApiError && error.code === code;
}

/** Creation was refused because the namespace is being deleted. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!(error instanceof ApiError) || error.code !== 403) return false;
  return (error.details?.causes ?? []).some((cause) => cause.reason === "NamespaceTerminating");
}

/** Deletes exactly this object (by uid); it being gone already is fine. */
export async function removeIfThere(
  client: ObjectClient,
  resource: string,
  object: ApiObject,
  options: DeleteOptions = {},
): Promise<void> {
  const { namespace = "", name = "", uid } = object.metadata;
  try {
    await client.delete(resource, namespace, name, { ...(uid === undefined ? {} : { uid }), ...options });
  } catch (error) {
    if (!isStatus(error, 404) && !isStatus(error, 409)) throw error;
  }
}

/** Creates the object unless one of that name is there. @returns the created object, or `undefined` */
export async function createIfMissing(
  client: ObjectClient,
  resource: string,
  object: ApiObject,
): Promise<ApiObject | undefined> {
  try {
    return await client.create(resource, object);
  } catch (error) {
    if (isStatus(error, 409)) return undefined;
    throw error;
  }
}
