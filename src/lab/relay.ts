/**
 * Layer lab. A byte relay between two worlds: connections accepted at one place are continued at another.
 * Two of them, joined by a unix socket, carry API connections from the machine's loopback into the lab.
 */
import { rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type ListenOptions, type NetConnectOpts, type Socket } from "node:net";

/** `/path` of a unix socket, or `host:port`. */
function endpointOptions(endpoint: string): { path: string } | { host: string; port: number } {
  if (endpoint.startsWith("/")) return { path: endpoint };
  const colon = endpoint.lastIndexOf(":");
  return { host: endpoint.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(endpoint.slice(colon + 1)) };
}

const MAX_CONNECTIONS = 512;

export interface RelayOptions {
  readonly from: string;
  readonly to: string;
  /** Is given the port of a `host:port` endpoint once it listens. */
  readonly portFile: string | undefined;
}

/** Relays until `signal` aborts. */
export async function runRelay(options: RelayOptions, signal: AbortSignal): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (incoming) => join(incoming, options.to));
  server.maxConnections = MAX_CONNECTIONS;
  const from = endpointOptions(options.from);
  if ("path" in from) rmSync(from.path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(from as ListenOptions, resolve);
  });
  const address = server.address();
  if (options.portFile !== undefined && typeof address === "object" && address !== null) {
    writeFileSync(options.portFile, String(address.port));
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  server.close();
}

/** Continues a connection at `to`; either side's end or failure ends both. */
function join(incoming: Socket, to: string): void {
  const outgoing = connect({ ...endpointOptions(to), allowHalfOpen: true } as NetConnectOpts);
  const end = (): void => {
    incoming.destroy();
    outgoing.destroy();
  };
  for (const socket of [incoming, outgoing]) {
    socket.setNoDelay(true);
    socket.on("error", end);
    socket.on("close", end);
  }
  incoming.pipe(outgoing);
  outgoing.pipe(incoming);
}
