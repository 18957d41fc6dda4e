/**
 * Layer lab. A byte relay between two worlds: connections accepted at one place are continued at another.
 * Two of them, joined by a unix socket, carry API connections from the machine's loopback into the lab.
 */

import { rmSync } from "node:fs";
import { connect, createServer, type ListenOptions, type NetConnectOpts, type Server } from "node:net";

/** `/path` of a unix socket, or `host:port`. */
function endpointOptions(endpoint: string): { path: string } | { host: string; port: number } {
  if (endpoint.startsWith("/")) return { path: endpoint };
  const colon = endpoint.lastIndexOf(":");
  return { host: endpoint.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(endpoint.slice(colon + 1)) };
}

const MAX_CONNECTIONS = 512;

/** Relays until `signal` aborts. @returns once listening; the port is that of a `host:port` endpoint, else 0 */
export async function startRelay(
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer({ allowHalfOpen: true }, (incoming) => {
    const outgoing = connect({ ...endpointOptions(to), allowHalfOpen: true } as NetConnectOpts);
    for (const socket of [incoming, outgoing]) {
      socket.setNoDelay?.(true);
      socket.on("error", () => {
        incoming.destroy();
        outgoing.destroy();
      });
      socket.on("close", () => {
        incoming.destroy();
        outgoing.destroy();
      });
    }
    incoming.pipe(outgoing);
    outgoing.pipe(incoming);
  });
  server.maxConnections = MAX_CONNECTIONS;
  const options = endpointOptions(from);
  if ("path" in options) rmSync(options.path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options as ListenOptions, resolve);
  });
  signal.addEventListener("abort", () => server.close(), { once: true });
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, server };
}
