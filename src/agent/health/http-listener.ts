/**
 * Layer agent. A small HTTP server for health and metrics: GET and HEAD alone, no bodies read, bounded times and headers,
 * bound to one address (or a unix socket), tried again every few seconds while the address is taken.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo, ListenOptions } from "node:net";
import { NodeplaneError } from "../../model/errors.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";

const RETRY_MS = 5000;

export interface HttpReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpListenerOptions {
  /** For logs: "health", "metrics". */
  readonly name: string;
  readonly listen: ListenOptions;
  /** `url` is the path with its query; called once a request. */
  readonly handle: (url: URL) => HttpReply | Promise<HttpReply>;
  /** True: a failed bind rejects {@link HttpListener.open}; false: it is logged and tried again. */
  readonly hardFail: boolean;
  readonly log: Logger;
  readonly clock: Clock;
  /** Told about each failed bind. */
  readonly onBindFailure?: (message: string) => void;
}

/** One listening socket. */
export class HttpListener {
  readonly #options: HttpListenerOptions;
  readonly #server: Server;
  #cancelRetry: () => void = () => undefined;
  #closed = false;
  #lastFailure = "";

  constructor(options: HttpListenerOptions) {
    this.#options = options;
    this.#server = createServer(
      { headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 5000, maxHeaderSize: 8192 },
      (request, response) => {
        if (request.method !== "GET" && request.method !== "HEAD") {
          response.writeHead(405, { Allow: "GET, HEAD", Connection: "close" }).end();
          return;
        }
        void this.#reply(request.url ?? "/").then((reply) => {
          response.writeHead(reply.status, {
            "Content-Type": reply.contentType,
            "Content-Length": Buffer.byteLength(reply.body),
            "X-Content-Type-Options": "nosniff",
            ...reply.headers,
          });
          response.end(request.method === "HEAD" ? undefined : reply.body);
        });
      },
    );
    this.#server.maxConnections = 256;
  }

  /** The port in use, once open. */
  get port(): number {
    const address: AddressInfo | string | null = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Starts to listen. Resolves when it listens, or, without `hardFail`, after the first failed attempt. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        this.#server.off("listening", listening);
        const { hardFail, log, name, onBindFailure } = this.#options;
        onBindFailure?.(error.message);
        if (hardFail) {
          const { message: detail } = error;
          reject(new NodeplaneError("COMMAND_FAILED", { operation: "listen", object: name, detail }, error));
          return;
        }
        if (error.message !== this.#lastFailure) {
          log.warn({ listener: name, error: error.message }, "cannot listen; trying again");
        }
        this.#lastFailure = error.message;
        this.#cancelRetry = this.#options.clock.after(RETRY_MS, () => void this.open());
        resolve();
      };
      const listening = (): void => {
        this.#server.off("error", failed);
        this.#server.on("error", (error) =>
          this.#options.log.error({ error: error.message }, "http server failed"),
        );
        resolve();
      };
      if (this.#closed) {
        resolve();
        return;
      }
      this.#server.once("error", failed);
      this.#server.once("listening", listening);
      this.#server.listen(this.#options.listen);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #reply(target: string): Promise<HttpReply> {
    try {
      const url = URL.parse(target, "http://localhost");
      if (url === null) return { status: 400, contentType: "text/plain", body: "bad request\n" };
      return await this.#options.handle(url);
    } catch (error) {
      this.#options.log.error({ listener: this.#options.name, error: String(error) }, "request failed");
      return { status: 500, contentType: "text/plain", body: "internal error\n" };
    }
  }
}

export const NOT_FOUND: HttpReply = { status: 404, contentType: "text/plain", body: "not found\n" };
