/** Layer control-plane. Get, list with selectors and pages, and watches as events of objects. */
import type { Change, ListRequest, Watch } from "../store/store.ts";
import { CompactedError } from "../store/store.ts";
import { ApiError, badRequest, expired, notFoundError } from "./api-error.ts";
import type { ApiObject } from "./json.ts";
import { type Kind, storeKey, storePrefix } from "./kind.ts";
import type { Machinery, Target } from "./machinery.ts";
import { readObject, readSharedObject } from "./object-codec.ts";
import { parseFieldSelector, parseLabelSelector, type Selector } from "./selectors.ts";

/** How long a read waits for a revision that this server has not reached. */
const MAX_WAIT_MS = 3_000;
const SCAN_CHUNK = 1_000;

export interface Selection {
  readonly select: Selector;
  /** True: nothing is left out. */
  readonly all: boolean;
  /** Set when a field selector names the one object. */
  readonly name?: string;
}

/** @throws {ApiError} 400 for selectors that cannot be read */
export function parseSelection(
  kind: Kind,
  labels: string | undefined,
  fields: string | undefined,
): Selection {
  const byLabel = parseLabelSelector(labels ?? "");
  if (!byLabel.ok) throw badRequest(byLabel.message);
  const byField = parseFieldSelector(kind, fields ?? "");
  if (!byField.ok) throw badRequest(byField.message);
  const selection = {
    select: (object: ApiObject) => byLabel.select(object) && byField.select(object),
    all: byLabel.all && byField.all,
  };
  return byField.name === undefined ? selection : { ...selection, name: byField.name };
}

/** @throws {ApiError} 404 */
export async function getObject(machinery: Machinery, { kind, namespace, name }: Target): Promise<ApiObject> {
  const entry = await machinery.store.get(storeKey(kind, namespace, name));
  if (entry === undefined) throw notFoundError(kind, name);
  return readObject(kind, entry);
}

export interface ListObjects {
  readonly kind: Kind;
  /** "": all. */
  readonly namespace: string;
  readonly selection: Selection;
  /** 0: no limit. */
  readonly limit?: number;
  readonly continue?: string;
  /** "" or "0": as it is now. */
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: string;
}

export interface ListedObjects {
  readonly items: readonly ApiObject[];
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** @throws {ApiError} 400, 410, 504 */
export async function listObjects(machinery: Machinery, request: ListObjects): Promise<ListedObjects> {
  const { kind, namespace, selection } = request;
  const prefix = storePrefix(kind, kind.namespaced ? namespace : "");
  const limit = request.limit ?? 0;
  let { revision, after } = await startOf(machinery, request, prefix);
  const items: ApiObject[] = [];
  for (;;) {
    // In chunks also without a limit: between them others get their turn.
    const chunk = limit > 0 && selection.all ? Math.min(limit, SCAN_CHUNK) : SCAN_CHUNK;
    const page = await listPage(machinery, {
      prefix,
      limit: chunk,
      ...(after === undefined ? {} : { after }),
      ...(revision === undefined ? {} : { revision }),
    });
    revision = page.revision;
    for (const [index, entry] of page.entries.entries()) {
      after = entry.key;
      const object = readObject(kind, entry);
      if (!selection.select(object)) continue;
      items.push(object);
      const left = page.entries.length - index - 1 + page.remaining;
      if (limit > 0 && items.length === limit && left > 0) {
        const token = formatContinue(revision, entry.key.slice(prefix.length));
        const counted = selection.all ? { remainingItemCount: left } : {};
        return { items, resourceVersion: String(revision), continue: token, ...counted };
      }
    }
    if (page.remaining === 0) return { items, resourceVersion: String(revision) };
  }
}

async function listPage(machinery: Machinery, request: ListRequest): ReturnType<Machinery["store"]["list"]> {
  try {
    return await machinery.store.list(request);
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
    throw expired(
      `The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.`,
    );
  }
}

interface Start {
  revision: number | undefined;
  after: string | undefined;
}

async function startOf(machinery: Machinery, request: ListObjects, prefix: string): Promise<Start> {
  const match = request.resourceVersionMatch ?? "";
  const asked = request.resourceVersion ?? "";
  if ((request.continue ?? "") !== "") {
    if (asked !== "" && asked !== "0") {
      throw badRequest("specifying resource version is not allowed when using continue");
    }
    const token = parseContinue(request.continue ?? "");
    return { revision: token.revision, after: `${prefix}${token.key}` };
  }
  if (match !== "" && match !== "Exact" && match !== "NotOlderThan") {
    throw badRequest(
      `resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan", ""`,
    );
  }
  if (match !== "" && asked === "") {
    throw badRequest(
      "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
    );
  }
  const revision = parseRevision(asked);
  if (match === "Exact" && revision === 0) {
    throw badRequest(
      'resourceVersionMatch: Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"',
    );
  }
  await waitFor(machinery, revision);
  return { revision: match === "Exact" ? revision : undefined, after: undefined };
}

/** @throws {ApiError} 400 */
export function parseRevision(text: string): number {
  if (text === "") return 0;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(
      `resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  return Number(text);
}

/** Waits a little for a revision from the future. @throws {ApiError} 504 */
export async function waitFor(machinery: Machinery, revision: number): Promise<void> {
  const { store } = machinery;
  if (store.revision() >= revision) return;
  const reached = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => finish(false), MAX_WAIT_MS);
    const end = store.subscribe((group) => {
      if (group.revision >= revision) finish(true);
    });
    const finish = (value: boolean): void => {
      clearTimeout(timer);
      end();
      resolve(value);
    };
  });
  if (reached) return;
  const message = `Too large resource version: ${revision}, current: ${store.revision()}`;
  throw new ApiError(504, "Timeout", `Timeout: ${message}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

const formatContinue = (revision: number, key: string): string =>
  Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, start: key })).toString("base64url");

