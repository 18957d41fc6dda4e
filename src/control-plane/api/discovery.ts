/** Layer control-plane. Discovery from the registry: plain lists, and the aggregated form in v2 and v2beta1. Pure. */
import type { Json, JsonObject } from "../registry/json.ts";
import { apiVersionOf, type Kind, type Subresource } from "../registry/kind.ts";
import type { Registry } from "../registry/registry.ts";
import { parseAccept } from "./negotiate.ts";

export const DEFAULT_VERBS = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

export interface Discovered {
  readonly value: JsonObject;
  readonly contentType: string;
}

/** @returns `undefined` for a path that discovery does not serve */
export function discover(
  registry: Registry,
  path: string,
  accept: string | undefined,
): Discovered | undefined {
  const [, root, group, version] = path.split("/");
  if (path === "/api" || path === "/apis") {
    const aggregated = aggregatedVersion(accept);
    if (aggregated !== undefined) {
      const value = aggregate(registry, path === "/api", aggregated);
      const contentType = `application/json;g=apidiscovery.k8s.io;v=${aggregated};as=APIGroupDiscoveryList`;
      return { value, contentType };
    }
    return plain(path === "/api" ? apiVersions(registry) : groupList(registry));
  }
  const named = root === "api" ? { group: "", version: group ?? "" } : { group: group ?? "", version };
  if (named.version === undefined) {
    const found = groups(registry).find(({ name }) => name === named.group);
    return found === undefined ? undefined : plain({ kind: "APIGroup", apiVersion: "v1", ...groupOf(found) });
  }
  const kinds = registry.kinds.filter((kind) => kind.group === named.group && kind.version === named.version);
  if (kinds.length === 0) return undefined;
  return plain({
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: apiVersionOf({ group: named.group, version: named.version }),
    resources: kinds.flatMap(resourcesOf),
  });
}

const plain = (value: JsonObject): Discovered => ({ value, contentType: "application/json" });

function aggregatedVersion(accept: string | undefined): "v2" | "v2beta1" | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    const version = parameters["v"];
    const isAggregated =
      type === "application/json" &&
      parameters["g"] === "apidiscovery.k8s.io" &&
      parameters["as"] === "APIGroupDiscoveryList";
    if (isAggregated && (version === "v2" || version === "v2beta1")) return version;
    // An earlier plain clause is preferred by the client.
    if (type === "application/json" && parameters["as"] === undefined) return undefined;
  }
  return undefined;
}

interface Group {
  readonly name: string;
  readonly versions: readonly string[];
}

function groups(registry: Registry): readonly Group[] {
  const versions = new Map<string, Set<string>>();
  for (const { group, version } of registry.kinds) {
    const held = versions.get(group) ?? new Set<string>();
    versions.set(group, held.add(version));
  }
  return [...versions].map(([name, set]) => ({ name, versions: [...set] }));
}

function apiVersions(registry: Registry): JsonObject {
  const core = groups(registry).find(({ name }) => name === "");
  return {
    kind: "APIVersions",
    versions: [...(core?.versions ?? [])],
    serverAddressByClientCIDRs: [],
  };
}

function groupList(registry: Registry): JsonObject {
  const named = groups(registry).filter(({ name }) => name !== "");
  return { kind: "APIGroupList", apiVersion: "v1", groups: named.map(groupOf) };
}

function groupOf({ name, versions }: Group): JsonObject {
  const list = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: list, preferredVersion: list[0] };
}

function aggregate(registry: Registry, core: boolean, version: string): JsonObject {
  const items = groups(registry)
    .filter(({ name }) => (name === "") === core)
    .map((group) => ({
      metadata: { name: group.name, creationTimestamp: null },
      versions: group.versions.map((groupVersion) => ({
        version: groupVersion,
        freshness: "Current",
        resources: registry.kinds
          .filter((kind) => kind.group === group.name && kind.version === groupVersion)
          .map(aggregatedResource),
      })),
    }));
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items,
  };
}

function aggregatedResource(kind: Kind): JsonObject {
  const subresources = Object.entries(kind.subresources ?? {}).map(([name, how]) => ({
    subresource: name,
    responseKind: responseKind(kind, how),
    verbs: subresourceVerbs(how),
  }));
  return {
    resource: kind.plural,
    responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
    scope: kind.namespaced ? "Namespaced" : "Cluster",
    singularResource: kind.singular,
    verbs: [...(kind.verbs ?? DEFAULT_VERBS)],
    ...(kind.shortNames === undefined ? {} : { shortNames: [...kind.shortNames] }),
    ...(kind.categories === undefined ? {} : { categories: [...kind.categories] }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}

function resourcesOf(kind: Kind): Json[] {
  const own: JsonObject = {
    name: kind.plural,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: [...(kind.verbs ?? DEFAULT_VERBS)],
    ...(kind.shortNames === undefined ? {} : { shortNames: [...kind.shortNames] }),
    ...(kind.categories === undefined ? {} : { categories: [...kind.categories] }),
  };
  const others = Object.entries(kind.subresources ?? {}).map(([name, how]): JsonObject => {
    const response = responseKind(kind, how);
    const foreign = how.type === "object" ? {} : { group: response.group, version: response.version };
    return {
      name: `${kind.plural}/${name}`,
      singularName: "",
      namespaced: kind.namespaced,
      ...foreign,
      kind: response.kind,
      verbs: subresourceVerbs(how),
    };
  });
  return [own, ...others];
}

function responseKind(kind: Kind, how: Subresource): { group: string; version: string; kind: string } {
  if (how.type === "scale") return { group: "autoscaling", version: "v1", kind: "Scale" };
  const { group, version, kind: name } = how.type === "action" ? how : kind;
  return { group, version, kind: name };
}

function subresourceVerbs(how: Subresource): string[] {
  return how.type === "action" ? ["create"] : ["get", "patch", "update"];
}
