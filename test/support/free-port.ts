/**
 * Test code. A port that another program can be told to listen on.
 *
 * Ports that the system hands out itself (`bind` to 0, every outgoing connection) come from its ephemeral range: one that was
 * bound, read and closed again may be somebody else's a moment later. These are drawn at random below that range, where only
 * those listen who name the port, and are checked for UDP and TCP on all addresses.
 */
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** Above the daemons' own default ports (10249, 10256). */
const LOWEST = 10_300;
/** Linux's default, where the system's own range leaves no room below it. */
const USUAL_EPHEMERAL = 32_768;
const MIN_ROOM = 1_000;
const ATTEMPTS = 200;
const RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range";

export interface PortDraw {
  /** Lowest port that may be drawn. */
  readonly lowest: number;
  /** The first that may not. */
  readonly end: number;
  /** From 0 to 1, as `Math.random`. */
  readonly random: () => number;
  /** Ports never to be drawn; what is drawn is added. */
  readonly drawn: Set<number>;
}

const drawn = new Set<number>();

/** @returns a port on which nobody listens, never the same twice in one process */
export async function freePort(): Promise<number> {
  const text = readFileSync(RANGE_FILE, "utf8");
  return await drawPort({ lowest: LOWEST, end: endOfDraw(text), random: Math.random, drawn });
}

/** @param range content of `ip_local_port_range` */
export function endOfDraw(range: string): number {
  const ephemeral = Number(range.trim().split(/\s+/)[0]);
  return ephemeral >= LOWEST + MIN_ROOM ? ephemeral : USUAL_EPHEMERAL;
}

/** @throws when no port is found in many attempts */
export async function drawPort(draw: PortDraw): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = draw.lowest + Math.floor(draw.random() * (draw.end - draw.lowest));
    if (draw.drawn.has(port)) continue;
    draw.drawn.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${draw.lowest} to ${draw.end - 1} in ${ATTEMPTS} attempts`);
}

/**
 * Starts something on a free port; where another program took the port in between (EADDRINUSE in the error's text), once more
 * on another one.
 */
export async function withFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  try {
    return await start(await freePort());
  } catch (error) {
    if (!(error instanceof Error && error.message.includes("EADDRINUSE"))) throw error;
    return await start(await freePort());
  }
}

async function isFree(port: number): Promise<boolean> {
  for (const bind of [bindUdp, bindTcp]) {
    let code = await bind(port, "::");
    // A machine without IPv6.
    if (code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL") code = await bind(port, "0.0.0.0");
    if (code === "EADDRINUSE") return false;
    if (code !== undefined) throw new Error(`port ${port}: ${code}`);
  }
  return true;
}

/** @returns the error's code, if any */
function bindUdp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(host === "::" ? "udp6" : "udp4");
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

function bindTcp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
