/**
 * Layer control-plane. Objects to store values and back. resourceVersion is never kept in the value: it is the revision
 * of the entry.
 */
import type { Entry } from "../store/store.ts";
import type { ApiObject } from "./json.ts";
import type { Kind } from "./kind.ts";

/** A private copy. */
export function readObject(kind: Kind, entry: Entry): ApiObject {
  const stored = JSON.parse(entry.value) as ApiObject;
  const object = kind.storedAs === undefined ? stored : kind.storedAs.fromStored(stored);
  object.metadata.resourceVersion = String(entry.modRevision);
  return object;
}

const shared = new WeakMap<Entry, Map<Kind, ApiObject>>();

/** Parsed once for all watchers of an entry; must not be changed. */
export function readSharedObject(kind: Kind, entry: Entry): ApiObject {
  const held = shared.get(entry) ?? new Map<Kind, ApiObject>();
  const object = held.get(kind) ?? readObject(kind, entry);
  if (held.size === 0) shared.set(entry, held);
  held.set(kind, object);
  return object;
}

/** The value to store. */
export function writeObject(kind: Kind, object: ApiObject): string {
  const stored = kind.storedAs === undefined ? object : kind.storedAs.toStored(object);
  const { apiVersion, kind: kindName, metadata, ...rest } = stored;
  const { resourceVersion: _, managedFields: __, ...kept } = metadata;
  return JSON.stringify({ apiVersion, kind: kindName, metadata: kept, ...rest });
}

/** RFC 3339 with seconds, as metadata has it. */
export function formatTimestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
