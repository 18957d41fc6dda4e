/**
 * Layer control-plane. Strategic merge patches: lists merged by the schema's merge keys, with the directives $patch,
 * $retainKeys, $setElementOrder and $deleteFromPrimitiveList (apimachinery strategicpatch). Pure.
 */
import { isJsonObject, type Json, type JsonObject } from "./json.ts";
import { PatchError } from "./patches.ts";
import { type Field, fieldOf, type Message } from "./schema.ts";

const ORDER = "$setElementOrder/";
const DELETE_PRIMITIVES = "$deleteFromPrimitiveList/";

/** @param schema of the object; `undefined` for free-form maps, where lists are replaced. @throws {PatchError} */
export function strategicMerge(
  target: JsonObject | undefined,
  patch: JsonObject,
  schema: Message | undefined,
): JsonObject {
  const directive = patch["$patch"];
  if (directive === "replace") return strip(patch);
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge") {
    throw new PatchError(
      `Unknown $patch directive ${JSON.stringify(directive)}: allowed are replace, delete, merge`,
    );
  }
  const result: JsonObject = { ...target };
  retain(result, patch["$retainKeys"]);
  removePrimitives(result, patch);
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$") || value === undefined) continue;
    const field = schema === undefined ? undefined : fieldOf(schema, key);
    if (value === null) delete result[key];
    else result[key] = mergeValue(result[key], value, field, patch[`${ORDER}${key}`]);
  }
  for (const [key, order] of Object.entries(patch)) {
    const name = key.startsWith(ORDER) ? key.slice(ORDER.length) : undefined;
    if (name === undefined || patch[name] !== undefined) continue;
    const list = result[name];
    const field = schema === undefined ? undefined : fieldOf(schema, name);
    if (Array.isArray(list)) result[name] = reorder(list, order, field?.mergeKey);
  }
  return result;
}

function mergeValue(
  target: Json | undefined,
  value: Json,
  field: Field | undefined,
  order: Json | undefined,
): Json {
  if (Array.isArray(value)) {
    const old = Array.isArray(target) ? target : [];
    if (field?.mergeKey !== undefined) return mergeByKey(old, value, field, field.mergeKey, order);
    if (field?.patchStrategy?.includes("merge") === true) {
      const held = new Set(old.map(identityOf));
      const added = value.filter((item) => !held.has(identityOf(item)));
      return reorder([...old, ...added], order, undefined);
    }
    return value;
  }
  if (!isJsonObject(value)) return value;
  if (field?.patchStrategy === "replace") return strip(value);
  const type = field?.value;
  const inner = type?.type === "message" ? type.message() : undefined;
  const old = isJsonObject(target) ? target : undefined;
  // Free-form JSON and maps merge key by key, as Go's map fields do.
  return strategicMerge(old, value, inner);
}

function mergeByKey(
  old: Json[],
  patch: Json[],
  field: Field,
  mergeKey: string,
  order: Json | undefined,
): Json[] {
  const element =
    field.value.type === "list" && field.value.of.type === "message" ? field.value.of.message() : undefined;
  const items = patch.map((item) => {
    if (!isJsonObject(item)) throw new PatchError(`elements of a list merged by ${mergeKey} must be objects`);
    return item;
  });
  if (items.some((item) => item["$patch"] === "replace")) {
    return items.filter((item) => item["$patch"] !== "replace").map(strip);
  }
  // By key, in the order of first appearance: linear, however long the lists are.
  const result = new Map<string, Json>();
  for (const [index, held] of old.entries()) {
    const key = isJsonObject(held) ? held[mergeKey] : undefined;
    const identity = key === undefined ? `\0${index}` : identityOf(key);
    result.set(result.has(identity) ? `\0${index}` : identity, held);
  }
  for (const item of items) {
    const key = item[mergeKey];
    if (key === undefined) {
      throw new PatchError(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
    }
    const identity = identityOf(key);
    const held = result.get(identity);
    if (item["$patch"] === "delete") result.delete(identity);
    else result.set(identity, strategicMerge(isJsonObject(held) ? held : undefined, item, element));
  }
  return reorder([...result.values()], order, mergeKey);
}

/** Text that is equal for equal scalars: what merge keys and elements of primitive lists are. */
function identityOf(value: Json | undefined): string {
  return JSON.stringify(value) ?? "";
}

/** Places the listed elements, in the places that listed elements have, in the order of the list. */
function reorder(list: Json[], order: Json | undefined, mergeKey: string | undefined): Json[] {
  if (!Array.isArray(order)) return list;
  const keyOf = (item: Json | undefined): string =>
    identityOf(mergeKey === undefined ? item : isJsonObject(item) ? item[mergeKey] : undefined);
  const ranks = new Map(order.map((wanted, index) => [keyOf(wanted), index]));
  const rank = (item: Json): number => ranks.get(keyOf(item)) ?? -1;
  const listed = list.filter((item) => rank(item) >= 0).sort((a, b) => rank(a) - rank(b));
  let next = 0;
  return list.map((item) => (rank(item) >= 0 ? (listed[next++] ?? item) : item));
}

function retain(result: JsonObject, keys: Json | undefined): void {
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw new PatchError("$retainKeys must be a list of names");
  for (const key of Object.keys(result)) if (!keys.includes(key)) delete result[key];
}

function removePrimitives(result: JsonObject, patch: JsonObject): void {
  for (const [key, gone] of Object.entries(patch)) {
    if (!key.startsWith(DELETE_PRIMITIVES)) continue;
    if (!Array.isArray(gone)) throw new PatchError(`${key} must be a list`);
    const name = key.slice(DELETE_PRIMITIVES.length);
    const list = result[name];
    const ids = new Set(gone.map(identityOf));
    if (Array.isArray(list)) result[name] = list.filter((item) => !ids.has(identityOf(item)));
  }
}

/** Without directives, at every level. */
function strip(value: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    if (key.startsWith("$") || inner === null || inner === undefined) continue;
    result[key] = isJsonObject(inner)
      ? strip(inner)
      : Array.isArray(inner)
        ? inner.map((item) => (isJsonObject(item) ? strip(item) : item))
        : inner;
  }
  return result;
}
