/**
 * Layer dns. UDP sockets of one listener. A socket for every address of the machine beside the one for all: the kernel
 * gives a datagram to the most specific socket, so the reply leaves from the address that was asked (a client behind
 * DNAT would not know another). Addresses that come and go are followed.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import type { Client } from "../query.ts";
import type { Reply } from "./responder.ts";

export type Respond = (packet: Uint8Array, client: Client) => Reply | Promise<Reply>;

export interface UdpLimits {
  /** Queries that wait for something, over all clients. Above: the newest is dropped. */
  readonly maxPending: number;
  /** The same for one client address. */
  readonly maxPendingPerClient: number;
}

export const UDP_LIMITS: UdpLimits = { maxPending: 10_000, maxPendingPerClient: 2_000 };

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const ADDRESS_POLL_MS = 2_000;

export class UdpListener {
  readonly #sockets = new Map<string, Socket>();
  readonly #respond: Respond;
  readonly #limits: UdpLimits;
  readonly #perClient = new Map<string, number>();
  #pending = 0;
  #dropped = 0;
  #poll: NodeJS.Timeout | undefined;
  #port = 0;
  #isClosed = false;

  constructor(respond: Respond, limits: UdpLimits = UDP_LIMITS) {
    this.#respond = respond;
    this.#limits = limits;
  }

  get pending(): number {
    return this.#pending;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** @throws the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL) when the address cannot be had */
  async open(host: string, port: number): Promise<number> {
    if (host !== "") {
      this.#port = await this.#bind(host, port, false);
      return this.#port;
    }
    // The probe without SO_REUSEADDR notices another server on the port; the sockets that follow share it among themselves.
    const probe = createSocket({ type: "udp4" });
    this.#port = await bound(probe, "0.0.0.0", port);
    await new Promise<void>((resolve) => probe.close(() => resolve()));
    await this.#bind("0.0.0.0", this.#port, true);
    await this.#bind("::", this.#port, true).catch(() => undefined);
    await this.#followAddresses();
    this.#poll = setInterval(() => void this.#followAddresses(), ADDRESS_POLL_MS);
    this.#poll.unref();
    return this.#port;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#poll);
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  async #followAddresses(): Promise<void> {
    const present = new Set(localHosts());
    for (const [host, socket] of this.#sockets) {
      if (host === "0.0.0.0" || host === "::" || present.has(host)) continue;
      this.#sockets.delete(host);
      socket.close();
    }
    for (const host of present) {
      if (this.#sockets.has(host) || this.#isClosed) continue;
      // An address that vanished again, or is still tentative, is tried at the next look.
      await this.#bind(host, this.#port, true).catch(() => undefined);
    }
  }

  async #bind(host: string, port: number, isShared: boolean): Promise<number> {
    const type = isIPv6(host.split("%")[0] ?? host) ? "udp6" : "udp4";
    const socket = createSocket({
      type,
      reuseAddr: isShared,
      ...(type === "udp6" ? { ipv6Only: true } : {}),
    });
    const actual = await bound(socket, host, port);
    if (this.#isClosed) {
      socket.close();
      return actual;
    }
    growBuffer(socket);
    socket.on("error", () => undefined);
    const local = { localAddress: host, localPort: actual };
    socket.on("message", (packet, remote) => this.#onMessage(socket, packet, remote, local));
    this.#sockets.set(host, socket);
    return actual;
  }

  #onMessage(
    socket: Socket,
    packet: Buffer,
    remote: RemoteInfo,
    local: { readonly localAddress: string; readonly localPort: number },
  ): void {
    if (remote.port === 0) return;
    const client: Client = {
      transport: "udp",
      address: remote.address,
      port: remote.port,
      localAddress: local.localAddress,
      localPort: local.localPort,
    };
    const waiting = this.#perClient.get(remote.address) ?? 0;
    if (this.#pending >= this.#limits.maxPending || waiting >= this.#limits.maxPendingPerClient) {
      this.#dropped++;
      return;
    }
    const reply = this.#respond(packet, client);
    if (reply === undefined) return;
    if (!(reply instanceof Promise)) {
      if (reply instanceof Buffer) socket.send(reply, remote.port, remote.address, ignoreSendError);
      return;
    }
    this.#pending++;
    this.#perClient.set(remote.address, waiting + 1);
    reply
      .then((bytes) => {
        if (bytes instanceof Buffer && !this.#isClosed) {
          socket.send(bytes, remote.port, remote.address, ignoreSendError);
        }
      })
      .finally(() => this.#done(remote.address))
      .catch(() => undefined);
  }

  #done(address: string): void {
    this.#pending--;
    const waiting = (this.#perClient.get(address) ?? 1) - 1;
    if (waiting === 0) this.#perClient.delete(address);
    else this.#perClient.set(address, waiting);
  }
}

/** A client that is gone, or a full queue: DNS over UDP repeats. */
function ignoreSendError(): void {}

function bound(socket: Socket, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.removeAllListeners("error");
      resolve(socket.address().port);
    });
  });
}

/** Bursts wait in the kernel; where the system's limit is lower the default stays. */
function growBuffer(socket: Socket): void {
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch {
    // Not worth a word: only bursts are affected.
  }
}

function localHosts(): string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).map(({ address, family }) =>
      family === "IPv6" && address.startsWith("fe80:") ? `${address}%${name}` : address,
    ),
  );
}
