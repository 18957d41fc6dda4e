/**
 * Layer control-plane. Watches over HTTP: one JSON object a line. Each event is encoded once and shared by all watchers
 * of the same form. A client that does not read is cut off when too much is waiting for it; it lists again.
 */
import { type ApiError, expired, invalidObject } from "../registry/api-error.ts";
import { type FieldError, forbidden } from "../registry/field-error.ts";
import type { ApiObject, JsonObject } from "../registry/json.ts";
import { apiVersionOf, type Kind } from "../registry/kind.ts";
import {
  listObjects,
  type ObjectEvent,
  parseRevision,
  type Selection,
  waitFor,
  watchObjects,
} from "../registry/read-objects.ts";
import { type Exchange, includeObject, integer, offerOf, selectionOf } from "./exchange.ts";
import type { Offer } from "./negotiate.ts";
import { isTrue } from "./request.ts";
import { makeTable, metadataOf } from "./table.ts";

const BOOKMARK_MS = 60_000;
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;
const DEFAULT_SECONDS = 1_800;
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

interface Wanted {
  /** The current state first. */
  readonly initial: boolean;
  /** A bookmark that marks its end. */
  readonly marked: boolean;
  readonly bookmarks: boolean;
  /** 0: from now. */
  readonly from: number;
  readonly timeoutMs: number;
}

/** Resolves when the watch has ended. @throws {ApiError} before the stream begins: 400, 406, 422, 504 */
export async function handleWatch(exchange: Exchange, stopped: AbortSignal): Promise<void> {
  const { machinery, request, incoming } = exchange;
  const wanted = wantedOf(exchange);
  const offer = offerOf(incoming);
  const selection = selectionOf(request);
  const { kind, namespace } = request;
  await waitFor(machinery, wanted.from);
  const output = new WatchOutput(exchange, offer);
  let from = wanted.from;
  if (wanted.initial) {
    const listed = await listObjects(machinery, { kind, namespace, selection });
    from = Number(listed.resourceVersion);
    output.begin();
    for (const object of listed.items) output.object("ADDED", object, false);
    if (wanted.marked) output.bookmark(from, true);
  } else output.begin();

  await stream(exchange, { wanted, output, selection, from, stopped });
}

interface Streaming {
  readonly wanted: Wanted;
  readonly output: WatchOutput;
  readonly selection: Selection;
  readonly from: number;
  readonly stopped: AbortSignal;
}

/** Resolves when time is up, the client is gone or too slow, the store has forgotten, or the server stops. */
async function stream({ machinery, request, reply }: Exchange, streaming: Streaming): Promise<void> {
  const { wanted, output, selection, from, stopped } = streaming;
  const { kind, namespace } = request;
  await new Promise<void>((resolve) => {
    let revision = from;
    const finish = (): void => {
      watch.cancel();
      clearTimeout(timeout);
      clearInterval(bookmarks);
      stopped.removeEventListener("abort", end);
      reply.raw.end();
      resolve();
    };
    const bookmark = (): void => {
      if (wanted.bookmarks) output.bookmark(revision, false);
    };
    const end = (): void => {
      bookmark();
      finish();
    };
    const events = (list: readonly ObjectEvent[], reached: number): void => {
      revision = reached;
      for (const { type, object } of list) output.object(type, object, true);
      if (reply.raw.writableLength <= MAX_UNREAD_BYTES) return;
      reply.raw.destroy();
      finish();
    };
    const ended = (reason: "compacted" | "closed"): void => {
      const oldest = machinery.store.compactRevision();
      if (reason === "compacted") output.error(expired(`too old resource version: ${from} (${oldest})`));
      finish();
    };
    const watch = watchObjects(machinery, { kind, namespace, selection, from }, { events, ended });
    const timeout = setTimeout(end, wanted.timeoutMs);
    const bookmarks = setInterval(bookmark, BOOKMARK_MS);
    stopped.addEventListener("abort", end, { once: true });
    reply.raw.once("close", finish);
    if (stopped.aborted) end();
    else if (reply.raw.destroyed) finish();
  });
}

