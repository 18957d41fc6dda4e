/** Layer control-plane. JSON merge patch (RFC 7386) and JSON patch (RFC 6902). Pure; inputs are not changed. */
import { isJsonObject, type Json, type JsonObject, sameJson } from "./json.ts";

const MAX_OPERATIONS = 10_000;
/** Copies can double a document with each operation: all of them together may add this much text. */
const MAX_COPIED = 3 * 1024 * 1024;

/** A patch that cannot be used: the text says which part and why. */
export class PatchError extends Error {
  override readonly name = "PatchError";
}

/** RFC 7386: null removes, objects merge, all else replaces. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || value === undefined) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** RFC 6902, all or nothing. @throws {PatchError} with the number of the operation */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!Array.isArray(patch)) throw new PatchError("a JSON patch is an array of operations");
  if (patch.length > MAX_OPERATIONS) {
    throw new PatchError(
      `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`,
    );
  }
  let document = structuredClone(target);
  const budget = { left: MAX_COPIED };
  for (const [index, operation] of patch.entries()) {
    try {
      document = applyOperation(document, operation, budget);
    } catch (error) {
      if (error instanceof PatchError) throw new PatchError(`operation ${index}: ${error.message}`);
      throw error;
    }
  }
  return document;
}

function applyOperation(document: Json, operation: Json, budget: { left: number }): Json {
  if (!isJsonObject(operation)) throw new PatchError("is no object");
  const op = text(operation, "op");
  const path = parsePointer(text(operation, "path"));
  const value = (): Json => {
    const given = operation["value"];
    if (given === undefined) throw new PatchError(`${op} needs "value"`);
    return structuredClone(given);
  };
  switch (op) {
    case "add":
      return edit(document, path, (place) => place.add(value()));
    case "remove":
      return edit(document, path, (place) => place.remove());
    case "replace":
      return edit(document, path, (place) => place.replace(value()));
    case "test":
      if (!sameJson(lookUp(document, path), value())) {
        throw new PatchError(`testing value ${text(operation, "path")} failed`);
      }
      return document;
    case "copy": {
      const source = structuredClone(lookUp(document, parsePointer(text(operation, "from"))));
      budget.left -= JSON.stringify(source).length;
      if (budget.left < 0) throw new PatchError("copies more than is allowed");
      return edit(document, path, (place) => place.add(source));
    }
    case "move": {
      const from = parsePointer(text(operation, "from"));
      if (path.length > from.length && from.every((part, index) => part === path[index])) {
        throw new PatchError("a value cannot be moved into itself");
      }
      const moved = lookUp(document, from);
      const without = edit(document, from, (place) => place.remove());
      return edit(without, path, (place) => place.add(moved));
    }
    default:
      throw new PatchError(
        `unknown op ${JSON.stringify(op)}: allowed are add, remove, replace, test, copy, move`,
      );
  }
}

function text(operation: JsonObject, name: string): string {
  const value = operation[name];
  if (typeof value !== "string") throw new PatchError(`needs ${JSON.stringify(name)}`);
  return value;
}

function parsePointer(pointer: string): readonly string[] {
  if (pointer === "") return [];
  if (!pointer.startsWith("/"))
    throw new PatchError(`path ${JSON.stringify(pointer)} does not begin with '/'`);
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function lookUp(document: Json, path: readonly string[]): Json {
  let here: Json | undefined = document;
  for (const part of path) here = child(here, part);
  if (here === undefined) throw missing(path);
  return here;
}

function child(value: Json | undefined, part: string): Json | undefined {
  if (Array.isArray(value)) return /^(0|[1-9]\d*)$/.test(part) ? value[Number(part)] : undefined;
  return isJsonObject(value) && Object.hasOwn(value, part) ? value[part] : undefined;
}

const missing = (path: readonly string[]): PatchError =>
  new PatchError(`path "/${path.join("/")}" does not exist`);

interface Place {
  add(value: Json): Json;
  replace(value: Json): Json;
  remove(): Json;
}

/** Changes the clone in place; the action returns the new document. */
function edit(document: Json, path: readonly string[], action: (place: Place) => Json): Json {
  const key = path.at(-1);
  if (key === undefined) {
    return action({ add: (value) => value, replace: (value) => value, remove: () => null });
  }
  const parent = lookUp(document, path.slice(0, -1));
  if (Array.isArray(parent)) return action(inArray(document, parent, key, path));
  if (!isJsonObject(parent)) throw missing(path);
  if (key === "__proto__") throw new PatchError('the key "__proto__" is not allowed');
  const mustExist = (): void => {
    if (!Object.hasOwn(parent, key)) throw missing(path);
  };
  const set = (value: Json): Json => {
    parent[key] = value;
    return document;
  };
  return action({
    add: set,
    replace: (value) => {
      mustExist();
      return set(value);
    },
    remove: () => {
      mustExist();
      delete parent[key];
      return document;
    },
  });
}

function inArray(document: Json, parent: Json[], key: string, path: readonly string[]): Place {
  const index = (max: number): number => {
    const number = /^(0|[1-9]\d*)$/.test(key) ? Number(key) : Number.NaN;
    if (!(number <= max)) throw missing(path);
    return number;
  };
  return {
    add: (value) => {
      parent.splice(key === "-" ? parent.length : index(parent.length), 0, value);
      return document;
    },
    replace: (value) => {
      parent[index(parent.length - 1)] = value;
      return document;
    },
    remove: () => {
      parent.splice(index(parent.length - 1), 1);
      return document;
    },
  };
}