function parseContinue(token: string): { readonly revision: number; readonly key: string } {
  try {
    const read = JSON.parse(Buffer.from(token, "base64url").toString()) as { rv?: unknown; start?: unknown };
    if (typeof read.rv === "number" && typeof read.start === "string")
      return { revision: read.rv, key: read.start };
  } catch {
    // Falls through to the one message.
  }
  throw badRequest("continue key is not valid");
}

export interface ObjectEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** Shared: must not be changed. */
  readonly object: ApiObject;
  readonly revision: number;
}

export interface ObjectListener {
  events(events: readonly ObjectEvent[], revision: number): void;
  ended(reason: "compacted" | "closed"): void;
}

/** Changes strictly after `from`, as events of what the selection sees. Empty groups tell the revision alone. */
export function watchObjects(
  machinery: Machinery,
  request: { kind: Kind; namespace: string; selection: Selection; from: number },
  listener: ObjectListener,
): Watch {
  const { kind, selection } = request;
  const prefix = storePrefix(kind, kind.namespaced ? request.namespace : "");
  return machinery.store.watch(
    { prefix, from: request.from },
    {
      changes: ({ changes, revision }) => {
        const events: ObjectEvent[] = [];
        for (const change of changes) {
          const event = eventOf(kind, change, selection);
          if (event !== undefined) events.push(event);
        }
        listener.events(events, revision);
      },
      ended: (reason) => listener.ended(reason),
    },
  );
}

function eventOf(kind: Kind, change: Change, selection: Selection): ObjectEvent | undefined {
  const revision = change.entry.modRevision;
  const isNow = change.type === "put" && selection.select(readSharedObject(kind, change.entry));
  const { previous } = change;
  const was = previous !== undefined && selection.select(readSharedObject(kind, previous));
  if (isNow)
    return { type: was ? "MODIFIED" : "ADDED", object: readSharedObject(kind, change.entry), revision };
  // Gone, or no longer selected: the last state that was, under the revision of the change.
  return was ? { type: "DELETED", object: lastState(kind, change), revision } : undefined;
}

function lastState(kind: Kind, change: Change): ApiObject {
  if (change.type === "delete") return readSharedObject(kind, change.entry);
  const before = readSharedObject(kind, change.previous ?? change.entry);
  const resourceVersion = String(change.entry.modRevision);
  return { ...before, metadata: { ...before.metadata, resourceVersion } };
}
