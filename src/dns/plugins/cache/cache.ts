/**
 * Layer dns. The `cache` plugin: replies of upstreams kept for their time. Questions that wait for the same reply are asked
 * once. Names of the cluster are not kept: their plugin is as fast, and always right.
 */
import { RCODE, TYPE } from "../../../codec/dns/constants.ts";
import { isWithin, longestZone } from "../../../codec/dns/name.ts";
import type { Outcome, Plugin, Rest } from "../../plugin.ts";
import type { DnsQuery, ServerLabels } from "../../query.ts";
import {
  type CacheEntry,
  type CacheLimits,
  judge,
  leftSeconds,
  limitTtls,
  packReply,
  replay,
  type Verdict,
} from "./cache-entry.ts";
import type { CacheMetrics } from "./cache-metrics.ts";

interface StaleOptions {
  readonly forMs: number;
  /** 0: at once, the refresh follows. */
  readonly verifyMs: number;
  readonly ttlSeconds: number;
  /** After a refresh that failed, upstreams are left alone for so long. */
  readonly recheckMs: number;
}

export interface CacheOptions extends CacheLimits {
  readonly zones: readonly string[];
  readonly successCapacity: number;
  readonly denialCapacity: number;
  readonly disableSuccess: readonly string[];
  readonly disableDenial: readonly string[];
  readonly prefetch?: { readonly hits: number; readonly withinMs: number; readonly percent: number };
  /** `verify` waits for the upstream first, at most this long. */
  readonly stale?: StaleOptions;
  /** An answer that may still be served stale comes before a negative one that is newer. */
  readonly prefersPositive: boolean;
  readonly keepTtl: boolean;
}

export class CachePlugin implements Plugin {
  readonly name = "cache";
  readonly #options: CacheOptions;
  readonly #metrics: CacheMetrics;
  readonly #now: () => number;
  /**
   * For the native engine: told of each question (see {@link readKey}) whose reply is kept, and until when this plugin
   * answers from it; 0: it had to make room.
   */
  onKeep: ((key: string, untilMs: number) => void) | undefined;
  readonly #success = new Map<string, CacheEntry>();
  readonly #denial = new Map<string, CacheEntry>();
  readonly #inWork = new Map<string, Promise<Outcome>>();

