/** Layer dns. TCP and TLS to one upstream: a connection that many queries share (RFC 7766), kept while it is used. */
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { encodeMessage } from "../../../codec/dns/encode.ts";
import type { DnsMessage, Question } from "../../../codec/dns/message.ts";
import type { IpAddress } from "../../../model/ip.ts";
import { UpstreamError, WaitingReplies } from "./exchange.ts";
import type { UpstreamAddress } from "./upstream-address.ts";

const MAX_IN_FLIGHT = 200;
const MAX_CONNECTIONS = 16;
const CONNECT_TIMEOUT_MS = 3_000;

interface Connection {
  readonly socket: Socket;
  readonly ready: Promise<void>;
  readonly waiting: WaitingReplies;
  replies: number;
  isOpen: boolean;
}

export interface TcpClientOptions {
  readonly address: UpstreamAddress;
  /** Idle life of a connection. */
  readonly expireMs: number;
  readonly random: () => number;
  readonly tls?: ConnectionOptions;
  /** Address to send from. */
  readonly source?: IpAddress;
  /** Told whether a kept connection served or a new one was made. */
  readonly onUse: (wasKept: boolean) => void;
}

export class TcpClient {
  readonly #options: TcpClientOptions;
  #connections: Connection[] = [];

  constructor(options: TcpClientOptions) {
    this.#options = options;
  }

  /** A kept connection that the upstream closed meanwhile is replaced once. */
  async ask(message: DnsMessage, question: Question, timeoutMs: number): Promise<DnsMessage> {
    const kept = this.#connections.find((c) => c.isOpen && c.waiting.size < MAX_IN_FLIGHT);
    this.#options.onUse(kept !== undefined);
    if (kept !== undefined) {
      try {
        return await this.#send(kept, message, question, timeoutMs);
      } catch (error) {
        if (kept.isOpen || kept.replies === 0) throw error;
      }
    }
    if (this.#connections.length >= MAX_CONNECTIONS) throw new UpstreamError("too many connections in use");
    return this.#send(this.#open(), message, question, timeoutMs);
  }

  close(): void {
    for (const connection of this.#connections) connection.socket.destroy();
  }

  async #send(
    connection: Connection,
    message: DnsMessage,
    question: Question,
    timeoutMs: number,
  ): Promise<DnsMessage> {
    await connection.ready;
    const id = connection.waiting.freshId();
    const bytes = encodeMessage({ ...message, id });
    const framed = Buffer.allocUnsafe(bytes.length + 2);
    framed.writeUInt16BE(bytes.length, 0);
    bytes.copy(framed, 2);
    const reply = connection.waiting.expect(id, question, timeoutMs, false);
    connection.socket.write(framed);
    const answer = await reply;
    connection.replies++;
    return answer;
  }

  #open(): Connection {
    const { address, tls, random, expireMs, source } = this.#options;
    const from = source === undefined ? {} : { localAddress: source };
    const host = address.scope === "" ? address.address : `${address.address}%${address.scope}`;
    const socket =
      tls === undefined
        ? connect({ host, port: address.port, ...from })
        : connectTls({ ...tls, host, port: address.port, ...from });
    const waiting = new WaitingReplies(random);
    const ready = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new UpstreamError(`no connection within ${CONNECT_TIMEOUT_MS} ms`, true));
        socket.destroy();
      }, CONNECT_TIMEOUT_MS);
      socket.once(tls === undefined ? "connect" : "secureConnect", () => {
        clearTimeout(timer);
        resolve();
      });
      socket.once("close", () => {
        clearTimeout(timer);
        reject(new UpstreamError("the connection was closed"));
      });
      socket.once("error", (error) => reject(new UpstreamError(error.message)));
    });
    ready.catch(() => undefined);
    const connection: Connection = { socket, ready, waiting, replies: 0, isOpen: true };
    let buffer: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
      while (buffer.length >= 2 && buffer.length >= 2 + buffer.readUInt16BE(0)) {
        const end = 2 + buffer.readUInt16BE(0);
        waiting.receive(buffer.subarray(2, end));
        buffer = buffer.subarray(end);
      }
    });
    socket.setTimeout(expireMs, () => {
      if (waiting.size === 0) socket.destroy();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      connection.isOpen = false;
      this.#connections = this.#connections.filter((other) => other !== connection);
      waiting.failAll(new UpstreamError("the connection was closed"));
    });
    socket.unref();
    this.#connections.push(connection);
    return connection;
  }
}
