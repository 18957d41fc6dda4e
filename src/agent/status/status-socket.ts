/**
 * Layer agent. The unix socket on which a running agent tells its status: `GET /status`, JSON, mode 0600.
 * A socket file left by a killed agent is replaced; one that somebody answers on is left alone.
 */
import { mkdirSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { Clock } from "../clock.ts";
import { HttpListener, NOT_FOUND } from "../health/http-listener.ts";
import type { Logger } from "../log.ts";
import type { AgentStatus } from "./agent-status.ts";

export interface StatusSocketOptions {
  readonly path: string;
  readonly status: () => AgentStatus;
  readonly log: Logger;
  readonly clock: Clock;
}

/** @returns the open socket, or `undefined` when another process answers on it (logged; the agent runs without) */
export async function openStatusSocket(options: StatusSocketOptions): Promise<HttpListener | undefined> {
  const { path, log, clock } = options;
  if (await answers(path)) {
    log.warn({ path }, "another process answers on the status socket; this agent goes without one");
    return undefined;
  }
  const listener = new HttpListener({
    name: "status",
    listen: { path },
    hardFail: true,
    log,
    clock,
    handle: (url) => {
      if (url.pathname !== "/status") return NOT_FOUND;
      const body = JSON.stringify(options.status(), jsonValue);
      return { status: 200, contentType: "application/json", body };
    },
  });
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    await openPrivately(listener);
    return listener;
  } catch (error) {
    log.warn({ path, error: (error as Error).message }, "no status socket: 'nodeplane status' will not work");
    return undefined;
  }
}

/** The socket file has mode 0600 from its first moment: bind() happens inside open(), before it first waits. */
function openPrivately(listener: HttpListener): Promise<void> {
  const mask = process.umask(0o177);
  try {
    return listener.open();
  } finally {
    process.umask(mask);
  }
}

function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

/** True when somebody accepts on the socket; a dead socket file is removed. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") unlinkSync(path);
      resolve(false);
    });
  });
}
