/**
 * Layer control-plane. What one kind of API object is: the one registry entry type. Handlers, discovery, OpenAPI,
 * tables, patches and watches are derived from it and name no kind. See README.md for an example.
 *
 * All hooks are plain functions over JSON objects; those that say "in place" change the object they are given
 * (it is a private copy). No hook does I/O of its own; `allocate` and `release` reach the store through a context.
 */
import type { FieldError } from "./field-error.ts";
import type { ApiObject, Json, JsonObject } from "./json.ts";
import type { Message } from "./schema.ts";

/** What the cluster was configured to be; the same for all hooks. */
export interface ClusterSettings {
  readonly clusterDomain: string;
  /** One or two, one a family; the first is the default family. */
  readonly serviceCidrs: readonly string[];
  readonly podCidrs: readonly string[];
  readonly nodePortRange: { readonly from: number; readonly to: number };
  /** Where this API server is reached: address and port of `default/kubernetes`. */
  readonly apiAddresses: readonly string[];
  readonly apiPort: number;
}

export interface KindContext {
  readonly settings: ClusterSettings;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly dryRun: boolean;
}

/**
 * Reads and writes of further store keys inside the transaction that writes the object. Everything read is compared
 * when the transaction commits; when something changed meanwhile, the whole request is run again from the start,
 * hooks included. So nothing has to be reverted, and a dry run simply does not commit.
 */
export interface WriteContext extends KindContext {
  /** Keys of allocators begin with `/allocation/<allocator>/`. */
  read(key: string): Promise<string | undefined>;
  /** Keys (not values) under a prefix, in order. Not compared at commit: read() what a decision hangs on. */
  keys(prefix: string): Promise<readonly string[]>;
  put(key: string, value: string): void;
  remove(key: string): void;
}

export type Cell = string | number | boolean | null;

export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  /** Only `name` for the first column. */
  readonly format?: string;
  readonly description: string;
  /** 0 (default) is always shown, 1 with `-o wide`. */
  readonly priority?: number;
  /** Text as kubectl shows it. `NAME` and `AGE` are in columns.ts. */
  readonly cell: (object: ApiObject, context: { readonly nowMs: number }) => Cell;
}

/** A subresource that reads and writes the object itself (`status`, `finalize`): GET, PUT, PATCH. */
export interface ObjectSubresource {
  readonly type: "object";
  /**
   * Limits the write, in place: what is not this subresource's is taken back from `old`.
   * For `status` it may be left out: everything but `status` and `metadata` is then taken from `old`.
   */
  readonly prepare?: (object: ApiObject, old: ApiObject, context: KindContext) => void;
  readonly validate?: (object: ApiObject, old: ApiObject, context: KindContext) => readonly FieldError[];
}

/** autoscaling/v1 Scale over three fields of the object: GET, PUT, PATCH. */
export interface ScaleSubresource {
  readonly type: "scale";
  readonly specReplicasPath: readonly string[];
  readonly statusReplicasPath: readonly string[];
  /** The label selector as text, for `status.selector`. */
  readonly selector: (object: ApiObject) => string;
}

/** A subresource that takes a POSTed message and answers with one (`binding`, `eviction`). */
export interface ActionSubresource {
  readonly type: "action";
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly request: Message;
  /** Changes the object in place, or asks for its deletion; the answer is what the client gets (a Status Success if absent). */
  readonly run: (object: ApiObject, body: JsonObject, context: KindContext) => ActionResult;
}

export type ActionResult =
  | { readonly result: "update"; readonly reply?: JsonObject }
  | { readonly result: "delete"; readonly gracePeriodSeconds?: number; readonly reply?: JsonObject }
  | { readonly result: "refuse"; readonly errors: readonly FieldError[] };

export type Subresource = ObjectSubresource | ScaleSubresource | ActionSubresource;

export interface Kind {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly namespaced: boolean;
  /** Fields of the whole object, `metadata` included (use `META` of meta-schema.ts); apiVersion and kind are implied. */
  readonly schema: Message;
  /** Verbs served; default: create delete deletecollection get list patch update watch. */
  readonly verbs?: readonly string[];

