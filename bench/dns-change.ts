/**
 * Benchmark `dns-change`: a service gets another address; from the change at its source (before its frame is even written)
 * until a UDP answer of the resolver has the new address. Asked again as soon as an answer has the old one.
 */
import { createSocket, type Socket } from "node:dgram";
import { setTimeout as sleep } from "node:timers/promises";
import { TYPE } from "../src/codec/dns/constants.ts";
import type { IpAddress } from "../src/model/ip.ts";
import { corefile } from "./dns.ts";
import { DnsLab } from "./dns-process.ts";
import { queryPacket, serviceDomain } from "./dns-queries.ts";
import { DnsSource } from "./dns-source.ts";
import { type Bench, percentile } from "./figure.ts";
import { benchService } from "./frames.ts";

const CHANGES = 1_000;
const WARM_UP = 50;
/** Far apart, so that caches are cold as they are in life. */
const STRIDE = 7_919;
const PAUSE_MS = 5;
const TIMEOUT_MS = 5_000;

export const bench: Bench = async ({ services, endpoints, say }) => {
  say(`dns-change ${services} x ${endpoints}`);
  const lab = new DnsLab();
  const source = await DnsSource.start(services, endpoints);
  const socket = createSocket("udp4");
  try {
    const server = await lab.nodeplane(
      corefile(["prometheus 127.0.0.1:0", "kubernetes cluster.local in-addr.arpa ip6.arpa"]),
      source.flags,
    );
    await source.taken();
    await new Promise<void>((resolve) => socket.connect(server.port, "127.0.0.1", resolve));
    const times: number[] = [];
    for (let i = 0; i < WARM_UP + CHANGES; i++) {
      const index = (i * STRIDE) % services;
      const address = `10.200.${(i >> 8) & 255}.${i & 255}`;
      const changed = { ...benchService(index, "cluster-ip"), clusterIPs: [address as IpAddress] };
      const seen = addressSeen(socket, serviceDomain(index), address);
      const startMs = performance.now();
      source.source.apply([changed], Date.now());
      await seen;
      if (i >= WARM_UP) times.push(performance.now() - startMs);
      await sleep(PAUSE_MS);
    }
    return [
      { figure: "dns_change_p50", value: percentile(times, 0.5), unit: "ms" },
      { figure: "dns_change_p99", value: percentile(times, 0.99), unit: "ms" },
    ];
  } finally {
    socket.close();
    await lab.close();
    await source.close();
  }
};

/** Asks until the answer's address is the one waited for. */
async function addressSeen(socket: Socket, name: string, address: string): Promise<void> {
  const wanted = Buffer.from(address.split(".").map(Number));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name} did not become ${address}`)), TIMEOUT_MS);
    const onReply = (reply: Buffer): void => {
      // The address is followed by our OPT record alone.
      if (!reply.subarray(0, -11).subarray(-4).equals(wanted)) {
        ask();
        return;
      }
      clearTimeout(timer);
      socket.off("message", onReply);
      resolve();
    };
    const ask = (): void => socket.send(queryPacket({ name, type: TYPE.A }));
    socket.on("message", onReply);
    ask();
  });
}
