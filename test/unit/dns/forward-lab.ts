/** Test code. A resolver on loopback whose `forward` asks stubs, with the native engine or without it. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { DnsEngine } from "../../../src/dns/engine/engine.ts";
import { DnsServer } from "../../../src/dns/server/dns-server.ts";
import { buildInstance } from "../../../src/dns/server/instance.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { framed, readFrames } from "../../support/dns-stream.ts";
import { listenOnBoth } from "../../support/listen-both.ts";
import { parse, testRuntime } from "./support.ts";

/** What a stub sends for a query; nothing: it is silent. */
export type Answer = (query: DnsMessage, from: RemoteInfo, socket: Socket) => Uint8Array | undefined;

export interface Stub {
  readonly port: number;
  /** Queries over UDP so far, with where they came from. */
  readonly asked: { readonly query: DnsMessage; readonly port: number }[];
  answer: Answer;
  close(): void;
}

export async function stub(answer: Answer): Promise<Stub> {
  const udp = createSocket("udp4");
  const tcp = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.unref();
    readFrames(socket, (packet) => {
      const reply = made.answer(read(packet), { address: "", family: "IPv4", port: 0, size: 0 }, udp);
      if (reply !== undefined) socket.write(framed(reply));
    });
  });
  const port = await listenOnBoth(udp, tcp);
  const made: Stub = {
    port,
    asked: [],
    answer,
    close: () => {
      udp.close();
      tcp.close();
    },
  };
  udp.on("message", (packet, from) => {
    const query = read(packet);
    made.asked.push({ query, port: from.port });
    const reply = made.answer(query, from, udp);
    if (reply !== undefined) udp.send(reply, from.port, from.address);
  });
  return made;
}

function read(packet: Uint8Array): DnsMessage {
  const decoded = decodeMessage(packet);
  if (decoded.kind !== "message") throw new Error(decoded.reason);
  return decoded.message;
}

export interface ForwardLab {
  readonly lines: readonly string[];
  /** Where it is asked: `dns://127.0.0.1:PORT`. */
  readonly address: string;
  /** @throws after `patienceMs` without a reply */
  ask(name: string, type?: string, change?: Partial<DnsMessage>, patienceMs?: number): Promise<DnsMessage>;
  /** Value of the first series that fits, 0 without one. */
  metric(pattern: RegExp): Promise<number>;
  /** Another configuration in the place of the one before. */
  apply(lines: string): Promise<void>;
  stop(): Promise<void>;
}

/** @param lines of the server block `.` */
export async function forwardLab(lines: string, hasEngine = true): Promise<ForwardLab> {
  const runtime = { ...testRuntime(), now: Date.now };
  const engine = hasEngine ? DnsEngine.open(runtime) : undefined;
  if (hasEngine && engine === undefined) throw new Error("the addon is not built");
  const server = new DnsServer(runtime, engine);
  const build = (text: string) =>
    buildInstance(parse(`.:0 {\n bind 127.0.0.1\n errors\n prometheus 127.0.0.1:0\n ${text}\n}\n`), runtime, {
      defaultPort: 53,
      isStopping: () => false,
    });
  await server.apply(build(lines));
  const port = Number(server.addresses()[0]?.split(":").at(-1));
  return {
    lines: runtime.lines,
    address: server.addresses()[0] ?? "",
    ask: (name, type, change, patienceMs) =>
      ask(port, { ...queryMessage(name, type), ...change }, patienceMs),
    metric: async (pattern) => Number(pattern.exec(await runtime.metrics.text())?.[1] ?? 0),
    apply: async (text) => await server.apply(build(text)),
    stop: async () => await server.stop(),
  };
}

async function ask(port: number, message: DnsMessage, patienceMs = 30_000): Promise<DnsMessage> {
  const socket = createSocket("udp4");
  const timer = AbortSignal.timeout(patienceMs);
  try {
    socket.connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.send(encodeMessage(message));
    const [packet] = (await once(socket, "message", { signal: timer })) as [Buffer];
    return read(packet);
  } finally {
    socket.close();
  }
}
