/** Layer dns. DNS over HTTPS (RFC 8484): `/dns-query`, POST and GET, HTTP/2 and HTTP/1.1, with limits. */
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { TlsOptions } from "node:tls";
import type { Client } from "../query.ts";
import { PendingQueries } from "./pending.ts";
import { TCP_LIMITS } from "./tcp-limits.ts";
import { plainAddress } from "./tcp-listener.ts";
import type { Respond } from "./udp-listener.ts";

const PATH = "/dns-query";
const MEDIA_TYPE = "application/dns-message";
const MAX_BODY_BYTES = 65_535;
/** Connections; those of HTTP/1.1 included. */
const MAX_SESSIONS = 1_000;
const MAX_STREAMS = 100;
const IDLE_MS = 30_000;

export class HttpsListener {
  readonly #respond: Respond;
  readonly #onResponse: (status: number) => void;
  #server: Http2SecureServer | undefined;
  readonly #pending = new PendingQueries(TCP_LIMITS.maxPending, TCP_LIMITS.maxPendingPerClient);

  /** @param onResponse told the status of each response */
  constructor(respond: Respond, onResponse: (status: number) => void) {
    this.#respond = respond;
    this.#onResponse = onResponse;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** @throws the system's error when the address cannot be had */
  open(host: string, port: number, tls: TlsOptions): Promise<number> {
    const settings = { maxConcurrentStreams: MAX_STREAMS };
    const server = createSecureServer({ ...tls, allowHTTP1: true, settings }, (request, response) => {
      response.once("finish", () => this.#onResponse(response.statusCode));
      this.#serve(request, response).catch(() => response.stream?.destroy());
    });
    server.on("session", (session) => {
      session.setTimeout(IDLE_MS, () => session.close());
    });
    server.maxConnections = MAX_SESSIONS;
    server.on("sessionError", () => undefined);
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: host === "" ? "::" : host, port, exclusive: true }, () => {
        server.removeListener("error", reject);
        server.on("error", () => undefined);
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  close(): void {
    this.#server?.close();
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "https://x");
    if (url.pathname !== PATH) return end(response, 404);
    const packet = await readQuery(request, url);
    if (typeof packet === "number") return end(response, packet);
    const { socket } = request;
    const client: Client = {
      transport: "https",
      address: plainAddress(socket.remoteAddress ?? ""),
      port: socket.remotePort ?? 0,
      localAddress: plainAddress(socket.localAddress ?? ""),
      localPort: socket.localPort ?? 0,
    };
    if (!this.#pending.begin(client.address)) return end(response, 503);
    try {
      const reply = await this.#respond(packet, client);
      if (reply === undefined || "messages" in reply) return end(response, 400);
      response.writeHead(200, { "content-type": MEDIA_TYPE, "content-length": reply.length });
      response.end(reply);
    } finally {
      this.#pending.end(client.address);
    }
  }
}

function end(response: Http2ServerResponse, status: number): void {
  response.writeHead(status);
  response.end();
}

/** @returns the query, or the HTTP status that refuses the request */
async function readQuery(request: Http2ServerRequest, url: URL): Promise<Buffer | number> {
  if (request.method === "GET") {
    const text = url.searchParams.get("dns");
    return text === null || text.length > MAX_BODY_BYTES * 2 ? 400 : Buffer.from(text, "base64url");
  }
  if (request.method !== "POST") return 405;
  if (request.headers["content-type"] !== MEDIA_TYPE) return 415;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return 413;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
