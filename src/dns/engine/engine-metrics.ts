/**
 * Layer dns. The engine's counters as metrics: its own, and those of the `prometheus` and `cache` plugins for queries that
 * it answered in their place. A slot of the engine stands for one meaning; what it counted is added at each scrape.
 */

import { RCODE } from "../../codec/dns/constants.ts";
import { COUNTER_SLOTS, type SlotCounters, type UdpEngine } from "../../drivers/udp-engine/driver.ts";
import type { MetricSet } from "../metrics/metric-set.ts";
import type { CachePlugin } from "../plugins/cache/cache.ts";
import { QueryMetrics } from "../plugins/prometheus/query-metrics.ts";
import type { ServerLabels } from "../query.ts";
import type { Answered } from "../server/responder.ts";
import type { EngineBlock } from "./engine-blocks.ts";

interface Meaning {
  readonly labels: ServerLabels;
  readonly type: number;
  readonly rcode: number;
  readonly by: string;
  readonly isCounted: boolean;
  /** Plugin whose hits these are. */
  readonly cache: CachePlugin | undefined;
  readonly verdict: "success" | "denial" | "failure";
}

export class CounterSlots {
  readonly #slots = new Map<string, number>();
  readonly meanings: Meaning[] = [];

  /** Of answers that the engine makes of names. @returns `undefined` when all slots have another meaning */
  nameSlot(labels: ServerLabels, type: number, rcode: number, isCounted: boolean): number | undefined {
    const verdict = rcode === RCODE.NXDOMAIN ? "denial" : "success";
    return this.#slot({ labels, type, rcode, by: "kubernetes", isCounted, cache: undefined, verdict });
  }

  /** Of replies of upstreams that the engine gave to clients. @returns `undefined` as above */
  forwardSlot(labels: ServerLabels, type: number, rcode: number, isCounted: boolean): number | undefined {
    const verdict = rcode === RCODE.NOERROR ? "success" : rcode === RCODE.NXDOMAIN ? "denial" : "failure";
    return this.#slot({ labels, type, rcode, by: "forward", isCounted, cache: undefined, verdict });
  }

  /** Of a learned answer. @returns `undefined` when all slots have another meaning */
  slot({ query, message, outcome }: Answered, block: EngineBlock): number | undefined {
    const { labels, type } = query;
    const { rcode } = message;
    const cache = outcome.by === "cache" ? block.cache : undefined;
    const isDenial = rcode === RCODE.NXDOMAIN || message.answers.length === 0;
    const verdict =
      rcode === RCODE.SERVFAIL || rcode === RCODE.NOTIMP ? "failure" : isDenial ? "denial" : "success";
    return this.#slot({ labels, type, rcode, by: outcome.by, isCounted: block.counts, cache, verdict });
  }

  #slot(meaning: Meaning): number | undefined {
    const { labels, type, rcode, by, isCounted, verdict } = meaning;
    const key = `${verdict} ${labels.server} ${labels.zone} ${labels.view} ${type} ${rcode} ${by} ${isCounted}`;
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    if (this.meanings.length >= COUNTER_SLOTS) return undefined;
    this.#slots.set(key, this.meanings.length);
    return this.meanings.push(meaning) - 1;
  }
}

/** Adds up at each scrape what the engine counted since the one before. */
export function collectEngineMetrics(metrics: MetricSet, engine: UdpEngine, slots: CounterSlots): void {
  const queries = new QueryMetrics(metrics);
  const totals = {
    received: metrics.counter("nodeplane_dns_engine_queries_total", "Packets that the native engine read."),
    answered: metrics.counter("nodeplane_dns_engine_answers_total", "Queries that it answered itself."),
    handedUp: metrics.counter(
      "nodeplane_dns_engine_handed_up_total",
      "Packets that it left to the plugin chain.",
    ),
    overload: metrics.counter(
      "nodeplane_dns_engine_overload_total",
      "Packets dropped: the chain's queue was full.",
    ),
    sendFailed: metrics.counter(
      "nodeplane_dns_engine_send_failed_total",
      "Replies that the system did not take.",
    ),
    forwarded: metrics.counter(
      "nodeplane_dns_engine_forwarded_total",
      "Queries that it sent upstream itself.",
    ),
    entries: metrics.gauge("nodeplane_dns_engine_entries", "Learned answers in the engine."),
    bytes: metrics.gauge("nodeplane_dns_engine_bytes", "Size of the learned answers."),
    names: metrics.gauge(
      "nodeplane_dns_engine_names",
      "Services and namespaces that the engine answers for itself.",
    ),
    nameBytes: metrics.gauge("nodeplane_dns_engine_name_bytes", "Size of what it knows of them."),
  };
  const before: SlotCounters[] = [];
  metrics.onCollect(() => {
    const counters = engine.counters();
    for (const name of [
      "received",
      "answered",
      "handedUp",
      "overload",
      "sendFailed",
      "forwarded",
      "entries",
      "bytes",
      "names",
      "nameBytes",
    ] as const) {
      totals[name].child().value = counters[name];
    }
    for (const [index, meaning] of slots.meanings.entries()) {
      const now = counters.slot(index);
      const counts = difference(now, before[index]);
      before[index] = now;
      meaning.cache?.addHits(meaning.labels, meaning.verdict, counts.ipv4 + counts.ipv6);
      if (meaning.isCounted && counts.ipv4 + counts.ipv6 > 0) queries.add({ ...meaning, counts });
    }
  });
}

function difference(now: SlotCounters, before: SlotCounters | undefined): SlotCounters {
  if (before === undefined) return now;
  const less = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value - (b[i] ?? 0));
  return {
    ipv4: now.ipv4 - before.ipv4,
    ipv6: now.ipv6 - before.ipv6,
    dnssec: now.dnssec - before.dnssec,
    requestBytes: now.requestBytes - before.requestBytes,
    replyBytes: now.replyBytes - before.replyBytes,
    seconds: now.seconds - before.seconds,
    requestSizes: less(now.requestSizes, before.requestSizes),
    replySizes: less(now.replySizes, before.replySizes),
    durations: less(now.durations, before.durations),
  };
}
