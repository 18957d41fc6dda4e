/**
 * Layer dns. What the native engine forwards itself: blocks with one `forward` whose upstreams are all asked over UDP, and
 * with nothing around it that looks at single queries. Health is one for both: the plugin's upstreams probe and decide, the
 * engine tells what it saw.
 */
import {
  type EngineGroup,
  FORWARD_RCODES,
  KEY_FLAG,
  MAX_GROUPS,
  MAX_UPSTREAMS,
  type UdpEngine,
  UPSTREAM_COUNTERS,
  type UpstreamCounters,
} from "../../drivers/udp-engine/driver.ts";
import type { MetricSet } from "../metrics/metric-set.ts";
import { readKey } from "../plugins/cache/cache.ts";
import type { ForwardPlugin } from "../plugins/forward/forward.ts";
import { ForwardMetrics } from "../plugins/forward/forward-metrics.ts";
import type { Upstream } from "../plugins/forward/upstream.ts";
import type { Block } from "../server/block.ts";
import type { EngineBlock } from "./engine-blocks.ts";

const MAX_LIFE_MS = 86_400_000;
const MAX_TOKEN = 0xffff_ffff;

interface Group {
  readonly plugin: ForwardPlugin;
  readonly block: EngineBlock;
  readonly engine: EngineGroup;
}

export class EngineForwards {
  readonly #engine: UdpEngine;
  /** Counters of the engine, by the upstream's label. */
  readonly #counters = new Map<string, number>();
  #groups: readonly Group[] = [];
  #upstreams: readonly Upstream[] = [];
  /** What was seen of each upstream until now. */
  #seen: { failed: number; recovered: number }[] = [];
  #nextToken = 0;

  constructor(engine: UdpEngine) {
    this.#engine = engine;
  }

  /** Queries that the engine is at. */
  get inWork(): number {
    return this.#engine.forwarding().inWork;
  }

  /** Groups for the next configuration, and which block's they are. */
  compile(blocks: ReadonlyMap<Block, EngineBlock>): {
    readonly groups: readonly EngineGroup[];
    readonly groupOf: ReadonlyMap<Block, number>;
  } {
    const groups: Group[] = [];
    const groupOf = new Map<Block, number>();
    const upstreams: Upstream[] = [];
    for (const [block, found] of blocks) {
      const plugin = found.forward;
      if (plugin === undefined || groups.length >= MAX_GROUPS) continue;
      const engine = this.#group(plugin, found);
      if (engine === undefined || upstreams.length + engine.upstreams.length > MAX_UPSTREAMS) continue;
      groupOf.set(block, groups.length);
      groups.push({ plugin, block: found, engine });
      upstreams.push(...plugin.upstreams.all);
    }
    this.#groups = groups;
    this.#upstreams = upstreams;
    this.#seen = upstreams.map(() => ({ failed: 0, recovered: 0 }));
    return { groups: groups.map(({ engine }) => engine), groupOf };
  }

  /** The configuration with these groups answers now. */
  start(): void {
    for (const [index, { plugin, block, engine }] of this.#groups.entries()) {
      const inWork = (): number => this.#engine.forwarding().groups[index] ?? 0;
      const isCurrent = (): boolean => this.#groups[index]?.plugin === plugin;
      plugin.link({ token: engine.token, inWork: () => (isCurrent() ? inWork() : 0) });
      const { loop, cache } = block;
      if (loop !== undefined)
        loop.onChange = (isLooping) => {
          if (isCurrent()) this.#engine.setGroup(index, !isLooping);
        };
      if (cache !== undefined)
        cache.onKeep = (key, untilMs) => {
          const { name, type, dnssecOk, checkingDisabled } = readKey(key);
          const flags = (checkingDisabled ? KEY_FLAG.checking : 0) | (dnssecOk ? KEY_FLAG.dnssec : 0);
          this.#engine.markKept(name, type, flags, untilMs);
        };
    }
    for (const [index, upstream] of this.#upstreams.entries()) {
      upstream.shareHealth((health) => {
        if (this.#upstreams[index] === upstream) this.#engine.setUpstream(index, health);
      });
    }
  }

  /** Something happened to an upstream that the engine asks. */
  onNews(): void {
    const { upstreams } = this.#engine.forwarding();
    for (const [index, now] of upstreams.entries()) {
      const before = this.#seen[index];
      const upstream = this.#upstreams[index];
      if (before === undefined || upstream === undefined) continue;
      this.#seen[index] = { ...now };
      if (now.failed > before.failed || now.recovered > before.recovered)
        upstream.seen(now.failed - before.failed, now.recovered > before.recovered);
    }
  }

  /** Adds up at each scrape what the engine counted since the one before. */
  collect(metrics: MetricSet): void {
    const before = new Map<string, UpstreamCounters>();
    metrics.onCollect(() => {
      if (this.#counters.size === 0) return;
      const forward = new ForwardMetrics(metrics);
      const counters = this.#engine.counters();
      for (const [to, index] of this.#counters) {
        const now = counters.upstream(index);
        const old = before.get(to);
        before.set(to, now);
        forward.engineSockets(to, now.kept - (old?.kept ?? 0), now.opened - (old?.opened ?? 0));
        for (const [i, rcode] of FORWARD_RCODES.entries()) {
          const { durations, seconds } = now.replies[i] ?? { durations: new Float64Array(), seconds: 0 };
          const { durations: less, seconds: ago = 0 } = old?.replies[i] ?? {};
          const since = durations.map((count, bucket) => count - (less?.[bucket] ?? 0));
          forward.engineReplies(to, rcode, since, seconds - ago);
        }
      }
    });
  }

  #group(plugin: ForwardPlugin, block: EngineBlock): EngineGroup | undefined {
    const { options, upstreams } = plugin;
    const isPlain = options.transport !== "tcp" && options.failover.size === 0 && upstreams.isComplete;
    if (!isPlain) return undefined;
    const targets = upstreams.all.map((upstream) => {
      const target = upstream.udpTarget;
      const counter = this.#counter(upstream.name);
      if (target === undefined || counter === undefined) return undefined;
      const isMixed =
        target.source !== undefined && target.source.includes(":") !== target.address.includes(":");
      return isMixed ? undefined : { ...target, counter };
    });
    const known = targets.filter((target) => target !== undefined);
    if (known.length < targets.length || known.length === 0) return undefined;
    this.#nextToken = (this.#nextToken + 1) % MAX_TOKEN;
    return {
      token: this.#nextToken,
      isThroughChain: block.cache !== undefined,
      policy: options.policy,
      timeoutMs: options.readTimeoutMs,
      maxAttempts: options.maxAttempts,
      maxConcurrent: options.maxConcurrent,
      lifeMs: Math.min(known[0]?.lifeMs ?? 0, MAX_LIFE_MS),
      zones: options.from,
      left: [...options.except, ...block.ownZones],
      upstreams: known,
    };
  }

  /** Stays the same over reloads: sums only grow. */
  #counter(to: string): number | undefined {
    const known = this.#counters.get(to);
    if (known !== undefined) return known;
    if (this.#counters.size >= UPSTREAM_COUNTERS) return undefined;
    this.#counters.set(to, this.#counters.size);
    return this.#counters.size - 1;
  }
}
