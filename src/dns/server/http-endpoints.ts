/** Layer dns. HTTP listeners of health, ready and metrics: opened once an address, their pages replaced at a reload. */
import { createServer, type Server } from "node:http";
import { NodeplaneError } from "../../model/errors.ts";
import type { HttpHandler } from "../plugin.ts";

/** Pages by path, by `host:port`. */
export type HttpPages = ReadonlyMap<string, ReadonlyMap<string, HttpHandler>>;

const MAX_CONNECTIONS = 200;
const TIMEOUT_MS = 10_000;

export class HttpEndpoints {
  readonly #servers = new Map<string, Server>();
  #pages: HttpPages = new Map();

  /**
   * Opens what is new. Nothing is replaced or closed before {@link use}, so that a failure changes nothing.
   * @throws {NodeplaneError} CONFIG_INVALID naming the address
   */
  async open(pages: HttpPages): Promise<void> {
    const opened: string[] = [];
    try {
      for (const key of pages.keys()) {
        if (this.#servers.has(key)) continue;
        this.#servers.set(key, await this.#listen(key));
        opened.push(key);
      }
    } catch (error) {
      for (const key of opened) this.#close(key);
      const detail = error instanceof Error ? error.message : String(error);
      throw new NodeplaneError("CONFIG_INVALID", { detail: `cannot serve pages: ${detail}` }, error);
    }
  }

  /** Serves these pages and closes addresses that have none any more. */
  use(pages: HttpPages): void {
    this.#pages = pages;
    for (const key of [...this.#servers.keys()]) if (!pages.has(key)) this.#close(key);
  }

  /** Port of an address as configured, for addresses with port 0. */
  port(key: string): number | undefined {
    const address = this.#servers.get(key)?.address();
    return typeof address === "object" && address !== null ? address.port : undefined;
  }

  close(): void {
    for (const key of [...this.#servers.keys()]) this.#close(key);
  }

  #close(key: string): void {
    const server = this.#servers.get(key);
    this.#servers.delete(key);
    server?.close();
    server?.closeAllConnections();
  }

  #listen(key: string): Promise<Server> {
    const at = key.lastIndexOf(":");
    const host = key.slice(0, at);
    const server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://x").pathname;
      const page = this.#pages.get(key)?.get(path);
      if (page === undefined || (request.method !== "GET" && request.method !== "HEAD")) {
        response.writeHead(page === undefined ? 404 : 405).end();
        return;
      }
      void Promise.resolve()
        .then(page)
        .then(
          ({ status, body, contentType }) => {
            response.writeHead(status, { "content-type": contentType ?? "text/plain; charset=utf-8" });
            response.end(request.method === "HEAD" ? "" : body);
          },
          () => response.writeHead(500).end(),
        );
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.headersTimeout = TIMEOUT_MS;
    server.requestTimeout = TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port: Number(key.slice(at + 1)), ...(host === "" ? {} : { host }) }, () => {
        server.removeListener("error", reject);
        server.on("error", () => undefined);
        resolve(server);
      });
    });
  }
}
