/** Layer dns. Metrics of `cache` under CoreDNS's names. Series of a listener and zone are found once. */
import type { MetricSet, Series, SeriesFamily } from "../../metrics/metric-set.ts";
import type { ServerLabels } from "../../query.ts";
import type { Verdict } from "./cache-entry.ts";

interface LabelledSeries {
  readonly requests: Series;
  readonly misses: Series;
  readonly success: Series;
  readonly denial: Series;
  readonly prefetches: Series;
  readonly stale: Series;
}

export class CacheMetrics {
  readonly #metrics: MetricSet;
  readonly #zones: string;
  readonly #families: Readonly<Record<"requests" | "misses" | "hits" | "prefetches" | "stale", SeriesFamily>>;
  readonly #evictions: SeriesFamily;
  readonly #drops: SeriesFamily;
  readonly #known = new Map<ServerLabels["server"], LabelledSeries>();

  constructor(metrics: MetricSet, zones: string) {
    const scope = ["server", "zones", "view"];
    this.#metrics = metrics;
    this.#zones = zones;
    this.#families = {
      requests: metrics.counter("coredns_cache_requests_total", "Questions to the cache.", scope),
      misses: metrics.counter(
        "coredns_cache_misses_total",
        "Questions that the cache could not answer.",
        scope,
      ),
      hits: metrics.counter("coredns_cache_hits_total", "Answers from the cache.", [
        "server",
        "type",
        "zones",
        "view",
      ]),
      prefetches: metrics.counter("coredns_cache_prefetch_total", "Entries renewed before their end.", scope),
      stale: metrics.counter(
        "coredns_cache_served_stale_total",
        "Answers from entries over their time.",
        scope,
      ),
    };
    this.#drops = metrics.counter(
      "coredns_cache_drops_total",
      "Replies to another question: always 0.",
      scope,
    );
    this.#evictions = metrics.counter("coredns_cache_evictions_total", "Entries that had to make room.", [
      "server",
      "type",
      "zones",
      "view",
    ]);
  }

  watchEntries(count: () => { readonly success: number; readonly denial: number }): void {
    const entries = this.#metrics.gauge("coredns_cache_entries", "Entries.", [
      "server",
      "type",
      "zones",
      "view",
    ]);
    this.#metrics.onCollect(() => {
      const { success, denial } = count();
      entries.child("", "success", this.#zones, "").value = success;
      entries.child("", "denial", this.#zones, "").value = denial;
    });
  }

  request(labels: ServerLabels): void {
    this.#series(labels).requests.value++;
  }

  miss(labels: ServerLabels): void {
    this.#series(labels).misses.value++;
  }

  hit(labels: ServerLabels, verdict: Verdict): void {
    const series = this.#series(labels);
    (verdict === "success" ? series.success : series.denial).value++;
  }

  /** Hits that the native engine had in the cache's place. */
  addHits(labels: ServerLabels, verdict: Verdict, count: number): void {
    const series = this.#series(labels);
    series.requests.value += count;
    (verdict === "success" ? series.success : series.denial).value += count;
  }

  prefetch(labels: ServerLabels): void {
    this.#series(labels).prefetches.value++;
  }

  stale(labels: ServerLabels): void {
    this.#series(labels).stale.value++;
  }

  eviction(verdict: Verdict): void {
    this.#evictions.child("", verdict === "success" ? "success" : "denial", this.#zones, "").add();
  }

  #series(labels: ServerLabels): LabelledSeries {
    const { server, view } = labels;
    const known = this.#known.get(server);
    if (known !== undefined) return known;
    // Replies to another question never come this far: `forward` does not take them.
    this.#drops.child(server, this.#zones, view);
    const { requests, misses, hits, prefetches, stale } = this.#families;
    const series = {
      requests: requests.child(server, this.#zones, view),
      misses: misses.child(server, this.#zones, view),
      success: hits.child(server, "success", this.#zones, view),
      denial: hits.child(server, "denial", this.#zones, view),
      prefetches: prefetches.child(server, this.#zones, view),
      stale: stale.child(server, this.#zones, view),
    };
    this.#known.set(server, series);
    return series;
  }
}