  constructor(options: CacheOptions, metrics: CacheMetrics, now: () => number) {
    this.#options = options;
    this.#metrics = metrics;
    this.#now = now;
    metrics.watchEntries(() => ({ success: this.#success.size, denial: this.#denial.size }));
  }

  handle(query: DnsQuery, rest: Rest): Outcome | Promise<Outcome> {
    if (query.type === TYPE.AXFR || query.type === TYPE.IXFR) return rest(query);
    if (longestZone(query.lowerName, this.#options.zones) === undefined) return rest(query);
    const key = keyOf(query);
    const nowMs = this.#now();
    const entry = this.#find(key, nowMs);
    this.#metrics.request(query.labels);
    if (entry === undefined) return this.#miss(query, rest, key);
    const left = leftSeconds(entry, nowMs);
    if (left > 0) {
      this.#metrics.hit(query.labels, entry.verdict);
      if (this.#wantsPrefetch(entry, left, nowMs)) this.#refresh(query, rest, key, "prefetch");
      return this.#reply(entry, query, nowMs);
    }
    const { stale } = this.#options;
    if (stale === undefined || entry.verdict === "failure" || -left * 1000 > stale.forMs) {
      return this.#miss(query, rest, key);
    }
    return this.#serveStale(entry, query, { rest, key, nowMs });
  }

  /** Hits that the native engine had in the cache's place. */
  addHits(labels: ServerLabels, verdict: Verdict, count: number): void {
    this.#metrics.addHits(labels, verdict, count);
  }

  #miss(query: DnsQuery, rest: Rest, key: string): Outcome | Promise<Outcome> {
    this.#metrics.miss(query.labels);
    return this.#fetch(query, rest, key);
  }

  /** A failure is no reason to forget an answer that may still be served. */
  #find(key: string, nowMs: number): CacheEntry | undefined {
    const denial = this.#denial.get(key);
    if (denial === undefined) return this.#success.get(key);
    if (denial.verdict !== "failure" && !this.#options.prefersPositive) return denial;
    const success = this.#success.get(key);
    if (success === undefined) return denial;
    const staleMs = this.#options.stale?.forMs ?? 0;
    return leftSeconds(success, nowMs) * 1000 + staleMs > 0 ? success : denial;
  }

  /** Asks the rest of the chain, or waits for who asks it already. */
  #fetch(query: DnsQuery, rest: Rest, key: string): Outcome | Promise<Outcome> {
    const workKey = `${query.client.transport === "udp" ? "u" : "t"}${key}`;
    const running = this.#inWork.get(workKey);
    if (running !== undefined) return running.then((outcome) => adapt(outcome, query));
    const outcome = rest(query);
    if (!(outcome instanceof Promise)) return this.#keep(key, query, outcome);
    const work = outcome
      .then((value) => this.#keep(key, query, value))
      .finally(() => this.#inWork.delete(workKey));
    this.#inWork.set(workKey, work);
    return work;
  }

  /** @returns the outcome with the TTLs that it is kept with */
  #keep(key: string, query: DnsQuery, outcome: Outcome): Outcome {
    if (outcome.kind !== "answer" || outcome.by === "kubernetes") return outcome;
    const judged = judge(outcome.message, this.#options);
    if (judged === undefined) return outcome;
    const isSuccess = judged.verdict === "success";
    const disabled = isSuccess ? this.#options.disableSuccess : this.#options.disableDenial;
    if (disabled.some((zone) => isWithin(query.lowerName, zone))) return outcome;
    const message = limitTtls(outcome.message, judged.verdict, this.#options);
    const questions = [{ name: query.name, type: query.type, class: query.class }];
    const packed = packReply({ ...message, questions });
    if (packed === undefined) return { ...outcome, message };
    // A failure must not push out an answer that can still be served when it is stale.
    const entry: CacheEntry = {
      ...judged,
      packed,
      by: outcome.by,
      storedAtMs: this.#now(),
      hits: 0,
      firstHitMs: 0,
      recheckAtMs: 0,
    };
    if (isSuccess) {
      this.#denial.delete(key);
      this.#put(this.#success, key, entry, this.#options.successCapacity);
    } else {
      if (judged.verdict === "denial" && !this.#options.prefersPositive) this.#success.delete(key);
      this.#put(this.#denial, key, entry, this.#options.denialCapacity);
    }
    const staleMs = judged.verdict === "failure" ? 0 : (this.#options.stale?.forMs ?? 0);
    this.onKeep?.(key, entry.storedAtMs + judged.ttlSeconds * 1000 + staleMs);
    return { ...outcome, message };
  }

  /** The oldest goes when there is no room: maps keep the order in which entries came. */
  #put(map: Map<string, CacheEntry>, key: string, entry: CacheEntry, capacity: number): void {
    map.delete(key);
    if (map.size >= capacity) {
      const oldest = map.keys().next().value;
      if (oldest !== undefined) {
        map.delete(oldest);
        this.onKeep?.(oldest, 0);
      }
      this.#metrics.eviction(entry.verdict);
    }
    map.set(key, entry);
  }

  #reply(entry: CacheEntry, query: DnsQuery, nowMs: number, staleTtl?: number): Outcome {
    const how = { keepTtl: this.#options.keepTtl, ...(staleTtl === undefined ? {} : { staleTtl }) };
    const message = replay(entry, query, nowMs, how);
    if (staleTtl !== undefined || this.#options.prefetch !== undefined) {
      return { kind: "answer", by: this.name, message };
    }
    const ageMs = Math.floor((nowMs - entry.storedAtMs) / 1000) * 1000;
    const baseMs = this.#options.keepTtl ? 0 : entry.storedAtMs + ageMs;
    const expiresMs = entry.storedAtMs + entry.ttlSeconds * 1000;
    return { kind: "answer", by: this.name, message, cached: { baseMs, expiresMs } };
  }

  #wantsPrefetch(entry: CacheEntry, left: number, nowMs: number): boolean {
    const { prefetch } = this.#options;
    if (prefetch === undefined) return false;
    if (nowMs - entry.firstHitMs > prefetch.withinMs) {
      entry.hits = 0;
      entry.firstHitMs = nowMs;
    }
    entry.hits++;
    return entry.hits >= prefetch.hits && left <= (entry.ttlSeconds * prefetch.percent) / 100;
  }

  #refresh(
    query: DnsQuery,
    rest: Rest,
    key: string,
    why: "prefetch" | "stale",
    onDone: (outcome: Outcome) => void = () => undefined,
  ): void {
    if (this.#inWork.has(`u${key}`) || this.#inWork.has(`t${key}`)) return;
    if (why === "prefetch") this.#metrics.prefetch(query.labels);
    const outcome = this.#fetch(query, rest, key);
    if (outcome instanceof Promise) outcome.then(onDone, () => undefined);
    else onDone(outcome);
  }

  /** Over its time, but better than nothing (RFC 8767): at once with a refresh behind it, or when the upstream fails. */
  #serveStale(
    entry: CacheEntry,
    query: DnsQuery,
    at: { readonly rest: Rest; readonly key: string; readonly nowMs: number },
  ): Outcome | Promise<Outcome> {
    const { stale } = this.#options;
    const ttl = stale?.ttlSeconds ?? 0;
    const serve = (): Outcome => {
      this.#metrics.stale(query.labels);
      return this.#reply(entry, query, at.nowMs, ttl);
    };
    if (at.nowMs < entry.recheckAtMs) return serve();
    const recheckLater = (outcome: Outcome): void => {
      if (!isUseful(outcome)) entry.recheckAtMs = this.#now() + (stale?.recheckMs ?? 0);
    };
    if (stale === undefined || stale.verifyMs === 0) {
      this.#refresh(query, at.rest, at.key, "stale", recheckLater);
      return serve();
    }
    const isWanted = (outcome: Outcome): boolean =>
      isUseful(outcome) &&
      (!this.#options.prefersPositive || entry.verdict !== "success" || isPositive(outcome));
    const fresh = this.#fetch(query, at.rest, at.key);
    if (!(fresh instanceof Promise)) {
      recheckLater(fresh);
      return isWanted(fresh) ? fresh : serve();
    }
    fresh.then(recheckLater, () => undefined);
    return withinTime(fresh, stale.verifyMs).then((outcome) =>
      outcome !== undefined && isWanted(outcome) ? outcome : serve(),
    );
  }
}

function isUseful(outcome: Outcome): boolean {
  return outcome.kind === "answer" && outcome.message.rcode !== RCODE.SERVFAIL;
}

function isPositive(outcome: Outcome): boolean {
  return (
    outcome.kind === "answer" && outcome.message.rcode === RCODE.NOERROR && outcome.message.answers.length > 0
  );
}

function withinTime(outcome: Promise<Outcome>, ms: number): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), ms);
    outcome.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      () => {
        clearTimeout(timer);
        resolve(undefined);
      },
    );
  });
}

function keyOf(query: DnsQuery): string {
  const { message } = query;
  const flags = (message.edns?.dnssecOk === true ? 1 : 0) | (message.checkingDisabled ? 2 : 0);
  const key = `${query.lowerName} ${query.type} ${query.class} ${flags}`;
  // What goes upstream with the question may decide about its answer (a client's subnet).
  const options = query.upstreamOptions.map(
    ({ code, bytes }) => `${code}=${Buffer.from(bytes).toString("hex")}`,
  );
  return options.length === 0 ? key : `${key} ${options.join(" ")}`;
}

/** The question of a key that was made without options. */
export function readKey(key: string): {
  readonly name: string;
  readonly type: number;
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
} {
  const [name = "", type = "", , flags = ""] = key.split(" ");
  const bits = Number(flags);
  return { name, type: Number(type), dnssecOk: (bits & 1) !== 0, checkingDisabled: (bits & 2) !== 0 };
}

/** The reply to somebody else's question of the same meaning. */
function adapt(outcome: Outcome, query: DnsQuery): Outcome {
  if (outcome.kind !== "answer") return outcome;
  const asked = outcome.message.questions[0]?.name;
  const answers = outcome.message.answers.map((record) =>
    record.name === asked ? { ...record, name: query.name } : record,
  );
  return { ...outcome, message: { ...outcome.message, answers } };
}