function wantedOf({ request }: Exchange): Wanted {
  const { query, kind } = request;
  const revision = parseRevision(query.get("resourceVersion") ?? "");
  const match = query.get("resourceVersionMatch") ?? "";
  const marked = isTrue(query.get("sendInitialEvents"));
  const sends = query.get("sendInitialEvents");
  const errors: FieldError[] = [];
  if (sends !== null && match !== "NotOlderThan") {
    errors.push(
      forbidden(
        "resourceVersionMatch",
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
      ),
    );
  }
  if (sends === null && match !== "") {
    errors.push(
      forbidden(
        "resourceVersionMatch",
        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
      ),
    );
  }
  if (errors.length > 0) {
    throw invalidObject(
      { group: "meta.k8s.io", plural: "listoptions", kind: "ListOptions" },
      kind.plural,
      errors,
    );
  }
  const seconds = integer(query, "timeoutSeconds") || DEFAULT_SECONDS * (1 + Math.random());
  const fromNow = revision === 0;
  return {
    initial: marked || (fromNow && sends === null),
    marked,
    bookmarks: isTrue(query.get("allowWatchBookmarks")),
    from: revision,
    timeoutMs: Math.min(seconds * 1000, 2 ** 31 - 1),
  };
}

/** JSON of shared event objects: as long as the object is held, its text is. */
const encoded = new WeakMap<ApiObject, string>();

class WatchOutput {
  readonly #exchange: Exchange;
  readonly #offer: Offer;
  readonly #kind: Kind;
  #rows = 0;

  constructor(exchange: Exchange, offer: Offer) {
    this.#exchange = exchange;
    this.#offer = offer;
    this.#kind = exchange.request.kind;
  }

  begin(): void {
    const { reply } = this.#exchange;
    reply.head(200, "application/json");
    reply.raw.flushHeaders();
  }

  object(type: string, object: ApiObject, isShared: boolean): void {
    this.#line(type, this.#encode(object, isShared));
  }

  bookmark(revision: number, endsInitial: boolean): void {
    const metadata: JsonObject = { resourceVersion: String(revision), creationTimestamp: null };
    if (endsInitial) metadata["annotations"] = { [INITIAL_EVENTS_END]: "true" };
    const object = { kind: this.#kind.kind, apiVersion: apiVersionOf(this.#kind), metadata };
    const shown =
      this.#offer.as === "table"
        ? { kind: "Table", apiVersion: this.#offer.metaVersion, metadata, columnDefinitions: [], rows: [] }
        : this.#offer.as === "metadata"
          ? metadataOf(object as ApiObject, this.#offer.metaVersion)
          : object;
    this.#line("BOOKMARK", JSON.stringify(shown));
  }

  error(error: ApiError): void {
    this.#line("ERROR", JSON.stringify(error.toStatus()));
  }

  #line(type: string, json: string): void {
    const { raw } = this.#exchange.reply;
    if (!raw.destroyed && !raw.writableEnded) raw.write(`{"type":"${type}","object":${json}}\n`);
  }

  #encode(object: ApiObject, isShared: boolean): string {
    if (this.#offer.as === "metadata") return JSON.stringify(metadataOf(object, this.#offer.metaVersion));
    if (this.#offer.as === "table") return JSON.stringify(this.#row(object));
    const known = encoded.get(object);
    if (known !== undefined) return known;
    const text = JSON.stringify(object);
    if (isShared) encoded.set(object, text);
    return text;
  }

  #row(object: ApiObject): JsonObject {
    this.#rows += 1;
    const { machinery, request } = this.#exchange;
    return makeTable(
      this.#kind,
      [object],
      { resourceVersion: object.metadata.resourceVersion },
      {
        metaVersion: this.#offer.metaVersion,
        includeObject: includeObject(request.query),
        nowMs: machinery.nowMs(),
        columns: this.#rows === 1,
      },
    );
  }
}
