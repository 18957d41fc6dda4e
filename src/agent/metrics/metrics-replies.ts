/** Layer agent. The replies of the metrics address: `/metrics`, `/proxyMode`, `/configz`, as kube-proxy has them. */
import { type HttpReply, NOT_FOUND } from "../health/http-listener.ts";
import type { AgentMetrics } from "./agent-metrics.ts";

export interface MetricsReplyContext {
  readonly metrics: AgentMetrics;
  readonly mode: string;
  /** The configuration in force, by API group, as plain values. */
  readonly configuration: unknown;
}

/** @returns the reply for a path of the metrics address */
export async function metricsReply(url: URL, context: MetricsReplyContext): Promise<HttpReply> {
  switch (url.pathname) {
    case "/metrics":
      return { status: 200, contentType: context.metrics.contentType, body: await context.metrics.text() };
    case "/proxyMode":
      return { status: 200, contentType: "text/plain; charset=utf-8", body: context.mode };
    case "/configz": {
      const body = JSON.stringify(context.configuration, undefined, 2);
      return { status: 200, contentType: "application/json", body: `${body}\n` };
    }
    default:
      return NOT_FOUND;
  }
}
