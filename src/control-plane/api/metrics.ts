/** Layer control-plane. Metrics of the API server under the names that dashboards know, ours under nodeplane_. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { registerProcessMetrics } from "../../drivers/process/process-metrics.ts";
import type { Store } from "../store/store.ts";

/** What one request counts as; `verb` in capitals as kube-apiserver writes it. */
export interface RequestLabels {
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly scope: string;
}

const LABELS = ["verb", "group", "version", "resource", "subresource", "scope"] as const;

export class ApiMetrics {
  readonly registry = new Registry();
  readonly #requests: Counter<"code" | (typeof LABELS)[number]>;
  readonly #durations: Histogram<(typeof LABELS)[number]>;
  readonly #inflight: Gauge<"request_kind">;
  readonly #longRunning: Gauge<(typeof LABELS)[number]>;
  readonly #rejected: Counter;

  constructor(store: Store) {
    const registers = [this.registry];
    registerProcessMetrics(this.registry);
    this.#requests = new Counter({
      name: "apiserver_request_total",
      help: "Counter of apiserver requests broken out for each verb, group, version, resource, scope and HTTP response code.",
      labelNames: [...LABELS, "code"],
      registers,
    });
    this.#durations = new Histogram({
      name: "apiserver_request_duration_seconds",
      help: "Response latency distribution in seconds for each verb, group, version, resource, subresource and scope.",
      labelNames: [...LABELS],
      buckets: [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1, 2, 5, 10, 30, 60],
      registers,
    });
    this.#inflight = new Gauge({
      name: "apiserver_current_inflight_requests",
      help: "Number of currently used inflight requests.",
      labelNames: ["request_kind"],
      registers,
    });
    this.#longRunning = new Gauge({
      name: "apiserver_longrunning_requests",
      help: "Gauge of all active long-running apiserver requests.",
      labelNames: [...LABELS],
      registers,
    });
    this.#rejected = new Counter({
      name: "nodeplane_api_rejected_requests_total",
      help: "Requests answered with 429 because too many were in flight.",
      registers,
    });
    new Gauge({
      name: "nodeplane_store_revision",
      help: "Newest revision of the store.",
      registers,
      collect() {
        this.set(store.revision());
      },
    });
    new Gauge({
      name: "nodeplane_store_compact_revision",
      help: "Oldest revision from which a watch can start.",
      registers,
      collect() {
        this.set(store.compactRevision());
      },
    });
  }

  inflight(isMutating: boolean, delta: 1 | -1): void {
    this.#inflight.inc({ request_kind: isMutating ? "mutating" : "readOnly" }, delta);
  }

  longRunning(labels: RequestLabels, delta: 1 | -1): void {
    this.#longRunning.inc({ ...labels }, delta);
  }

  rejected(): void {
    this.#rejected.inc();
  }

  done(labels: RequestLabels, code: number, seconds: number): void {
    this.#requests.inc({ ...labels, code: String(code) });
    if (labels.verb !== "WATCH") this.#durations.observe({ ...labels }, seconds);
  }
}
