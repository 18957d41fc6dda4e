/** Layer agent. A series for each service port, where that was asked for (`countConnections`). */
import { Counter, type Registry } from "prom-client";
import type { MetricsSnapshot } from "./metrics-snapshot.ts";

export function registerServices(registry: Registry, snapshot: () => MetricsSnapshot): void {
  const connections: Counter<"namespace" | "service" | "port"> = new Counter({
    name: "nodeplane_service_connections_total",
    help: "New connections to a service port through this node; only with countConnections",
    labelNames: ["namespace", "service", "port"],
    registers: [registry],
    collect: () => {
      connections.reset();
      for (const { namespace, service, port, connections: count } of snapshot().serviceConnections())
        connections.inc({ namespace, service, port }, count);
    },
  });
}
