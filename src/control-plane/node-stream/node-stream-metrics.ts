/**
 * Layer control-plane. Metrics of the node stream, read from the hub when they are scraped. Names start with
 * `nodeplane_node_stream_`; labels are `node` and `role`.
 */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { HubCounters, StreamHub } from "./stream-hub.ts";

const COUNTERS: Readonly<Partial<Record<keyof HubCounters, readonly [string, string]>>> = {
  connected: ["connections_total", "Streams that nodes opened."],
  resumed: ["resumed_total", "Streams that went on from a revision that the node held."],
  replaced: ["replaced_total", "Streams ended by a newer one of the same node and role."],
  snapshots: ["snapshots_total", "Snapshots sent."],
  messages: ["messages_total", "Messages with objects sent."],
  bytes: ["bytes_total", "Bytes of messages with objects sent."],
  lost: ["source_reloads_total", "Times that all objects had to be read from the store again."],
};

/** Registers the metrics of `hub` in `registry`. */
export function registerNodeStreamMetrics(hub: StreamHub, registry: Registry): void {
  const programming = new Histogram({
    name: "nodeplane_node_stream_programming_seconds",
    help: "From a change in the store until a node said that it is live there, by role of the node.",
    labelNames: ["role"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
    registers: [registry],
  });
  hub.onProgrammed((role, seconds) => programming.observe({ role }, seconds));
  for (const [key, [name, help]] of Object.entries(COUNTERS))
    new Counter({
      name: `nodeplane_node_stream_${name}`,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(hub.counters()[key as keyof HubCounters]);
      },
    });
  gauge(registry, "objects", "Objects that nodes can get.", () => hub.counters().objects);
  gauge(registry, "left_out_objects", "Objects that are too large for nodes.", () => hub.counters().leftOut);
  gauge(registry, "revision", "Newest revision that nodes can get.", () => hub.revision);
  perNode(hub, registry);
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name: `nodeplane_node_stream_${name}`,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

function perNode(hub: StreamHub, registry: Registry): void {
  const values = {
    received_revision: ["Revision that the node has received.", "receivedRevision"],
    programmed_revision: ["Revision that is live on the node.", "programmedRevision"],
  } as const;
  for (const [name, [help, field]] of Object.entries(values))
    new Gauge({
      name: `nodeplane_node_stream_${name}`,
      help,
      labelNames: ["node", "role"],
      registers: [registry],
      collect() {
        this.reset();
        for (const status of hub.statuses())
          this.set({ node: status.node, role: status.role }, status[field]);
      },
    });
  new Gauge({
    name: "nodeplane_node_stream_refused_objects",
    help: "Objects that the node refuses.",
    labelNames: ["node", "role"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { node, role, refused } of hub.statuses()) this.set({ node, role }, refused.length);
    },
  });
}
