/**
 * Layer control-plane. The HTTPS server: who is asking, what for, whether they may, and to which handler it goes.
 * Everything is bounded: headers, bodies, requests at a time, watches, time to send a request.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { NodeplaneError } from "../../model/errors.ts";
import { ApiError } from "../registry/api-error.ts";
import type { Machinery } from "../registry/machinery.ts";
import { authorizePath, authorizeResource, forbidPath, forbidResource } from "./authorize.ts";
import { discover } from "./discovery.ts";
import { methodNotAllowed } from "./exchange.ts";
import { type HealthChecks, reportHealth, SERVER_VERSION } from "./health.ts";
import type { ApiMetrics, RequestLabels } from "./metrics.ts";
import { negotiate } from "./negotiate.ts";
import type { OpenApi } from "./openapi.ts";
import { Reply } from "./reply.ts";
import { parsePath, type ResourceRequest } from "./request.ts";
import { handleResource } from "./resource-handler.ts";
import { authenticate, type User } from "./user.ts";
import { handleWatch } from "./watch-handler.ts";

const MAX_INFLIGHT = 400;
const MAX_WATCHES = 20_000;
const MAX_HEADER_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** After an answer to a body that was not read: time for the client to read the answer before the connection is cut. */
const LINGER_MS = 500;

