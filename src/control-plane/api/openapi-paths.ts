/** Layer control-plane. The paths of kinds in OpenAPI v3: kubectl reads from them what a resource's kind is and which parameters a verb takes. Pure. */
import type { Json, JsonObject } from "../registry/json.ts";
import { apiVersionOf, type Kind, type Subresource } from "../registry/kind.ts";
import { DEFAULT_VERBS } from "./discovery.ts";
import type { Gvk } from "./openapi-schemas.ts";

const query = (name: string, type: string, description: string): JsonObject => {
  return { name, in: "query", description, schema: { type, uniqueItems: true } };
};
const DRY_RUN = query(
  "dryRun",
  "string",
  "When present, indicates that modifications should not be persisted. Valid values are: All.",
);
const FIELD_MANAGER = query(
  "fieldManager",
  "string",
  "A name associated with the actor that is making these changes.",
);
const FIELD_VALIDATION = query(
  "fieldValidation",
  "string",
  "What to do with unknown or duplicate fields. Valid values are: Ignore, Warn, Strict.",
);
const PRETTY = query("pretty", "string", "Accepted and ignored.");
const WRITE = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const LIST = [
  query("allowWatchBookmarks", "boolean", "Requests watch events of type BOOKMARK."),
  query("continue", "string", "Where to go on, from the previous page."),
  query("fieldSelector", "string", "Restricts the list by fields."),
  query("labelSelector", "string", "Restricts the list by labels."),
  query("limit", "integer", "Maximum number of objects in a page."),
  query("resourceVersion", "string", "Constraint on what resource versions a request may be served from."),
  query("resourceVersionMatch", "string", "How resourceVersion is applied to list calls."),
  query("sendInitialEvents", "boolean", "Begins a watch with the current state and a bookmark."),
  query("timeoutSeconds", "integer", "Timeout for the call."),
  query("watch", "boolean", "Watch for changes to the described resources."),
];
const DELETE = [
  DRY_RUN,
  query("gracePeriodSeconds", "integer", "The duration in seconds before the object should be deleted."),
  query("propagationPolicy", "string", "Whether and how garbage collection will be performed."),
];

const inPath = (name: string): JsonObject => {
  return { name, in: "path", required: true, schema: { type: "string", uniqueItems: true } };
};

/** All paths of these kinds. */
export function pathsOf(kinds: readonly Kind[]): JsonObject {
  const paths: JsonObject = {};
  for (const kind of kinds) addKind(paths, kind);
  return paths;
}

function addKind(paths: JsonObject, kind: Kind): void {
  const root = `/${kind.group === "" ? "api" : "apis"}/${apiVersionOf(kind)}`;
  const collection = kind.namespaced
    ? `${root}/namespaces/{namespace}/${kind.plural}`
    : `${root}/${kind.plural}`;
  const verbs = new Set(kind.verbs ?? DEFAULT_VERBS);
  const place = kind.namespaced ? [inPath("namespace"), PRETTY] : [PRETTY];
  const own = (action: string, parameters: Json[], body?: string): JsonObject =>
    operation(kind, { action, parameters, ...(body === undefined ? {} : { body }) });

  const collectionItem: JsonObject = { parameters: place };
  if (verbs.has("list")) collectionItem["get"] = own("list", LIST);
  if (verbs.has("create")) collectionItem["post"] = own("post", WRITE, kind.schema.name);
  if (verbs.has("deletecollection")) collectionItem["delete"] = own("deletecollection", [...DELETE, ...LIST]);
  paths[collection] = collectionItem;
  if (kind.namespaced && verbs.has("list")) {
    paths[`${root}/${kind.plural}`] = { parameters: [PRETTY], get: own("list", LIST) };
  }
  const item: JsonObject = { parameters: [inPath("name"), ...place] };
  if (verbs.has("get")) item["get"] = own("get", []);
  if (verbs.has("update")) item["put"] = own("put", WRITE, kind.schema.name);
  if (verbs.has("patch"))
    item["patch"] = own("patch", [...WRITE, query("force", "boolean", "Server-side apply only.")], "patch");
  if (verbs.has("delete")) item["delete"] = own("delete", DELETE);
  paths[`${collection}/{name}`] = item;
  for (const [name, how] of Object.entries(kind.subresources ?? {})) {
    paths[`${collection}/{name}/${name}`] = {
      parameters: [inPath("name"), ...place],
      ...subresource(kind, how),
    };
  }
}

function subresource(kind: Kind, how: Subresource): JsonObject {
  if (how.type === "action") {
    return { post: operation(how, { action: "connect", parameters: WRITE, body: how.request.name }) };
  }
  const scale = { group: "autoscaling", version: "v1", kind: "Scale" };
  const [gvk, name] =
    how.type === "scale" ? [scale, "io.k8s.api.autoscaling.v1.Scale"] : [kind, kind.schema.name];
  return {
    get: operation(gvk, { action: "get", parameters: [] }),
    put: operation(gvk, { action: "put", parameters: WRITE, body: name }),
    patch: operation(gvk, { action: "patch", parameters: WRITE, body: "patch" }),
  };
}

interface OperationOptions {
  readonly action: string;
  readonly parameters: Json[];
  /** A schema's name, or `patch`. */
  readonly body?: string;
}

const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

function operation(gvk: Gvk, { action, parameters, body }: OperationOptions): JsonObject {
  const { group, version, kind } = gvk;
  const schema = body === "patch" ? { type: "object" } : { $ref: `#/components/schemas/${body ?? ""}` };
  const types =
    body === "patch"
      ? PATCH_TYPES
      : ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
  const content = Object.fromEntries(types.map((type) => [type, { schema }]));
  return {
    parameters,
    ...(body === undefined ? {} : { requestBody: { required: true, content } }),
    responses: { "200": { description: "OK" } },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group, version, kind },
  };
}
