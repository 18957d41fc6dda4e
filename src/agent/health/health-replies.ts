/** Layer agent. The replies of `/healthz`, `/livez` and `/readyz` (as kube-proxy 1.33 and ours). Pure. */
import type { AgentHealth } from "./agent-health.ts";
import { type HttpReply, NOT_FOUND } from "./http-listener.ts";

export interface HealthReplyContext {
  readonly health: AgentHealth;
  readonly nowMs: number;
  /** Preconditions of the machine that are missing, one sentence each: named, but not a reason to be unready. */
  readonly missing: readonly string[];
  /** Counts answers of `/healthz` and `/livez` by status. */
  readonly count: (endpoint: "healthz" | "livez", status: number) => void;
}

/** @returns the reply for a path of the health address */
export function healthReply(url: URL, context: HealthReplyContext): HttpReply {
  const { health } = context;
  switch (url.pathname) {
    case "/healthz":
      return proxyReply("healthz", health.isHealthy && health.isEligible, context);
    case "/livez":
      return proxyReply("livez", health.isHealthy, context);
    case "/readyz":
      return readyReply(url.searchParams.has("verbose"), context);
    default:
      return NOT_FOUND;
  }
}

function proxyReply(endpoint: "healthz" | "livez", ok: boolean, context: HealthReplyContext): HttpReply {
  const status = ok ? 200 : 503;
  context.count(endpoint, status);
  const body = {
    lastUpdated: new Date(context.health.lastUpdatedMs).toISOString(),
    currentTime: new Date(context.nowMs).toISOString(),
    ...(endpoint === "healthz" ? { nodeEligible: context.health.isEligible } : {}),
  };
  return { status, contentType: "application/json", body: JSON.stringify(body) };
}

/** As the API server prints its own: `[+]name ok`, `[-]name failed: why`. */
function readyReply(verbose: boolean, context: HealthReplyContext): HttpReply {
  const checks = context.health.checks();
  const ready = context.health.isReady;
  const lines = checks.map((check) => {
    const detail = check.detail === "" ? "" : `: ${check.detail}`;
    return check.ok ? `[+]${check.name} ok${detail}` : `[-]${check.name} failed${detail}`;
  });
  const warnings = context.missing.map((text) => `[!]precondition missing: ${text}`);
  const last = `readyz check ${ready ? "passed" : "failed"}`;
  const long = verbose || !ready || warnings.length > 0;
  return {
    status: ready ? 200 : 503,
    contentType: "text/plain; charset=utf-8",
    body: long ? `${[...lines, ...warnings, last].join("\n")}\n` : "ok\n",
  };
}
