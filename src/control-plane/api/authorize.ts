/**
 * Layer control-plane. Today's authorisation (design, section 8): `system:masters` may do all; a node of `system:nodes`
 * reads what agents and resolvers need and writes its own Node, Lease, Pods, their status, and Events; anonymous sees
 * health and version. The one place here that names resources; roles replace it later.
 */
import { ApiError } from "../registry/api-error.ts";
import { type ApiObject, valueAt } from "../registry/json.ts";
import { resourceOf } from "../registry/kind.ts";
import type { ResourceRequest } from "./request.ts";
import { ANONYMOUS, type User } from "./user.ts";

export type Decision =
  /** `owns` further limits it to objects for which it is true: checked on what is stored and on what is written. */
  { readonly allowed: true; readonly owns?: (object: ApiObject) => boolean } | { readonly allowed: false };

const NODE_READS = new Set([
  "services",
  "endpoints",
  "endpointslices.discovery.k8s.io",
  "namespaces",
  "nodes",
  "pods",
  "servicecidrs.networking.k8s.io",
]);
const PUBLIC_PATHS = new Set(["/version", "/healthz", "/livez", "/readyz"]);
const READ_VERBS = new Set(["get", "list", "watch"]);
const NODE_PREFIX = "system:node:";

export function authorizeResource(user: User, request: ResourceRequest): Decision {
  if (user.groups.includes("system:masters")) return { allowed: true };
  if (!user.groups.includes("system:nodes") || !user.name.startsWith(NODE_PREFIX)) return { allowed: false };
  return authorizeNode(user.name.slice(NODE_PREFIX.length), request);
}

function authorizeNode(node: string, request: ResourceRequest): Decision {
  const resource = resourceOf(request.kind);
  const { verb } = request;
  const isNamed = (object: ApiObject): boolean => object.metadata.name === node;
  if (NODE_READS.has(resource) && READ_VERBS.has(verb) && request.subresource === "")
    return { allowed: true };
  switch (resource) {
    case "nodes":
      if (["create", "update", "patch"].includes(verb) && ["", "status"].includes(request.subresource)) {
        return request.name === node || verb === "create"
          ? { allowed: true, owns: isNamed }
          : { allowed: false };
      }
      return { allowed: false };
    case "leases.coordination.k8s.io": {
      if (request.namespace !== "kube-node-lease" || verb === "deletecollection") return { allowed: false };
      if (verb === "create") return { allowed: true, owns: isNamed };
      return request.name === node ? { allowed: true } : { allowed: false };
    }
    case "pods":
      if (
        ["create", "update", "patch", "delete"].includes(verb) &&
        ["", "status"].includes(request.subresource)
      ) {
        return { allowed: true, owns: (object) => valueAt(object, ["spec", "nodeName"]) === node };
      }
      return { allowed: false };
    case "events":
    case "events.events.k8s.io":
      return ["create", "update", "patch"].includes(verb) ? { allowed: true } : { allowed: false };
    default:
      return { allowed: false };
  }
}

/** Discovery and OpenAPI for everybody with a certificate; health and version for all; metrics for masters. */
export function authorizePath(user: User, path: string): boolean {
  const isHealth = [...PUBLIC_PATHS].some((allowed) => path === allowed || path.startsWith(`${allowed}/`));
  if (isHealth || user.groups.includes("system:masters")) return true;
  return user.name !== ANONYMOUS.name && /^\/(api|apis|openapi)(\/|$)/.test(path);
}

/** 403 with upstream's sentence. */
export function forbidResource(user: User, request: ResourceRequest): ApiError {
  const { kind, verb, namespace, name, subresource } = request;
  const resource = subresource === "" ? kind.plural : `${kind.plural}/${subresource}`;
  const subject = name === "" ? `${resourceOf(kind)} is` : `${resourceOf(kind)} ${JSON.stringify(name)} is`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  const message = `${subject} forbidden: User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(kind.group)} ${where}`;
  return new ApiError(403, "Forbidden", message, {
    ...(name === "" ? {} : { name }),
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.plural,
  });
}

export function forbidPath(user: User, method: string, path: string): ApiError {
  const verb = method === "HEAD" ? "head" : method.toLowerCase();
  const message = `forbidden: User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(path)}`;
  return new ApiError(403, "Forbidden", message, {});
}
