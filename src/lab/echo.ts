/**
 * Layer lab. The built-in echo server of a pod: one line `NAME NODE CLIENT_IP` for every TCP connection and UDP datagram,
 * on every port of the pod. It listens on one port; rules in the pod's own namespace redirect the others to it.
 * A client that speaks HTTP gets the line as an HTTP response. TCP: the line is sent on the first bytes, on the client's
 * end of stream, or after a short wait for clients that only listen.
 */
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { run } from "./run.ts";

/** Where the server listens; everything else is redirected here. */
const ECHO_PORT = 7;
/** A client that has sent nothing for so long is only listening. */
const SILENCE_MS = 15;
const CONNECTION_TIMEOUT_MS = 10_000;
const HTTP_REQUEST = /^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) /;

export interface EchoOptions {
  readonly name: string;
  readonly node: string;
}

const REDIRECT = `table inet nodeplane-echo {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local meta l4proto { tcp, udp } redirect to :${ECHO_PORT}
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local meta l4proto { tcp, udp } redirect to :${ECHO_PORT}
  }
}
`;

/** `line` for a peer; IPv4-mapped addresses are shown as IPv4. */
export function echoLine(options: EchoOptions, peer: string): string {
  return `${options.name} ${options.node} ${peer.replace(/^::ffff:(?=\d+\.)/, "")}\n`;
}

function answer(socket: Socket, line: string): void {
  socket.setTimeout(CONNECTION_TIMEOUT_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  const silence = setTimeout(() => finish(""), SILENCE_MS);
  const finish = (first: string): void => {
    clearTimeout(silence);
    if (socket.writableEnded) return;
    const head = first.startsWith("HEAD ");
    const http = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${line.length}\r\nConnection: close\r\n\r\n`;
    socket.end(HTTP_REQUEST.test(first) ? `${http}${head ? "" : line}` : line);
  };
  socket.on("data", (bytes) => finish(bytes.toString("latin1", 0, 16)));
  socket.on("end", () => finish(""));
  socket.on("close", () => clearTimeout(silence));
}

/** Serves until `signal` aborts. Must run inside the pod's namespace: it installs the redirect there. */
export async function serveEcho(options: EchoOptions, signal: AbortSignal): Promise<void> {
  const tcp = createServer({ allowHalfOpen: true }, (socket) =>
    answer(socket, echoLine(options, socket.remoteAddress ?? "-")),
  );
  await new Promise<void>((resolve, reject) => {
    tcp.once("error", reject);
    tcp.listen({ port: ECHO_PORT, host: "::", backlog: 4096 }, resolve);
  });
  const udp = createSocket({ type: "udp6", recvBufferSize: 4 << 20 });
  udp.on("message", (_, peer) =>
    udp.send(echoLine(options, peer.address), peer.port, peer.address, () => {}),
  );
  await new Promise<void>((resolve, reject) => {
    udp.once("error", reject);
    udp.bind({ port: ECHO_PORT, address: "::" }, resolve);
  });
  udp.on("error", () => {});
  try {
    await run(["nft", "-f", "-"], {
      input: `table inet nodeplane-echo\ndelete table inet nodeplane-echo\n${REDIRECT}`,
    });
    await untilAborted(signal);
  } finally {
    udp.close();
    tcp.close();
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
