/** Layer dns. Corefile lines of the `cache` plugin (CoreDNS 1.14). */
import { corefileError } from "../../corefile/corefile-error.ts";
import {
  durationArg,
  expectArgs,
  integerArg,
  readOptions,
  wordArg,
  zoneArgs,
} from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { PluginDefinition, SetupContext } from "../../plugin.ts";
import { type CacheOptions, CachePlugin } from "./cache.ts";
import { CacheMetrics } from "./cache-metrics.ts";

const CAPACITY = 9_984;
const MAX_CAPACITY = 10_000_000;
const MAX_TTL_SECONDS = 3_600;
const MAX_NEGATIVE_TTL_SECONDS = 1_800;
const MAX_SERVFAIL_MS = 300_000;
/** As long as any query waits for its upstreams: `verify 0`. */
const UPSTREAM_MS = 5_000;
/** RFC 8767 section 5. */
const MAX_RECHECK_MS = 300_000;
const WEEK_SECONDS = 604_800;

type Draft = { -readonly [K in keyof CacheOptions]: CacheOptions[K] };

export const cache: PluginDefinition = {
  name: "cache",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "cache", "allowed once in a server block");
    const options = parseCache(directive, context);
    const metrics = new CacheMetrics(context.runtime.metrics, options.zones.join(","));
    return [new CachePlugin(options, metrics, context.runtime.now)];
  },
};

function parseCache(directive: Directive, context: SetupContext): CacheOptions {
  const first = directive.args[0];
  const hasTtl = first !== undefined && /^-?\d+$/.test(first);
  const ttl = hasTtl ? integerArg(directive, 0, 1, WEEK_SECONDS) : undefined;
  const draft: Draft = {
    zones: zoneArgs(directive, hasTtl ? 1 : 0, context.zones),
    success: { maxSeconds: ttl ?? MAX_TTL_SECONDS, minSeconds: 0 },
    denial: { maxSeconds: ttl ?? MAX_NEGATIVE_TTL_SECONDS, minSeconds: 0 },
    servfailSeconds: 5,
    successCapacity: CAPACITY,
    denialCapacity: CAPACITY,
    disableSuccess: [],
    disableDenial: [],
    keepTtl: false,
    prefersPositive: false,
  };
  readOptions(directive, {
    success: (option) => {
      expectArgs(option, 1, 3, "success CAPACITY [TTL] [MINTTL]");
      draft.successCapacity = integerArg(option, 0, 1, MAX_CAPACITY);
      draft.success = limitsOf(option, draft.success);
    },
    denial: (option) => {
      expectArgs(option, 1, 3, "denial CAPACITY [TTL] [MINTTL]");
      draft.denialCapacity = integerArg(option, 0, 1, MAX_CAPACITY);
      draft.denial = limitsOf(option, draft.denial);
    },
    prefetch: (option) => {
      expectArgs(option, 1, 3, "prefetch AMOUNT [DURATION [PERCENTAGE%]]");
      draft.prefetch = prefetchOf(option);
    },
    serve_stale: (option) => {
      draft.stale = staleOf(option);
    },
    serve_stale_policy: (option) => {
      expectArgs(option, 1, 1, "serve_stale_policy prefer_positive");
      wordArg(option, 0, ["prefer_positive"]);
      draft.prefersPositive = true;
    },
    servfail: (option) => {
      expectArgs(option, 1, 1, "servfail DURATION");
      draft.servfailSeconds = durationArg(option, 0, 0, MAX_SERVFAIL_MS) / 1000;
    },
    disable: (option) => {
      expectArgs(option, 1, 1000, "disable success|denial [ZONE…]");
      const zones = zoneArgs(option, 1, draft.zones);
      if (wordArg(option, 0, ["success", "denial"]) === "success") draft.disableSuccess = zones;
      else draft.disableDenial = zones;
    },
    keepttl: (option) => {
      expectArgs(option, 0, 0, "keepttl");
      draft.keepTtl = true;
    },
  });
  if (draft.prefersPositive && draft.stale === undefined)
    throw corefileError(directive, "cache", '"serve_stale_policy" needs "serve_stale"');
  return draft;
}

function limitsOf(option: Directive, before: CacheOptions["success"]): CacheOptions["success"] {
  return {
    maxSeconds: option.args.length > 1 ? integerArg(option, 1, 1, WEEK_SECONDS) : before.maxSeconds,
    minSeconds: option.args.length > 2 ? integerArg(option, 2, 0, WEEK_SECONDS) : before.minSeconds,
  };
}

function prefetchOf(option: Directive): NonNullable<CacheOptions["prefetch"]> {
  const percentText = option.args[2] ?? "10%";
  const percent = Number(/^(\d{1,2})%$/.exec(percentText)?.[1] ?? Number.NaN);
  if (!(percent >= 10 && percent <= 90)) {
    throw corefileError(option, "prefetch", `"${percentText}" is not allowed; 10% to 90% is`);
  }
  return {
    hits: integerArg(option, 0, 0, 1_000_000),
    withinMs: option.args.length > 1 ? durationArg(option, 1) : 60_000,
    percent,
  };
}

/** `serve_stale [DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]`. */
function staleOf(option: Directive): NonNullable<CacheOptions["stale"]> {
  const form = "serve_stale [DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]";
  expectArgs(option, 0, 5, form);
  const words = [...option.args];
  const modeAt = words.findIndex((word) => word === "immediate" || word === "verify");
  const forMs = modeAt !== 0 && words.length > 0 ? durationArg(option, 0) : 3_600_000;
  const isVerify = words[modeAt] === "verify";
  const behind = modeAt < 0 ? [] : words.slice(modeAt + 1);
  const verifyMs = !isVerify ? 0 : behind.length > 0 ? durationArg(option, modeAt + 1) || UPSTREAM_MS : 1_800;
  const ttlAt = modeAt + (isVerify ? 2 : 1);
  const ttlSeconds = modeAt >= 0 && words[ttlAt] !== undefined ? durationArg(option, ttlAt) / 1000 : 30;
  const recheckMs = words[ttlAt + 1] === undefined ? 0 : durationArg(option, ttlAt + 1, 0, MAX_RECHECK_MS);
  return { forMs, verifyMs, ttlSeconds, recheckMs };
}
