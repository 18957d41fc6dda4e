/** Layer agent. Asks a running agent for its status over the unix socket. Bounded in time and size. */
import { request } from "node:http";
import type { AgentStatus } from "./agent-status.ts";

export type StatusAnswer =
  | { readonly kind: "status"; readonly status: AgentStatus; readonly json: string }
  /** Nobody answers on the socket. */
  | { readonly kind: "not-running"; readonly why: string }
  | { readonly kind: "failed"; readonly why: string };

const TIMEOUT_MS = 5000;
const MAX_BYTES = 64 << 20;

export function readStatus(socketPath: string): Promise<StatusAnswer> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const isAbsent = error.code === "ENOENT" || error.code === "ECONNREFUSED";
      const why = error.code === "EACCES" ? `${error.message} (root may ask)` : error.message;
      resolve({ kind: isAbsent ? "not-running" : "failed", why });
    };
    const asked = request(
      { socketPath, path: "/status", timeout: TIMEOUT_MS, headers: { Connection: "close" } },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_BYTES) asked.destroy(new Error("the answer is too large"));
          chunks.push(chunk);
        });
        response.on("error", failed);
        response.on("end", () => {
          const json = Buffer.concat(chunks).toString("utf8");
          if (response.statusCode !== 200)
            resolve({ kind: "failed", why: `status ${response.statusCode}: ${json.trim()}` });
          else resolve({ kind: "status", status: JSON.parse(json) as AgentStatus, json });
        });
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    asked.on("error", failed);
    asked.end();
  });
}
