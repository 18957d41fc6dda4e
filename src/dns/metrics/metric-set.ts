/**
 * Layer dns. Counters, gauges and histograms that cost an addition when they are used: children are looked up once and
 * kept. They stand in prom-client's registry like its own metrics, which hash their labels at every increment (about a
 * microsecond each, five a query).
 */
import { type Metric, Registry } from "prom-client";
import { registerProcessMetrics } from "../../drivers/process/process-metrics.ts";

interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

/** One time series. */
export class Series {
  value = 0;

  add(by = 1): void {
    this.value += by;
  }
}

/** One histogram series: counts per bucket, not yet accumulated. */
export class Distribution {
  readonly #bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += value;
  }

  /** Adds observations that were put into buckets elsewhere. */
  addAll(counts: Float64Array, sum: number): void {
    for (const [i, count] of counts.entries()) this.counts[i] = (this.counts[i] ?? 0) + count;
    this.sum += sum;
  }
}

class Family<T> {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly aggregator = "sum";
  readonly #labelNames: readonly string[];
  readonly #make: () => T;
  readonly #samples: (labels: Readonly<Record<string, string>>, child: T) => readonly Sample[];
  readonly #children = new Map<
    string,
    { readonly labels: Readonly<Record<string, string>>; readonly child: T }
  >();

  constructor(
    head: {
      readonly name: string;
      readonly help: string;
      readonly type: "counter" | "gauge" | "histogram";
      readonly labelNames: readonly string[];
    },
    make: () => T,
    samples: (labels: Readonly<Record<string, string>>, child: T) => readonly Sample[],
  ) {
    this.name = head.name;
    this.help = head.help;
    this.type = head.type;
    this.#labelNames = head.labelNames;
    this.#make = make;
    this.#samples = samples;
  }

  /** The series with these label values, in the order of the names. Keep it where it is used often. */
  child(...values: readonly string[]): T {
    const key = values.join("\u0000");
    const known = this.#children.get(key);
    if (known !== undefined) return known.child;
    const labels = Object.fromEntries(this.#labelNames.map((name, i) => [name, values[i] ?? ""]));
    const child = this.#make();
    this.#children.set(key, { labels, child });
    return child;
  }

  /** Drops all series: for gauges that are set anew. */
  reset(): void {
    this.#children.clear();
  }

  /** What prom-client calls when it is scraped. */
  get(): Promise<unknown> {
    const values = [...this.#children.values()].flatMap(({ labels, child }) => this.#samples(labels, child));
    const { name, help, type, aggregator } = this;
    return Promise.resolve({ name, help, type, aggregator, values });
  }
}

export type SeriesFamily = Pick<Family<Series>, "child" | "reset">;
export type DistributionFamily = Pick<Family<Distribution>, "child">;

export class MetricSet {
  readonly registry = new Registry();
  readonly #families = new Map<string, Family<Series> | Family<Distribution>>();
  #hasProcessMetrics = false;
  readonly #collectors: (() => void)[] = [];

  counter(name: string, help: string, labelNames: readonly string[] = []): SeriesFamily {
    return this.#series(name, help, "counter", labelNames);
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): SeriesFamily {
    return this.#series(name, help, "gauge", labelNames);
  }

  histogram(
    name: string,
    help: string,
    options: { readonly labelNames: readonly string[]; readonly bounds: readonly number[] },
  ): DistributionFamily {
    const known = this.#families.get(name);
    if (known !== undefined) return known as Family<Distribution>;
    const { bounds, labelNames } = options;
    const family = new Family(
      { name, help, type: "histogram", labelNames },
      () => new Distribution(bounds),
      (labels, child) => histogramSamples(name, bounds, labels, child),
    );
    return this.#register(family);
  }

  /** Runs before each scrape, to set gauges. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  /** The page that Prometheus reads. */
  text(): Promise<string> {
    for (const collect of this.#collectors) collect();
    return this.registry.metrics();
  }

  /** Memory, CPU, descriptors of this process under prom-client's names. */
  addProcessMetrics(): void {
    if (this.#hasProcessMetrics) return;
    this.#hasProcessMetrics = true;
    registerProcessMetrics(this.registry);
  }

  #series(
    name: string,
    help: string,
    type: "counter" | "gauge",
    labelNames: readonly string[],
  ): SeriesFamily {
    const known = this.#families.get(name);
    if (known !== undefined) return known as Family<Series>;
    const family = new Family(
      { name, help, type, labelNames },
      () => new Series(),
      (labels, child) => [{ labels, value: child.value }],
    );
    return this.#register(family);
  }

  #register<T extends Family<Series> | Family<Distribution>>(family: T): T {
    this.#families.set(family.name, family);
    // The registry asks no more of a metric than name, help, type and get(); its type names the built-in classes only.
    this.registry.registerMetric(family as unknown as Metric);
    return family;
  }
}

function histogramSamples(
  name: string,
  bounds: readonly number[],
  labels: Readonly<Record<string, string>>,
  child: Distribution,
): readonly Sample[] {
  let total = 0;
  const samples: Sample[] = [];
  for (let i = 0; i <= bounds.length; i++) {
    total += child.counts[i] ?? 0;
    samples.push({
      labels: { ...labels, le: i < bounds.length ? (bounds[i] ?? 0) : "+Inf" },
      value: total,
      metricName: `${name}_bucket`,
    });
  }
  samples.push({ labels, value: child.sum, metricName: `${name}_sum` });
  samples.push({ labels, value: total, metricName: `${name}_count` });
  return samples;
}