  /** Says what is wrong with a name (or, with `prefix`, a generateName); default: DNS subdomain. See names.ts. */
  readonly validateName?: (name: string, prefix: boolean) => readonly string[];
  /** Fills defaults, in place. Run on everything that is decoded from a client, before validation. */
  readonly setDefaults?: (object: ApiObject, context: KindContext, old: ApiObject | undefined) => void;
  /** In place, after metadata is set: clear status, set server-owned fields. Default: `status` is removed when there is a status subresource. */
  readonly prepareForCreate?: (object: ApiObject, context: KindContext) => void;
  /** In place: take server-owned fields back from `old`. `status` is taken back already when there is a status subresource. */
  readonly prepareForUpdate?: (object: ApiObject, old: ApiObject, context: KindContext) => void;
  /** Checks a whole object; metadata is checked by the machinery. Run on create and on update. */
  readonly validate?: (object: ApiObject, context: KindContext) => readonly FieldError[];
  /** Further checks against the stored object. */
  readonly validateUpdate?: (
    object: ApiObject,
    old: ApiObject,
    context: KindContext,
  ) => readonly FieldError[];
  /** Texts for `Warning:` headers. */
  readonly warnings?: (object: ApiObject, old: ApiObject | undefined) => readonly string[];

  /** Takes what the object needs (addresses, ports) inside the write; sets it in the object, in place. `old` absent: create. */
  readonly allocate?: (
    object: ApiObject,
    old: ApiObject | undefined,
    context: WriteContext,
  ) => Promise<readonly FieldError[]>;
  /** Gives everything back inside the transaction that removes the object. */
  readonly release?: (object: ApiObject, context: WriteContext) => Promise<void>;

  /** `metadata.generation`: 1 at creation, +1 when anything but metadata and status changes. Default false. */
  readonly generation?: boolean;
  /** PUT of a name that does not exist creates it. Default false. */
  readonly allowCreateOnUpdate?: boolean;
  /** PUT without resourceVersion overwrites. Default true. */
  readonly allowUnconditionalUpdate?: boolean;

  /** Why the object must not be deleted: becomes 403. */
  readonly refuseDelete?: (object: ApiObject) => string | undefined;
  /** Seconds that a delete is to wait for somebody to confirm it with gracePeriodSeconds 0; `undefined` or 0: at once. */
  readonly gracePeriodSeconds?: (object: ApiObject, asked: number | undefined) => number | undefined;
  /** In place, when deletionTimestamp has been set (a Namespace's phase Terminating). */
  readonly markDeleting?: (object: ApiObject) => void;
  /** True while something beside metadata.finalizers keeps a deleted object (a Namespace's spec.finalizers). */
  readonly keepsDeleted?: (object: ApiObject) => boolean;

  readonly subresources?: Readonly<Record<string, Subresource>>;
  /** Subresources that clients know and this server does not have: what to tell who asks, by name. */
  readonly unserved?: Readonly<Record<string, string>>;
  /** Default: Name and Age. */
  readonly columns?: readonly Column[];
  /** Field labels beside metadata.name and metadata.namespace. */
  readonly fieldSelectors?: Readonly<Record<string, (object: ApiObject) => string>>;

  /** Kept out of the change log: many writes, no history wanted (Lease, Event). A watch may start at recent revisions only. */
  readonly ephemeral?: boolean;
  /** Removed by the store this long after its last write (Event: 3600). */
  readonly ttlSeconds?: number;
  /** Objects of this kind are the namespaces of the others: their existence and `deletionTimestamp` are checked on create. */
  readonly isNamespace?: boolean;
  /** Served from another kind's storage under a different shape (events.k8s.io/v1 Event over core/v1). */
  readonly storedAs?: {
    readonly group: string;
    readonly plural: string;
    readonly toStored: (object: ApiObject) => ApiObject;
    readonly fromStored: (object: ApiObject) => ApiObject;
  };
}

/** `v1`, `discovery.k8s.io/v1`. */
export function apiVersionOf(kind: { readonly group: string; readonly version: string }): string {
  return kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
}

/** `services`, `endpointslices.discovery.k8s.io`: how messages, clients of this process and RBAC name a resource. */
export function resourceOf(kind: { readonly group: string; readonly plural: string }): string {
  return kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
}

/** Store prefix of all objects of a kind, with the trailing slash. */
export function storePrefix(kind: Kind, namespace = ""): string {
  const { group, plural } = kind.storedAs ?? kind;
  return `/objects/${group === "" ? "core" : group}/${plural}/${namespace === "" ? "" : `${namespace}/`}`;
}

/** Store key of one object. */
export function storeKey(kind: Kind, namespace: string, name: string): string {
  return `${storePrefix(kind, kind.namespaced ? namespace : "")}${name}`;
}

/** A constant value of a `path`, for field selectors and columns; "" when absent. */
export function textAt(value: Json | undefined): string {
  return value === undefined || value === null
    ? ""
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value);
}
