/** Layer control-plane. Objects as rows of a meta.k8s.io Table, which is what `kubectl get` prints. Pure. */

import { AGE, NAME } from "../registry/columns.ts";
import type { ApiObject, JsonObject } from "../registry/json.ts";
import type { Kind } from "../registry/kind.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableOptions {
  readonly metaVersion: string;
  readonly includeObject: IncludeObject;
  readonly nowMs: number;
  /** Absent in all but the first event of a watch. */
  readonly columns: boolean;
}

/** @param metadata of the list (resourceVersion, continue, remainingItemCount) */
export function makeTable(
  kind: Kind,
  objects: readonly ApiObject[],
  metadata: JsonObject,
  options: TableOptions,
): JsonObject {
  const columns = kind.columns ?? [NAME, AGE];
  const context = { nowMs: options.nowMs };
  return {
    kind: "Table",
    apiVersion: options.metaVersion,
    metadata,
    columnDefinitions: options.columns
      ? columns.map(({ name, type, format = "", description, priority = 0 }) => {
          return { name, type, format, description, priority };
        })
      : [],
    rows: objects.map((object) => ({
      cells: columns.map(({ cell }) => cell(object, context)),
      object: included(object, options),
    })),
  };
}

/** `metadata` and type alone. */
export function metadataOf(object: ApiObject, metaVersion: string): JsonObject {
  return { kind: "PartialObjectMetadata", apiVersion: metaVersion, metadata: object.metadata };
}

function included(object: ApiObject, { includeObject, metaVersion }: TableOptions): JsonObject | null {
  if (includeObject === "None") return null;
  return includeObject === "Object" ? object : metadataOf(object, metaVersion);
}
