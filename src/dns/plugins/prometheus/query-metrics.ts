/** Layer dns. Counts and times of queries under CoreDNS's names. Series are found once and kept: no label is hashed per query. */
import { formatRcode, formatType, TYPE } from "../../../codec/dns/constants.ts";
import type { SlotCounters } from "../../../drivers/udp-engine/driver.ts";
import type {
  Distribution,
  DistributionFamily,
  MetricSet,
  Series,
  SeriesFamily,
} from "../../metrics/metric-set.ts";
import type { Observation } from "../../plugin.ts";
import type { DnsQuery, ServerLabels } from "../../query.ts";

const DURATION_BOUNDS = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);
const SIZE_BOUNDS = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3];
/** Types that get a label of their own; the others are `other`. */
const COUNTED_TYPES = new Set<number>([
  TYPE.AAAA,
  TYPE.A,
  TYPE.CNAME,
  TYPE.DNSKEY,
  TYPE.DS,
  TYPE.HTTPS,
  TYPE.MX,
  TYPE.NSEC3,
  TYPE.NSEC,
  TYPE.NS,
  TYPE.PTR,
  TYPE.RRSIG,
  TYPE.SOA,
  TYPE.SRV,
  TYPE.SVCB,
  TYPE.TXT,
  TYPE.ANY,
]);

interface EngineObservation {
  readonly labels: ServerLabels;
  readonly type: number;
  readonly rcode: number;
  readonly by: string;
  readonly counts: SlotCounters;
}

interface ServerSeries {
  readonly duration: Distribution;
  readonly dnssec: Series;
  readonly requests: Map<number, Series>;
  readonly responses: Map<string, Series>;
  readonly requestSize: Map<string, Distribution>;
  readonly responseSize: Map<string, Distribution>;
}

export class QueryMetrics {
  readonly #requests: SeriesFamily;
  readonly #responses: SeriesFamily;
  readonly #dnssec: SeriesFamily;
  readonly #duration: DistributionFamily;
  readonly #requestSize: DistributionFamily;
  readonly #responseSize: DistributionFamily;
  readonly #servers = new Map<string, Map<string, ServerSeries>>();

  constructor(metrics: MetricSet) {
    const scope = ["server", "zone", "view"];
    this.#requests = metrics.counter("coredns_dns_requests_total", "Queries received.", [
      ...scope,
      "proto",
      "family",
      "type",
    ]);
    this.#responses = metrics.counter("coredns_dns_responses_total", "Replies sent.", [
      ...scope,
      "rcode",
      "plugin",
    ]);
    this.#dnssec = metrics.counter("coredns_dns_do_requests_total", "Queries with DNSSEC OK.", scope);
    this.#duration = metrics.histogram("coredns_dns_request_duration_seconds", "Time from query to reply.", {
      labelNames: scope,
      bounds: DURATION_BOUNDS,
    });
    const labelNames = [...scope, "proto"];
    const bounds = SIZE_BOUNDS;
    this.#requestSize = metrics.histogram("coredns_dns_request_size_bytes", "Size of queries.", {
      labelNames,
      bounds,
    });
    this.#responseSize = metrics.histogram("coredns_dns_response_size_bytes", "Size of replies.", {
      labelNames,
      bounds,
    });
  }

  observe(query: DnsQuery, seen: Observation): void {
    const { client, labels } = query;
    const series = this.#series(labels.server, labels.zone, labels.view);
    const isTcp = client.transport !== "udp";
    const isV6 = client.address.includes(":");
    const type = COUNTED_TYPES.has(query.type) ? query.type : 0;
    const key = (type << 2) | (isTcp ? 2 : 0) | (isV6 ? 1 : 0);
    const proto = isTcp ? "tcp" : "udp";
    let requests = series.requests.get(key);
    if (requests === undefined) {
      const name = type === 0 ? "other" : formatType(type);
      requests = this.#requests.child(labels.server, labels.zone, labels.view, proto, isV6 ? "2" : "1", name);
      series.requests.set(key, requests);
    }
    requests.value++;
    if (query.message.edns?.dnssecOk === true) series.dnssec.value++;
    series.duration.observe(seen.durationMs / 1000);
    this.#size(series.requestSize, this.#requestSize, query, proto).observe(seen.requestBytes);
    if (seen.message === undefined) return;
    this.#size(series.responseSize, this.#responseSize, query, proto).observe(seen.replyBytes);
    this.#response(series, query, seen.message.rcode, seen.by);
  }

  /** Adds what the native engine counted for queries of one type that it answered alike. */
  add(seen: EngineObservation): void {
    const { labels, type, counts } = seen;
    const series = this.#series(labels.server, labels.zone, labels.view);
    const { server, zone, view } = labels;
    const name = COUNTED_TYPES.has(type) ? formatType(type) : "other";
    if (counts.ipv4 > 0) this.#requests.child(server, zone, view, "udp", "1", name).add(counts.ipv4);
    if (counts.ipv6 > 0) this.#requests.child(server, zone, view, "udp", "2", name).add(counts.ipv6);
    series.dnssec.value += counts.dnssec;
    series.duration.addAll(counts.durations, counts.seconds);
    this.#requestSize.child(server, zone, view, "udp").addAll(counts.requestSizes, counts.requestBytes);
    this.#responseSize.child(server, zone, view, "udp").addAll(counts.replySizes, counts.replyBytes);
    const answered = counts.ipv4 + counts.ipv6;
    this.#responses.child(server, zone, view, formatRcode(seen.rcode), seen.by).add(answered);
  }

  #response(series: ServerSeries, query: DnsQuery, rcode: number, by: string): void {
    const key = `${rcode} ${by}`;
    let responses = series.responses.get(key);
    if (responses === undefined) {
      const { server, zone, view } = query.labels;
      responses = this.#responses.child(server, zone, view, formatRcode(rcode), by);
      series.responses.set(key, responses);
    }
    responses.value++;
  }

  #size(
    known: Map<string, Distribution>,
    family: DistributionFamily,
    query: DnsQuery,
    proto: string,
  ): Distribution {
    let found = known.get(proto);
    if (found === undefined) {
      const { server, zone, view } = query.labels;
      found = family.child(server, zone, view, proto);
      known.set(proto, found);
    }
    return found;
  }

  #series(server: string, zone: string, view: string): ServerSeries {
    let zones = this.#servers.get(server);
    if (zones === undefined) {
      zones = new Map();
      this.#servers.set(server, zones);
    }
    const key = view === "" ? zone : `${zone} ${view}`;
    let series = zones.get(key);
    if (series === undefined) {
      series = {
        duration: this.#duration.child(server, zone, view),
        dnssec: this.#dnssec.child(server, zone, view),
        requests: new Map(),
        responses: new Map(),
        requestSize: new Map(),
        responseSize: new Map(),
      };
      zones.set(key, series);
    }
    return series;
  }
}
