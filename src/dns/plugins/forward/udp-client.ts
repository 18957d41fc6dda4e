/**
 * Layer dns. UDP to one upstream: a few connected sockets that many queries share, replaced after some time or queries so
 * that the source port stays hard to guess (RFC 5452).
 */
import { createSocket, type Socket } from "node:dgram";
import { encodeMessage } from "../../../codec/dns/encode.ts";
import type { DnsMessage, Question } from "../../../codec/dns/message.ts";
import type { IpAddress } from "../../../model/ip.ts";
import { UpstreamError, WaitingReplies } from "./exchange.ts";
import type { UpstreamAddress } from "./upstream-address.ts";

const MAX_SOCKETS = 8;
const MAX_IN_FLIGHT = 4_096;
const MAX_QUERIES = 5_000;

interface SharedSocket {
  readonly socket: Socket;
  readonly connected: Promise<void>;
  readonly waiting: WaitingReplies;
  readonly retireAtMs: number;
  queries: number;
  isOpen: boolean;
}

export interface UdpClientOptions {
  readonly address: UpstreamAddress;
  /** Life of a socket. */
  readonly expireMs: number;
  readonly random: () => number;
  /** Address to send from. */
  readonly source?: IpAddress;
  /** Told whether a socket was there or a new one was made. */
  readonly onUse: (wasKept: boolean) => void;
}

export class UdpClient {
  readonly #address: UpstreamAddress;
  readonly #lifeMs: number;
  readonly #random: () => number;
  readonly #source: IpAddress | undefined;
  readonly #onUse: (wasKept: boolean) => void;
  #sockets: SharedSocket[] = [];

  constructor(options: UdpClientOptions) {
    this.#address = options.address;
    this.#lifeMs = options.expireMs;
    this.#random = options.random;
    this.#source = options.source;
    this.#onUse = options.onUse;
  }

  /** @throws {OtherSpelling} with `isExact`, when the reply's question is not spelled as ours */
  async ask(
    message: DnsMessage,
    question: Question,
    timeoutMs: number,
    isExact: boolean,
  ): Promise<DnsMessage> {
    const shared = this.#pick();
    shared.queries++;
    const id = shared.waiting.freshId();
    const reply = shared.waiting.expect(id, question, timeoutMs, isExact);
    // Rejections are seen through `reply`; the send below may fail first.
    reply.catch(() => undefined);
    try {
      await shared.connected;
      const bytes = encodeMessage({ ...message, id });
      shared.socket.send(bytes, (error) => {
        if (error !== null) this.#fail(shared, error);
      });
    } catch (error) {
      this.#fail(shared, error);
    }
    return reply;
  }

  close(): void {
    for (const shared of this.#sockets) this.#fail(shared, new Error("the server stops"));
  }

  /** A socket with room; up to the maximum new ones are made, since each adds a source port. */
  #pick(): SharedSocket {
    const now = performance.now();
    this.#sockets = this.#sockets.filter((shared) => {
      const isSpent = shared.retireAtMs < now || shared.queries >= MAX_QUERIES;
      if (isSpent && shared.waiting.size === 0) this.#close(shared);
      return shared.isOpen && !isSpent;
    });
    const wanted = Math.floor(this.#random() * MAX_SOCKETS);
    const shared = this.#sockets[wanted];
    const hasRoom = shared !== undefined && shared.waiting.size < MAX_IN_FLIGHT;
    this.#onUse(hasRoom);
    if (hasRoom) return shared;
    return this.#open(now);
  }

  #open(now: number): SharedSocket {
    const { address, port, scope } = this.#address;
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    const waiting = new WaitingReplies(this.#random);
    const connected = new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
    const shared = { socket, connected, waiting, retireAtMs: now + this.#lifeMs, queries: 0, isOpen: true };
    connected.catch(() => undefined);
    socket.on("error", (error) => this.#fail(shared, error));
    socket.on("message", (packet) => {
      waiting.receive(packet);
      if (waiting.size === 0 && !this.#sockets.includes(shared)) this.#close(shared);
    });
    if (this.#source !== undefined) socket.bind({ address: this.#source, port: 0 });
    socket.connect(port, scope === "" ? address : `${address}%${scope}`);
    socket.unref();
    this.#sockets.push(shared);
    return shared;
  }

  #close(shared: SharedSocket): void {
    if (!shared.isOpen) return;
    shared.isOpen = false;
    shared.socket.close();
  }

  #fail(shared: SharedSocket, error: unknown): void {
    this.#close(shared);
    const text = error instanceof Error ? error.message : String(error);
    shared.waiting.failAll(new UpstreamError(text));
  }
}
