/**
 * Layer dns. DNS over TCP, and over TLS: many queries on one connection, answered as they are done (RFC 7766), with limits
 * on connections, on queries in work, on time and on what waits to be sent.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { Client, Transport } from "../query.ts";
import { PendingQueries } from "./pending.ts";
import type { Reply } from "./responder.ts";
import { TCP_LIMITS, type TcpLimits } from "./tcp-limits.ts";
import type { Respond } from "./udp-listener.ts";

export class TcpListener {
  readonly #respond: Respond;
  readonly #limits: TcpLimits;
  readonly #connections = new Set<TcpConnection>();
  readonly #perClient = new Map<string, number>();
  readonly #pending: PendingQueries;
  #server: Server | undefined;

  constructor(respond: Respond, limits: TcpLimits = TCP_LIMITS) {
    this.#respond = respond;
    this.#limits = limits;
    this.#pending = new PendingQueries(limits.maxPending, limits.maxPendingPerClient);
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** @throws the system's error when the address cannot be had */
  async open(host: string, port: number, tls?: TlsOptions): Promise<number> {
    const transport: Transport = tls === undefined ? "tcp" : "tls";
    const accept = (socket: Socket): void => this.#accept(socket, transport);
    const server =
      tls === undefined
        ? createServer({ noDelay: true, allowHalfOpen: true }, accept)
        : createTlsServer({ ...tls, allowHalfOpen: true }, accept);
    server.on("tlsClientError", (_error, socket: Socket) => socket.destroy());
    this.#server = server;
    try {
      return await listening(server, host === "" ? "::" : host, port);
    } catch (error) {
      // A machine without IPv6 has no "::".
      if (host !== "" || (error as NodeJS.ErrnoException).code !== "EAFNOSUPPORT") throw error;
      return listening(server, "0.0.0.0", port);
    }
  }

  /** No new connections; those that are idle end, the others after their answers. */
  stopAccepting(): void {
    this.#server?.close();
    for (const connection of this.#connections) connection.finish();
  }

  close(): void {
    this.#server?.close();
    for (const connection of this.#connections) connection.destroy();
  }

  #accept(socket: Socket, transport: Transport): void {
    const address = plainAddress(socket.remoteAddress ?? "");
    const open = this.#perClient.get(address) ?? 0;
    if (
      this.#connections.size >= this.#limits.maxConnections ||
      open >= this.#limits.maxConnectionsPerClient
    ) {
      socket.destroy();
      return;
    }
    this.#perClient.set(address, open + 1);
    const client: Client = {
      transport,
      address,
      port: socket.remotePort ?? 0,
      localAddress: plainAddress(socket.localAddress ?? ""),
      localPort: socket.localPort ?? 0,
      idleTimeoutMs: this.#limits.idleTimeoutMs,
    };
    const connection = new TcpConnection(socket, client, {
      respond: this.#respond,
      limits: this.#limits,
      all: this.#pending,
    });
    this.#connections.add(connection);
    socket.once("close", () => {
      this.#connections.delete(connection);
      const rest = (this.#perClient.get(address) ?? 1) - 1;
      if (rest === 0) this.#perClient.delete(address);
      else this.#perClient.set(address, rest);
    });
  }
}

class TcpConnection {
  readonly #socket: Socket;
  readonly #client: Client;
  readonly #respond: Respond;
  readonly #limits: TcpLimits;
  /** Of all connections. */
  readonly #all: PendingQueries;
  #buffer: Buffer = Buffer.alloc(0);
  #timer: NodeJS.Timeout | undefined;
  #pending = 0;
  #queries = 0;
  /** What {@link #timer} runs for. */
  #waitsFor = "";
  #isFinishing = false;
  /** The client sends no more. */
  #hasEnded = false;

  constructor(
    socket: Socket,
    client: Client,
    shared: { readonly respond: Respond; readonly limits: TcpLimits; readonly all: PendingQueries },
  ) {
    this.#socket = socket;
    this.#client = client;
    this.#respond = shared.respond;
    this.#limits = shared.limits;
    this.#all = shared.all;
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#work();
    });
    // A client may close its side and still wait for the answers.
    socket.on("end", () => {
      this.#hasEnded = true;
      if (this.#pending === 0) socket.end();
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => clearTimeout(this.#timer));
    socket.on("drain", () => this.#work());
    this.#arm();
  }

  finish(): void {
    this.#isFinishing = true;
    if (this.#pending === 0) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Takes whole queries out of the buffer while there is room for them. */
  #work(): void {
    while (!this.#isFinishing && !this.#socket.destroyed) {
      if (this.#pending >= this.#limits.maxPipelined || this.#socket.writableNeedDrain) {
        this.#socket.pause();
        this.#arm();
        return;
      }
      if (this.#buffer.length < 2) break;
      const length = this.#buffer.readUInt16BE(0);
      if (this.#buffer.length < 2 + length) break;
      const packet = this.#buffer.subarray(2, 2 + length);
      this.#buffer = this.#buffer.subarray(2 + length);
      this.#handle(packet);
    }
    if (this.#socket.isPaused() && !this.#isFinishing) this.#socket.resume();
    this.#arm();
  }

  #handle(packet: Buffer): void {
    this.#queries++;
    if (this.#limits.maxQueries > 0 && this.#queries >= this.#limits.maxQueries) this.#isFinishing = true;
    const reply = this.#respond(packet, this.#client);
    if (!(reply instanceof Promise)) {
      // What deserves no reply over UDP deserves no connection over TCP.
      if (reply === undefined) this.#socket.destroy();
      else this.#sendAll(reply);
      if (this.#isFinishing && this.#pending === 0) this.#socket.end();
      return;
    }
    const { address } = this.#client;
    if (!this.#all.begin(address)) {
      this.#socket.destroy();
      return;
    }
    this.#pending++;
    void reply
      .finally(() => this.#all.end(address))
      .then(
        (bytes) => this.#finished(bytes),
        () => this.#socket.destroy(),
      );
  }

  #finished(bytes: Reply): void {
    this.#pending--;
    if (this.#socket.destroyed) return;
    if (bytes !== undefined) this.#sendAll(bytes);
    if (!this.#isFinishing) this.#work();
    if ((this.#isFinishing || this.#hasEnded) && this.#pending === 0) this.#socket.end();
  }

  #sendAll(reply: NonNullable<Reply>): void {
    if ("messages" in reply) for (const bytes of reply.messages) this.#send(bytes);
    else this.#send(reply);
  }

  #send(bytes: Buffer): void {
    const framed = Buffer.allocUnsafe(bytes.length + 2);
    framed.writeUInt16BE(bytes.length, 0);
    bytes.copy(framed, 2);
    this.#socket.write(framed);
  }

  /** One timer for whatever the connection waits for now. Octets that trickle in do not prolong the wait for a query. */
  #arm(): void {
    const state = this.#socket.writableNeedDrain ? "write" : this.#buffer.length > 0 ? "read" : "idle";
    const waitsFor = this.#pending > 0 && state !== "write" ? "" : `${state} ${this.#queries}`;
    if (waitsFor === this.#waitsFor) return;
    this.#waitsFor = waitsFor;
    clearTimeout(this.#timer);
    if (waitsFor === "") return;
    const ms = this.#limits[`${state}TimeoutMs`];
    this.#timer = setTimeout(() => this.#socket.destroy(), ms);
    this.#timer.unref();
  }
}

/** IPv4 clients of a dual-stack socket under their IPv4 address. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

function listening(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.removeListener("error", reject);
      server.on("error", () => undefined);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
