/** Layer control-plane. What a request path and query ask for. Pure. */
import type { Kind } from "../registry/kind.ts";
import type { Registry } from "../registry/registry.ts";

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

/** A request for objects of a kind. */
export interface ResourceRequest {
  readonly kind: Kind;
  readonly verb: Verb;
  /** "" for cluster-scoped kinds and for all namespaces. */
  readonly namespace: string;
  /** "" for the collection. */
  readonly name: string;
  /** "" for the object itself. */
  readonly subresource: string;
  readonly query: URLSearchParams;
}

export type ParsedPath =
  | { readonly type: "resource"; readonly request: ResourceRequest }
  | { readonly type: "other"; readonly path: string }
  /** An API path that no kind serves, or a method that makes no sense there. */
  | { readonly type: "unknown" }
  /** A subresource that clients expect and that is not here. */
  | { readonly type: "unserved"; readonly why: string }
  | { readonly type: "method" };

/** @param path decoded segments are taken as they are; a broken escape is an unknown path */
export function parsePath(
  registry: Registry,
  method: string,
  path: string,
  query: URLSearchParams,
): ParsedPath {
  let parts: string[];
  try {
    parts = path
      .split("/")
      .filter((part) => part !== "")
      .map(decodeURIComponent);
  } catch {
    return { type: "unknown" };
  }
  const [root, first = "", second = ""] = parts;
  if (root === "api" && parts.length > 2)
    return resource(registry, method, ["", first, parts.slice(2)], query);
  if (root === "apis" && parts.length > 3)
    return resource(registry, method, [first, second, parts.slice(3)], query);
  return { type: "other", path: `/${parts.join("/")}` };
}

function resource(
  registry: Registry,
  method: string,
  [group, version, rest]: readonly [string, string, readonly string[]],
  query: URLSearchParams,
): ParsedPath {
  const place = findPlace(registry, group, version, rest);
  if (place === undefined) return { type: "unknown" };
  const why = place.kind.unserved?.[place.subresource];
  if (why !== undefined)
    return { type: "unserved", why: `${place.kind.plural}/${place.subresource}: ${why}` };
  const verb = verbOf(method, place.name, place.subresource, query);
  if (verb === undefined) return { type: "method" };
  const served = place.kind.verbs;
  if (place.subresource === "" && served !== undefined && !served.includes(verb)) return { type: "method" };
  return { type: "resource", request: { ...place, verb, query } };
}

function findPlace(
  registry: Registry,
  group: string,
  version: string,
  rest: readonly string[],
): Omit<ResourceRequest, "verb" | "query"> | undefined {
  const [first = "", namespace = "", plural = "", name = "", subresource = "", extra] = rest;
  if (first === "namespaces" && plural !== "") {
    const kind = registry.find(group, version, plural);
    if (kind?.namespaced === true) {
      if (extra !== undefined || !hasSubresource(kind, subresource)) return undefined;
      return { kind, namespace, name, subresource };
    }
  }
  const kind = registry.find(group, version, first);
  if (kind === undefined || rest.length > 3 || !hasSubresource(kind, plural)) return undefined;
  // A namespaced object has to be named with its namespace.
  if (kind.namespaced && namespace !== "") return undefined;
  return { kind, namespace: "", name: namespace, subresource: plural };
}

function hasSubresource(kind: Kind, name: string): boolean {
  const has = (names: object = {}): boolean => Object.hasOwn(names, name);
  return name === "" || has(kind.subresources) || has(kind.unserved);
}

function verbOf(method: string, name: string, subresource: string, query: URLSearchParams): Verb | undefined {
  const one = name !== "";
  switch (method) {
    case "GET":
    case "HEAD":
      if (isTrue(query.get("watch")) && subresource === "") return "watch";
      return one ? "get" : "list";
    case "POST":
      return one && subresource === "" ? undefined : "create";
    case "PUT":
      return one ? "update" : undefined;
    case "PATCH":
      return one ? "patch" : undefined;
    case "DELETE":
      if (subresource !== "") return undefined;
      return one ? "delete" : "deletecollection";
    default:
      return undefined;
  }
}

/** `true`, `1`, or present without a value. */
export function isTrue(value: string | null): boolean {
  return value === "true" || value === "1" || value === "";
}