export interface ServerOptions {
  readonly machinery: Machinery;
  readonly openApi: OpenApi;
  readonly metrics: ApiMetrics;
  readonly checks: HealthChecks;
  /** Called for failures that are no answer to a client's mistake. */
  readonly onError: (error: unknown, path: string) => void;
  /** PEM: the serving certificate with its key, and the authority of client certificates. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
}

export class ApiServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #stopping = new AbortController();
  #inflight = 0;
  #watches = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        ...options.tls,
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: "TLSv1.2",
        maxHeaderSize: MAX_HEADER_BYTES,
        requestTimeout: REQUEST_TIMEOUT_MS,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        keepAliveTimeout: 120_000,
      },
      (incoming, outgoing) => void this.#serve(incoming, outgoing),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("tlsClientError", (_, socket) => socket.destroy());
    this.#server.on("clientError", (_, socket: Socket) => socket.destroy());
  }

  /** @returns where it listens. @throws {NodeplaneError} CONFIG_INVALID when the address cannot be had */
  async listen(port: number, host: string): Promise<AddressInfo> {
    return await new Promise((resolve, reject) => {
      this.#server.once("error", (error) => {
        const detail = `cannot listen on ${host} port ${port}: ${error.message}`;
        reject(new NodeplaneError("CONFIG_INVALID", { detail }, error));
      });
      this.#server.listen(port, host, () => {
        this.#server.removeAllListeners("error");
        resolve(this.#server.address() as AddressInfo);
      });
    });
  }

  /** New certificates for connections from now on. */
  setTls(tls: ServerOptions["tls"]): void {
    this.#server.setSecureContext({ ...tls, minVersion: "TLSv1.2" });
  }

  /** Ends watches politely, lets running requests finish, then closes. */
  async close(graceMs = 2_000): Promise<void> {
    this.#stopping.abort();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const startedMs = performance.now();
    const reply = new Reply(outgoing, () => negotiate(incoming.headers.accept)?.format ?? "json");
    let labels = pathLabels(incoming.method ?? "");
    outgoing.setHeader("Audit-Id", randomUUID());
    outgoing.on("error", () => outgoing.destroy());
    try {
      const { pathname, searchParams } = new URL(incoming.url ?? "/", "https://localhost");
      const user = authenticate(incoming.socket as TLSSocket);
      if (user === undefined) throw new ApiError(401, "Unauthorized", "Unauthorized");
      const parsed = parsePath(
        this.#options.machinery.registry,
        incoming.method ?? "",
        pathname,
        searchParams,
      );
      if (parsed.type === "resource") {
        labels = labelsOf(parsed.request);
        await this.#resource({ user, request: parsed.request, incoming, reply, labels });
      } else if (!authorizePath(user, pathname)) throw forbidPath(user, incoming.method ?? "", pathname);
      else if (parsed.type === "unknown") throw unknownPath();
      else if (parsed.type === "unserved") throw new ApiError(405, "MethodNotAllowed", parsed.why);
      else if (parsed.type === "method") throw methodNotAllowed();
      else await this.#other(parsed.path, searchParams, incoming, reply);
    } catch (error) {
      const isOwn = error instanceof ApiError || isUrlError(error);
      // What was not read of the body would be taken for the next request: this connection ends with the answer.
      if (!incoming.complete && !outgoing.headersSent) {
        outgoing.setHeader("Connection", "close");
        outgoing.once("finish", () => setTimeout(() => incoming.destroy(), LINGER_MS).unref());
      }
      reply.fail(isUrlError(error) ? unknownPath() : error);
      if (!isOwn) this.#options.onError(error, incoming.url ?? "");
    }
    this.#options.metrics.done(labels, outgoing.statusCode, (performance.now() - startedMs) / 1000);
  }

  async #resource({ user, request, incoming, reply, labels }: Resource): Promise<void> {
    const decision = authorizeResource(user, request);
    if (!decision.allowed) throw forbidResource(user, request);
    const { machinery, metrics } = this.#options;
    const exchange = { machinery, request, incoming, reply, owns: decision.owns };
    if (request.verb === "watch") {
      if (this.#watches >= MAX_WATCHES) throw this.#tooMany();
      this.#watches += 1;
      metrics.longRunning(labels, 1);
      try {
        await handleWatch(exchange, this.#stopping.signal);
      } finally {
        this.#watches -= 1;
        metrics.longRunning(labels, -1);
      }
      return;
    }
    if (this.#inflight >= MAX_INFLIGHT) throw this.#tooMany();
    const isMutating = request.verb !== "get" && request.verb !== "list";
    this.#inflight += 1;
    metrics.inflight(isMutating, 1);
    try {
      await handleResource(exchange);
    } finally {
      this.#inflight -= 1;
      metrics.inflight(isMutating, -1);
    }
  }

  async #other(path: string, query: URLSearchParams, incoming: IncomingMessage, reply: Reply): Promise<void> {
    const { machinery, metrics, checks, openApi } = this.#options;
    if (incoming.method !== "GET" && incoming.method !== "HEAD") throw methodNotAllowed();
    if (path === "/version") return reply.send(200, SERVER_VERSION);
    if (path === "/metrics") {
      return reply.text(200, await metrics.registry.metrics(), metrics.registry.contentType);
    }
    if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) {
      const report = reportHealth(checks, path, query);
      if (report === undefined) throw unknownPath();
      return reply.text(report.code, report.text);
    }
    if (path === "/") {
      const paths = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
      ];
      return reply.send(200, { paths });
    }
    if (path.startsWith("/openapi/")) {
      const document = openApi.find(path, query.get("hash") ?? "", incoming.headers.accept);
      if (document === undefined) throw unknownPath();
      for (const [name, value] of Object.entries(document.headers)) reply.raw.setHeader(name, value);
      return reply.text(200, document.body, document.contentType);
    }
    const discovered = discover(machinery.registry, path, incoming.headers.accept);
    if (discovered === undefined) throw unknownPath();
    reply.raw.setHeader("Vary", "Accept");
    reply.text(200, JSON.stringify(discovered.value), discovered.contentType);
  }

  #tooMany(): ApiError {
    this.#options.metrics.rejected();
    const message = "Too many requests, please try again later.";
    return new ApiError(429, "TooManyRequests", message, { retryAfterSeconds: 1 });
  }
}

interface Resource {
  readonly user: User;
  readonly request: ResourceRequest;
  readonly incoming: IncomingMessage;
  readonly reply: Reply;
  readonly labels: RequestLabels;
}

const unknownPath = (): ApiError =>
  new ApiError(404, "NotFound", "the server could not find the requested resource", {});

const isUrlError = (error: unknown): boolean =>
  error instanceof TypeError && (error as { code?: unknown }).code === "ERR_INVALID_URL";

function labelsOf({ kind, verb, namespace, name, subresource }: ResourceRequest): RequestLabels {
  const verbs: Readonly<Record<string, string>> = {
    create: "POST",
    update: "PUT",
    deletecollection: "DELETECOLLECTION",
  };
  const scope = name !== "" ? "resource" : namespace !== "" ? "namespace" : "cluster";
  const { group, version, plural: resource } = kind;
  return { verb: verbs[verb] ?? verb.toUpperCase(), group, version, resource, subresource, scope };
}

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

function pathLabels(method: string): RequestLabels {
  const verb = METHODS.has(method) ? method : "other";
  return { verb, group: "", version: "", resource: "", subresource: "", scope: "" };
}
