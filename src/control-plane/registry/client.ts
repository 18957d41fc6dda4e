/**
 * Layer control-plane. What controllers and the node stream use to read and write objects: the API server's own
 * operations (defaulting, validation, allocation, optimistic concurrency) without HTTP. Resources are named as in
 * RBAC: `services`, `endpointslices.discovery.k8s.io`. Failures are thrown as {@link ApiError}.
 */
import type { ApiObject, JsonObject } from "./json.ts";

export interface ListOptions {
  /** "" or absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ObjectList {
  readonly items: readonly ApiObject[];
  /** Start a watch here. */
  readonly resourceVersion: string;
}

export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: ApiObject }
  /** Everything up to this revision has been delivered. */
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

export interface DeleteOptions {
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly gracePeriodSeconds?: number;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface ObjectClient {
  /** `undefined` when it does not exist. */
  get(resource: string, namespace: string, name: string): Promise<ApiObject | undefined>;
  list(resource: string, options?: ListOptions): Promise<ObjectList>;
  /**
   * Events strictly after `resourceVersion`. Ends when `signal` aborts.
   * @throws {ApiError} 410 Expired when that revision is compacted: list again
   */
  watch(
    resource: string,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent>;
  create(resource: string, object: ApiObject): Promise<ApiObject>;
  /** Optimistic when `metadata.resourceVersion` is set: 409 Conflict. `subresource`: "" (default), `status`, `finalize`. */
  update(resource: string, object: ApiObject, subresource?: string): Promise<ApiObject>;
  /** JSON merge patch. */
  mergePatch(
    resource: string,
    namespace: string,
    name: string,
    patch: JsonObject,
    subresource?: string,
  ): Promise<ApiObject>;
  /** @returns the object if it stays for now (finalizers, grace period), else `undefined`; 404 is thrown */
  delete(
    resource: string,
    namespace: string,
    name: string,
    options?: DeleteOptions,
  ): Promise<ApiObject | undefined>;
}
